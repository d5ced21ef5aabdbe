//! Why a stream was given up.

use std::time::Duration;

use contracts::{HistoryId, LogPoint, Seq, refusal::FieldViolation};

use super::store::Misfit;

/// What was wrong with a stream. Nothing of the message that showed it was applied.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// A message breaks a rule of the wire.
    #[error("malformed: {0}")]
    Malformed(FieldViolation),
    /// A message does not belong where the exchange stands.
    #[error("{message} during {during}")]
    OutOfPlace {
        /// What came.
        message: &'static str,
        /// Where the exchange stood.
        during: &'static str,
    },
    /// A message names another recovery than the one under way.
    #[error("a message of another recovery")]
    OtherRecovery,
    /// The server asks and asks.
    #[error("more probes than any search needs")]
    ProbesWithoutEnd,
    /// A message names a place that the replica is not at.
    #[error("the server named {named}, the replica has {held}")]
    NotOurs {
        /// What the server named.
        named: LogPoint,
        /// What the replica has.
        held: LogPoint,
    },
    /// A plan ends before it begins.
    #[error("a target of {target} from {from} on")]
    Target {
        /// Where it should end.
        target: Seq,
        /// Where it should begin.
        from: Seq,
    },
    /// A part of a base is missing or repeated.
    #[error("part {found} of the base in the place of part {expected}")]
    ChunkOrder {
        /// The next part.
        expected: u64,
        /// The one that came.
        found: u64,
    },
    /// A base has not as many events as it should.
    #[error("a base of {planned} events, {said} at its end, {received} received")]
    BaseLength {
        /// By the plan.
        planned: u64,
        /// By the message that ended it.
        said: u64,
        /// By count.
        received: u64,
    },
    /// An event is missing, or is repeated.
    #[error("event {found} after event {after}")]
    Gap {
        /// The last one.
        after: Seq,
        /// The one that came.
        found: Seq,
    },
    /// An event beyond what the plan says.
    #[error("event {found} beyond the target {target}")]
    BeyondTarget {
        /// Where the recovery ends.
        target: Seq,
        /// The event.
        found: Seq,
    },
    /// The log ends before the replica does.
    #[error("the log ends at {head}, the replica at {at}")]
    Behind {
        /// The end of the log.
        head: Seq,
        /// The end of the replica.
        at: Seq,
    },
    /// The server follows another history.
    #[error("the server has another history than {held}")]
    ForeignHistory {
        /// The replica's.
        held: HistoryId,
        /// The server's, if it said.
        offered: Option<HistoryId>,
    },
    /// What came does not fit what the replica holds.
    #[error(transparent)]
    Misfit(#[from] Misfit),
    /// The server said nothing for too long while something was due.
    #[error("nothing came for {0:?}")]
    Silent(Duration),
}

impl From<FieldViolation> for Fault {
    fn from(violation: FieldViolation) -> Self {
        Self::Malformed(violation)
    }
}
