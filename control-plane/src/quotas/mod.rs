//! Quotas: how much one participant may ask of a server at once, so that one cannot crowd out the others.
//!
//! Invariants:
//! - **quotas-are-per-participant**: whoever is at a bound is refused with a delay, and nobody else is;
//! - **quotas-are-given-back**: a call or stream counts until its answer has ended, however it ends, and not longer.
//!
//! Each server counts for itself. What comes without a participant, the exchange of join tokens, counts together as one.
//! Who has nothing open and a full bucket is as good as new, and forgotten.
//!
//! Deliberately absent: a quota of beats. Lanes bound them, and refuse the beats of whoever finds them full.

mod bucket;
pub mod layer;

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use bucket::{Bucket, Rate};
use contracts::{ParticipantId, Refusal};
use metrics::counter;

use crate::settings::QuotaBounds;

/// How long whoever has too much open should wait before it tries again.
const BUSY_RETRY_DELAY: Duration = Duration::from_secs(1);
/// Entries that are kept without a look at which of them are good for nothing any more.
const ENTRIES_MIN: usize = 1_024;

/// Who counts: a participant, or all that come without one.
type Holder = Option<ParticipantId>;

/// What a call counts as.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// One request, one answer.
    Call,
    /// A call that attaches a node.
    Attach,
    /// A stream, in whichever direction.
    Stream,
}

/// What each participant has open on this server.
#[derive(Clone, Debug)]
pub struct Quotas {
    bounds: QuotaBounds,
    attach_rate: Rate,
    started: Instant,
    usages: Arc<Mutex<Usages>>,
}

#[derive(Debug, Default)]
struct Usages {
    by_holder: HashMap<Holder, Usage>,
    /// At this many entries the useless ones are looked for: twice as many as were of use the last time.
    forget_at: usize,
}

#[derive(Debug, Default)]
struct Usage {
    calls: u32,
    streams: u32,
    attaches: Bucket,
}

/// One call or stream under way; it counts until this is dropped.
#[derive(Debug)]
pub struct Permit {
    quotas: Quotas,
    holder: Holder,
    kind: Kind,
}

impl Quotas {
    /// With these bounds, from now on.
    pub fn new(bounds: QuotaBounds) -> Self {
        for limit in [Limit::Calls, Limit::Streams, Limit::Attaches] {
            counter!("rollcall_quota_refusals_total", "limit" => limit.resource()).absolute(0);
        }
        Self {
            attach_rate: Rate::new(bounds.attaches_per_second, bounds.attach_burst),
            bounds,
            started: Instant::now(),
            usages: Arc::default(),
        }
    }

    /// Lets a call begin.
    ///
    /// # Errors
    ///
    /// The participant is at a bound.
    pub fn begin(&self, participant: Option<ParticipantId>, kind: Kind) -> Result<Permit, Refusal> {
        self.begin_at(participant, kind, self.started.elapsed())
    }

    fn begin_at(&self, holder: Holder, kind: Kind, now: Duration) -> Result<Permit, Refusal> {
        let mut usages = self.usages();
        usages.forget_useless(now);
        let usage = usages.by_holder.entry(holder).or_default();
        let refused = usage.begin(kind, &self.bounds, self.attach_rate, now);
        drop(usages);
        match refused {
            Ok(()) => Ok(Permit { quotas: self.clone(), holder, kind }),
            Err((limit, wait)) => {
                counter!("rollcall_quota_refusals_total", "limit" => limit.resource()).increment(1);
                Err(limit.refusal(&self.bounds, wait))
            }
        }
    }

    fn end_at(&self, holder: Holder, kind: Kind, now: Duration) {
        let mut usages = self.usages();
        let Some(usage) = usages.by_holder.get_mut(&holder) else { return };
        match kind {
            Kind::Call | Kind::Attach => usage.calls = usage.calls.saturating_sub(1),
            Kind::Stream => usage.streams = usage.streams.saturating_sub(1),
        }
        if usage.is_useless(now) {
            usages.by_holder.remove(&holder);
        }
    }

    fn usages(&self) -> MutexGuard<'_, Usages> {
        self.usages.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Usages {
    /// Forgets who has nothing open and a full bucket, once there may be many such.
    fn forget_useless(&mut self, now: Duration) {
        if self.by_holder.len() < self.forget_at.max(ENTRIES_MIN) {
            return;
        }
        self.by_holder.retain(|_, usage| !usage.is_useless(now));
        self.forget_at = self.by_holder.len() * 2;
    }
}

impl Usage {
    fn begin(
        &mut self,
        kind: Kind,
        bounds: &QuotaBounds,
        attach_rate: Rate,
        now: Duration,
    ) -> Result<(), (Limit, Duration)> {
        match kind {
            Kind::Stream if self.streams >= bounds.streams => return Err((Limit::Streams, BUSY_RETRY_DELAY)),
            Kind::Call | Kind::Attach if self.calls >= bounds.calls_in_flight => {
                return Err((Limit::Calls, BUSY_RETRY_DELAY));
            }
            Kind::Attach => {
                self.attaches.take(attach_rate, now).map_err(|wait| (Limit::Attaches, wait))?;
                self.calls += 1;
            }
            Kind::Call => self.calls += 1,
            Kind::Stream => self.streams += 1,
        }
        Ok(())
    }

    fn is_useless(&self, now: Duration) -> bool {
        self.calls == 0 && self.streams == 0 && self.attaches.is_full(now)
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.quotas.end_at(self.holder, self.kind, self.quotas.started.elapsed());
    }
}

/// A bound that was hit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Limit {
    Calls,
    Streams,
    Attaches,
}

impl Limit {
    fn resource(self) -> &'static str {
        match self {
            Self::Calls => "calls_in_flight_per_participant",
            Self::Streams => "streams_per_participant",
            Self::Attaches => "attaches_at_once_per_participant",
        }
    }

    fn refusal(self, bounds: &QuotaBounds, wait: Duration) -> Refusal {
        let (limit, hint) = match self {
            Self::Calls => (bounds.calls_in_flight, "Wait for answers before you ask for more"),
            Self::Streams => (bounds.streams, "Beat for many nodes over one stream, or end streams"),
            Self::Attaches => (bounds.attach_burst, "Attach again after the delay"),
        };
        // At the bound, or it would not be refused.
        Refusal::limit_exceeded(self.resource(), limit.into(), limit.into(), hint).with_retry_delay(wait)
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    const BOUNDS: QuotaBounds =
        QuotaBounds { calls_in_flight: 3, streams: 2, attaches_per_second: 10, attach_burst: 2 };

    fn somebody() -> Holder {
        Some(ParticipantId(Uuid::new_v4()))
    }

    fn refused(result: Result<Permit, Refusal>) -> (String, Option<Duration>) {
        let refusal = result.expect_err("it is at its bound");
        assert_eq!(refusal.facts[1].1, refusal.facts[2].1);
        (refusal.facts[0].1.clone(), refusal.retry_delay)
    }

    #[test]
    fn each_kind_has_its_own_bound_and_each_holder_its_own_count() {
        let (quotas, one, other) = (Quotas::new(BOUNDS), somebody(), somebody());
        let calls: Vec<_> = (0..3).map(|_| quotas.begin(one, Kind::Call).unwrap()).collect();
        let streams: Vec<_> = (0..2).map(|_| quotas.begin(one, Kind::Stream).unwrap()).collect();
        let second = Some(Duration::from_secs(1));
        let busy = ("calls_in_flight_per_participant".to_owned(), second);
        assert_eq!(refused(quotas.begin(one, Kind::Call)), busy);
        assert_eq!(refused(quotas.begin(one, Kind::Attach)), busy);
        assert_eq!(refused(quotas.begin(one, Kind::Stream)), ("streams_per_participant".to_owned(), second));
        let beside = [other, None].map(|holder| quotas.begin(holder, Kind::Call).unwrap());
        drop((calls, streams));
        let again = quotas.begin(one, Kind::Call).unwrap();
        drop((again, beside));
        assert!(quotas.usages().by_holder.is_empty(), "whoever has nothing open is forgotten");
    }

    #[test]
    fn attaches_are_counted_over_time_and_a_refused_one_takes_nothing() {
        let (quotas, one) = (Quotas::new(BOUNDS), somebody());
        let now = Duration::from_secs(5);
        for _ in 0..2 {
            drop(quotas.begin_at(one, Kind::Attach, now).unwrap());
        }
        let wait = Duration::from_millis(100);
        let full = ("attaches_at_once_per_participant".to_owned(), Some(wait));
        assert_eq!(refused(quotas.begin_at(one, Kind::Attach, now)), full);
        assert_eq!(refused(quotas.begin_at(one, Kind::Attach, now)), full);
        drop(quotas.begin_at(one, Kind::Call, now).expect("only attaches are refused"));
        drop(quotas.begin_at(one, Kind::Attach, now + wait).unwrap());
    }

    #[test]
    fn what_is_good_for_nothing_is_forgotten_before_it_is_much() {
        let quotas = Quotas::new(BOUNDS);
        let open = quotas.begin_at(somebody(), Kind::Stream, Duration::ZERO).unwrap();
        for second in 0..50_u64 {
            for _ in 0..1_000 {
                // Its bucket is not full yet when it ends, so it stays for now.
                let now = Duration::from_secs(second);
                let permit = quotas.begin_at(somebody(), Kind::Attach, now).unwrap();
                let (holder, kind) = (permit.holder, permit.kind);
                std::mem::forget(permit);
                quotas.end_at(holder, kind, now);
            }
            assert!(quotas.usages().by_holder.len() <= 3 * ENTRIES_MIN, "in second {second}");
        }
        drop(open);
    }
}
