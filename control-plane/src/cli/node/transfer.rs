//! `rollcall node transfer`.

use contracts::{
    NodeId, ParticipantId,
    wire::v1::{TransferNodeRequest, node_admin_service_client::NodeAdminServiceClient},
};

use crate::cli::{
    change::{self, ChangeArguments},
    confirmation::{self, Confirmation},
    exit::after_help,
    failure::Failure,
    node::json,
    output::Output,
    servers::Servers,
};

#[derive(Debug, clap::Args)]
#[command(after_help = after_help!("\
The node's slot ends, and the former owner's daemon is refused from then on; the new owner's daemon attaches \
anew, in a session of which the new owner is a member. Admins only.

Examples:
  rollcall node transfer laptop-1 --to 5f0c3a52-93d5-4a26-8f58-0f6a3f2f6f10 --dry-run
  rollcall node transfer laptop-1 --to 5f0c3a52-93d5-4a26-8f58-0f6a3f2f6f10 --reason handover --yes"))]
pub(crate) struct Transfer {
    /// Name of the node
    #[arg(value_name = "NODE")]
    node: NodeId,

    /// The new owner
    #[arg(long, value_name = "PARTICIPANT")]
    to: ParticipantId,

    /// Why, for the audit
    #[arg(long, value_name = "TEXT", value_parser = change::reason)]
    reason: Option<String>,

    #[command(flatten)]
    change: ChangeArguments,

    /// Do not ask; required when stdin is no terminal, except for a dry run
    #[arg(long)]
    yes: bool,

    /// Print the node, its owner and its generation as JSON
    #[arg(long)]
    json: bool,
}

impl Transfer {
    pub(crate) async fn run(self, servers: &mut Servers, output: &mut Output) -> Result<(), Failure> {
        let Self { node, to, reason, change, yes, json } = self;
        let dry_run = change.dry_run;
        let consequence = format!("this takes node {node} from its owner and its slot, and gives it to {to}");
        let confirmation = Confirmation::of_process(yes || dry_run);
        confirmation::confirm(confirmation, &consequence, "transfer", output).await?;
        let request_id = change.request_id();
        let request = TransferNodeRequest {
            node_id: node.to_string(),
            participant_id: to.to_string(),
            reason: reason.unwrap_or_default(),
            validate_only: dry_run,
            request_id: request_id.clone(),
        };
        let answer = servers
            .call(&request, async |channel, request| {
                NodeAdminServiceClient::new(channel).transfer_node(request).await
            })
            .await?;
        let generation = answer.generation;
        if json {
            return output.json(&json::Transferred {
                node_id: request.node_id,
                participant_id: request.participant_id,
                generation,
                dry_run,
                request_id,
            });
        }
        output.note(&if dry_run {
            format!("dry run: node {node} would belong to {to}, with generation {generation}")
        } else {
            format!(
                "node {node} belongs to {to}, with generation {generation}; its daemon has to attach anew"
            )
        });
        Ok(())
    }
}
