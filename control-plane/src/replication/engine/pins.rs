//! What a recovery holds, so that the pruner leaves it. Pure.
//!
//! A pin is a value that its recovery owns and that nobody can copy. The floor is computed from the pins that there are,
//! so a pin is released exactly when its recovery ends, by whatever way it ends, and never twice: there is no list
//! beside the recoveries that could tell otherwise.

use contracts::RecoveryId;
use std::fmt;

use contracts::log::{LogPoint, Seq};

use super::{RetainedHistory, Unrecoverable};

/// What a pin holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PinKind {
    /// The events after its place.
    Events,
    /// The checkpoint at its place.
    Checkpoint,
    /// The events after the state that is being read, which is at its place or later.
    FullBase,
}

impl fmt::Display for PinKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Events => "events",
            Self::Checkpoint => "checkpoint",
            Self::FullBase => "full_base",
        })
    }
}

/// A place that is held.
#[derive(Debug, PartialEq, Eq)]
pub struct Pin {
    kind: PinKind,
    after: Seq,
    owner: RecoveryId,
}

/// Why a place cannot be held.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PinRefused {
    /// What comes after it is not all there.
    Events(Unrecoverable),
    /// There is no such checkpoint, or it is not trusted.
    Checkpoint(Seq),
}

impl fmt::Display for PinRefused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Events(lacks) => lacks.fmt(f),
            Self::Checkpoint(at) => write!(f, "no trusted checkpoint at {at}"),
        }
    }
}

impl Pin {
    /// Holds the events after `after`, up to the head.
    ///
    /// # Errors
    ///
    /// They are not all there.
    pub fn events(history: &RetainedHistory, after: Seq, owner: RecoveryId) -> Result<Self, PinRefused> {
        history.recoverable(after, history.head().seq).map_err(PinRefused::Events)?;
        Ok(Self { kind: PinKind::Events, after, owner })
    }

    /// Holds the checkpoint at `at`.
    ///
    /// # Errors
    ///
    /// It is not the last one, or not trusted.
    pub fn checkpoint(
        history: &RetainedHistory,
        at: LogPoint,
        owner: RecoveryId,
    ) -> Result<Self, PinRefused> {
        let trusted = history.checkpoint().filter(|checkpoint| checkpoint.trusted && checkpoint.at == at);
        trusted.ok_or(PinRefused::Checkpoint(at.seq))?;
        Ok(Self { kind: PinKind::Checkpoint, after: at.seq, owner })
    }

    /// Holds what comes after the head, before the state is read.
    pub fn full_base(history: &RetainedHistory, owner: RecoveryId) -> Self {
        Self { kind: PinKind::FullBase, after: history.head().seq, owner }
    }

    /// What it holds.
    pub fn kind(&self) -> PinKind {
        self.kind
    }

    /// The place.
    pub fn after(&self) -> Seq {
        self.after
    }

    /// The recovery that holds it.
    pub fn owner(&self) -> RecoveryId {
        self.owner
    }
}

/// The lowest place that is held; none when nothing is.
pub(super) fn floor<'a>(pins: impl IntoIterator<Item = &'a Pin>) -> Option<Seq> {
    pins.into_iter().map(Pin::after).min()
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::{super::fixture::*, *};

    const OWNER: RecoveryId = RecoveryId(Uuid::from_u128(3));

    #[test]
    fn events_are_held_from_the_tail_on_and_not_from_before_it() {
        let history = log(80, 100);
        let hold = |after| Pin::events(&history, seq(after), OWNER).map(|pin| pin.after());
        assert_eq!(hold(80), Ok(seq(80)));
        assert_eq!(hold(81), Ok(seq(81)));
        assert_eq!(hold(100), Ok(seq(100)));
        let before = Unrecoverable::BeforeTail { after: seq(79), tail: seq(80) };
        assert_eq!(hold(79), Err(PinRefused::Events(before)));
    }

    #[test]
    fn what_is_about_to_be_pruned_cannot_be_held_any_more() {
        let mut history = log(80, 100);
        history.begin_pruning(seq(90));
        assert!(Pin::events(&history, seq(89), OWNER).is_err());
        assert!(Pin::events(&history, seq(90), OWNER).is_ok());
    }

    #[test]
    fn a_checkpoint_is_held_only_where_it_is_and_while_it_is_trusted() {
        let history = with_checkpoint(log(0, 100), Some((50, true)));
        let hold =
            |at| Pin::checkpoint(&history, at, OWNER).map(|pin| (pin.kind(), pin.after(), pin.owner()));
        assert_eq!(hold(point(50)), Ok((PinKind::Checkpoint, seq(50), OWNER)));
        for elsewhere in [point(49), point(51), other(50)] {
            assert_eq!(hold(elsewhere), Err(PinRefused::Checkpoint(elsewhere.seq)));
        }
        let untrusted = with_checkpoint(log(0, 100), Some((50, false)));
        assert!(Pin::checkpoint(&untrusted, point(50), OWNER).is_err());
        assert!(Pin::checkpoint(&log(0, 100), point(50), OWNER).is_err());
    }

    #[test]
    fn the_floor_is_the_lowest_pin_that_is_left() {
        let history = log(0, 100);
        let pin = |after| Pin::events(&history, seq(after), OWNER).unwrap();
        let mut pins = vec![pin(70), pin(50), Pin::full_base(&history, OWNER)];
        assert_eq!(floor(&pins), Some(seq(50)));
        pins.remove(1);
        assert_eq!(floor(&pins), Some(seq(70)));
        pins.remove(0);
        assert_eq!(floor(&pins), Some(seq(100)));
        pins.clear();
        assert_eq!(floor(&pins), None);
    }
}
