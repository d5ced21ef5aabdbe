//! When each node beats next. Pure: time is counted in ticks by the caller.
//!
//! A hashed timing wheel over lists that run through the nodes themselves: scheduling and taking are a few stores, and
//! a node costs eight bytes, however many there are.

/// Buckets of the wheel. A node that is due further ahead than one turn is passed over until its turn comes.
const BUCKETS: usize = 4_096;
/// End of a list.
const NONE: u32 = u32::MAX;

/// Nodes by the tick at which they are due. A node is in it at most once.
#[derive(Debug)]
pub(crate) struct Wheel {
    heads: Vec<u32>,
    next: Vec<u32>,
    due_at: Vec<u32>,
    /// All buckets up to this tick have been taken.
    taken_to: u32,
}

impl Wheel {
    /// A wheel for as many nodes, none of which is scheduled.
    pub(crate) fn new(nodes: usize) -> Self {
        Self { heads: vec![NONE; BUCKETS], next: vec![NONE; nodes], due_at: vec![0; nodes], taken_to: 0 }
    }

    /// Schedules a node that is not. One that should have come before is due at the next tick.
    pub(crate) fn schedule(&mut self, node: u32, due_at: u32) {
        let due_at = due_at.max(self.taken_to.saturating_add(1));
        self.due_at[node as usize] = due_at;
        self.push(node, due_at);
    }

    /// Moves nodes that are due at `now` or before from the wheel to `due`, at most as many as `due` has room for below
    /// `limit`. Gives whether that was all of them.
    pub(crate) fn take_due(&mut self, now: u32, limit: usize, due: &mut Vec<u32>) -> bool {
        while self.taken_to < now {
            let tick = self.taken_to + 1;
            let bucket = tick as usize % BUCKETS;
            let mut node = std::mem::replace(&mut self.heads[bucket], NONE);
            while node != NONE {
                let following = self.next[node as usize];
                if self.due_at[node as usize] > tick {
                    self.push(node, self.due_at[node as usize]);
                } else if due.len() < limit {
                    due.push(node);
                } else {
                    self.push(node, tick);
                    self.return_rest(following, tick);
                    return false;
                }
                node = following;
            }
            self.taken_to = tick;
        }
        true
    }

    /// The tick at which a node that was just taken was due.
    pub(crate) fn due_at(&self, node: u32) -> u32 {
        self.due_at[node as usize]
    }

    fn return_rest(&mut self, mut node: u32, bucket_of: u32) {
        while node != NONE {
            let following = self.next[node as usize];
            self.push(node, bucket_of);
            node = following;
        }
    }

    fn push(&mut self, node: u32, tick: u32) {
        let head = &mut self.heads[tick as usize % BUCKETS];
        self.next[node as usize] = std::mem::replace(head, node);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn taken(wheel: &mut Wheel, now: u32, limit: usize) -> (Vec<u32>, bool) {
        let mut due = Vec::new();
        let all = wheel.take_due(now, limit, &mut due);
        due.sort_unstable();
        (due, all)
    }

    #[test]
    fn nodes_come_when_they_are_due_and_not_before() {
        let mut wheel = Wheel::new(4);
        for (node, due_at) in [(0, 3), (1, 5), (2, 5), (3, 6)] {
            wheel.schedule(node, due_at);
        }
        assert_eq!(taken(&mut wheel, 2, 10), (vec![], true));
        assert_eq!(taken(&mut wheel, 5, 10), (vec![0, 1, 2], true));
        assert_eq!(wheel.due_at(0), 3);
        assert_eq!(taken(&mut wheel, 5, 10), (vec![], true));
        assert_eq!(taken(&mut wheel, 6, 10), (vec![3], true));
    }

    #[test]
    fn what_is_further_away_than_a_turn_waits_for_its_own() {
        let mut wheel = Wheel::new(2);
        let turn = BUCKETS as u32;
        wheel.schedule(0, 7 + turn * 2);
        wheel.schedule(1, 7);
        assert_eq!(taken(&mut wheel, 7 + turn, 10), (vec![1], true));
        assert_eq!(taken(&mut wheel, 6 + turn * 2, 10), (vec![], true));
        assert_eq!(taken(&mut wheel, 7 + turn * 2, 10), (vec![0], true));
    }

    #[test]
    fn what_finds_no_room_is_due_the_next_time_and_nothing_is_lost() {
        let mut wheel = Wheel::new(1_000);
        for node in 0..1_000 {
            wheel.schedule(node, 1 + node % 3);
        }
        let mut seen = Vec::new();
        loop {
            let mut due = Vec::new();
            let all = wheel.take_due(3, 64, &mut due);
            assert!(due.len() <= 64);
            seen.extend(due);
            if all {
                break;
            }
        }
        seen.sort_unstable();
        assert_eq!(seen, (0..1_000).collect::<Vec<_>>());
    }

    #[test]
    fn the_past_is_due_at_once() {
        let mut wheel = Wheel::new(1);
        assert_eq!(taken(&mut wheel, 100, 1), (vec![], true));
        wheel.schedule(0, 40);
        assert_eq!(taken(&mut wheel, 101, 1), (vec![0], true));
    }
}
