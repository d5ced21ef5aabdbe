//! How many recoveries are under way at once, in all logs together, and who is next. Pure.
//!
//! A fleet that comes back at once is recovered a few at a time, so that it does not read the same database to death.

use std::collections::{BTreeMap, BTreeSet};

use super::ReplicaId;

/// The recoveries that are under way, and the replicas that wait for theirs.
#[derive(Debug)]
pub(super) struct Slots {
    max: usize,
    running: BTreeSet<ReplicaId>,
    /// Each replica once at most, so it is bounded by their number.
    waiting: BTreeMap<ReplicaId, u64>,
    turns: BTreeMap<u64, ReplicaId>,
    last_turn: u64,
}

impl Slots {
    pub(super) fn new(max: usize) -> Self {
        let (running, waiting, turns) = (BTreeSet::new(), BTreeMap::new(), BTreeMap::new());
        Self { max: max.max(1), running, waiting, turns, last_turn: 0 }
    }

    /// Gives a slot to `replica`, or a place at the end of the queue.
    pub(super) fn enter(&mut self, replica: &ReplicaId) -> bool {
        let is_free = self.waiting.is_empty() && self.running.len() < self.max;
        if is_free || self.running.contains(replica) {
            self.running.insert(replica.clone());
            return true;
        }
        if !self.waiting.contains_key(replica) {
            self.last_turn += 1;
            self.waiting.insert(replica.clone(), self.last_turn);
            self.turns.insert(self.last_turn, replica.clone());
        }
        false
    }

    /// Takes slot and place from `replica`.
    pub(super) fn leave(&mut self, replica: &ReplicaId) {
        self.running.remove(replica);
        if let Some(turn) = self.waiting.remove(replica) {
            self.turns.remove(&turn);
        }
    }

    /// Gives a free slot to whoever waits for longest.
    pub(super) fn next(&mut self) -> Option<ReplicaId> {
        if self.running.len() >= self.max {
            return None;
        }
        let (_, next) = self.turns.pop_first()?;
        self.waiting.remove(&next);
        self.running.insert(next.clone());
        Some(next)
    }

    pub(super) fn running(&self) -> usize {
        self.running.len()
    }

    pub(super) fn waiting(&self) -> usize {
        self.waiting.len()
    }
}

#[cfg(test)]
mod tests {
    use super::{super::fixture::*, *};

    fn replica(name: &str) -> ReplicaId {
        ReplicaId { session_id: session(), node_id: node(name) }
    }

    #[test]
    fn as_many_as_there_are_slots_and_then_in_turn() {
        let mut slots = Slots::new(2);
        let [a, b, c, d] = ["a", "b", "c", "d"].map(replica);
        assert!(slots.enter(&a) && slots.enter(&b) && slots.enter(&a), "whoever has one keeps it");
        assert!(!slots.enter(&c) && !slots.enter(&d) && !slots.enter(&c));
        assert_eq!((slots.running(), slots.waiting(), slots.next()), (2, 2, None));
        slots.leave(&a);
        assert!(!slots.enter(&a), "who comes now is behind those who wait");
        assert_eq!(slots.next(), Some(c.clone()));
        assert_eq!(slots.next(), None);
        slots.leave(&d);
        slots.leave(&b);
        assert_eq!(slots.next(), Some(a));
        assert_eq!((slots.running(), slots.waiting(), slots.next()), (2, 0, None));
        slots.leave(&c);
        slots.leave(&c);
        assert_eq!(slots.running(), 1);
    }

    #[test]
    fn there_is_always_a_slot() {
        assert!(Slots::new(0).enter(&replica("a")));
    }
}
