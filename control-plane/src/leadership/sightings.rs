//! What a standby has seen of the holder of the lock, and when that is reason enough to evict it. Pure.
//!
//! A process that is stopped, or a machine that is wedged, keeps its connection and with it the lock. The holder renews
//! its row; who waits evicts only a session that it has itself seen hold the lock, unrenewed, for a whole lease, without
//! ever looking away for long. So no stale row of a predecessor, no pause of the observer and no outage of the database
//! counts against a healthy holder.

use std::time::{Duration, Instant};

use time::OffsetDateTime;

/// A session of Postgres. Its process id alone is given out again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Holder {
    /// Process id of the backend.
    pub(super) pid: i32,
    /// When it started.
    pub(super) backend_start: OffsetDateTime,
}

/// What one look showed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Sighting {
    /// Who holds the lock.
    pub(super) holder: Holder,
    /// How often the row was renewed.
    pub(super) renewals: i64,
}

/// All that a standby remembers.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Sightings {
    stuck: Option<Stuck>,
}

#[derive(Clone, Copy, Debug)]
struct Stuck {
    sighting: Sighting,
    since: Instant,
    last_look: Instant,
}

impl Sightings {
    /// Takes in a look at this instant; gives whom to evict. `lease` is the holder's own.
    pub(super) fn look(
        &mut self,
        now: Instant,
        sighting: Option<Sighting>,
        lease: Duration,
    ) -> Option<Holder> {
        let Some(sighting) = sighting else {
            self.stuck = None;
            return None;
        };
        let unchanged = self.stuck.filter(|stuck| {
            stuck.sighting == sighting && now.saturating_duration_since(stuck.last_look) <= lease / 4
        });
        let since = unchanged.map_or(now, |stuck| stuck.since);
        self.stuck = Some(Stuck { sighting, since, last_look: now });
        (now.saturating_duration_since(since) >= lease).then_some(sighting.holder)
    }

    /// How often to look, for a lease of this length.
    pub(super) fn interval(lease: Duration) -> Duration {
        lease / 20
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LEASE: Duration = Duration::from_secs(10);
    const STEP: Duration = Duration::from_millis(500);

    fn sighting(pid: i32, started: i64, renewals: i64) -> Sighting {
        let backend_start = OffsetDateTime::from_unix_timestamp(started).unwrap();
        Sighting { holder: Holder { pid, backend_start }, renewals }
    }

    /// Looks every half second at what `shown` says for the time since the start; gives when somebody was evicted.
    fn evicted(seconds: u64, shown: impl Fn(Duration) -> Option<Sighting>) -> Option<(Duration, Holder)> {
        let start = Instant::now();
        let mut sightings = Sightings::default();
        (0..seconds * 2)
            .map(|step| STEP * u32::try_from(step).unwrap())
            .find_map(|at| Some((at, sightings.look(start + at, shown(at), LEASE)?)))
    }

    #[test]
    fn a_holder_that_does_not_renew_is_evicted_after_exactly_one_lease() {
        let stuck = sighting(1, 1, 7);
        assert_eq!(evicted(60, |_| Some(stuck)), Some((LEASE, stuck.holder)));
    }

    #[test]
    fn a_holder_that_renews_is_never_evicted_however_slowly_within_the_lease() {
        let renewing = |at: Duration| Some(sighting(1, 1, i64::try_from(at.as_secs() / 9).unwrap()));
        assert_eq!(evicted(600, renewing), None);
    }

    #[test]
    fn a_successor_is_not_blamed_for_the_row_of_its_predecessor() {
        // The row is as the predecessor left it; whoever holds the lock now has a lease of its own.
        let changes = |at: Duration| {
            let second = at >= Duration::from_secs(9);
            Some(if second { sighting(2, 9, 7) } else { sighting(1, 1, 7) })
        };
        assert_eq!(evicted(18, changes), None);
        // The same process id with another start is another session.
        let reused = |at: Duration| Some(sighting(1, if at >= Duration::from_secs(9) { 9 } else { 1 }, 7));
        assert_eq!(evicted(18, reused), None);
        assert_eq!(evicted(60, reused).map(|(at, _)| at), Some(Duration::from_secs(19)));
    }

    #[test]
    fn a_lock_that_was_seen_free_begins_anew() {
        let freed = |at: Duration| (at != Duration::from_secs(9)).then(|| sighting(1, 1, 7));
        assert_eq!(evicted(60, freed).map(|(at, _)| at), Some(Duration::from_millis(19_500)));
    }

    #[test]
    fn who_looked_away_for_long_begins_anew() {
        let start = Instant::now();
        let stuck = sighting(1, 1, 7);
        let mut sightings = Sightings::default();
        for at in [0, 2, 4, 6, 8] {
            assert_eq!(sightings.look(start + Duration::from_secs(at), Some(stuck), LEASE), None);
        }
        // Stopped for twenty seconds, as its holder may have been.
        assert_eq!(sightings.look(start + Duration::from_secs(28), Some(stuck), LEASE), None);
        for at in [30, 32, 34, 36] {
            assert_eq!(sightings.look(start + Duration::from_secs(at), Some(stuck), LEASE), None);
        }
        assert_eq!(sightings.look(start + Duration::from_secs(38), Some(stuck), LEASE), Some(stuck.holder));
    }
}
