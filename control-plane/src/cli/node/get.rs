//! `rollcall node get`.

use contracts::{
    NodeId,
    wire::v1::{GetNodeRequest, GetNodeResponse, node_admin_service_client::NodeAdminServiceClient},
};

use crate::cli::{
    age::{at_and_ago, rfc3339},
    clock,
    exit::after_help,
    failure::Failure,
    node::{json, text},
    output::Output,
    servers::{ANSWER_BYTES_MAX, Servers},
    table::Table,
};

#[derive(Debug, clap::Args)]
#[command(after_help = after_help!("\
Examples:
  rollcall node get laptop-1
  rollcall node get laptop-1 --json | jq '.slots[0].declaration.capabilities'"))]
pub(crate) struct Get {
    /// Name of the node
    #[arg(value_name = "NODE")]
    node: NodeId,

    /// Print the node, its slots and their declarations as JSON
    #[arg(long)]
    json: bool,
}

impl Get {
    pub(crate) async fn run(self, servers: &mut Servers, output: &mut Output) -> Result<(), Failure> {
        let request = GetNodeRequest { node_id: self.node.to_string() };
        let answer = servers
            .call(&request, async |channel, request| {
                NodeAdminServiceClient::new(channel)
                    .max_decoding_message_size(ANSWER_BYTES_MAX)
                    .get_node(request)
                    .await
            })
            .await?;
        if self.json {
            return output.json(&json::NodeWithSlots {
                node_id: self.node.to_string(),
                first_seen_at: rfc3339(answer.first_seen_at.as_ref()),
                generation: answer.generation,
                slots: answer.slots.into_iter().map(Into::into).collect(),
            });
        }
        self.show(&answer, output)
    }

    fn show(&self, answer: &GetNodeResponse, output: &mut Output) -> Result<(), Failure> {
        let now = clock::now();
        let owner = answer.slots.first().map_or("-", |slot| &slot.participant_id);
        output.table(&Table::of_fields([
            ("node", self.node.to_string()),
            ("owner", owner.to_owned()),
            ("first seen", at_and_ago(answer.first_seen_at.as_ref(), now)),
            ("generation", answer.generation.to_string()),
        ]))?;
        if answer.slots.is_empty() {
            return Ok(());
        }
        let mut slots = text::table();
        for slot in &answer.slots {
            slots.row(text::row(slot, now));
        }
        output.line("")?;
        output.table(&slots)?;
        for slot in &answer.slots {
            for reason in &slot.state_reasons {
                output.line("")?;
                output.line(&format!("degraded in {}: {}", slot.session_id, text::reason(reason)))?;
            }
            if let Some(capabilities) = text::capabilities(slot) {
                output.line("")?;
                output.line(&format!("declared in {}:", slot.session_id))?;
                output.table(&capabilities)?;
            }
        }
        Ok(())
    }
}
