//! How long to wait after a failure. Pure: chance is an argument.

use std::time::Duration;

use rand::Rng;

/// Ceiling of the first wait. Each further one doubles it.
const FIRST_CEILING: Duration = Duration::from_millis(250);
/// Longest wait that a server may ask for.
const ADVICE_MAX: Duration = Duration::from_secs(300);
/// Doublings are counted no further: 250 ms doubled sixteen times is hours, far above any cap.
const DOUBLINGS_MAX: u32 = 16;

/// Exponential back-off with full jitter: each wait is drawn evenly between nothing and the ceiling, so that a fleet
/// that lost its server at one instant does not come back at one instant.
#[derive(Debug, Default)]
pub(crate) struct Backoff {
    failures: u32,
}

impl Backoff {
    /// The wait after one more failure. A wait that the server asked for is the least, and jitter comes on top of it:
    /// every node was asked for the same.
    pub(crate) fn next(&mut self, cap: Duration, advised: Option<Duration>, rng: &mut impl Rng) -> Duration {
        let ceiling = FIRST_CEILING.saturating_mul(1 << self.failures.min(DOUBLINGS_MAX)).min(cap);
        self.failures = self.failures.saturating_add(1);
        least(advised) + spread(ceiling, rng)
    }

    /// The wait before another address is tried in the same round, which is no reason to back off further.
    pub(crate) fn hop(&self, cap: Duration, advised: Option<Duration>, rng: &mut impl Rng) -> Duration {
        least(advised) + spread(FIRST_CEILING.min(cap), rng)
    }

    /// All is well again.
    pub(crate) fn reset(&mut self) {
        self.failures = 0;
    }
}

/// A duration drawn evenly from nothing to `ceiling`.
pub(crate) fn spread(ceiling: Duration, rng: &mut impl Rng) -> Duration {
    ceiling.mul_f64(rng.random_range(0.0..=1.0))
}

fn least(advised: Option<Duration>) -> Duration {
    advised.unwrap_or_default().min(ADVICE_MAX)
}

#[cfg(test)]
mod tests {
    use rand::{SeedableRng, rngs::StdRng};

    use super::*;

    const CAP: Duration = Duration::from_secs(10);

    /// The longest of many waits, each the `failures`-th in a row.
    fn longest(failures: u32) -> Duration {
        let mut rng = StdRng::seed_from_u64(1);
        (0..2_000).map(|_| Backoff { failures }.next(CAP, None, &mut rng)).max().unwrap()
    }

    #[test]
    fn ceilings_double_up_to_the_cap() {
        for (failures, ceiling) in
            [(0, 0.25), (1, 0.5), (2, 1.0), (5, 8.0), (6, 10.0), (40, 10.0), (u32::MAX, 10.0)]
        {
            let ceiling = Duration::from_secs_f64(ceiling);
            let longest = longest(failures);
            assert!(longest <= ceiling, "{failures}: {longest:?}");
            assert!(longest > ceiling.mul_f64(0.95), "{failures}: {longest:?} is no full jitter");
        }
    }

    #[test]
    fn jitter_is_full() {
        let mut rng = StdRng::seed_from_u64(2);
        let waits: Vec<f64> =
            (0..2_000).map(|_| Backoff { failures: 9 }.next(CAP, None, &mut rng).as_secs_f64()).collect();
        let mean = waits.iter().sum::<f64>() / waits.len() as f64;
        assert!((4.5..5.5).contains(&mean), "{mean}");
        assert!(waits.iter().any(|wait| *wait < 0.1));
    }

    #[test]
    fn advice_of_the_server_is_the_least_and_is_itself_bounded() {
        let mut rng = StdRng::seed_from_u64(3);
        let advised = Duration::from_secs(20);
        let waits: Vec<Duration> =
            (0..500).map(|_| Backoff::default().next(CAP, Some(advised), &mut rng)).collect();
        assert!(waits.iter().all(|wait| *wait >= advised && *wait <= advised + FIRST_CEILING));
        assert!(waits.iter().any(|wait| *wait > advised), "all at once is a stampede");
        assert!(Backoff::default().hop(CAP, Some(advised), &mut rng) >= advised);
        assert!(Backoff::default().next(CAP, Some(Duration::MAX), &mut rng) <= ADVICE_MAX + FIRST_CEILING);
    }

    #[test]
    fn a_hop_does_not_count_and_a_success_starts_over() {
        let mut rng = StdRng::seed_from_u64(4);
        let mut backoff = Backoff { failures: 8 };
        for _ in 0..500 {
            assert!(backoff.hop(CAP, None, &mut rng) <= FIRST_CEILING);
        }
        backoff.reset();
        assert!(backoff.next(CAP, None, &mut rng) <= FIRST_CEILING);
    }

    #[test]
    fn the_cap_holds_below_the_first_ceiling_too() {
        let mut rng = StdRng::seed_from_u64(5);
        let cap = Duration::from_millis(20);
        for _ in 0..500 {
            assert!(Backoff::default().next(cap, None, &mut rng) <= cap);
            assert!(Backoff::default().hop(cap, None, &mut rng) <= cap);
        }
    }
}
