//! Appends to the session's log: one at a time, each repeated until it is answered.
//!
//! - **appended-once**: An append is made once however often it is sent, because its events keep the ids that they were
//!   made with.

use std::{convert::Infallible, time::Duration};

use contracts::{
    LogPoint, NodeId, Seq, SessionId, limits,
    log::{EventDraft, OwnEvent},
    refusal::{FieldViolation, ReceivedRefusal},
    wire::v1,
};
use tokio::{
    sync::{mpsc, oneshot, watch},
    time::{sleep, timeout},
};

use crate::{
    Outcome, Setback, Standing, Way,
    reaction::{AfterAppend, after_append},
    run::Generation,
};

/// How long one try may take. A batch may be a megabyte.
const DEADLINE: Duration = Duration::from_secs(10);
/// Longest wait before the next try.
const BACKOFF_CAP: Duration = Duration::from_secs(10);
/// What a request takes beside its events.
const REQUEST_OVERHEAD_BYTES: usize = 1024;

/// Events that are appended together.
#[derive(Clone, Debug, PartialEq)]
pub struct Batch {
    events: Vec<v1::NewEvent>,
}

/// Why events cannot be appended together, or not at all.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BatchError {
    /// An event breaks a rule.
    #[error("event {index}: {violation}")]
    Event {
        /// Which one, counted from 0.
        index: usize,
        /// The rule.
        violation: FieldViolation,
    },
    /// None, or too many.
    #[error("a batch has 1 to {} events, not {found}", limits::EVENTS_PER_APPEND_MAX)]
    Count {
        /// How many there are.
        found: usize,
    },
    /// Two events have one id.
    #[error("event {index} has the id of an earlier one")]
    Repeated {
        /// Which one, counted from 0.
        index: usize,
    },
    /// More than one request carries.
    #[error("the batch takes {found} bytes: a request has at most {}", limits::REQUEST_BYTES_MAX)]
    Bytes {
        /// What it takes.
        found: usize,
    },
}

impl Batch {
    /// A batch of these events, in their order. Their ids are made once, with them: a repeat under one id is one event.
    ///
    /// # Errors
    ///
    /// When the server would refuse it whatever its log holds.
    pub fn new(events: Vec<EventDraft>) -> Result<Self, BatchError> {
        if !(1..=limits::EVENTS_PER_APPEND_MAX).contains(&events.len()) {
            return Err(BatchError::Count { found: events.len() });
        }
        let mut ids = std::collections::HashSet::new();
        let mut checked = Vec::with_capacity(events.len());
        for (index, event) in events.into_iter().enumerate() {
            if !ids.insert(event.id) {
                return Err(BatchError::Repeated { index });
            }
            let event = OwnEvent::new(event).map_err(|violation| BatchError::Event { index, violation })?;
            checked.push(v1::NewEvent::from(event));
        }
        let bytes = REQUEST_OVERHEAD_BYTES + checked.iter().map(encoded_bytes).sum::<usize>();
        if bytes > limits::REQUEST_BYTES_MAX {
            return Err(BatchError::Bytes { found: bytes });
        }
        Ok(Self { events: checked })
    }
}

/// At least what an event takes on the wire.
fn encoded_bytes(event: &v1::NewEvent) -> usize {
    // Two ids' worth of tags, lengths and times beside the texts.
    const FIXED: usize = 64;
    FIXED
        + event.event_id.len()
        + event.envelope_version.len()
        + event.r#type.len()
        + event.key.as_ref().map_or(0, String::len)
        + event.content_type.len()
        + event.payload.len()
}

/// What came of an append.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Appended {
    /// Number of the first of the events.
    pub first: Seq,
    /// The place of the last one.
    pub last: LogPoint,
    /// Whether an earlier try had appended them.
    pub repeated: bool,
}

/// Why an append was not made. The node stays attached unless it says otherwise.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AppendError {
    /// Refused: by the expected head, by an id that is another event's, or because of what concerns the node. The
    /// refusal's code and facts tell which.
    #[error(transparent)]
    Refused(ReceivedRefusal),
    /// Refused until the client is newer: it is below the session's floor.
    #[error("the client is below the session's floor: {0}")]
    BelowFloor(ReceivedRefusal),
    /// The client has ended. The append may have been made.
    #[error("the client has ended: {0}")]
    Ended(Outcome),
}

/// An append that waits, and who waits for it.
#[derive(Debug)]
pub(crate) struct Queued {
    pub(crate) batch: Batch,
    pub(crate) expected_head: Option<Seq>,
    pub(crate) reply: oneshot::Sender<Result<Appended, AppendError>>,
}

/// What makes the appends of one node.
pub(crate) struct Appending {
    pub(crate) way: Way,
    pub(crate) session_id: SessionId,
    pub(crate) node_id: NodeId,
    pub(crate) standing: watch::Receiver<Standing>,
    pub(crate) queue: mpsc::Receiver<Queued>,
}

impl Appending {
    /// Makes the appends that are asked for, as long as this is polled.
    pub(crate) async fn run(mut self) -> Infallible {
        while let Some(Queued { batch, expected_head, mut reply }) = self.queue.recv().await {
            let answer = tokio::select! {
                biased;
                () = reply.closed() => continue,
                answer = self.until_answered(&batch, expected_head) => answer,
            };
            // Whoever asked may have stopped waiting.
            let _ = reply.send(answer);
        }
        std::future::pending().await
    }

    async fn until_answered(
        &mut self,
        batch: &Batch,
        expected_head: Option<Seq>,
    ) -> Result<Appended, AppendError> {
        loop {
            let generation = self.attached().await;
            let setback = match self.try_once(batch, expected_head, generation).await {
                Ok(appended) => {
                    self.way.answered();
                    return Ok(appended);
                }
                Err(setback) => setback,
            };
            let is_current = self.generation() == Some(generation);
            match after_append(&setback, self.way.tokens.hope(), is_current) {
                AfterAppend::Retry(retry) => {
                    let from = self.way.address().clone();
                    sleep(self.way.retry_in(&from, retry, BACKOFF_CAP)).await;
                }
                // The beats find out too; until they do, this asks now and then.
                AfterAppend::Reattached => sleep(self.way.back_off(BACKOFF_CAP, setback.advised())).await,
                AfterAppend::Report(refusal) => {
                    self.way.answered();
                    return Err(AppendError::Refused(refusal));
                }
                AfterAppend::ReportFloor(refusal) => {
                    self.way.answered();
                    return Err(AppendError::BelowFloor(refusal));
                }
            }
        }
    }

    async fn try_once(
        &mut self,
        batch: &Batch,
        expected_head: Option<Seq>,
        generation: Generation,
    ) -> Result<Appended, Setback> {
        let caller = self.way.connect(DEADLINE).await?.caller().await?;
        let mut request = tonic::Request::new(v1::AppendEventsRequest {
            session_id: self.session_id.to_string(),
            events: batch.events.clone(),
            expected_head: expected_head.map(Seq::get),
            node_id: self.node_id.to_string(),
            generation,
        });
        request.set_timeout(DEADLINE);
        match timeout(DEADLINE, caller.log().append_events(request)).await {
            Ok(Ok(response)) => appended(response.into_inner()).ok_or_else(|| Setback::Unreachable {
                address: self.way.address().clone(),
                reason: "the answer names no place in the log".to_owned(),
            }),
            Ok(Err(status)) => Err(caller.setback(&status)),
            Err(_) => Err(caller.no_answer(DEADLINE)),
        }
    }

    fn generation(&self) -> Option<Generation> {
        self.standing.borrow().attachment().map(|attachment| attachment.generation)
    }

    async fn attached(&mut self) -> Generation {
        let found = self.standing.wait_for(|standing| standing.attachment().is_some()).await;
        match found.ok().and_then(|standing| standing.attachment().map(|attachment| attachment.generation)) {
            Some(generation) => generation,
            // The client has ended, and drops this.
            None => std::future::pending().await,
        }
    }
}

/// What an answer says; none when it says nothing that could be.
fn appended(response: v1::AppendEventsResponse) -> Option<Appended> {
    let v1::AppendEventsResponse { first_seq, last, repeated } = response;
    Some(Appended { first: Seq::new(first_seq)?, last: LogPoint::parse(&last?).ok()?, repeated })
}
