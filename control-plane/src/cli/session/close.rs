//! `rollcall session close`.

use contracts::{
    SessionId,
    wire::v1::{CloseSessionRequest, session_service_client::SessionServiceClient},
};

use crate::cli::{
    change::{self, ChangeArguments},
    confirmation::{self, Confirmation},
    exit::after_help,
    failure::Failure,
    output::Output,
    servers::Servers,
    session::{get, json, text},
};

#[derive(Debug, clap::Args)]
#[command(after_help = after_help!("\
A closed session is closed for ever: its nodes are detached, and it cannot be opened again. To only keep \
new nodes out, archive it instead. Closing it again changes nothing.

Examples:
  rollcall session close 0198c5a2-6f1e-7c3a-9b54-2f8e1d0c7a61 --dry-run
  rollcall session close 0198c5a2-6f1e-7c3a-9b54-2f8e1d0c7a61 --reason done --yes --json"))]
pub(crate) struct Close {
    /// The session
    #[arg(value_name = "ID")]
    session: SessionId,

    /// Why, for the audit
    #[arg(long, value_name = "TEXT", value_parser = change::reason)]
    reason: Option<String>,

    #[command(flatten)]
    change: ChangeArguments,

    /// Do not ask; required when stdin is no terminal, except for a dry run
    #[arg(long)]
    yes: bool,

    /// Print the session and the number of detached nodes as JSON
    #[arg(long)]
    json: bool,
}

impl Close {
    pub(crate) async fn run(self, servers: &mut Servers, output: &mut Output) -> Result<(), Failure> {
        let Self { session, reason, change, yes, json } = self;
        let dry_run = change.dry_run;
        confirm(Confirmation::of_process(yes || dry_run), session, servers, output).await?;
        let request_id = change.request_id();
        let request = CloseSessionRequest {
            session_id: session.to_string(),
            reason: reason.unwrap_or_default(),
            validate_only: dry_run,
            request_id: request_id.clone(),
        };
        let answer = servers
            .call(&request, async |channel, request| {
                SessionServiceClient::new(channel).close_session(request).await
            })
            .await?;
        let session = answer.session.ok_or_else(|| Failure::missing("session"))?;
        let detached_nodes = answer.detached_nodes;
        if json {
            let session = session.into();
            return output.json(&json::Closed { session, detached_nodes, dry_run, request_id });
        }
        let detached = text::nodes(detached_nodes);
        let title = text::title(&session);
        output.note(&if dry_run {
            format!("dry run: {title} would be closed for ever, and {detached} detached")
        } else {
            format!("closed {title} for ever; {detached} detached")
        });
        Ok(())
    }
}

async fn confirm(
    confirmation: Confirmation,
    session: SessionId,
    servers: &mut Servers,
    output: &mut Output,
) -> Result<(), Failure> {
    match confirmation {
        Confirmation::Given => Ok(()),
        Confirmation::Impossible => Err(Failure::Usage {
            message: "closing a session is for ever, and there is no terminal to ask on".to_owned(),
            hint: "add --yes to close it without being asked".to_owned(),
        }),
        Confirmation::ToBeAsked => {
            // Shown by name and size: an id alone is easily the wrong one.
            let session = get::session(servers, session).await?;
            let attached = text::nodes(session.active_nodes);
            output.note(&format!("closing {} is for ever and detaches {attached}", text::title(&session)));
            if confirmation::ask("close it? [yes/no] ", output).await? {
                return Ok(());
            }
            Err(Failure::Declined("nothing was closed".to_owned()))
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use client_tls::Trust;

    use super::*;
    use crate::cli::{credential::Credential, tests::Captured};

    #[tokio::test]
    async fn without_a_terminal_or_a_flag_nothing_is_asked_of_the_server() {
        let (mut output, _) = Captured::output();
        // No address at all: a call would fail as unreachable.
        let mut servers =
            Servers::new(Vec::new(), Credential::None, Trust::of_system(), Duration::from_secs(1));
        let session = "0198c5a2-6f1e-7c3a-9b54-2f8e1d0c7a61".parse().unwrap();
        let refused = confirm(Confirmation::Impossible, session, &mut servers, &mut output).await;
        assert!(matches!(refused, Err(Failure::Usage { .. })), "{refused:?}");
    }
}
