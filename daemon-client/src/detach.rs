//! The way out.

use std::time::Duration;

use contracts::{limits, wire::v1};
use tokio::{
    sync::oneshot,
    time::{Instant, sleep, timeout_at},
};

use crate::{
    Detachment, Outcome, Setback,
    line::{Answer, Client},
    reaction::{AfterDetach, after_detach},
    run::{Call, Generation, Run},
};

/// How long a detach may take in all. A server that cannot be told in time finds the node silent.
pub(crate) const DETACH_DEADLINE: Duration = Duration::from_secs(2);

/// Reason of a detach that nobody asked for by words.
const HANDLE_DROPPED: &str = "the daemon let go of the node";

/// The reason that came through the stop channel, or the one for a handle that was dropped.
pub(crate) fn reason(received: Result<String, oneshot::error::RecvError>) -> String {
    received
        .unwrap_or_else(|_| HANDLE_DROPPED.to_owned())
        .chars()
        .filter(|character| !character.is_control())
        .take(limits::REASON_CHARS_MAX)
        .collect()
}

impl Run {
    /// Gives the slot back, repeating what may succeed until the deadline.
    pub(crate) async fn detach(&mut self, generation: Generation, reason: String) -> Outcome {
        let until = Instant::now() + DETACH_DEADLINE;
        // The waits of a long outage would use up the deadline.
        self.way.backoff.reset();
        let mut last = Setback::no_answer(self.way.route.current(), DETACH_DEADLINE);
        let detachment = loop {
            let call = self.detach_call(generation, reason.clone());
            let Ok(Answer { address, open, result }) = timeout_at(until, call).await else {
                break Detachment::Unacknowledged(last);
            };
            self.way.keep_open(&address, open);
            let setback = match result {
                Ok(v1::DetachResponse {}) => break Detachment::Acknowledged,
                Err(setback) => setback,
            };
            match after_detach(&setback, self.way.tokens.hope()) {
                AfterDetach::Retry(retry) => {
                    let wait = self.retry_in(&address, retry);
                    last = setback;
                    if timeout_at(until, sleep(wait)).await.is_err() {
                        break Detachment::Unacknowledged(last);
                    }
                }
                AfterDetach::GiveUp => break Detachment::Unacknowledged(setback),
            }
        };
        Outcome::Detached(detachment)
    }

    fn detach_call(&self, generation: Generation, reason: String) -> Call<v1::DetachResponse> {
        let message = v1::DetachRequest { node_id: self.config.node_id.to_string(), generation, reason };
        let line = self.way.line();
        let deadline = self.pace.deadline();
        Box::pin(async move {
            let detach = |mut client: Client, request| async move { client.detach(request).await };
            line.call(deadline, message, detach).await
        })
    }
}
