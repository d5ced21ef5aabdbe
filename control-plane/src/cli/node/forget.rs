//! `rollcall node forget`.

use contracts::{
    NodeId,
    wire::v1::{ForgetNodeRequest, node_admin_service_client::NodeAdminServiceClient},
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
Deletes the node with its slots and its history. A node that is attached has to be detached first; one that \
was revoked stays, or forgetting would lift what is for ever. Admins only.

Examples:
  rollcall node forget laptop-1 --dry-run
  rollcall node forget laptop-1 --reason scrapped --yes"))]
pub(crate) struct Forget {
    /// Name of the node
    #[arg(value_name = "NODE")]
    node: NodeId,

    /// Why, for the audit
    #[arg(long, value_name = "TEXT", value_parser = change::reason)]
    reason: Option<String>,

    #[command(flatten)]
    change: ChangeArguments,

    /// Do not ask; required when stdin is no terminal, except for a dry run
    #[arg(long)]
    yes: bool,

    /// Print what was forgotten as JSON
    #[arg(long)]
    json: bool,
}

impl Forget {
    pub(crate) async fn run(self, servers: &mut Servers, output: &mut Output) -> Result<(), Failure> {
        let Self { node, reason, change, yes, json } = self;
        let dry_run = change.dry_run;
        let consequence = format!("this deletes node {node} with its slots and its history");
        let confirmation = Confirmation::of_process(yes || dry_run);
        confirmation::confirm(confirmation, &consequence, "forget", output).await?;
        let request_id = change.request_id();
        let request = ForgetNodeRequest {
            node_id: node.to_string(),
            reason: reason.unwrap_or_default(),
            validate_only: dry_run,
            request_id: request_id.clone(),
        };
        servers
            .call(&request, async |channel, request| {
                NodeAdminServiceClient::new(channel).forget_node(request).await
            })
            .await?;
        if json {
            return output.json(&json::Forgotten { node_id: request.node_id, dry_run, request_id });
        }
        output.note(&if dry_run {
            format!("dry run: node {node} would be forgotten")
        } else {
            format!("node {node} is forgotten")
        });
        Ok(())
    }
}
