//! What a recovery may take before it counts as one that does not converge. Pure.

use std::{fmt, time::Duration};

use super::Tick;

/// Bounds of a recovery. Reaching a bound is within it; none means that there is no such bound.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Budget {
    /// From the plan to the end.
    pub duration_max: Option<Duration>,
    /// Events that the replica takes over, counted from its own position; those of a base count too.
    pub entries_max: Option<u64>,
    /// Between two steps forward.
    pub stall_max: Option<Duration>,
}

/// The bound that a recovery went beyond.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Spent {
    /// It took too long.
    Duration(Duration),
    /// It took too many events.
    Entries(u64),
    /// It did not go on.
    Stall(Duration),
}

impl fmt::Display for Spent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Duration(took) => write!(f, "budget_duration: {took:?} and not done"),
            Self::Entries(entries) => write!(f, "budget_entries: {entries} events and not done"),
            Self::Stall(stall) => write!(f, "budget_stall: no step forward in {stall:?}"),
        }
    }
}

/// What a recovery has taken of its budget.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Account {
    budget: Budget,
    began: Tick,
    progressed: Tick,
    entries: u64,
}

impl Account {
    /// A recovery that begins now.
    pub fn open(budget: Budget, now: Tick) -> Self {
        Self { budget, began: now, progressed: now, entries: 0 }
    }

    /// Takes note of events that were taken over.
    pub fn progress(&mut self, entries: u64, now: Tick) {
        if entries > 0 {
            self.entries = self.entries.saturating_add(entries);
            self.step(now);
        }
    }

    /// Takes note of a step forward that takes no events.
    pub fn step(&mut self, now: Tick) {
        self.progressed = now;
    }

    /// Checks the bounds of a recovery that is not done. One that is done is never checked: what converged, converged.
    ///
    /// # Errors
    ///
    /// The first bound that it went beyond.
    pub fn check(&self, now: Tick) -> Result<(), Spent> {
        let Budget { duration_max, entries_max, stall_max } = self.budget;
        let (took, stall) = (now.since(self.began), now.since(self.progressed));
        if duration_max.is_some_and(|max| took > max) {
            return Err(Spent::Duration(took));
        }
        if entries_max.is_some_and(|max| self.entries > max) {
            return Err(Spent::Entries(self.entries));
        }
        if stall_max.is_some_and(|max| stall > max) {
            return Err(Spent::Stall(stall));
        }
        Ok(())
    }

    /// Events that may still be taken; none where there is no bound.
    pub fn entries_left(&self) -> Option<u64> {
        self.budget.entries_max.map(|max| max.saturating_sub(self.entries))
    }

    /// When it last went forward.
    pub fn progressed(&self) -> Tick {
        self.progressed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Tick {
        Tick::new(Duration::from_secs(seconds))
    }

    fn seconds(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    fn budget(duration: Option<u64>, entries_max: Option<u64>, stall: Option<u64>) -> Budget {
        Budget { duration_max: duration.map(seconds), entries_max, stall_max: stall.map(seconds) }
    }

    /// A recovery that began at 100 and took `entries` at `progressed`, checked at `now`.
    #[track_caller]
    fn check(budget: Budget, (entries, progressed): (u64, u64), now: u64, expected: Result<(), Spent>) {
        let mut account = Account::open(budget, at(100));
        account.progress(entries, at(progressed));
        assert_eq!(account.check(at(now)), expected, "{budget:?}");
    }

    #[test]
    fn a_bound_that_is_reached_is_kept_and_one_beyond_is_not() {
        let duration = budget(Some(10), None, None);
        check(duration, (1, 100), 109, Ok(()));
        check(duration, (1, 100), 110, Ok(()));
        check(duration, (1, 100), 111, Err(Spent::Duration(seconds(11))));
        let entries = budget(None, Some(30), None);
        check(entries, (29, 100), 100, Ok(()));
        check(entries, (30, 100), 100, Ok(()));
        check(entries, (31, 100), 100, Err(Spent::Entries(31)));
        let stall = budget(None, None, Some(5));
        check(stall, (1, 103), 107, Ok(()));
        check(stall, (1, 103), 108, Ok(()));
        check(stall, (1, 103), 109, Err(Spent::Stall(seconds(6))));
        check(Budget::default(), (u64::MAX, 100), u64::MAX, Ok(()));
    }

    #[test]
    fn a_gap_of_thirty_is_within_fifty_and_over_twenty() {
        check(budget(None, Some(50), None), (30, 100), 100, Ok(()));
        check(budget(None, Some(20), None), (30, 100), 100, Err(Spent::Entries(30)));
    }

    #[test]
    fn the_bounds_are_looked_at_in_order() {
        let all = budget(Some(0), Some(0), Some(0));
        check(all, (1, 100), 101, Err(Spent::Duration(seconds(1))));
        check(all, (1, 100), 100, Err(Spent::Entries(1)));
        check(budget(None, Some(0), Some(0)), (1, 100), 101, Err(Spent::Entries(1)));
        check(budget(None, None, Some(0)), (1, 100), 101, Err(Spent::Stall(seconds(1))));
    }

    #[test]
    fn a_stall_counts_from_the_start_on_and_no_step_is_no_progress() {
        let stall = budget(None, None, Some(5));
        check(stall, (0, 104), 105, Ok(()));
        check(stall, (0, 104), 106, Err(Spent::Stall(seconds(6))));
        let mut from_zero = Account::open(stall, at(0));
        assert!(from_zero.check(at(6)).is_err(), "also one that began at the origin");
        from_zero.progress(1, at(6));
        assert_eq!(from_zero.check(at(11)), Ok(()));
    }

    #[test]
    fn a_clock_that_goes_back_spends_nothing() {
        let mut account = Account::open(budget(Some(1), None, Some(1)), at(100));
        assert_eq!(account.check(at(0)), Ok(()));
        account.progress(u64::MAX, at(0));
        account.progress(u64::MAX, at(1));
        assert_eq!(account.entries_left(), None);
        assert_eq!(Account::open(budget(None, Some(7), None), at(0)).entries_left(), Some(7));
    }
}
