//! What is retained of a log, and what can be proven from it. Pure.
//!
//! Head is the last event that Postgres committed; nothing else is ever called committed here. Tail is exclusive: the
//! events after it are there. The hash at the tail is stored, so that a replica which ends exactly there can be
//! continued.

use std::fmt;

use contracts::{
    SessionId,
    log::{EventHash, HistoryId, LogPoint, Seq},
};

/// What is retained of one session's log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RetainedHistory {
    session_id: SessionId,
    history_id: HistoryId,
    origin: LogPoint,
    head: LogPoint,
    tail: LogPoint,
    /// A prune up to here was let go, and is not known to be done: the events up to it are as good as gone.
    pruning_to: Option<Seq>,
    /// The highest number after the tail that ought to be there and is not.
    missing: Option<Seq>,
    checkpoint: Option<Checkpoint>,
}

/// A stored state of a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Checkpoint {
    /// The place that it is the state at.
    pub at: LogPoint,
    /// Its digest was verified.
    pub trusted: bool,
}

/// A history that cannot be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ImpossibleHistory {
    /// It was pruned beyond its end.
    #[error("a log that ends at {head} cannot be pruned up to {tail}")]
    TailBeyondHead {
        /// Up to where it is said to be pruned.
        tail: Seq,
        /// Where it ends.
        head: Seq,
    },
    /// One place has two hashes.
    #[error("place {0} is said to have two hashes")]
    TwoHashes(Seq),
    /// A checkpoint of what is yet to come.
    #[error("a log that ends at {head} has no checkpoint at {at}")]
    CheckpointBeyondHead {
        /// Where the checkpoint is said to be.
        at: Seq,
        /// Where the log ends.
        head: Seq,
    },
}

/// Why events cannot be replayed from what is retained.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unrecoverable {
    /// They begin before what is retained.
    BeforeTail {
        /// The place that they come after.
        after: Seq,
        /// Up to where the log is pruned.
        tail: Seq,
    },
    /// They end after the log does.
    BeyondHead {
        /// Where they are to end.
        to: Seq,
        /// Where the log ends.
        head: Seq,
    },
    /// One among them is missing.
    Missing(Seq),
}

impl fmt::Display for Unrecoverable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::BeforeTail { after, tail } => {
                write!(f, "events after {after}, retained are those after {tail}")
            }
            Self::BeyondHead { to, head } => write!(f, "events up to {to}, and the log ends at {head}"),
            Self::Missing(seq) => write!(f, "event {seq} is missing in the log"),
        }
    }
}

/// Where a rebuild begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BaseSource {
    /// At the stored checkpoint, whose later events are all retained.
    Checkpoint(LogPoint),
    /// At the state as it is now.
    Full(WhyFull),
}

/// Why a rebuild cannot begin at a checkpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WhyFull {
    /// The log is empty.
    EmptyLog,
    /// There is none.
    NoCheckpoint,
    /// Its digest was not verified.
    UntrustedCheckpoint(Seq),
    /// It is good, and the events after it are not all retained.
    UnreplayableTail {
        /// Where the checkpoint is.
        checkpoint: Seq,
        /// What lacks.
        lacks: Unrecoverable,
    },
}

impl fmt::Display for WhyFull {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::EmptyLog => f.write_str("empty_log"),
            Self::NoCheckpoint => f.write_str("no_checkpoint"),
            Self::UntrustedCheckpoint(at) => write!(f, "untrusted_checkpoint: at {at}"),
            Self::UnreplayableTail { checkpoint, lacks } => {
                write!(f, "trusted_checkpoint_unreplayable_tail: checkpoint at {checkpoint}, {lacks}")
            }
        }
    }
}

impl RetainedHistory {
    /// What the database says of a log.
    ///
    /// # Errors
    ///
    /// It says what cannot be.
    pub fn new(
        session_id: SessionId,
        history_id: HistoryId,
        tail: LogPoint,
        head: LogPoint,
    ) -> Result<Self, ImpossibleHistory> {
        let origin = LogPoint::origin(session_id);
        if tail.seq > head.seq {
            return Err(ImpossibleHistory::TailBeyondHead { tail: tail.seq, head: head.seq });
        }
        for (one, other) in [(origin, tail), (origin, head), (tail, head)] {
            if one.seq == other.seq && one.hash != other.hash {
                return Err(ImpossibleHistory::TwoHashes(one.seq));
            }
        }
        let (pruning_to, missing, checkpoint) = (None, None, None);
        Ok(Self { session_id, history_id, origin, head, tail, pruning_to, missing, checkpoint })
    }

    /// The session whose log it is.
    pub fn session_id(&self) -> SessionId {
        self.session_id
    }

    /// The history that the log belongs to.
    pub fn history_id(&self) -> HistoryId {
        self.history_id
    }

    /// The place before the first event.
    pub fn origin(&self) -> LogPoint {
        self.origin
    }

    /// Where the log ends.
    pub fn head(&self) -> LogPoint {
        self.head
    }

    /// Up to where the log is known to be pruned.
    pub fn tail(&self) -> LogPoint {
        self.tail
    }

    /// The last checkpoint.
    pub fn checkpoint(&self) -> Option<Checkpoint> {
        self.checkpoint
    }

    /// The events after this place may be counted on: the tail, or where a prune under way will put it.
    pub fn floor(&self) -> Seq {
        self.pruning_to.map_or(self.tail.seq, |pruning_to| pruning_to.max(self.tail.seq))
    }

    /// Whether a prune was let go and is not known to be done.
    pub fn is_being_pruned(&self) -> bool {
        self.pruning_to.is_some()
    }

    /// The hash at `seq`, where it is known without asking the database.
    pub fn known_hash(&self, seq: Seq) -> Option<EventHash> {
        [self.head, self.tail, self.origin].into_iter().find(|point| point.seq == seq).map(|point| point.hash)
    }

    /// Takes note that the log grew. Notices that come late change nothing; says whether this one did.
    pub fn appended(&mut self, head: LogPoint) -> bool {
        let is_news = head.seq > self.head.seq;
        if is_news {
            self.head = head;
        }
        is_news
    }

    /// Takes note of the last checkpoint.
    ///
    /// # Errors
    ///
    /// The log does not reach that far.
    pub fn checkpointed(&mut self, checkpoint: Checkpoint) -> Result<(), ImpossibleHistory> {
        if checkpoint.at.seq > self.head.seq {
            let (at, head) = (checkpoint.at.seq, self.head.seq);
            return Err(ImpossibleHistory::CheckpointBeyondHead { at, head });
        }
        self.checkpoint = Some(checkpoint);
        Ok(())
    }

    /// Trusts the checkpoint at `at` no longer.
    pub fn distrust(&mut self, at: Seq) {
        if let Some(checkpoint) = self.checkpoint.as_mut().filter(|checkpoint| checkpoint.at.seq == at) {
            checkpoint.trusted = false;
        }
    }

    /// Takes note that the event at `seq` ought to be there and is not. What lies before it is not replayed any more,
    /// for only the highest is remembered.
    pub fn lacks(&mut self, seq: Seq) {
        if seq > self.tail.seq && seq <= self.head.seq {
            self.missing = self.missing.max(Some(seq));
        }
    }

    /// From now on nothing up to `to` is counted on, for it may be pruned at any moment.
    pub(super) fn begin_pruning(&mut self, to: Seq) {
        self.pruning_to = Some(to.min(self.head.seq));
    }

    /// Takes note of where the tail is after a prune, however that ended.
    pub(super) fn end_pruning(&mut self, tail: LogPoint) {
        self.pruning_to = None;
        if tail.seq > self.tail.seq && tail.seq <= self.head.seq {
            self.tail = tail;
            self.missing = self.missing.filter(|missing| *missing > tail.seq);
        }
    }

    /// Whether the events after `after` and up to `to` can be replayed.
    ///
    /// # Errors
    ///
    /// What lacks.
    pub fn recoverable(&self, after: Seq, to: Seq) -> Result<(), Unrecoverable> {
        if after < self.floor() {
            return Err(Unrecoverable::BeforeTail { after, tail: self.floor() });
        }
        if to > self.head.seq {
            return Err(Unrecoverable::BeyondHead { to, head: self.head.seq });
        }
        match self.missing.filter(|missing| *missing > after) {
            Some(missing) => Err(Unrecoverable::Missing(missing)),
            None => Ok(()),
        }
    }

    /// Where a rebuild begins, with the reason when that is not at the checkpoint.
    pub fn base_source(&self) -> BaseSource {
        if self.head.seq == Seq::ORIGIN {
            return BaseSource::Full(WhyFull::EmptyLog);
        }
        let Some(checkpoint) = self.checkpoint.filter(|checkpoint| checkpoint.at.seq > Seq::ORIGIN) else {
            return BaseSource::Full(WhyFull::NoCheckpoint);
        };
        if !checkpoint.trusted {
            return BaseSource::Full(WhyFull::UntrustedCheckpoint(checkpoint.at.seq));
        }
        match self.recoverable(checkpoint.at.seq, self.head.seq) {
            Ok(()) => BaseSource::Checkpoint(checkpoint.at),
            Err(lacks) => {
                BaseSource::Full(WhyFull::UnreplayableTail { checkpoint: checkpoint.at.seq, lacks })
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{super::fixture::*, *};

    #[test]
    fn what_cannot_be_is_refused() {
        let new = |tail, head| RetainedHistory::new(session(), history_id(), tail, head).map(drop);
        assert_eq!(new(point(5), point(5)), Ok(()));
        let beyond = ImpossibleHistory::TailBeyondHead { tail: seq(6), head: seq(5) };
        assert_eq!(new(point(6), point(5)), Err(beyond));
        assert_eq!(new(point(5), other(5)), Err(ImpossibleHistory::TwoHashes(seq(5))));
        assert_eq!(new(other(0), point(5)), Err(ImpossibleHistory::TwoHashes(seq(0))));
        assert_eq!(new(other(0), other(0)), Err(ImpossibleHistory::TwoHashes(seq(0))));

        let mut history = log(0, 5);
        assert_eq!(history.checkpointed(Checkpoint { at: point(5), trusted: true }), Ok(()));
        let beyond = ImpossibleHistory::CheckpointBeyondHead { at: seq(6), head: seq(5) };
        assert_eq!(history.checkpointed(Checkpoint { at: point(6), trusted: true }), Err(beyond));
    }

    #[test]
    fn the_tail_can_be_continued_and_the_place_before_it_cannot() {
        let history = log(80, 100);
        let check = |after, to, expected| {
            assert_eq!(history.recoverable(seq(after), seq(to)), expected, "({after}, {to}]");
        };
        check(81, 100, Ok(()));
        check(80, 100, Ok(()));
        check(79, 100, Err(Unrecoverable::BeforeTail { after: seq(79), tail: seq(80) }));
        check(80, 99, Ok(()));
        check(80, 101, Err(Unrecoverable::BeyondHead { to: seq(101), head: seq(100) }));
        check(100, 100, Ok(()));
    }

    #[test]
    fn nothing_is_replayed_from_before_what_is_missing() {
        let mut history = log(80, 100);
        for (lost, remembered) in [(80, None), (101, None), (90, Some(90)), (85, Some(90)), (95, Some(95))] {
            history.lacks(seq(lost));
            assert_eq!(history.missing, remembered.map(seq), "{lost}");
        }
        assert_eq!(history.recoverable(seq(80), seq(100)), Err(Unrecoverable::Missing(seq(95))));
        assert_eq!(history.recoverable(seq(94), seq(100)), Err(Unrecoverable::Missing(seq(95))));
        assert_eq!(history.recoverable(seq(95), seq(100)), Ok(()));
        history.end_pruning(point(94));
        assert_eq!(history.missing, Some(seq(95)));
        history.end_pruning(point(95));
        assert_eq!(history.missing, None, "what was pruned is not missing");
    }

    #[test]
    fn what_may_be_pruned_at_any_moment_is_not_counted_on() {
        let mut history = log(80, 100);
        history.begin_pruning(seq(90));
        assert_eq!((history.floor(), history.tail()), (seq(90), point(80)));
        assert!(history.recoverable(seq(89), seq(100)).is_err());
        assert_eq!(history.recoverable(seq(90), seq(100)), Ok(()));
        history.end_pruning(point(80));
        assert_eq!((history.floor(), history.tail()), (seq(80), point(80)), "it failed");
        history.begin_pruning(seq(90));
        history.end_pruning(point(90));
        assert_eq!((history.floor(), history.tail()), (seq(90), point(90)));
        history.end_pruning(point(85));
        history.end_pruning(point(101));
        assert_eq!(history.tail(), point(90), "a tail neither goes back nor beyond the end");
        history.begin_pruning(seq(101));
        assert_eq!(history.floor(), seq(100));
    }

    #[test]
    fn late_notices_of_appends_change_nothing() {
        let mut history = log(0, 5);
        assert!(history.appended(point(7)));
        assert!(!history.appended(point(7)));
        assert!(!history.appended(point(6)));
        assert_eq!(history.head(), point(7));
    }

    /// FC5 and its boundary, FC8.
    #[test]
    fn a_base_is_the_checkpoint_or_there_is_a_reason() {
        let check = |tail, head, checkpoint: Option<(u64, bool)>, expected| {
            let history = with_checkpoint(log(tail, head), checkpoint);
            assert_eq!(history.base_source(), expected, "({tail}, {head}] {checkpoint:?}");
        };
        let unreplayable = |checkpoint, tail| WhyFull::UnreplayableTail {
            checkpoint: seq(checkpoint),
            lacks: Unrecoverable::BeforeTail { after: seq(checkpoint), tail: seq(tail) },
        };
        check(80, 100, Some((80, true)), BaseSource::Checkpoint(point(80)));
        check(80, 100, Some((81, true)), BaseSource::Checkpoint(point(81)));
        check(80, 100, Some((100, true)), BaseSource::Checkpoint(point(100)));
        check(80, 100, Some((79, true)), BaseSource::Full(unreplayable(79, 80)));
        check(80, 100, Some((50, true)), BaseSource::Full(unreplayable(50, 80)));
        check(80, 100, Some((90, false)), BaseSource::Full(WhyFull::UntrustedCheckpoint(seq(90))));
        check(80, 100, Some((50, false)), BaseSource::Full(WhyFull::UntrustedCheckpoint(seq(50))));
        check(80, 100, None, BaseSource::Full(WhyFull::NoCheckpoint));
        check(0, 100, Some((0, true)), BaseSource::Full(WhyFull::NoCheckpoint));
        check(0, 0, None, BaseSource::Full(WhyFull::EmptyLog));

        let mut holed = with_checkpoint(log(0, 100), Some((50, true)));
        holed.lacks(seq(50));
        assert_eq!(holed.base_source(), BaseSource::Checkpoint(point(50)), "it is in the checkpoint");
        holed.lacks(seq(51));
        let lacks = Unrecoverable::Missing(seq(51));
        assert_eq!(
            holed.base_source(),
            BaseSource::Full(WhyFull::UnreplayableTail { checkpoint: seq(50), lacks })
        );
    }

    #[test]
    fn only_the_checkpoint_that_failed_is_distrusted() {
        let mut history = with_checkpoint(log(0, 100), Some((50, true)));
        history.distrust(seq(49));
        assert_eq!(history.base_source(), BaseSource::Checkpoint(point(50)));
        history.distrust(seq(50));
        assert_eq!(history.base_source(), BaseSource::Full(WhyFull::UntrustedCheckpoint(seq(50))));
    }
}
