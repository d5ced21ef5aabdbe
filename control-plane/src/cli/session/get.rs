//! `rollcall session get`.

use contracts::{
    SessionId,
    wire::v1::{GetSessionRequest, Session, session_service_client::SessionServiceClient},
};

use crate::cli::{
    clock,
    exit::after_help,
    failure::Failure,
    output::Output,
    servers::Servers,
    session::{json, text},
};

#[derive(Debug, clap::Args)]
#[command(after_help = after_help!("\
Examples:
  rollcall session get 0198c5a2-6f1e-7c3a-9b54-2f8e1d0c7a61
  rollcall session get 0198c5a2-6f1e-7c3a-9b54-2f8e1d0c7a61 --json | jq .active_nodes"))]
pub(crate) struct Get {
    /// The session
    #[arg(value_name = "ID")]
    session: SessionId,

    /// Print the session as JSON
    #[arg(long)]
    json: bool,
}

impl Get {
    pub(crate) async fn run(self, servers: &mut Servers, output: &mut Output) -> Result<(), Failure> {
        let session = session(servers, self.session).await?;
        if self.json {
            return output.json(&json::Session::from(session));
        }
        output.table(&text::fields(&session, clock::now()))
    }
}

/// The session as it is now.
pub(crate) async fn session(servers: &mut Servers, session: SessionId) -> Result<Session, Failure> {
    let request = GetSessionRequest { session_id: session.to_string() };
    let answer = servers
        .call(&request, async |channel, request| {
            SessionServiceClient::new(channel).get_session(request).await
        })
        .await?;
    answer.session.ok_or_else(|| Failure::missing("session"))
}
