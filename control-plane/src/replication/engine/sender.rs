//! One replica as the server knows it. It outlives its streams, and is never known by where it dials in from.

use contracts::RecoveryId;
use contracts::log::{LogPoint, Seq};

use super::{Endpoint, RebuildReason, Record, Stream, Tick, phase::Phase, pins};

/// What is known of one replica.
#[derive(Debug, Default)]
pub(super) struct Sender {
    /// The latest stream, over or not. An earlier one never comes back.
    pub(super) endpoint: Option<Endpoint>,
    /// Generation below which a stream is one of a former attachment.
    pub(super) generation: u64,
    /// Name of the latest recovery, over or not.
    pub(super) recovery: Option<RecoveryId>,
    pub(super) acknowledged: Option<Acknowledged>,
    /// That it needs a rebuild, until it got one.
    pub(super) declared: Option<RebuildReason>,
    /// What its row says, or will.
    pub(super) recorded: Option<Record>,
    pub(super) session: Option<Session>,
}

/// What a replica has durably.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Acknowledged {
    /// Up to where.
    pub at: LogPoint,
    /// When it said so last; none when an earlier server heard it.
    pub when: Option<Tick>,
}

/// The exchange on a stream that is open.
#[derive(Debug)]
pub(super) struct Session {
    pub(super) seat: Seat,
    pub(super) phase: Phase,
}

/// Who is spoken with, and about which recovery.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Seat {
    pub(super) stream: Stream,
    pub(super) recovery: RecoveryId,
}

impl Sender {
    /// Whether a stream of `endpoint` would be later than all that there were.
    pub(super) fn is_later(&self, endpoint: Endpoint) -> bool {
        endpoint.generation >= self.generation && self.endpoint.is_none_or(|latest| endpoint > latest)
    }

    /// Whether it is just being found out what it has.
    pub(super) fn is_in_handshake(&self) -> bool {
        matches!(self.session, Some(Session { phase: Phase::Handshake(_), .. }))
    }

    /// The place that the pruner leaves to this replica: what a recovery holds, or else what it acknowledged. One that
    /// needs a rebuild has nothing to lose.
    pub(super) fn hold(&self) -> Option<Hold> {
        match self.session.as_ref().and_then(|session| session.phase.work()) {
            Some(work) => pins::floor(&work.pins).map(Hold::Pin),
            None if self.declared.is_some() => None,
            None => self.acknowledged.map(|acknowledged| Hold::Acknowledged(acknowledged.at.seq)),
        }
    }
}

/// A place that the pruner leaves to a replica.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hold {
    /// A recovery needs what comes after it.
    Pin(Seq),
    /// The replica has acknowledged what comes before it.
    Acknowledged(Seq),
}

impl Hold {
    /// The place.
    pub fn after(self) -> Seq {
        match self {
            Self::Pin(after) | Self::Acknowledged(after) => after,
        }
    }
}
