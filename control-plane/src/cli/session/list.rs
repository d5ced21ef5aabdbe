//! `rollcall session list`.

use std::time::Instant;

use contracts::wire::v1::{ListSessionsRequest, Session, session_service_client::SessionServiceClient};

use crate::cli::{
    clock,
    exit::after_help,
    failure::Failure,
    invocation,
    output::Output,
    pages::{PAGE_SIZE, PageCursor},
    progress::Progress,
    servers::Servers,
    session::{json, text},
};

#[derive(Debug, clap::Args)]
#[command(after_help = after_help!("\
Examples:
  rollcall session list
  rollcall session list --json | jq -r '.sessions[] | select(.active_nodes > 0).session_id'"))]
pub(crate) struct List {
    /// Print {\"sessions\": [...]}
    #[arg(long)]
    json: bool,
}

impl List {
    pub(crate) async fn run(self, servers: &mut Servers, output: &mut Output) -> Result<(), Failure> {
        let sessions = all_sessions(servers, output).await?;
        if self.json {
            let sessions = sessions.into_iter().map(json::Session::from).collect();
            return output.json(&json::Sessions { sessions });
        }
        if sessions.is_empty() {
            output.note("no sessions yet");
            output.hint(&format!("make one with `{} session create --name demo`", invocation::rollcall()));
            return Ok(());
        }
        output.table(&text::table(&sessions, clock::now()))
    }
}

/// All sessions of the caller, all pages.
pub(crate) async fn all_sessions(
    servers: &mut Servers,
    output: &mut Output,
) -> Result<Vec<Session>, Failure> {
    let mut progress = Progress::of("sessions");
    let mut cursor = PageCursor::default();
    let mut sessions = Vec::new();
    loop {
        let request = ListSessionsRequest { page_size: PAGE_SIZE, page_token: cursor.token() };
        let page = servers
            .call(&request, async |channel, request| {
                SessionServiceClient::new(channel).list_sessions(request).await
            })
            .await?;
        sessions.extend(page.sessions);
        if !cursor.advance(page.next_page_token)? {
            return Ok(sessions);
        }
        progress.tell(sessions.len(), None, Instant::now(), output);
    }
}
