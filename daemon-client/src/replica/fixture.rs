//! Logs to replicate, for the tests of this folder and of the client as a whole, and a folder to do it in.

use std::{
    env, fs,
    path::PathBuf,
    sync::atomic::{AtomicU32, Ordering},
};

use contracts::{
    EventEnvelopeVersion, EventHash, EventId, HistoryId, LogPoint, Seq, SessionId,
    log::{Actor, Append, BaseDigest, ContentType, Event, EventDraft, EventKey, EventType, digest_of_base},
};
use uuid::Uuid;

pub(crate) const SESSION: SessionId = SessionId(Uuid::from_u128(0x0193_e4a0_7c5b_7d11_8f3a_2b6c_4d5e_6f70));
pub(crate) const HISTORY: HistoryId = HistoryId(Uuid::from_u128(0x51));

/// Keys that the events of a log go round.
const KEYS: u64 = 5;

pub(crate) fn seq(seq: u64) -> Seq {
    Seq::new(seq).unwrap()
}

/// A log, whose every third event is history and whose others have a key.
#[derive(Clone, Debug)]
pub(crate) struct Log(pub(crate) Vec<Event>);

impl Log {
    pub(crate) fn of(events: u64) -> Self {
        Self(Vec::new()).and(events, 0)
    }

    /// The first `at` events of this one, and then `more` that another log has not.
    pub(crate) fn forked(&self, at: u64, more: u64, fork: u64) -> Self {
        Self(self.after(0, at).to_vec()).and(more, fork)
    }

    fn and(mut self, more: u64, fork: u64) -> Self {
        for _ in 0..more {
            let event = next(self.head(), fork);
            self.0.push(event);
        }
        self
    }

    pub(crate) fn head(&self) -> LogPoint {
        self.0.last().map_or(LogPoint::origin(SESSION), Event::point)
    }

    pub(crate) fn at(&self, at: u64) -> LogPoint {
        match at.checked_sub(1) {
            Some(index) => self.0[usize::try_from(index).unwrap()].point(),
            None => LogPoint::origin(SESSION),
        }
    }

    /// The events after one number, up to another.
    pub(crate) fn after(&self, after: u64, through: u64) -> &[Event] {
        &self.0[usize::try_from(after).unwrap()..usize::try_from(through).unwrap()]
    }

    /// The latest event of each key up to `at`, in the order of their numbers.
    pub(crate) fn base(&self, at: u64) -> Vec<Event> {
        let events = self.after(0, at);
        let is_latest = |event: &Event| {
            event.key.is_some() && !events.iter().any(|later| later.seq > event.seq && later.key == event.key)
        };
        events.iter().filter(|event| is_latest(event)).cloned().collect()
    }

    pub(crate) fn digest(&self, at: u64) -> BaseDigest {
        digest_of_base(self.base(at).iter().map(|event| event.hash))
    }
}

fn next(head: LogPoint, fork: u64) -> Event {
    let payload = format!("{fork}: event {}", head.seq.get() + 1).into_bytes();
    event(head, fork, EventEnvelopeVersion::current(), payload)
}

pub(crate) fn event(
    head: LogPoint,
    fork: u64,
    envelope_version: EventEnvelopeVersion,
    payload: Vec<u8>,
) -> Event {
    let number = head.seq.get() + 1;
    let draft = EventDraft {
        id: EventId(Uuid::from_u128(u128::from(fork) << 64 | u128::from(number))),
        envelope_version,
        event_type: EventType::parse("type", "task.finished").unwrap(),
        key: (!number.is_multiple_of(3))
            .then(|| EventKey::parse("key", &format!("task/{}", number % KEYS)).unwrap()),
        content_type: ContentType::parse("content_type", "text/plain").unwrap(),
        payload,
        occurred_at: None,
    };
    let to = Append { session_id: SESSION, epoch: u64::MAX - fork, recorded_at: 1_700_000_000_000_000 };
    Event::append(head, to, Actor::Server, draft).unwrap()
}

/// The same event, changed after its hash was made.
pub(crate) fn tampered(event: &Event) -> Event {
    Event { payload: b"something else".to_vec(), ..event.clone() }
}

pub(crate) fn other_hash(point: LogPoint) -> LogPoint {
    let mut bytes = *point.hash.as_bytes();
    bytes[0] ^= 1;
    LogPoint { hash: EventHash::from_bytes(bytes), ..point }
}

/// A folder that is removed at the end of its test.
#[derive(Debug)]
pub(crate) struct TestFolder(pub(crate) PathBuf);

impl TestFolder {
    pub(crate) fn new() -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let path = env::temp_dir().join(format!("rollcall-replica-{}-{number}", std::process::id()));
        fs::create_dir_all(&path).unwrap();
        Self(path)
    }
}

impl Drop for TestFolder {
    fn drop(&mut self) {
        // A test that failed may have left it in any state.
        let _ = fs::remove_dir_all(&self.0);
    }
}
