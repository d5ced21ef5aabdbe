//! `rollcall session create`.

use contracts::{
    EventEnvelopeVersion, SessionId,
    wire::v1::{CreateSessionRequest, session_service_client::SessionServiceClient},
};
use uuid::Uuid;

use crate::cli::{
    change::{self, ChangeArguments},
    exit::after_help,
    failure::Failure,
    invocation,
    output::Output,
    servers::Servers,
    session::{arguments, json, text},
};

#[derive(Debug, clap::Args)]
#[command(after_help = after_help!("\
The id goes to stdout and the next step to stderr, so that a script reads only the id:
  SESSION=$(rollcall session create --name demo)

Examples:
  rollcall session create --name demo
  rollcall session create --name demo --floor 1.2
  rollcall session create --name demo --id 0198c5a2-6f1e-7c3a-9b54-2f8e1d0c7a61 --json"))]
pub(crate) struct Create {
    /// Name for people; need not be unique
    #[arg(long, value_name = "NAME", value_parser = arguments::name)]
    name: String,

    /// Version floor to start with: nodes below it are read-only
    #[arg(long, value_name = "MAJOR.MINOR", value_parser = arguments::floor)]
    floor: Option<EventEnvelopeVersion>,

    /// Id of the session, so that a repeat of this command makes no second one
    #[arg(long, value_name = "UUIDv7", value_parser = arguments::new_session_id)]
    id: Option<SessionId>,

    /// Why, for the audit
    #[arg(long, value_name = "TEXT", value_parser = change::reason)]
    reason: Option<String>,

    #[command(flatten)]
    change: ChangeArguments,

    /// Print the session as JSON
    #[arg(long)]
    json: bool,
}

impl Create {
    pub(crate) async fn run(self, servers: &mut Servers, output: &mut Output) -> Result<(), Failure> {
        // The id is made here when none was given: then a try at the next address, after an answer that was lost,
        // finds the session instead of making another.
        let id = self.id.unwrap_or_else(|| SessionId(Uuid::now_v7()));
        let dry_run = self.change.dry_run;
        let request = CreateSessionRequest {
            session_id: id.to_string(),
            name: self.name,
            min_client_version: self.floor.map(|floor| floor.to_string()).unwrap_or_default(),
            reason: self.reason.unwrap_or_default(),
            validate_only: dry_run,
            request_id: self.change.request_id(),
        };
        let answer = servers
            .call(&request, async |channel, request| {
                SessionServiceClient::new(channel).create_session(request).await
            })
            .await?;
        let session = answer.session.ok_or_else(|| Failure::missing("session"))?;
        if self.json {
            return output.json(&json::Session::from(session));
        }
        if dry_run {
            output.note(&format!("dry run: {} would be made", text::title(&session)));
            return Ok(());
        }
        output.line(&session.session_id)?;
        output.note("next, attach a daemon:");
        output.note(&format!(
            "  {} --session {} --node-id laptop-1 --capability codex",
            invocation::daemon(),
            session.session_id
        ));
        Ok(())
    }
}
