//! When to beat, and how long to wait for an answer. Pure: chance is an argument.

use std::time::Duration;

use rand::Rng;

use crate::backoff::spread;

/// Interval until a server gave one.
const INTERVAL_DEFAULT: Duration = Duration::from_secs(15);
/// A server cannot ask for beats in a hot loop, nor for silence without end.
const INTERVAL_MIN: Duration = Duration::from_millis(50);
const INTERVAL_MAX: Duration = Duration::from_secs(600);

/// A beat is at most this part of the interval early, and never late.
const EARLY_MAX: f64 = 0.1;

/// An answer is awaited for a third of the interval within these bounds: three tries then fit in one interval, and a
/// busy machine still answers the shortest.
const DEADLINE_MIN: Duration = Duration::from_millis(500);
const DEADLINE_MAX: Duration = Duration::from_secs(5);

/// The server's pace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Pace {
    interval: Duration,
}

impl Default for Pace {
    fn default() -> Self {
        Self { interval: INTERVAL_DEFAULT }
    }
}

impl Pace {
    /// The pace that an answer asks for. An answer without one keeps what was.
    pub(crate) fn follow(&mut self, next_heartbeat_in: Option<Duration>) {
        if let Some(interval) = next_heartbeat_in.filter(|interval| !interval.is_zero()) {
            self.interval = interval.clamp(INTERVAL_MIN, INTERVAL_MAX);
        }
    }

    /// The wait before the first beat after an attach: anywhere in the interval, so that a fleet that attached at one
    /// instant spreads out over the cadence.
    pub(crate) fn first_beat(&self, rng: &mut impl Rng) -> Duration {
        spread(self.interval, rng)
    }

    /// The wait before the next beat.
    pub(crate) fn next_beat(&self, rng: &mut impl Rng) -> Duration {
        self.interval - spread(self.interval.mul_f64(EARLY_MAX), rng)
    }

    /// How long to wait for the answer to a call, connecting included.
    pub(crate) fn deadline(&self) -> Duration {
        (self.interval / 3).clamp(DEADLINE_MIN, DEADLINE_MAX)
    }

    /// Cap of the back-off. With the deadline of the try before it, it is one interval: a service that returns hears
    /// every node within one cadence, even those that were in the middle of a try.
    pub(crate) fn backoff_cap(&self) -> Duration {
        self.interval.saturating_sub(self.deadline()).max(self.interval / 2)
    }
}

#[cfg(test)]
mod tests {
    use rand::{SeedableRng, rngs::StdRng};

    use super::*;

    fn pace(interval: Duration) -> Pace {
        let mut pace = Pace::default();
        pace.follow(Some(interval));
        pace
    }

    const CADENCE: Duration = Duration::from_secs(15);

    #[test]
    fn a_beat_is_up_to_a_tenth_early_and_never_late() {
        let mut rng = StdRng::seed_from_u64(1);
        let waits: Vec<Duration> = (0..2_000).map(|_| pace(CADENCE).next_beat(&mut rng)).collect();
        assert!(waits.iter().all(|wait| *wait <= CADENCE && *wait >= CADENCE.mul_f64(0.9)));
        assert!(waits.iter().any(|wait| *wait < CADENCE.mul_f64(0.91)));
        assert!(waits.iter().any(|wait| *wait > CADENCE.mul_f64(0.99)));
    }

    #[test]
    fn first_beats_spread_over_the_whole_interval() {
        let mut rng = StdRng::seed_from_u64(2);
        let waits: Vec<Duration> = (0..2_000).map(|_| pace(CADENCE).first_beat(&mut rng)).collect();
        assert!(waits.iter().all(|wait| *wait <= CADENCE));
        assert!(waits.iter().any(|wait| *wait < CADENCE.mul_f64(0.05)));
        assert!(waits.iter().any(|wait| *wait > CADENCE.mul_f64(0.95)));
    }

    #[test]
    fn the_server_sets_the_pace_within_bounds() {
        assert_eq!(pace(Duration::from_secs(7)).interval, Duration::from_secs(7));
        assert_eq!(pace(Duration::from_nanos(1)).interval, INTERVAL_MIN);
        assert_eq!(pace(Duration::MAX).interval, INTERVAL_MAX);
        let mut kept = pace(Duration::from_secs(7));
        kept.follow(None);
        kept.follow(Some(Duration::ZERO));
        assert_eq!(kept.interval, Duration::from_secs(7));
    }

    #[test]
    fn a_deadline_is_a_third_of_the_interval_within_bounds() {
        assert_eq!(pace(CADENCE).deadline(), Duration::from_secs(5));
        assert_eq!(pace(Duration::from_secs(6)).deadline(), Duration::from_secs(2));
        assert_eq!(pace(Duration::from_secs(60)).deadline(), DEADLINE_MAX);
        assert_eq!(pace(Duration::from_millis(50)).deadline(), DEADLINE_MIN);
    }

    #[test]
    fn a_try_and_the_wait_after_it_fit_in_one_cadence() {
        for secs in [3, 6, 15, 60] {
            let pace = pace(Duration::from_secs(secs));
            assert!(pace.backoff_cap() + pace.deadline() <= pace.interval, "{secs}");
        }
        assert_eq!(pace(CADENCE).backoff_cap(), Duration::from_secs(10));
        assert_eq!(pace(Duration::from_millis(100)).backoff_cap(), Duration::from_millis(50));
    }
}
