//! Where logs end, for whoever follows one: it is woken after each commit instead of asking again and again.

use std::{
    collections::{BTreeSet, HashMap},
    sync::{Mutex, MutexGuard, PoisonError},
};

use contracts::{LogPoint, SessionId};
use tokio::sync::watch;

/// The ends of logs that were written to, to be told once the transaction is committed.
#[derive(Debug, Default)]
#[must_use = "who follows the logs is to be told after the commit"]
pub struct Recorded(pub(super) Vec<(SessionId, LogPoint)>);

/// The ends of those logs that somebody follows.
#[derive(Debug, Default)]
pub(super) struct Heads(Mutex<HashMap<SessionId, watch::Sender<Option<LogPoint>>>>);

impl Heads {
    /// Follows a log. Nothing is known at first: whoever follows reads the log after this, and again after each change.
    pub(super) fn follow(&self, session_id: SessionId) -> watch::Receiver<Option<LogPoint>> {
        let mut heads = self.lock();
        // Those whom nobody follows any more would be kept for ever where nothing is appended.
        heads.retain(|_, head| head.receiver_count() > 0);
        heads.entry(session_id).or_insert_with(|| watch::channel(None).0).subscribe()
    }

    /// Tells where logs end now. Commits of one log may be told in another order than they were made in.
    pub(super) fn tell(&self, Recorded(ends): Recorded) {
        let heads = self.lock();
        for (session_id, end) in ends {
            let Some(head) = heads.get(&session_id) else { continue };
            head.send_if_modified(|told| {
                let is_further = told.is_none_or(|told| told.seq < end.seq);
                if is_further {
                    *told = Some(end);
                }
                is_further
            });
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<SessionId, watch::Sender<Option<LogPoint>>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Sessions whose log disagrees with itself. Nothing is appended to them until somebody mended it.
pub(super) type Broken = BTreeSet<SessionId>;

#[cfg(test)]
mod tests {
    use contracts::{EventHash, Seq};
    use uuid::Uuid;

    use super::*;

    fn end(seq: u64) -> LogPoint {
        LogPoint { seq: Seq::new(seq).unwrap(), hash: EventHash::from_bytes([0; 32]) }
    }

    #[test]
    fn followers_are_told_of_the_furthest_end_and_cost_nothing_once_they_are_gone() {
        let heads = Heads::default();
        let [one, other] = [1, 2].map(|id| SessionId(Uuid::from_u128(id)));
        let (mut first, mut beside) = (heads.follow(one), heads.follow(other));
        let again = heads.follow(one);
        heads.tell(Recorded(vec![(one, end(3)), (SessionId(Uuid::nil()), end(9))]));
        heads.tell(Recorded(vec![(one, end(2))]));
        assert_eq!((*first.borrow_and_update(), *again.borrow()), (Some(end(3)), Some(end(3))));
        assert!(!first.has_changed().unwrap() && !beside.has_changed().unwrap());
        heads.tell(Recorded(vec![(other, end(1))]));
        assert_eq!(*beside.borrow_and_update(), Some(end(1)));

        drop((first, again));
        let third = heads.follow(other);
        assert_eq!(heads.lock().len(), 1);
        drop((beside, third));
    }
}
