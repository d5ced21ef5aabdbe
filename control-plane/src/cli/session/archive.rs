//! `rollcall session archive`.

use contracts::{
    SessionId,
    wire::v1::{ArchiveSessionRequest, session_service_client::SessionServiceClient},
};

use crate::cli::{
    change::{self, ChangeArguments},
    exit::after_help,
    failure::Failure,
    output::Output,
    servers::Servers,
    session::{json, text},
};

#[derive(Debug, clap::Args)]
#[command(after_help = after_help!("\
An archived session takes no new nodes; those attached stay until they detach. Archiving it again changes \
nothing.

Examples:
  rollcall session archive 0198c5a2-6f1e-7c3a-9b54-2f8e1d0c7a61 --dry-run
  rollcall session archive 0198c5a2-6f1e-7c3a-9b54-2f8e1d0c7a61 --reason done"))]
pub(crate) struct Archive {
    /// The session
    #[arg(value_name = "ID")]
    session: SessionId,

    /// Why, for the audit
    #[arg(long, value_name = "TEXT", value_parser = change::reason)]
    reason: Option<String>,

    #[command(flatten)]
    change: ChangeArguments,

    /// Print the session as JSON
    #[arg(long)]
    json: bool,
}

impl Archive {
    pub(crate) async fn run(self, servers: &mut Servers, output: &mut Output) -> Result<(), Failure> {
        let Self { session, reason, change, json } = self;
        let dry_run = change.dry_run;
        let request = ArchiveSessionRequest {
            session_id: session.to_string(),
            reason: reason.unwrap_or_default(),
            validate_only: dry_run,
            request_id: change.request_id(),
        };
        let answer = servers
            .call(&request, async |channel, request| {
                SessionServiceClient::new(channel).archive_session(request).await
            })
            .await?;
        let session = answer.session.ok_or_else(|| Failure::missing("session"))?;
        if json {
            return output.json(&json::Session::from(session));
        }
        let attached = text::nodes(session.active_nodes);
        let title = text::title(&session);
        output.note(&if dry_run {
            format!("dry run: {title} would be archived; {attached} attached")
        } else {
            format!("archived {title}; {attached} attached")
        });
        Ok(())
    }
}
