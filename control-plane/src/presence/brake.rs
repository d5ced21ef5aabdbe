//! The mass-offline brake: when most of the fleet falls silent at once, offline is held back for a while. Pure.

use std::time::Duration;

use time::OffsetDateTime;

/// Below this many nodes that are not offline, a majority says nothing.
const NODES_MIN: i64 = 20;

/// Where the brake stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Brake {
    /// Nothing is held.
    Released,
    /// Offline is held since then; degraded is not.
    Holding(OffsetDateTime),
    /// The hold that began then is over, and most are still silent: nothing is held until that has changed.
    Spent(OffsetDateTime),
}

impl Brake {
    /// Where the brake stands at `now`, given the stored start of a hold, and how many of the nodes that are not
    /// offline are silent past the degraded threshold.
    pub(super) fn next(
        held_since: Option<OffsetDateTime>,
        silent: i64,
        not_offline: i64,
        now: OffsetDateTime,
        hold_max: Duration,
    ) -> Self {
        let most_are_silent = not_offline >= NODES_MIN && silent * 2 > not_offline;
        match (most_are_silent, held_since) {
            (false, _) => Self::Released,
            (true, None) => Self::Holding(now),
            (true, Some(since)) if now - since < hold_max => Self::Holding(since),
            (true, Some(since)) => Self::Spent(since),
        }
    }

    /// What is stored, so that a takeover neither restarts nor forgets a hold.
    pub(super) fn held_since(self) -> Option<OffsetDateTime> {
        match self {
            Self::Released => None,
            Self::Holding(since) | Self::Spent(since) => Some(since),
        }
    }

    /// Whether offline is held back.
    pub(super) fn holds(self) -> bool {
        match self {
            Self::Holding(_) => true,
            Self::Released | Self::Spent(_) => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOLD: Duration = Duration::from_secs(60);

    fn at(seconds: i64) -> OffsetDateTime {
        OffsetDateTime::UNIX_EPOCH + time::Duration::seconds(seconds)
    }

    fn check(held_since: Option<i64>, silent: i64, not_offline: i64, now: i64, expected: Brake) {
        let brake = Brake::next(held_since.map(at), silent, not_offline, at(now), HOLD);
        assert_eq!(brake, expected, "{silent} of {not_offline} at {now}");
    }

    #[test]
    fn it_takes_more_than_half_of_at_least_twenty() {
        check(None, 20, 20, 5, Brake::Holding(at(5)));
        check(None, 19, 19, 5, Brake::Released);
        check(None, 11, 20, 5, Brake::Holding(at(5)));
        check(None, 10, 20, 5, Brake::Released);
        check(None, 0, 0, 5, Brake::Released);
        check(None, 11, 21, 5, Brake::Holding(at(5)));
    }

    #[test]
    fn a_hold_ends_at_its_bound_and_does_not_begin_anew() {
        check(Some(5), 40, 40, 64, Brake::Holding(at(5)));
        check(Some(5), 40, 40, 65, Brake::Spent(at(5)));
        check(Some(5), 40, 40, 500, Brake::Spent(at(5)));
        check(Some(5), 5, 40, 500, Brake::Released);
        assert!(!Brake::Spent(at(5)).holds());
        assert_eq!(Brake::Spent(at(5)).held_since(), Some(at(5)));
        assert_eq!(Brake::Released.held_since(), None);
    }

    #[test]
    fn a_takeover_goes_on_with_the_hold_that_is_stored() {
        let before = Brake::next(None, 40, 40, at(10), HOLD);
        let after = Brake::next(before.held_since(), 40, 40, at(30), HOLD);
        assert_eq!(after, Brake::Holding(at(10)));
    }
}
