//! The search for the last place that a log and a replica have in common, by comparing hashes. Pure.
//!
//! Both are chains, so hashes that are equal at one place prove everything before it, and hashes that differ disprove
//! everything after. Each round asks for several places between what is proven and what is disproven. The first asks
//! ever further back, since what diverges is mostly the very end, which a promoted standby had not got; the later ones
//! divide evenly. A range of any length is settled in at most [`ROUNDS_MAX`] rounds of at most [`PLACES_MAX`] places.

use contracts::log::{EventHash, LogPoint, Seq};

/// Places in one round.
pub const PLACES_MAX: usize = 64;
/// Rounds that the longest log needs.
pub const ROUNDS_MAX: u32 = 12;

/// What is known about the last place in common.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Evidence {
    common: Option<LogPoint>,
    differs: Option<Seq>,
    rounds: u32,
}

/// A place at which a log and a replica were compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Compared {
    /// The place.
    pub seq: Seq,
    /// The hash that the log has there.
    pub log: Option<EventHash>,
    /// The hash that the replica has there.
    pub replica: Option<EventHash>,
}

impl Compared {
    fn in_common(&self) -> Option<LogPoint> {
        let hash = self.log.filter(|log| self.replica == Some(*log))?;
        Some(LogPoint { seq: self.seq, hash })
    }
}

impl Evidence {
    /// The highest place that was proven to be common.
    pub fn common(&self) -> Option<LogPoint> {
        self.common
    }

    /// Rounds of questions so far.
    pub fn rounds(&self) -> u32 {
        self.rounds
    }

    /// Compares the hashes that the log and the replica have at some places. A hash that either cannot tell proves
    /// nothing, and that counts as a difference.
    pub fn compare(&mut self, places: &[Compared]) {
        let common = places.iter().filter_map(Compared::in_common).max_by_key(|common| common.seq);
        if let Some(common) = common.filter(|common| !self.is_common(common.seq)) {
            self.common = Some(common);
            self.differs = self.differs.filter(|differs| *differs > common.seq);
        }
        // Equality proves all that lies before it, whatever was said about that.
        let differing = places.iter().map(|place| place.seq).filter(|seq| !self.is_common(*seq)).min();
        self.differs = [self.differs, differing].into_iter().flatten().min();
    }

    fn is_common(&self, seq: Seq) -> bool {
        self.common.is_some_and(|common| common.seq >= seq)
    }

    /// Whether it is known if the two are equal at `seq`.
    pub fn is_decided_at(&self, seq: Seq) -> bool {
        self.is_common(seq) || self.differs.is_some_and(|differs| differs <= seq)
    }

    /// The places to be compared next, of those from `lowest` to `highest`; none when it is settled.
    pub fn next_places(&self, lowest: Seq, highest: Seq) -> Vec<Seq> {
        if self.is_common(highest) {
            return Vec::new();
        }
        let after_common = self.common.and_then(|common| common.seq.next());
        let first = after_common.map_or(lowest, |after_common| lowest.max(after_common));
        let last = highest
            .get()
            .checked_add(1)
            .map(|last| self.differs.map_or(last, |differs| last.min(differs.get())));
        let Some(open) = last.and_then(|last| last.checked_sub(first.get())) else { return Vec::new() };
        let offsets = if self.rounds == 0 { from_the_end(open) } else { evenly(open) };
        offsets.into_iter().filter_map(|offset| first.plus(offset)).collect()
    }

    /// Takes note that a round of questions was asked.
    pub fn asked(&mut self) {
        self.rounds = self.rounds.saturating_add(1);
    }
}

/// Offsets below `open`, ascending: the last ones, at distances that double, and the first one.
fn from_the_end(open: u64) -> Vec<u64> {
    let distances = (0..PLACES_MAX as u32 - 1).map_while(|power| 1_u64.checked_shl(power));
    let mut offsets: Vec<_> = distances.map_while(|distance| open.checked_sub(distance)).collect();
    if open > 0 {
        offsets.push(0);
    }
    offsets.reverse();
    offsets.dedup();
    offsets
}

/// Offsets below `open`, ascending, that divide it evenly; all when they are few.
fn evenly(open: u64) -> Vec<u64> {
    let places = PLACES_MAX as u64;
    if open <= places {
        return (0..open).collect();
    }
    // `open` is at least one more than the parts, so the offsets differ; the product is that of two halves.
    let part = |index: u64| {
        u64::try_from(u128::from(open) * u128::from(index) / u128::from(places + 1)).unwrap_or(open - 1)
    };
    (1..=places).map(part).collect()
}

#[cfg(test)]
mod tests {
    use rand::{Rng, SeedableRng, rngs::StdRng};

    use super::{super::fixture::*, *};

    /// Searches as the engine does and gives the place found. The replica is equal up to `common`.
    fn search(lowest: u64, highest: u64, common: u64) -> (Option<u64>, u32) {
        let mut evidence = Evidence::default();
        loop {
            let places = evidence.next_places(seq(lowest), seq(highest));
            assert!(places.is_sorted() && places.len() <= PLACES_MAX, "{places:?}");
            if places.is_empty() {
                return (evidence.common().map(|point| point.seq.get()), evidence.rounds());
            }
            evidence.asked();
            assert!(places.iter().all(|place| (lowest..=highest).contains(&place.get())), "{places:?}");
            evidence.compare(&compared(&places, common));
        }
    }

    #[test]
    fn every_place_in_common_of_a_short_log_is_found() {
        for (lowest, highest) in [(0, 0), (0, 1), (0, 130), (7, 7), (80, 211)] {
            for common in lowest..=highest {
                assert_eq!(search(lowest, highest, common).0, Some(common), "{lowest}..={highest}");
            }
        }
        assert_eq!(search(80, 100, 79).0, None, "nothing in question is common");
    }

    #[test]
    fn the_longest_log_is_searched_in_a_bounded_number_of_rounds() {
        let mut rng = StdRng::seed_from_u64(1);
        let end = Seq::MAX.get();
        let mut most = 0;
        for _ in 0..2_000 {
            let common = rng.random_range(0..=end);
            let (found, rounds) = search(0, end, common);
            assert_eq!(found, Some(common));
            most = most.max(rounds);
        }
        for common in [0, 1, end - 1, end, end / 2] {
            let (found, rounds) = search(0, end, common);
            assert_eq!(found, Some(common));
            most = most.max(rounds);
        }
        assert!(most <= ROUNDS_MAX, "{most}");
    }

    #[test]
    fn an_end_that_was_lost_is_found_in_two_rounds() {
        for lost in 1..=127 {
            let (found, rounds) = search(0, 1_000_000, 1_000_000 - lost);
            assert_eq!(found, Some(1_000_000 - lost), "{lost}");
            assert!(rounds <= 2, "{rounds} for {lost}");
        }
    }

    /// A replica that lies or tells nothing proves nothing, and ends the search no later.
    #[test]
    fn answers_that_contradict_each_other_end_the_search_as_well() {
        for seed in 0..500 {
            let mut rng = StdRng::seed_from_u64(seed);
            let bits = rng.random_range(1..62);
            let highest = rng.random_range(0..1_u64 << bits);
            let (mut evidence, truth) = (Evidence::default(), rng.random_range(0..=highest));
            loop {
                let places = evidence.next_places(seq(0), seq(highest));
                if places.is_empty() {
                    break;
                }
                evidence.asked();
                let mut told = compared(&places, truth);
                for place in &mut told {
                    match rng.random_range(0..3) {
                        0 => place.replica = None,
                        1 => place.replica = Some(other(place.seq.get()).hash),
                        _ => {}
                    }
                }
                evidence.compare(&told);
            }
            assert!(evidence.rounds() <= ROUNDS_MAX, "seed {seed}: {}", evidence.rounds());
            assert!(evidence.common().is_none_or(|common| common.seq.get() <= truth), "seed {seed}");
        }
    }
}
