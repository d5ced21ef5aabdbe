//! The last changes of one roster, numbered, so that a watch reads at its own pace and resumes where it was. Pure.

use std::collections::VecDeque;

/// Changes that are held. Twice the nodes that a session may hold by default, and as many again: a reader that keeps
/// up survives a change of every node at once.
const CHANGES_MAX: usize = 4_096;
/// Bytes that the changes held may keep from being freed. Nodes that declare as much as they may, again and again, must
/// not fill the memory.
const BYTES_MAX: usize = 16 * 1024 * 1024;

/// A bounded run of numbered changes. At a bound the oldest is dropped, and whoever had not read it has missed it.
#[derive(Debug)]
pub(super) struct ChangeLog<T> {
    /// Number of the newest change; the first ever is 1.
    head: u64,
    changes: VecDeque<Held<T>>,
    /// Bytes of the changes held.
    bytes: usize,
}

#[derive(Debug)]
struct Held<T> {
    change: T,
    bytes: usize,
}

/// Changes were dropped that the reader has not read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Missed;

impl<T: Clone> ChangeLog<T> {
    /// An empty log.
    pub(super) fn new() -> Self {
        Self { head: 0, changes: VecDeque::new(), bytes: 0 }
    }

    /// Number of the newest change; 0 before the first.
    pub(super) fn head(&self) -> u64 {
        self.head
    }

    /// Appends a change that keeps so many bytes from being freed. The newest is held, however large it is.
    pub(super) fn push(&mut self, change: T, bytes: usize) {
        while self.changes.len() >= CHANGES_MAX || self.bytes + bytes > BYTES_MAX {
            let Some(oldest) = self.changes.pop_front() else { break };
            self.bytes -= oldest.bytes;
        }
        self.bytes += bytes;
        self.changes.push_back(Held { change, bytes });
        self.head += 1;
    }

    /// Counts a change that nobody will read, and drops those held.
    pub(super) fn pass_over(&mut self) {
        self.changes = VecDeque::new();
        self.bytes = 0;
        self.head += 1;
    }

    /// The changes after number `seen`, at most `limit`, with their numbers.
    ///
    /// # Errors
    ///
    /// A change after `seen` is not held any more, or `seen` is ahead of the log.
    pub(super) fn after(&self, seen: u64, limit: usize) -> Result<Vec<(u64, T)>, Missed> {
        let unread = self.head.checked_sub(seen).ok_or(Missed)?;
        let held = self.changes.len() as u64;
        let skip = held.checked_sub(unread).ok_or(Missed)?;
        let unread = self.changes.iter().skip(usize::try_from(skip).unwrap_or(usize::MAX));
        Ok((seen + 1..).zip(unread.map(|held| held.change.clone())).take(limit).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn log(changes: u64) -> ChangeLog<u64> {
        let mut log = ChangeLog::new();
        (1..=changes).for_each(|change| log.push(change, 1));
        log
    }

    #[test]
    fn a_reader_gets_each_change_after_the_one_it_saw() {
        let log = log(5);
        assert_eq!(log.after(0, 99), Ok((1..=5).map(|n| (n, n)).collect()));
        assert_eq!(log.after(3, 99), Ok(vec![(4, 4), (5, 5)]));
        assert_eq!(log.after(3, 1), Ok(vec![(4, 4)]));
        assert_eq!(log.after(5, 99), Ok(vec![]));
        assert_eq!(log.after(6, 99), Err(Missed), "ahead of the log");
    }

    #[test]
    fn at_the_bound_the_oldest_is_dropped_and_missed() {
        let bound = CHANGES_MAX as u64;
        assert_eq!(log(bound).after(0, 1), Ok(vec![(1, 1)]));
        let over = log(bound + 1);
        assert_eq!(over.after(0, 1), Err(Missed));
        assert_eq!(over.after(1, 1), Ok(vec![(2, 2)]));
        assert_eq!(over.changes.len(), CHANGES_MAX);
    }

    #[test]
    fn large_changes_are_held_by_their_bytes() {
        let mut log = log(2);
        log.push(3, BYTES_MAX - 2);
        assert_eq!(log.after(0, 1), Ok(vec![(1, 1)]), "at the bound nothing is dropped");
        log.push(4, 2);
        assert_eq!(log.after(1, 1), Err(Missed));
        assert_eq!(log.after(2, 9), Ok(vec![(3, 3), (4, 4)]));
        log.push(5, BYTES_MAX + 1);
        assert_eq!(log.after(4, 9), Ok(vec![(5, 5)]), "the newest is held alone");
        log.push(6, 0);
        assert_eq!(log.after(5, 9), Ok(vec![(6, 6)]));
        assert_eq!(log.bytes, 0);
    }

    #[test]
    fn what_was_passed_over_is_missed() {
        let mut log = log(3);
        log.pass_over();
        assert_eq!(log.head(), 4);
        assert_eq!(log.after(3, 9), Err(Missed));
        assert_eq!(log.after(4, 9), Ok(vec![]));
        log.push(5, 1);
        assert_eq!(log.after(4, 9), Ok(vec![(5, 5)]));
    }
}
