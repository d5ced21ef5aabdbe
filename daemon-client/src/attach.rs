//! The way to an attachment.

use std::{pin::pin, time::Duration};

use contracts::wire::v1;
use tokio::{
    sync::oneshot::error::RecvError,
    time::{Instant, sleep, timeout},
};
use tracing::info;

use crate::{
    Attachment, Detachment, JoinToken, Outcome, Setback, Standing,
    detach::{self, DETACH_DEADLINE},
    line::{Answer, Client},
    reaction::{AfterAttach, Hope, after_attach},
    run::{Call, Generation, Run},
    standing::fence_after,
};

/// An attach that succeeded.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Attached {
    pub(crate) generation: Generation,
    pub(crate) first_beat_in: Duration,
}

impl Run {
    /// Exchanges the join token for the first token, if there is one to exchange and no token yet.
    pub(crate) async fn first_token(&mut self) -> Result<(), Outcome> {
        let Some(join) = self.join.take() else { return Ok(()) };
        let mut wait = Duration::ZERO;
        loop {
            tokio::select! {
                biased;
                _ = &mut self.stop => return Err(Outcome::Detached(Detachment::NotAttached)),
                () = sleep(wait) => {}
            }
            if self.way.tokens.reread().await {
                return Ok(());
            }
            let setback = match self.way.tokens.prepare().await {
                Ok(()) => match self.exchange(&join).await? {
                    Ok(()) => return Ok(()),
                    Err(setback) => setback,
                },
                Err(setback) => setback,
            };
            // Another token would not help: it is the join token that is refused.
            match after_attach(&setback, Hope::None) {
                AfterAttach::Retry(retry) => {
                    let from = self.way.route.current().clone();
                    wait = self.retry_in(&from, retry);
                    self.announcer.apply(|standing| standing.set_back(setback));
                }
                AfterAttach::End(outcome) => return Err(outcome),
            }
        }
    }

    /// One try. Its answer is awaited even when the application wants out: a join token may count once.
    async fn exchange(&mut self, join: &JoinToken) -> Result<Result<(), Setback>, Outcome> {
        let mut call = pin!(self.way.line().exchange(self.pace.deadline(), join));
        let (answer, is_stopped) = tokio::select! {
            biased;
            _ = &mut self.stop => (timeout(DETACH_DEADLINE, call).await.ok(), true),
            answer = &mut call => (Some(answer), false),
        };
        let mut result = Ok(());
        if let Some(Answer { address, open, result: received }) = answer {
            self.way.keep_open(&address, open);
            match received {
                Ok(token) => {
                    self.way.tokens.obtained(token).await;
                    self.way.route.reached();
                    self.way.backoff.reset();
                    info!("the join token was exchanged for a token");
                }
                Err(setback) => result = Err(setback),
            }
        }
        if is_stopped { Err(Outcome::Detached(Detachment::NotAttached)) } else { Ok(result) }
    }

    /// Attaches, after `wait`. Comes back without only at the end.
    pub(crate) async fn attach(&mut self, mut wait: Duration) -> Result<Attached, Outcome> {
        let mut first_sent_at = None;
        loop {
            tokio::select! {
                biased;
                _ = &mut self.stop => return Err(self.stop_between_tries()),
                () = sleep(wait) => {}
            }
            let sent_at = Instant::now();
            let first_sent_at = *first_sent_at.get_or_insert(sent_at);
            let mut call = self.attach_call();
            let Answer { address, open, result } = tokio::select! {
                biased;
                reason = &mut self.stop => return Err(self.stop_while_attaching(call, reason).await),
                answer = &mut call => answer,
            };
            self.way.keep_open(&address, open);
            let setback = match result {
                Ok(response) => return Ok(self.take_slot(response, first_sent_at, sent_at)),
                Err(setback) => setback,
            };
            match after_attach(&setback, self.way.tokens.hope()) {
                AfterAttach::Retry(retry) => {
                    wait = self.retry_in(&address, retry);
                    self.announcer.apply(|standing| standing.set_back(setback));
                }
                AfterAttach::End(outcome) => return Err(outcome),
            }
        }
    }

    fn attach_call(&self) -> Call<v1::AttachResponse> {
        let message = v1::AttachRequest {
            session_id: self.config.session_id.to_string(),
            node_id: self.config.node_id.to_string(),
            instance_id: self.instance_id.to_string(),
            client_version: self.config.client_version.to_string(),
            health: v1::ReportedHealth::from(self.config.health).into(),
            declaration: self.config.declaration.as_ref().map(|declaration| declaration.to_wire()),
            participant_id: String::new(),
        };
        let line = self.way.line();
        let deadline = self.pace.deadline();
        Box::pin(async move {
            let attach = |mut client: Client, request| async move { client.attach(request).await };
            line.call(deadline, message, attach).await
        })
    }

    fn take_slot(
        &mut self,
        response: v1::AttachResponse,
        first_sent_at: Instant,
        sent_at: Instant,
    ) -> Attached {
        let generation = response.generation;
        self.pace.follow(response.next_heartbeat_in.and_then(|interval| interval.try_into().ok()));
        self.way.route.reached();
        // A repeat changes nothing at the server: contact was made by the first of our tries that arrived, which may
        // be any of them. So count from the first of all, and beat at once.
        let is_repeated = response.declaration_outcome() == v1::DeclarationOutcome::Repeated;
        let contact = if is_repeated { first_sent_at } else { sent_at };
        let first_beat_in = if is_repeated { Duration::ZERO } else { self.pace.first_beat(&mut self.rng) };
        let attachment = Attachment {
            generation,
            slot_state: response.state(),
            fence_after: fence_after(response.offline_after.and_then(|silence| silence.try_into().ok())),
            attachment_id: response.attachment_id,
            state_reasons: response.state_reasons,
            read_only: response.read_only,
            min_client_version: Some(response.min_client_version).filter(|floor| !floor.is_empty()),
        };
        self.announcer.apply(|standing| standing.attached(attachment, contact, Instant::now()));
        Attached { generation, first_beat_in }
    }

    /// The application wants out before the next try. The last one, if nobody answered it, may have taken a slot.
    fn stop_between_tries(&self) -> Outcome {
        match self.announcer.standing() {
            Standing::Connecting { setback: Some(setback @ Setback::Unreachable { .. }) } => {
                Outcome::Detached(Detachment::Unacknowledged(setback))
            }
            Standing::Connecting {
                setback:
                    Some(Setback::Refused(_) | Setback::NoToken { .. } | Setback::Distrusted { .. }) | None,
            }
            | Standing::Attached { .. }
            | Standing::Fenced { .. }
            | Standing::Ended(_) => Outcome::Detached(Detachment::NotAttached),
        }
    }

    /// The application wants out while an attach is under way. It may succeed, so its answer is awaited: its generation
    /// is needed to give the slot back.
    async fn stop_while_attaching(
        &mut self,
        call: Call<v1::AttachResponse>,
        reason: Result<String, RecvError>,
    ) -> Outcome {
        let Ok(answer) = timeout(DETACH_DEADLINE, call).await else {
            let setback = Setback::no_answer(self.way.route.current(), DETACH_DEADLINE);
            return Outcome::Detached(Detachment::Unacknowledged(setback));
        };
        self.way.keep_open(&answer.address, answer.open);
        match answer.result {
            Ok(response) => self.detach(response.generation, detach::reason(reason)).await,
            // A refused attach took no slot, and neither did one that was not sent.
            Err(Setback::Refused(_) | Setback::NoToken { .. } | Setback::Distrusted { .. }) => {
                Outcome::Detached(Detachment::NotAttached)
            }
            Err(setback @ Setback::Unreachable { .. }) => {
                Outcome::Detached(Detachment::Unacknowledged(setback))
            }
        }
    }
}
