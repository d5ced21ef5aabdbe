//! A replica by hand: each message of its stream is the test's.

use contracts::{
    refusal::ReceivedRefusal,
    wire::v1::{
        Acknowledgement, BaseReceived, Event, Introduction, LogPoint, Plan, ProbeAnswer, ReplicateRequest,
        ReplicateResponse, Truncated, plan::Outcome, replicate_request::Message as Said,
        replicate_response::Message,
    },
};
use tests::{Client, DEADLINE};
use tokio::{sync::mpsc, time::timeout};
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Status, Streaming};

/// Messages that may wait to be sent.
const SAID_MAX: usize = 16;

/// An open stream.
pub(crate) struct ByHand {
    says: mpsc::Sender<ReplicateRequest>,
    hears: Streaming<ReplicateResponse>,
}

/// Where a replica by hand stands, and what it is told that it gets.
pub(crate) struct InSync {
    pub(crate) stream: ByHand,
    pub(crate) recovery_id: String,
    pub(crate) history_id: String,
    pub(crate) events: Vec<Event>,
}

/// An introduction of an empty replica.
pub(crate) fn introduction(session: &str, node: &str, generation: u64) -> Introduction {
    Introduction {
        session_id: session.to_owned(),
        node_id: node.to_owned(),
        generation,
        ..Introduction::default()
    }
}

/// The place of an event.
pub(crate) fn place(event: &Event) -> LogPoint {
    LogPoint { seq: event.seq, hash: event.hash.clone() }
}

/// An acknowledgement.
pub(crate) fn acknowledged(recovery_id: &str, at: LogPoint) -> Said {
    Said::Acknowledgement(Acknowledgement { recovery_id: recovery_id.to_owned(), at: Some(at) })
}

/// A cut.
pub(crate) fn truncated(recovery_id: &str, at: LogPoint) -> Said {
    Said::Truncated(Truncated { recovery_id: recovery_id.to_owned(), at: Some(at) })
}

/// The receipt of a base.
pub(crate) fn base_received(recovery_id: &str, at: LogPoint) -> Said {
    Said::BaseReceived(BaseReceived { recovery_id: recovery_id.to_owned(), at: Some(at) })
}

/// An answer to a probe.
pub(crate) fn probe_answer(points: Vec<LogPoint>) -> Said {
    Said::ProbeAnswer(ProbeAnswer { points })
}

impl ByHand {
    /// Opens a stream whose first message is this.
    pub(crate) async fn open(client: &Client, first: Said) -> Result<Self, Status> {
        let (says, said) = mpsc::channel(SAID_MAX);
        says.send(ReplicateRequest { message: Some(first) }).await.expect("there is room");
        let hears = client.log.clone().replicate(ReceiverStream::new(said)).await?.into_inner();
        Ok(Self { says, hears })
    }

    /// Opens one with this introduction, which must be answered.
    pub(crate) async fn introduced(client: &Client, introduction: Introduction) -> Self {
        Self::open(client, Said::Introduction(introduction)).await.expect("the stream is opened")
    }

    /// Says something. That the other side is gone is seen by what is heard.
    pub(crate) async fn say(&self, message: Said) {
        drop(self.says.send(ReplicateRequest { message: Some(message) }).await);
    }

    /// What is heard next.
    pub(crate) async fn hear(&mut self) -> Result<Message, Status> {
        let heard = timeout(DEADLINE, self.hears.message()).await.expect("something is heard in time");
        let message = heard?.ok_or_else(|| Status::unknown("the stream ended without a word"))?;
        Ok(message.message.expect("a message is not empty"))
    }

    /// The plan, which must be next.
    pub(crate) async fn plan(&mut self) -> Plan {
        match self.hear().await.expect("a plan comes") {
            Message::Plan(plan) => plan,
            other @ (Message::Probe(_)
            | Message::BaseChunk(_)
            | Message::BaseEnd(_)
            | Message::Events(_)
            | Message::Completed(_)
            | Message::Bookmark(_)) => panic!("a plan was to come: {other:?}"),
        }
    }

    /// Hears events until the one of this number.
    pub(crate) async fn events_to(&mut self, to: u64) -> Vec<Event> {
        let mut events: Vec<Event> = Vec::new();
        while events.last().is_none_or(|event| event.seq < to) {
            match self.hear().await.expect("events come") {
                Message::Events(batch) => events.extend(batch.events),
                Message::Bookmark(_) => {}
                other @ (Message::Probe(_)
                | Message::Plan(_)
                | Message::BaseChunk(_)
                | Message::BaseEnd(_)
                | Message::Completed(_)) => panic!("events were to come: {other:?}"),
            }
        }
        events
    }

    /// How it ends: all that still comes is passed over.
    pub(crate) async fn ends(&mut self) -> ReceivedRefusal {
        loop {
            if let Err(status) = self.hear().await {
                return ReceivedRefusal::from_status(&status)
                    .unwrap_or_else(|| panic!("no refusal of Rollcall's: {status:?}"));
            }
        }
    }

    /// Brings an empty replica into sync.
    pub(crate) async fn in_sync(client: &Client, session: &str, node: &str, generation: u64) -> InSync {
        let mut stream = Self::introduced(client, introduction(session, node, generation)).await;
        let Plan { recovery_id, history_id, outcome } = stream.plan().await;
        let Some(Outcome::CatchUp(catch_up)) = outcome else {
            panic!("an empty replica lacks all: {outcome:?}")
        };
        let mut events = Vec::new();
        while events.last().is_none_or(|event: &Event| event.seq < catch_up.target) {
            let next = events.last().map_or(1, |event| event.seq + 1);
            events.extend(stream.events_to(next).await);
            stream.say(acknowledged(&recovery_id, place(events.last().expect("events came")))).await;
        }
        let completed = stream.hear().await.expect("the recovery ends");
        assert!(matches!(completed, Message::Completed(_)), "{completed:?}");
        InSync { stream, recovery_id, history_id, events }
    }
}
