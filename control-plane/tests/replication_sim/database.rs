//! The log as the database holds it, with everything that was ever in it, so that what is pruned can still be compared.

use std::collections::BTreeMap;

use contracts::{
    NodeId, SessionId,
    log::{EventHash, HistoryId, LogPoint, Seq},
};
use control_plane::replication::engine::{Checkpoint, RetainedHistory, Row};
use uuid::Uuid;

pub(crate) fn seq(seq: u64) -> Seq {
    Seq::new(seq).expect("numbers of the simulation are small")
}

/// An event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Entry {
    pub(crate) at: LogPoint,
    pub(crate) prev: EventHash,
    pub(crate) key: Option<u8>,
}

impl Entry {
    /// The event after `prev` that says `value`.
    pub(crate) fn after(prev: LogPoint, value: u64) -> Self {
        let mut words = prev
            .hash
            .as_bytes()
            .chunks_exact(8)
            .map(|word| word.iter().fold(0_u64, |number, byte| number << 8 | u64::from(*byte)));
        let mixed = mix(words.next().unwrap_or(0) ^ mix(prev.seq.get() + 1) ^ value);
        let mut hash = [0; 32];
        for (part, salt) in hash.chunks_exact_mut(8).zip(0..) {
            part.copy_from_slice(&mix(mixed ^ salt).to_be_bytes());
        }
        let key = (!value.is_multiple_of(3)).then_some((value % 7) as u8);
        let at = LogPoint { seq: seq(prev.seq.get() + 1), hash: EventHash::from_bytes(hash) };
        Self { at, prev: prev.hash, key }
    }
}

fn mix(number: u64) -> u64 {
    let number = (number ^ (number >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let number = (number ^ (number >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    number ^ (number >> 31)
}

/// A state: the latest event of each key, and the place that it is the state at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Base {
    pub(crate) at: LogPoint,
    pub(crate) entries: Vec<Entry>,
}

#[derive(Debug)]
pub(crate) struct Database {
    pub(crate) session: SessionId,
    pub(crate) history_id: HistoryId,
    origin: LogPoint,
    /// All events that there ever were in this history.
    log: Vec<Entry>,
    tail: u64,
    /// The last checkpoint: whether it passes for good, and whether it is.
    pub(crate) checkpoint: Option<(Base, bool, bool)>,
    /// Checkpoints that are kept because a rebuild may use them.
    pub(crate) old_checkpoints: Vec<(Base, bool)>,
    pub(crate) rows: BTreeMap<NodeId, Row>,
    pub(crate) generations: BTreeMap<NodeId, u64>,
}

impl Database {
    pub(crate) fn new() -> Self {
        let session = SessionId(Uuid::from_u128(1));
        let origin = LogPoint::origin(session);
        Self {
            session,
            history_id: HistoryId(Uuid::from_u128(1)),
            origin,
            log: Vec::new(),
            tail: 0,
            checkpoint: None,
            old_checkpoints: Vec::new(),
            rows: BTreeMap::new(),
            generations: BTreeMap::new(),
        }
    }

    /// What the engine is told when a term begins.
    pub(crate) fn retained(&self) -> RetainedHistory {
        let mut retained = RetainedHistory::new(self.session, self.history_id, self.tail(), self.head())
            .expect("the database does not say what cannot be");
        if let Some((base, trusted, _)) = &self.checkpoint {
            let checkpoint = Checkpoint { at: base.at, trusted: *trusted };
            retained.checkpointed(checkpoint).expect("the checkpoint is of this log");
        }
        retained
    }

    pub(crate) fn head(&self) -> LogPoint {
        self.log.last().map_or(self.origin, |last| last.at)
    }

    pub(crate) fn tail(&self) -> LogPoint {
        self.ever(self.tail).expect("what was pruned was there")
    }

    /// The place `at`, whether it is retained or not.
    pub(crate) fn ever(&self, at: u64) -> Option<LogPoint> {
        match usize::try_from(at).unwrap_or(usize::MAX).checked_sub(1) {
            None => Some(self.origin),
            Some(index) => self.log.get(index).map(|entry| entry.at),
        }
    }

    /// Whether the log has, or had, this place.
    pub(crate) fn knows(&self, point: LogPoint) -> bool {
        self.ever(point.seq.get()) == Some(point)
    }

    /// The hashes that are retained at `places`.
    pub(crate) fn hashes(&self, places: &[Seq]) -> Vec<LogPoint> {
        places
            .iter()
            .map(|place| place.get())
            .filter(|place| *place >= self.tail)
            .filter_map(|at| self.ever(at))
            .collect()
    }

    /// Events after `after` up to `to`, or the first that is not retained.
    pub(crate) fn read(&self, after: u64, to: u64) -> Result<Vec<Entry>, u64> {
        if after < self.tail {
            return Err(after + 1);
        }
        let entries = self.between(after, to);
        if entries.len() as u64 == to - after { Ok(entries) } else { Err(after + 1 + entries.len() as u64) }
    }

    /// Events after `after` up to `to`, retained or not.
    pub(crate) fn between(&self, after: u64, to: u64) -> Vec<Entry> {
        let within = |entry: &&Entry| entry.at.seq.get() <= to;
        self.log.iter().skip(after as usize).take_while(within).cloned().collect()
    }

    /// The state at `at`, as it follows from all events before.
    pub(crate) fn state_at(&self, at: u64) -> Base {
        let mut latest = BTreeMap::new();
        for entry in self.between(0, at) {
            if let Some(key) = entry.key {
                latest.insert(key, entry);
            }
        }
        let mut entries: Vec<_> = latest.into_values().collect();
        entries.sort_by_key(|entry| entry.at.seq);
        Base { at: self.ever(at).expect("the state of a place that there was"), entries }
    }

    pub(crate) fn append(&mut self, value: u64) {
        let entry = Entry::after(self.head(), value);
        self.log.push(entry);
    }

    pub(crate) fn make_checkpoint(&mut self, trusted: bool, is_good: bool) {
        if let Some((base, _, is_good)) = self.checkpoint.take() {
            self.old_checkpoints.push((base, is_good));
        }
        self.checkpoint = Some((self.state_at(self.head().seq.get()), trusted, is_good));
    }

    /// The checkpoint at `at`, if it is what its digest says.
    pub(crate) fn open_checkpoint(&self, at: LogPoint) -> Option<Base> {
        let last = self.checkpoint.iter().map(|(base, _, is_good)| (base, is_good));
        let all = last.chain(self.old_checkpoints.iter().map(|(base, is_good)| (base, is_good)));
        let mut good = all.filter(|(base, is_good)| base.at == at && **is_good);
        good.next().map(|(base, _)| base.clone())
    }

    pub(crate) fn prune(&mut self, tail: u64) {
        assert!(tail > self.tail && tail <= self.head().seq.get(), "{tail} is no place to prune to");
        self.tail = tail;
    }

    /// The last commits are gone, down to somewhere not before what depends on them.
    pub(crate) fn lose_commits(&mut self, head: u64) {
        let checkpoint = self.checkpoint.as_ref().map_or(0, |(base, ..)| base.at.seq.get());
        let head = head.max(self.tail).max(checkpoint);
        self.log.truncate(head as usize);
    }

    /// A backup was restored: what came after it never was, in a history of its own.
    pub(crate) fn restore(&mut self, head: u64) {
        self.lose_commits(head);
        self.history_id = HistoryId(Uuid::from_u128(self.history_id.0.as_u128() + 1));
        self.rows.clear();
    }
}
