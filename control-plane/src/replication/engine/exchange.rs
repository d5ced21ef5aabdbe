//! What goes in and out of the engine: names, what a stream's driver heard, what it shall do, and why a stream ends.

use std::fmt;

use super::{BaseSource, RebuildReason, Spent};
use contracts::{
    NodeId, RecoveryId, SessionId,
    log::{HistoryId, LogPoint, Seq},
};

/// Number of a leader's term.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Epoch(pub u64);

/// A replica: it keeps its name wherever it dials in from.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ReplicaId {
    /// The session whose log it follows.
    pub session_id: SessionId,
    /// The node that keeps it.
    pub node_id: NodeId,
}

/// Where a replica is reached. Nodes dial in, so this is no address: a later one is greater and supersedes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Endpoint {
    /// Generation of the node's attachment.
    pub generation: u64,
    /// Number of the stream, which the driver counts up.
    pub stream: u64,
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "generation {}, stream {}", self.generation, self.stream)
    }
}

/// A stream of a replica, in the term in which it was opened.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Stream {
    /// Whose it is.
    pub replica: ReplicaId,
    /// Which it is.
    pub endpoint: Endpoint,
    /// The term.
    pub epoch: Epoch,
}

/// What was heard on a stream: from its replica, or from the driver that did as it was told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Heard {
    /// Driver: the hashes that the log has at the places of [`Act::ReadHashes`], as far as it has them.
    HashesRead(Vec<LogPoint>),
    /// Replica: the hashes that it has at the places of [`Act::SendProbe`], as far as it has them.
    ProbeAnswered(Vec<LogPoint>),
    /// Replica: it cut its log.
    Truncated {
        /// The recovery that demanded it.
        recovery: RecoveryId,
        /// Where it ends now.
        at: LogPoint,
    },
    /// Replica: what it has durably.
    Acknowledged {
        /// The recovery under way.
        recovery: Option<RecoveryId>,
        /// Up to where.
        at: LogPoint,
    },
    /// Driver: the base of [`Act::OpenBase`] can be sent.
    BaseOpened {
        /// The place that it is the state at.
        at: LogPoint,
        /// Events in it.
        events: u64,
    },
    /// Driver: it cannot. A checkpoint is not what its digest says, or the state could not be read.
    BaseFailed,
    /// Driver: so many events of the base are sent by now.
    BaseProgress(u64),
    /// Driver: the whole base is sent, and its end.
    BaseSent,
    /// Replica: it has the base durably beside its old state.
    BaseReceived {
        /// The recovery that sent it.
        recovery: RecoveryId,
        /// The place that it is the state at.
        at: LogPoint,
    },
    /// Driver: these are about to be sent, the next of those of [`Act::SendEvents`] without a gap.
    EventsSent(Vec<LogPoint>),
    /// Driver: this one of them is not in the log.
    EventMissing(Seq),
}

impl Heard {
    /// What it is called.
    pub fn name(&self) -> &'static str {
        match self {
            Self::HashesRead(_) => "hashes that were read",
            Self::ProbeAnswered(_) => "an answer to a probe",
            Self::Truncated { .. } => "a cut",
            Self::Acknowledged { .. } => "an acknowledgement",
            Self::BaseOpened { .. } => "an open base",
            Self::BaseFailed => "the failure of a base",
            Self::BaseProgress(_) => "a part of a base",
            Self::BaseSent => "the end of a base",
            Self::BaseReceived { .. } => "the receipt of a base",
            Self::EventsSent(_) => "sent events",
            Self::EventMissing(_) => "a missing event",
        }
    }
}

/// Something to be done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Effect {
    /// On a stream, if it is still open.
    OnStream {
        /// Which one.
        stream: Stream,
        /// What.
        act: Act,
    },
    /// In the database, under the fence of the term. A later one of the same replica replaces an earlier one.
    Record {
        /// Whose row it is.
        replica: ReplicaId,
        /// What it says.
        record: Record,
    },
}

/// What is durably known of a replica.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Record {
    /// It has the log up to here.
    Acknowledged(LogPoint),
    /// It needs a rebuild, and holds nothing any more.
    NeedsRebuild(RebuildReason),
}

/// Something to be done on a stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Act {
    /// Read the log's hashes at these places, and report [`Heard::HashesRead`].
    ReadHashes(Vec<Seq>),
    /// Ask the replica for its hashes at these places.
    SendProbe(Vec<Seq>),
    /// Tell the replica what it gets.
    SendPlan {
        /// Name of the recovery.
        recovery: RecoveryId,
        /// History of the log.
        history_id: HistoryId,
        /// What it gets.
        plan: Outline,
    },
    /// Make a base ready to be sent, and report [`Heard::BaseOpened`] or [`Heard::BaseFailed`]. A full base is one
    /// consistent read of the state and of the head that it is the state at.
    OpenBase(BaseSource),
    /// Send the open base, reporting [`Heard::BaseProgress`] before each part and [`Heard::BaseSent`] before its end.
    SendBase(RecoveryId),
    /// Read events, as many as fit one message, and send them, reporting [`Heard::EventsSent`] before that.
    SendEvents {
        /// The recovery that they belong to; none for events as they are committed.
        recovery: Option<RecoveryId>,
        /// The place that they come after.
        after: LogPoint,
        /// The last of them.
        to: Seq,
    },
    /// Tell the replica that the recovery is done.
    SendCompleted {
        /// Which one.
        recovery: RecoveryId,
        /// Where the replica stands.
        at: LogPoint,
    },
    /// Tell the replica where the log ends.
    SendBookmark(LogPoint),
    /// End the stream. Nothing is heard on it any more.
    Close(Closing),
}

/// What a replica is told that it gets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outline {
    /// Nothing.
    ZeroGap {
        /// Where both end.
        at: LogPoint,
    },
    /// Events, and maybe a cut first.
    CatchUp {
        /// The place to cut to.
        truncate_to: Option<LogPoint>,
        /// The place in common.
        from: LogPoint,
        /// Where they end.
        target: Seq,
    },
    /// A base, and the events after it.
    Rebuild {
        /// What the base is, and why it is no checkpoint.
        source: BaseSource,
        /// The place that it is the state at.
        at: LogPoint,
        /// Events in it.
        base_events: u64,
        /// Where the events after it end.
        target: Seq,
        /// Why nothing less helps.
        reason: RebuildReason,
    },
}

/// Why a stream ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Closing {
    /// The replica follows another history than this one.
    ForeignHistory {
        /// The one that it follows.
        theirs: HistoryId,
        /// That of the log.
        ours: HistoryId,
    },
    /// A later stream of the same replica took over, or a later generation of its node.
    Superseded,
    /// What was heard does not fit where the exchange stands. Nothing was changed by it.
    OutOfStep(Violation),
    /// It was not heard in time what hashes the two have.
    HandshakeTimeout,
    /// The recovery did not converge. The replica needs a rebuild, which it gets when it comes again.
    BudgetSpent(Spent),
    /// The recovery went on for so slowly that what it holds was let go.
    PinExpired,
    /// What the replica needs is not in the log after all.
    EventMissing(Seq),
    /// What a recovery has to hold could not be held.
    PinFailed,
    /// There is no base.
    BaseFailed,
    /// The replica held the log for too long. It needs a rebuild, which it gets when it comes again.
    OverRetention,
    /// There is no such replica any more.
    Removed,
    /// The term is over.
    EpochOver,
}

impl Closing {
    /// What kind of end it is, as metrics name it.
    pub fn name(&self) -> &'static str {
        match self {
            Self::ForeignHistory { .. } => "foreign_history",
            Self::Superseded => "superseded",
            Self::OutOfStep(_) => "out_of_step",
            Self::HandshakeTimeout => "handshake_timeout",
            Self::BudgetSpent(_) => "budget_spent",
            Self::PinExpired => "pin_expired",
            Self::EventMissing(_) => "event_missing",
            Self::PinFailed => "pin_failed",
            Self::BaseFailed => "base_failed",
            Self::OverRetention => "over_retention",
            Self::Removed => "removed",
            Self::EpochOver => "epoch_over",
        }
    }
}

/// A rule of the exchange that was broken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Violation {
    /// It has no meaning now.
    #[error("{heard} does not belong into {phase}")]
    Unexpected {
        /// What was heard.
        heard: &'static str,
        /// Where the exchange stood.
        phase: &'static str,
    },
    /// It belongs to another recovery.
    #[error("the recovery it names is not under way")]
    OtherRecovery,
    /// A hash was told that nobody asked for, or one twice.
    #[error("a hash at {0} was not asked for, or not in this order")]
    NotAsked(Seq),
    /// The cut is elsewhere than demanded.
    #[error("the log was to be cut to {expected}, and was cut to {found} or has another hash there")]
    WrongCut {
        /// Where it was to be.
        expected: Seq,
        /// Where it is.
        found: Seq,
    },
    /// An acknowledgement takes another one back.
    #[error("{found} was acknowledged after {acknowledged}")]
    Backwards {
        /// What was acknowledged before.
        acknowledged: Seq,
        /// What is now.
        found: Seq,
    },
    /// An acknowledgement of what was not sent.
    #[error("{found} was acknowledged, and {sent} was sent")]
    BeyondSent {
        /// What was sent.
        sent: Seq,
        /// What was acknowledged.
        found: Seq,
    },
    /// An acknowledgement with a hash that the log has not there.
    #[error("the hash that was acknowledged at {0} is not the log's")]
    WrongHash(Seq),
    /// The base that was received, opened or sent is not the one of the plan.
    #[error("the base is not the one of the plan")]
    OtherBase,
    /// The base does not go forward, or is longer or shorter than was said.
    #[error("{found} events of a base were sent after {before} of {all}")]
    BaseProgress {
        /// How far it was.
        before: u64,
        /// How far it is said to be.
        found: u64,
        /// How long it is.
        all: u64,
    },
    /// Events were sent that are not the next ones.
    #[error("events were sent that are not those after {0}")]
    NotNext(Seq),
}

/// An input that was turned away. It changed nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Stale {
    /// It is of another term.
    #[error("it is of term {found:?}, and this is {held:?}")]
    Epoch {
        /// The term of this engine.
        held: Epoch,
        /// That of the input.
        found: Epoch,
    },
    /// The term is over.
    #[error("the term is over")]
    Over,
    /// No such log was opened.
    #[error("this log was not opened")]
    Log,
    /// There is no such replica.
    #[error("there is no such replica")]
    Replica,
    /// The stream is over, or a later one took over.
    #[error("the stream is not the replica's present one")]
    Endpoint,
    /// A recovery of that name was there before.
    #[error("the name of the recovery was used before")]
    RecoveryId,
}
