//! Times without an acknowledged beat of any node. Pure: the caller tells the time.
//!
//! At a takeover the longest one is the write gap: from the last beat that the old server acknowledged to the first one
//! that the new server did.

use std::time::Duration;

/// A time without acknowledged beats, in time since the start of the run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Gap {
    pub(crate) last_ack_at: Duration,
    /// The first acknowledgement after it, or the end of the run.
    pub(crate) next_ack_at: Duration,
}

impl Gap {
    pub(crate) fn length(&self) -> Duration {
        self.next_ack_at.saturating_sub(self.last_ack_at)
    }
}

/// Finds gaps between acknowledgements. Keeps the number and the sum of those above the threshold, and the longest.
#[derive(Clone, Debug)]
pub(crate) struct Gaps {
    threshold: Duration,
    last_ack_at: Option<Duration>,
    longest: Option<Gap>,
    count: u64,
    sum: Duration,
}

impl Gaps {
    pub(crate) fn new(threshold: Duration) -> Self {
        Self { threshold, last_ack_at: None, longest: None, count: 0, sum: Duration::ZERO }
    }

    /// Beats were acknowledged. Gives the gap that ended with it, when it was longer than the threshold.
    pub(crate) fn acknowledged(&mut self, at: Duration) -> Option<Gap> {
        let last_ack_at = self.last_ack_at.replace(at)?;
        let gap = Gap { last_ack_at, next_ack_at: at };
        if self.longest.is_none_or(|longest| gap.length() > longest.length()) {
            self.longest = Some(gap);
        }
        if gap.length() <= self.threshold {
            return None;
        }
        self.count += 1;
        self.sum += gap.length();
        Some(gap)
    }

    /// The run ends: what has been quiet since the last acknowledgement counts as well.
    pub(crate) fn end(&mut self, at: Duration) -> Option<Gap> {
        self.acknowledged(at)
    }

    pub(crate) fn longest(&self) -> Option<Gap> {
        self.longest
    }

    /// How many were longer than the threshold.
    pub(crate) fn count(&self) -> u64 {
        self.count
    }

    /// How long they were together.
    pub(crate) fn sum(&self) -> Duration {
        self.sum
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    #[test]
    fn a_gap_is_longer_than_the_threshold_and_lies_between_two_acknowledgements() {
        let mut gaps = Gaps::new(ms(100));
        assert_eq!(gaps.acknowledged(ms(5_000)), None, "there is nothing before the first");
        assert_eq!(gaps.acknowledged(ms(5_100)), None, "just the threshold");
        let gap = Gap { last_ack_at: ms(5_100), next_ack_at: ms(5_201) };
        assert_eq!(gaps.acknowledged(ms(5_201)), Some(gap));
        assert_eq!(gaps.acknowledged(ms(5_201)), None);
        assert_eq!((gaps.count(), gaps.sum(), gaps.longest()), (1, ms(101), Some(gap)));
    }

    #[test]
    fn the_longest_is_kept_even_below_the_threshold() {
        let mut gaps = Gaps::new(ms(1_000));
        for at in [0, 10, 60, 80] {
            assert_eq!(gaps.acknowledged(ms(at)), None);
        }
        assert_eq!(gaps.longest().map(|gap| gap.length()), Some(ms(50)));
        assert_eq!(gaps.count(), 0);
    }

    #[test]
    fn a_service_that_never_came_back_is_a_gap_to_the_end() {
        let mut gaps = Gaps::new(ms(1_000));
        assert_eq!(gaps.end(ms(9_000)), None, "nothing was ever acknowledged");
        let mut gaps = Gaps::new(ms(1_000));
        gaps.acknowledged(ms(500));
        assert_eq!(gaps.end(ms(9_000)).map(|gap| gap.length()), Some(ms(8_500)));
    }
}
