//! How long a leader may believe that it leads, without another proof.
//!
//! Trust ends a fixed time after the start of the last good verification, by the monotonic clock, whether the database
//! answers or not: an answer that took long proves only what held when the question was asked.

use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::{Duration, Instant},
};

/// Trust of one leader. It can be read by each request, and never grows back once it is withdrawn.
#[derive(Debug)]
pub(super) struct Trust {
    origin: Instant,
    span: Duration,
    /// End, in nanoseconds since the origin; 0 once withdrawn.
    ends: AtomicU64,
}

impl Trust {
    /// Trust by a verification that started then.
    pub(super) fn since(started: Instant, span: Duration) -> Self {
        Self { origin: started, span, ends: AtomicU64::new(nanoseconds(span)) }
    }

    /// Another verification is good that started then.
    pub(super) fn renew(&self, started: Instant) {
        let ends = nanoseconds(started.saturating_duration_since(self.origin) + self.span);
        // Not before the former end, and not after it was withdrawn.
        let later = |former: u64| (former != 0 && former < ends).then_some(ends);
        // An error says that there was nothing to change.
        let _ = self.ends.fetch_update(Ordering::AcqRel, Ordering::Acquire, later);
    }

    /// Ends it for good.
    pub(super) fn withdraw(&self) {
        self.ends.store(0, Ordering::Release);
    }

    /// Whether it holds at this instant.
    pub(super) fn holds_at(&self, now: Instant) -> bool {
        nanoseconds(now.saturating_duration_since(self.origin)) < self.ends.load(Ordering::Acquire)
    }
}

/// Good for 584 years of one process.
fn nanoseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SPAN: Duration = Duration::from_secs(5);
    const MOMENT: Duration = Duration::from_nanos(1);

    #[test]
    fn trust_ends_one_span_after_the_start_of_the_last_good_verification() {
        let start = Instant::now();
        let trust = Trust::since(start, SPAN);
        assert!(trust.holds_at(start) && trust.holds_at(start + SPAN - MOMENT));
        assert!(!trust.holds_at(start + SPAN));
        let second = start + Duration::from_secs(3);
        trust.renew(second);
        assert!(trust.holds_at(second + SPAN - MOMENT) && !trust.holds_at(second + SPAN));
    }

    #[test]
    fn an_older_verification_that_answers_late_takes_nothing_back() {
        let start = Instant::now();
        let trust = Trust::since(start, SPAN);
        trust.renew(start + Duration::from_secs(3));
        trust.renew(start + Duration::from_secs(1));
        let end = start + Duration::from_secs(8);
        assert!(trust.holds_at(end - MOMENT) && !trust.holds_at(end));
    }

    #[test]
    fn trust_that_was_withdrawn_never_comes_back() {
        let start = Instant::now();
        let trust = Trust::since(start, SPAN);
        trust.withdraw();
        trust.renew(start + Duration::from_secs(1));
        assert!(!trust.holds_at(start) && !trust.holds_at(start + Duration::from_secs(2)));
    }
}
