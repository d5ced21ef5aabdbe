//! Durations by how often they came, in a fixed number of buckets: 64 for each doubling, so that a percentile is at most
//! 1.6 % too high and never too low.

use std::time::Duration;

/// Buckets of one doubling.
const PER_DOUBLING: u64 = 64;
const PER_DOUBLING_BITS: u32 = PER_DOUBLING.trailing_zeros();
/// Microseconds that are told apart; 2^36 of them are 19 hours, and what is longer counts as that.
const BITS_MAX: u32 = 36;
const BUCKETS: usize = (PER_DOUBLING * (BITS_MAX - PER_DOUBLING_BITS + 1) as u64) as usize;

/// Counts durations.
#[derive(Clone, Debug)]
pub(crate) struct Histogram {
    counts: Vec<u64>,
    total: u64,
    longest: Duration,
}

impl Histogram {
    pub(crate) fn new() -> Self {
        Self { counts: vec![0; BUCKETS], total: 0, longest: Duration::ZERO }
    }

    /// Counts `times` of the same duration.
    pub(crate) fn record(&mut self, duration: Duration, times: u64) {
        if times == 0 {
            return;
        }
        let micros = u64::try_from(duration.as_micros()).unwrap_or(u64::MAX);
        self.counts[bucket(micros)] += times;
        self.total += times;
        self.longest = self.longest.max(duration);
    }

    pub(crate) fn longest(&self) -> Duration {
        self.longest
    }

    /// The duration that this part of all, from 0 to 1, did not exceed. Nothing when none was counted.
    pub(crate) fn percentile(&self, part: f64) -> Duration {
        let rank = ((self.total as f64 * part).ceil() as u64).clamp(1, self.total.max(1));
        let mut seen = 0;
        for (bucket, count) in self.counts.iter().enumerate() {
            seen += count;
            if seen >= rank {
                return Duration::from_micros(upper_bound(bucket)).min(self.longest);
            }
        }
        self.longest
    }
}

fn bucket(micros: u64) -> usize {
    let micros = micros.min((1 << BITS_MAX) - 1);
    let shift = (u64::BITS - micros.leading_zeros()).saturating_sub(PER_DOUBLING_BITS + 1);
    (u64::from(shift) * PER_DOUBLING + (micros >> shift)) as usize
}

/// The longest duration, in microseconds, of a bucket.
fn upper_bound(bucket: usize) -> u64 {
    let bucket = bucket as u64;
    let shift = (bucket / PER_DOUBLING).saturating_sub(1);
    let mantissa = bucket - shift * PER_DOUBLING;
    ((mantissa + 1) << shift) - 1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bucket_holds_what_it_says_and_every_duration_has_one() {
        for micros in (0..300_000).chain((0..BITS_MAX).map(|bits| 1 << bits)).chain([u64::MAX]) {
            let bucket = bucket(micros);
            assert!(bucket < BUCKETS, "{micros}");
            let bound = upper_bound(bucket);
            assert!(bound >= micros.min((1 << BITS_MAX) - 1), "{micros} is above {bound}");
            assert!(bound as f64 <= micros as f64 * 1.016 + 1.0, "{micros} is shown as {bound}");
        }
        for micros in 1..300_000 {
            let step = bucket(micros) - bucket(micros - 1);
            assert!(step <= 1, "{micros} leaves out a bucket");
        }
    }

    #[test]
    fn percentiles_are_those_of_what_was_counted() {
        let mut histogram = Histogram::new();
        for ms in 1..=1_000 {
            histogram.record(Duration::from_millis(ms), 1);
        }
        for (part, ms) in [(0.5, 500.0), (0.99, 990.0), (0.999, 999.0), (0.0, 1.0)] {
            let shown = histogram.percentile(part).as_secs_f64() * 1_000.0;
            assert!((ms..=ms * 1.016).contains(&shown), "{part}: {shown}");
        }
        assert_eq!(histogram.percentile(1.0), Duration::from_secs(1));
        assert_eq!(histogram.longest(), Duration::from_secs(1));
    }

    #[test]
    fn nothing_has_no_length() {
        let mut histogram = Histogram::new();
        histogram.record(Duration::from_secs(1), 0);
        assert_eq!((histogram.percentile(0.99), histogram.longest()), (Duration::ZERO, Duration::ZERO));
    }
}
