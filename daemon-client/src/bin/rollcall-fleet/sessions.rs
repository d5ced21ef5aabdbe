//! The sessions that the fleet attaches to.

use std::time::Duration;

use contracts::wire::v1::{self, session_service_client::SessionServiceClient};
use daemon_client::{Setback, Token, Way};
use tokio::time::{Instant, sleep, timeout};
use tonic::{Status, service::interceptor::InterceptedService, transport::Channel};
use uuid::Uuid;

use crate::drill::DEADLINE;

type Sessions = SessionServiceClient<InterceptedService<Channel, Token>>;

/// Name of each session that is made.
const NAME: &str = "rollcall-fleet";
const CLOSE_REASON: &str = "the fleet is done";
const BACKOFF_CAP: Duration = Duration::from_secs(1);

/// Makes as many sessions. Tries for as long as `patience` to find a server, and again each time that one is lost.
pub(crate) async fn make(way: &mut Way, count: u32, patience: Duration) -> Result<Vec<String>, Setback> {
    let mut made = Vec::new();
    for _ in 0..count {
        // The id is ours, so that a repeat makes no second session.
        let request = v1::CreateSessionRequest {
            session_id: Uuid::now_v7().to_string(),
            name: NAME.to_owned(),
            ..v1::CreateSessionRequest::default()
        };
        let create = async |mut sessions: Sessions| sessions.create_session(request.clone()).await.map(drop);
        persist(way, patience, create).await?;
        made.push(request.session_id);
    }
    Ok(made)
}

/// Finds out whether there is a server, and whether it shows this session.
pub(crate) async fn look(way: &mut Way, session_id: &str, patience: Duration) -> Result<(), Setback> {
    let request = v1::GetSessionRequest { session_id: session_id.to_owned() };
    persist(way, patience, async |mut sessions: Sessions| {
        sessions.get_session(request.clone()).await.map(drop)
    })
    .await
}

/// Closes sessions, up to the first that cannot be closed now.
pub(crate) async fn close(way: &mut Way, session_ids: &[String], patience: Duration) -> Result<(), Setback> {
    for session_id in session_ids {
        let request = v1::CloseSessionRequest {
            session_id: session_id.clone(),
            reason: CLOSE_REASON.to_owned(),
            ..v1::CloseSessionRequest::default()
        };
        let close = async |mut sessions: Sessions| sessions.close_session(request.clone()).await.map(drop);
        persist(way, patience, close).await?;
    }
    Ok(())
}

/// Repeats a call until it succeeds, can never succeed, or patience is over.
async fn persist(
    way: &mut Way,
    patience: Duration,
    call: impl AsyncFn(Sessions) -> Result<(), Status>,
) -> Result<(), Setback> {
    let began = Instant::now();
    loop {
        let setback = match once(way, &call).await {
            Ok(()) => {
                way.answered();
                return Ok(());
            }
            Err(setback) => setback,
        };
        match way.after(&setback, BACKOFF_CAP) {
            Ok(wait) if began.elapsed() + wait < patience => sleep(wait).await,
            Ok(_) | Err(_) => return Err(setback),
        }
    }
}

async fn once(way: &mut Way, call: &impl AsyncFn(Sessions) -> Result<(), Status>) -> Result<(), Setback> {
    let caller = way.connect(DEADLINE).await?.caller().await?;
    match timeout(DEADLINE, call(caller.sessions())).await {
        Ok(answer) => answer.map_err(|status| caller.setback(&status)),
        Err(_) => Err(caller.no_answer(DEADLINE)),
    }
}
