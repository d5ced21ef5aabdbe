//! `rollcall node detach`.

use contracts::{
    NodeId,
    wire::v1::{DetachNodeRequest, SlotState, node_admin_service_client::NodeAdminServiceClient},
};

use crate::cli::{
    change::{self, ChangeArguments},
    exit::after_help,
    failure::Failure,
    node::json,
    output::Output,
    servers::{ANSWER_BYTES_MAX, Servers},
    wire_word::word,
};

#[derive(Debug, clap::Args)]
#[command(after_help = after_help!("\
The node leaves its slot and may attach again: to keep it out, revoke it instead. Detaching a node that is \
not attached changes nothing.

Examples:
  rollcall node detach laptop-1
  rollcall node detach laptop-1 --reason overheating --dry-run"))]
pub(crate) struct Detach {
    /// Name of the node
    #[arg(value_name = "NODE")]
    node: NodeId,

    /// Why, for the audit and the record of the slot
    #[arg(long, value_name = "TEXT", value_parser = change::reason)]
    reason: Option<String>,

    #[command(flatten)]
    change: ChangeArguments,

    /// Print the node's slot as JSON
    #[arg(long)]
    json: bool,
}

impl Detach {
    pub(crate) async fn run(self, servers: &mut Servers, output: &mut Output) -> Result<(), Failure> {
        let dry_run = self.change.dry_run;
        let request_id = self.change.request_id();
        let request = DetachNodeRequest {
            node_id: self.node.to_string(),
            reason: self.reason.unwrap_or_default(),
            validate_only: dry_run,
            request_id: request_id.clone(),
        };
        let answer = servers
            .call(&request, async |channel, request| {
                NodeAdminServiceClient::new(channel)
                    .max_decoding_message_size(ANSWER_BYTES_MAX)
                    .detach_node(request)
                    .await
            })
            .await?;
        let slot = answer.node.ok_or_else(|| Failure::missing("node"))?;
        if self.json {
            return output.json(&json::Detached { node: slot.into(), dry_run, request_id });
        }
        let state = word::<SlotState>(slot.slot_state);
        let (node, session) = (self.node, slot.session_id);
        output.note(&if dry_run {
            format!("dry run: node {node} would be out of its slot in session {session} ({state})")
        } else {
            format!("node {node} is out of its slot in session {session} ({state})")
        });
        Ok(())
    }
}
