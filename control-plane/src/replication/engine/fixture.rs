//! Small logs for the tests of this module: the hash of a place follows from its number.

use contracts::{
    NodeId, SessionId,
    log::{EventHash, HistoryId, LogPoint, Seq},
};
use uuid::Uuid;

use super::{Checkpoint, Compared, RetainedHistory};

pub(super) fn session() -> SessionId {
    SessionId(Uuid::from_u128(7))
}

pub(super) fn history_id() -> HistoryId {
    HistoryId(Uuid::from_u128(1))
}

pub(super) fn node(name: &str) -> NodeId {
    name.parse().unwrap()
}

pub(super) fn seq(seq: u64) -> Seq {
    Seq::new(seq).unwrap()
}

/// A place of the log.
pub(super) fn point(at: u64) -> LogPoint {
    if at == 0 { LogPoint::origin(session()) } else { of_lineage(at, 1) }
}

/// A place of another log.
pub(super) fn other(at: u64) -> LogPoint {
    of_lineage(at, 2)
}

fn of_lineage(at: u64, lineage: u8) -> LogPoint {
    let mut hash = [lineage; 32];
    hash[..8].copy_from_slice(&at.to_be_bytes());
    LogPoint { seq: seq(at), hash: EventHash::from_bytes(hash) }
}

/// A log that is pruned up to `tail` and ends at `head`.
pub(super) fn log(tail: u64, head: u64) -> RetainedHistory {
    RetainedHistory::new(session(), history_id(), point(tail), point(head)).unwrap()
}

pub(super) fn with_checkpoint(mut log: RetainedHistory, checkpoint: Option<(u64, bool)>) -> RetainedHistory {
    if let Some((at, trusted)) = checkpoint {
        log.checkpointed(Checkpoint { at: point(at), trusted }).unwrap();
    }
    log
}

/// What a comparison of the log with a replica that is equal to it up to `common` finds.
pub(super) fn compared(places: &[Seq], common: u64) -> Vec<Compared> {
    let of = |place: &Seq| {
        let log = point(place.get());
        let replica = if place.get() <= common { log } else { other(place.get()) };
        Compared { seq: *place, log: Some(log.hash), replica: Some(replica.hash) }
    };
    places.iter().map(of).collect()
}
