//! A token bucket. Pure: the time is an argument, counted from any fixed instant.

use std::time::Duration;

/// How fast a bucket fills, and how much it holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Rate {
    /// What one token takes to come back. Rounded up: never more than was promised.
    interval: Duration,
    burst: u32,
}

impl Rate {
    /// So many a second for long, and so many at once.
    pub(super) fn new(per_second: u32, burst: u32) -> Self {
        let nanos = 1_000_000_000_u64.div_ceil(u64::from(per_second.max(1)));
        Self { interval: Duration::from_nanos(nanos), burst: burst.max(1) }
    }
}

/// A bucket; a new one is full.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Bucket {
    /// When it will be full if nothing more is taken. That is all there is to know.
    full_at: Duration,
}

impl Bucket {
    /// Takes a token.
    ///
    /// # Errors
    ///
    /// There is none; how long it takes until there is one.
    pub(super) fn take(&mut self, rate: Rate, now: Duration) -> Result<(), Duration> {
        let full_at = self.full_at.max(now) + rate.interval;
        // An empty bucket is full again after this long.
        let empty = rate.interval * rate.burst;
        match full_at.checked_sub(now + empty) {
            Some(wait) if !wait.is_zero() => Err(wait),
            Some(_) | None => {
                self.full_at = full_at;
                Ok(())
            }
        }
    }

    /// Whether it is as good as new.
    pub(super) fn is_full(&self, now: Duration) -> bool {
        self.full_at <= now
    }
}

#[cfg(test)]
mod tests {
    use rand::{Rng, SeedableRng, rngs::StdRng};

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn taken(bucket: &mut Bucket, rate: Rate, now: Duration) -> u32 {
        let mut count = 0;
        while bucket.take(rate, now).is_ok() {
            count += 1;
        }
        count
    }

    #[test]
    fn a_burst_passes_at_once_and_then_the_rate() {
        let (rate, mut bucket) = (Rate::new(10, 25), Bucket::default());
        assert!(bucket.is_full(Duration::ZERO));
        assert_eq!(taken(&mut bucket, rate, SECOND), 25);
        assert_eq!(bucket.take(rate, SECOND), Err(Duration::from_millis(100)));
        assert_eq!(taken(&mut bucket, rate, SECOND + Duration::from_millis(99)), 0);
        assert_eq!(taken(&mut bucket, rate, SECOND + Duration::from_millis(100)), 1);
        assert_eq!(taken(&mut bucket, rate, SECOND * 2), 9);
        // 25 are missing from the instant of the last one on.
        assert!(!bucket.is_full(SECOND * 2 + Duration::from_millis(2_499)));
        assert!(bucket.is_full(SECOND * 2 + Duration::from_millis(2_500)));
        // It holds no more than the burst, however long nothing is taken.
        assert_eq!(taken(&mut bucket, rate, SECOND * 3_600), 25);
    }

    #[test]
    fn the_extremes_neither_overflow_nor_divide_by_nothing() {
        for (per_second, burst) in [(0, 0), (1, u32::MAX), (u32::MAX, 1), (u32::MAX, u32::MAX)] {
            let (rate, mut bucket) = (Rate::new(per_second, burst), Bucket::default());
            assert_eq!(bucket.take(rate, Duration::ZERO), Ok(()), "{per_second} {burst}");
            assert_eq!(bucket.take(rate, SECOND * u32::MAX), Ok(()), "{per_second} {burst}");
        }
    }

    /// Whatever is asked for and when: in no stretch of time more pass than the burst and what comes back in it, a
    /// refused one passes after the wait that it was told, and one that waits for less does not.
    #[test]
    fn no_pattern_of_calls_gets_more_than_the_rate_or_less_than_it_was_told() {
        for seed in 0..200 {
            let mut rng = StdRng::seed_from_u64(seed);
            let (per_second, burst) = (rng.random_range(1..5_000), rng.random_range(1..50));
            let (rate, mut bucket) = (Rate::new(per_second, burst), Bucket::default());
            let mut now = Duration::from_nanos(rng.random_range(0..u64::from(u32::MAX)));
            let mut passed = Vec::new();
            for _ in 0..300 {
                now += Duration::from_nanos(rng.random_range(0..2_000_000_000 / u64::from(per_second)));
                match bucket.take(rate, now) {
                    Ok(()) => passed.push(now),
                    Err(wait) => {
                        let mut early = bucket;
                        assert!(
                            early.take(rate, now + wait - Duration::from_nanos(1)).is_err(),
                            "seed {seed}"
                        );
                        let mut in_time = bucket;
                        assert_eq!(in_time.take(rate, now + wait), Ok(()), "seed {seed}");
                    }
                }
            }
            for (first, start) in passed.iter().enumerate() {
                for (last, end) in passed.iter().enumerate().skip(first) {
                    let count = (last - first + 1) as f64;
                    let allowed = f64::from(burst) + (*end - *start).as_secs_f64() * f64::from(per_second);
                    assert!(count <= allowed + 1e-6, "seed {seed}: {count} of {allowed}");
                }
            }
        }
    }
}
