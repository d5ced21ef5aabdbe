//! `rollcall node revoke`.

use clap::ArgGroup;
use contracts::{
    NodeId, SessionId,
    wire::v1::{
        RevokeNodeRequest, node_admin_service_client::NodeAdminServiceClient, revoke_node_request::Scope,
    },
};

use crate::cli::{
    change::{self, ChangeArguments},
    clock,
    confirmation::{self, Confirmation},
    exit::after_help,
    failure::Failure,
    node::{json, text},
    output::Output,
    servers::{ANSWER_BYTES_MAX, Servers},
};

#[derive(Debug, clap::Args)]
#[command(
    group(ArgGroup::new("where").required(true).args(["session", "everywhere"])),
    after_help = after_help!("\
A revoked node never attaches there again, and nothing lifts that. To only end its slot, detach it instead. \
Revoking it again changes nothing.

Examples:
  rollcall node revoke laptop-1 --session 0198c5a2-6f1e-7c3a-9b54-2f8e1d0c7a61 --reason stolen --dry-run
  rollcall node revoke laptop-1 --everywhere --reason stolen --yes"))]
pub(crate) struct Revoke {
    /// Name of the node
    #[arg(value_name = "NODE")]
    node: NodeId,

    /// Bar it from this session
    #[arg(long, value_name = "ID")]
    session: Option<SessionId>,

    /// Bar it from every session
    #[arg(long)]
    everywhere: bool,

    /// Why, for the audit
    #[arg(long, value_name = "TEXT", value_parser = change::reason)]
    reason: String,

    #[command(flatten)]
    change: ChangeArguments,

    /// Do not ask; required when stdin is no terminal, except for a dry run
    #[arg(long)]
    yes: bool,

    /// Print the revoked slots as JSON
    #[arg(long)]
    json: bool,
}

impl Revoke {
    pub(crate) async fn run(self, servers: &mut Servers, output: &mut Output) -> Result<(), Failure> {
        let Self { node, session, everywhere: _, reason, change, yes, json } = self;
        let dry_run = change.dry_run;
        // The group has seen to it that no session means everywhere.
        let (scope, from) = match session {
            Some(session) => (Scope::SessionId(session.to_string()), format!("session {session}")),
            None => (Scope::Everywhere(true), "every session".to_owned()),
        };
        let confirmation = Confirmation::of_process(yes || dry_run);
        let consequence = format!("this bars node {node} from {from} for ever");
        confirmation::confirm(confirmation, &consequence, "revoke", output).await?;
        let request_id = change.request_id();
        let request = RevokeNodeRequest {
            node_id: node.to_string(),
            scope: Some(scope),
            reason,
            validate_only: dry_run,
            request_id: request_id.clone(),
        };
        let answer = servers
            .call(&request, async |channel, request| {
                NodeAdminServiceClient::new(channel)
                    .max_decoding_message_size(ANSWER_BYTES_MAX)
                    .revoke_node(request)
                    .await
            })
            .await?;
        if json {
            let slots = answer.slots.into_iter().map(Into::into).collect();
            return output.json(&json::Revoked { slots, dry_run, request_id });
        }
        output.note(&if dry_run {
            format!("dry run: node {node} would be barred from {from} for ever")
        } else {
            format!("node {node} is barred from {from} for ever")
        });
        if answer.slots.is_empty() {
            return Ok(());
        }
        let now = clock::now();
        let mut table = text::table();
        answer.slots.iter().for_each(|slot| table.row(text::row(slot, now)));
        output.table(&table)
    }
}
