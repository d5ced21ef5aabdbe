//! When to renew a token. Pure: the clocks and chance are arguments.
//!
//! After about two thirds of its lifetime. A token that was just made is as old as this client's own clock says. How
//! old one is that was found in a file, only the wall clock can tell; it also tells of a machine that slept. Where it
//! is wrong, a renewal comes early or late, but never again and again.

use std::time::Duration;

use rand::Rng;
use time::OffsetDateTime;
use tokio::time::Instant;

use crate::token::term::Term;

/// Parts of the lifetime between which the renewal is drawn: the tokens of a fleet often begin together.
const PART_MIN: f64 = 0.60;
const PART_MAX: f64 = 0.70;
/// The wall clock is not heard before a new token was held for this part of its lifetime.
const HELD_PART_MIN: f64 = 0.30;
/// How often to look, within these bounds: often enough for the shortest lifetime.
const LOOKS: u32 = 50;
const LOOK_MIN: Duration = Duration::from_millis(50);
const LOOK_MAX: Duration = Duration::from_secs(5);
/// Cap of the back-off after a renewal that did not succeed, within these bounds.
const TRIES: u32 = 30;
const CAP_MIN: Duration = Duration::from_millis(50);
const CAP_MAX: Duration = Duration::from_secs(60);

/// How old a token is when the client gets hold of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Age {
    /// The server has just made it.
    New,
    /// It was given, or found in a file.
    Unknown,
}

/// The plan for one token.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Schedule {
    term: Term,
    age: Age,
    held_since: Instant,
    due_after: Duration,
}

impl Schedule {
    pub(crate) fn new(term: Term, age: Age, now: Instant, rng: &mut impl Rng) -> Self {
        let due_after = term.lifetime.mul_f64(rng.random_range(PART_MIN..=PART_MAX));
        Self { term, age, held_since: now, due_after }
    }

    /// Whether it is time.
    pub(crate) fn is_due(&self, now: Instant, wall: OffsetDateTime) -> bool {
        let held = now.saturating_duration_since(self.held_since);
        let hears_wall = self.age == Age::Unknown || held >= self.term.lifetime.mul_f64(HELD_PART_MIN);
        let by_wall = Duration::try_from(wall - self.term.issued_at).unwrap_or_default();
        held >= self.due_after || (hears_wall && by_wall >= self.due_after)
    }

    /// How long to wait until the next look.
    pub(crate) fn look_in(schedule: Option<&Self>) -> Duration {
        schedule.map_or(LOOK_MAX, |schedule| (schedule.term.lifetime / LOOKS).clamp(LOOK_MIN, LOOK_MAX))
    }

    /// The longest wait between two tries.
    pub(crate) fn backoff_cap(&self) -> Duration {
        (self.term.lifetime / TRIES).clamp(CAP_MIN, CAP_MAX)
    }
}

#[cfg(test)]
mod tests {
    use rand::{SeedableRng, rngs::StdRng};

    use super::*;

    const HOUR: Duration = Duration::from_secs(3600);

    fn term() -> Term {
        Term { issued_at: OffsetDateTime::UNIX_EPOCH, lifetime: HOUR }
    }

    fn schedule(age: Age, now: Instant) -> Schedule {
        Schedule::new(term(), age, now, &mut StdRng::seed_from_u64(1))
    }

    fn wall(age: f64) -> OffsetDateTime {
        OffsetDateTime::UNIX_EPOCH + time::Duration::seconds_f64(3600.0 * age)
    }

    #[test]
    fn renewals_spread_round_two_thirds_of_the_lifetime() {
        let mut rng = StdRng::seed_from_u64(1);
        let at = Instant::now();
        let parts: Vec<f64> = (0..1_000)
            .map(|_| Schedule::new(term(), Age::New, at, &mut rng).due_after.as_secs_f64() / 3600.0)
            .collect();
        assert!(parts.iter().all(|part| (PART_MIN..=PART_MAX).contains(part)));
        assert!(parts.iter().any(|part| *part < 0.62) && parts.iter().any(|part| *part > 0.68));
    }

    #[test]
    fn a_new_token_is_renewed_by_our_own_clock() {
        let at = Instant::now();
        let schedule = schedule(Age::New, at);
        assert!(!schedule.is_due(at + HOUR.mul_f64(0.59), wall(0.59)));
        assert!(schedule.is_due(at + HOUR.mul_f64(0.71), wall(0.71)));
        assert!(schedule.is_due(at + HOUR.mul_f64(0.71), wall(-5.0)), "a slow clock delays nothing");
        assert!(!schedule.is_due(at + HOUR.mul_f64(0.1), wall(9.0)), "a fast clock makes no hot loop");
    }

    #[test]
    fn the_wall_clock_tells_the_age_of_a_found_token_and_of_a_sleep() {
        let at = Instant::now();
        assert!(!schedule(Age::Unknown, at).is_due(at, wall(0.5)));
        assert!(schedule(Age::Unknown, at).is_due(at, wall(0.8)));
        assert!(schedule(Age::New, at).is_due(at + HOUR.mul_f64(0.4), wall(0.8)));
    }

    #[test]
    fn looks_are_frequent_enough_for_short_lifetimes() {
        assert_eq!(Schedule::look_in(None), LOOK_MAX);
        assert_eq!(Schedule::look_in(Some(&schedule(Age::New, Instant::now()))), LOOK_MAX);
        let brief = Term { lifetime: Duration::from_millis(1), ..term() };
        let brief = Schedule::new(brief, Age::New, Instant::now(), &mut StdRng::seed_from_u64(1));
        assert_eq!((Schedule::look_in(Some(&brief)), brief.backoff_cap()), (LOOK_MIN, CAP_MIN));
    }
}
