//! When a node beats next, in ticks of the wheel. Pure: chance is an argument.

use std::time::Duration;

use rand::Rng;

/// How long a tick of the wheel is.
pub(crate) const TICK: Duration = Duration::from_millis(5);
/// Until a server gave an interval.
const INTERVAL_DEFAULT: Duration = Duration::from_secs(15);
/// A stream looks for beats that are due this many times in an interval, within the bounds below: what came due since
/// the last look goes out as one batch.
const LOOKS_PER_INTERVAL: u32 = 500;
const LOOK_EVERY_MIN: Duration = Duration::from_millis(10);
const LOOK_EVERY_MAX: Duration = Duration::from_millis(50);

/// The interval between the beats of a node.
#[derive(Clone, Debug)]
pub(crate) struct Pace {
    interval: Duration,
    /// The server's word changes nothing.
    is_fixed: bool,
    /// Part of the interval that a beat may be early, from 0 to 1.
    jitter: f64,
}

impl Pace {
    /// Beats at this interval, or as the server asks.
    pub(crate) fn new(interval: Option<Duration>, jitter: f64) -> Self {
        Self { interval: interval.unwrap_or(INTERVAL_DEFAULT), is_fixed: interval.is_some(), jitter }
    }

    /// The interval that an answer asks for.
    pub(crate) fn follow(&mut self, asked: Option<Duration>) {
        if let Some(asked) = asked.filter(|asked| !asked.is_zero() && !self.is_fixed) {
            self.interval = asked.max(TICK);
        }
    }

    pub(crate) fn interval(&self) -> Duration {
        self.interval
    }

    /// The tick of the first beat after an attach: anywhere in the interval, so that the fleet is spread over it.
    pub(crate) fn first_beat(&self, now: Duration, rng: &mut impl Rng) -> u32 {
        tick(now + self.interval.mul_f64(rng.random_range(0.0..=1.0)))
    }

    /// The tick of the beat after the one that was due then. It counts from there, not from the answer as a daemon's does,
    /// unless that is over already: so the fleet stays spread over the interval, and an outage, after which all beats are
    /// sent at once, has no echo one interval later that would look like another one.
    pub(crate) fn next_beat(&self, due_at: u32, now: Duration, rng: &mut impl Rng) -> u32 {
        let wait = self.interval.mul_f64(1.0 - rng.random_range(0.0..=1.0) * self.jitter);
        let next = time_of(due_at) + wait;
        tick(if next > now { next } else { now + wait })
    }

    /// How often to look for what is due.
    pub(crate) fn look_every(&self) -> Duration {
        (self.interval / LOOKS_PER_INTERVAL).clamp(LOOK_EVERY_MIN, LOOK_EVERY_MAX)
    }
}

/// The tick at which this time since the start has passed.
pub(crate) fn tick(at: Duration) -> u32 {
    at.as_millis().div_ceil(TICK.as_millis()).try_into().unwrap_or(u32::MAX)
}

/// The time since the start of a tick.
pub(crate) fn time_of(tick: u32) -> Duration {
    TICK * tick
}

#[cfg(test)]
mod tests {
    use rand::{SeedableRng, rngs::StdRng};

    use super::*;

    const NOW: Duration = Duration::from_secs(100);
    const INTERVAL: Duration = Duration::from_secs(15);

    fn waits(mut next: impl FnMut(&mut StdRng) -> u32) -> Vec<f64> {
        let mut rng = StdRng::seed_from_u64(1);
        (0..2_000).map(|_| (time_of(next(&mut rng)).as_secs_f64() - 100.0) / 15.0).collect()
    }

    #[test]
    fn a_beat_is_early_by_the_jitter_at_most_and_late_by_less_than_a_tick() {
        let pace = Pace::new(Some(INTERVAL), 0.2);
        let waits = waits(|rng| pace.next_beat(tick(NOW), NOW, rng));
        assert!(waits.iter().all(|wait| (0.8..=1.001).contains(wait)));
        assert!(waits.iter().any(|wait| *wait < 0.82) && waits.iter().any(|wait| *wait > 0.98));
        let without = Pace::new(Some(INTERVAL), 0.0);
        assert_eq!(time_of(without.next_beat(tick(NOW), NOW, &mut StdRng::seed_from_u64(2))), NOW + INTERVAL);
    }

    #[test]
    fn after_an_outage_beats_are_as_spread_as_before_it() {
        let pace = Pace::new(Some(INTERVAL), 0.0);
        let next = |due_s: u64| {
            let due_at = tick(Duration::from_secs(due_s));
            time_of(pace.next_beat(due_at, NOW, &mut StdRng::seed_from_u64(3)))
        };
        // What was due in the last interval was all sent at 100 s.
        assert_eq!([86, 90, 99].map(next), [101, 105, 114].map(Duration::from_secs));
        assert_eq!(next(30), NOW + INTERVAL, "its turn of then is over");
    }

    #[test]
    fn first_beats_are_spread_over_the_whole_interval() {
        let pace = Pace::new(Some(INTERVAL), 0.0);
        let waits = waits(|rng| pace.first_beat(NOW, rng));
        assert!(waits.iter().all(|wait| (0.0..=1.001).contains(wait)));
        assert!(waits.iter().any(|wait| *wait < 0.02) && waits.iter().any(|wait| *wait > 0.98));
    }

    #[test]
    fn the_server_sets_the_pace_unless_the_user_did() {
        let mut pace = Pace::new(None, 0.1);
        assert_eq!(pace.interval(), INTERVAL_DEFAULT);
        pace.follow(Some(Duration::from_millis(500)));
        pace.follow(None);
        pace.follow(Some(Duration::ZERO));
        assert_eq!(pace.interval(), Duration::from_millis(500));
        assert_eq!(pace.look_every(), LOOK_EVERY_MIN);
        let mut fixed = Pace::new(Some(INTERVAL), 0.1);
        fixed.follow(Some(Duration::from_secs(1)));
        assert_eq!((fixed.interval(), fixed.look_every()), (INTERVAL, Duration::from_millis(30)));
    }
}
