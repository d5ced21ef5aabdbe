//! Who keeps silent, and since when.

use std::{
    sync::atomic::{AtomicU32, Ordering},
    time::Duration,
};

use crate::{judgement::Silent, plan::Plan};

/// Before its time.
const NEVER: u32 = u32::MAX;

/// The one silence of a run: begun once, and perhaps ended. In milliseconds since the start.
#[derive(Debug)]
pub(crate) struct Silence {
    since: AtomicU32,
    until: AtomicU32,
}

impl Silence {
    pub(crate) fn to_come() -> Self {
        Self { since: AtomicU32::new(NEVER), until: AtomicU32::new(NEVER) }
    }

    pub(crate) fn begin(&self, at: Duration) {
        self.since.store(millis(at), Ordering::Relaxed);
    }

    pub(crate) fn end(&self, at: Duration) {
        self.until.store(millis(at), Ordering::Relaxed);
    }

    /// Whether a node sends no beats now.
    pub(crate) fn holds(&self, plan: &Plan, node: u32) -> bool {
        self.of(plan, node).is_some_and(|silent| silent.until.is_none())
    }

    /// When a node kept silent, if it did.
    pub(crate) fn of(&self, plan: &Plan, node: u32) -> Option<Silent> {
        self.period().filter(|_| plan.is_silenced(node))
    }

    /// When those that were silenced kept silent.
    pub(crate) fn period(&self) -> Option<Silent> {
        let read = |at: &AtomicU32| Some(at.load(Ordering::Relaxed)).filter(|at| *at != NEVER);
        let time = |ms: u32| Duration::from_millis(ms.into());
        Some(Silent { since: time(read(&self.since)?), until: read(&self.until).map(time) })
    }
}

fn millis(at: Duration) -> u32 {
    u32::try_from(at.as_millis()).unwrap_or(NEVER - 1)
}

/// When each node was last in contact: the sending of its last beat, or attach, that was acknowledged.
#[derive(Debug)]
pub(crate) struct Contacts(Vec<AtomicU32>);

impl Contacts {
    pub(crate) fn none(nodes: u32) -> Self {
        Self((0..nodes).map(|_| AtomicU32::new(NEVER)).collect())
    }

    /// Keeps the latest, whatever the order in which answers come.
    pub(crate) fn note(&self, node: u32, sent_at: Duration) {
        let sent_at = millis(sent_at);
        let contact = &self.0[node as usize];
        let before = contact.load(Ordering::Relaxed);
        if before == NEVER || before < sent_at {
            contact.store(sent_at, Ordering::Relaxed);
        }
    }

    /// `None` before its attach.
    pub(crate) fn last(&self, node: u32) -> Option<Duration> {
        let ms = Some(self.0[node as usize].load(Ordering::Relaxed)).filter(|ms| *ms != NEVER)?;
        Some(Duration::from_millis(ms.into()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn silence_holds_from_its_beginning_to_its_end_for_those_that_are_chosen() {
        let plan = Plan { prefix: "n".to_owned(), nodes: 10, sessions: 1, streams: 1, silenced: 0.5 };
        let (chosen, other) = (0..10).partition::<Vec<_>, _>(|node| plan.is_silenced(*node));
        let silence = Silence::to_come();
        assert!(chosen.iter().all(|node| !silence.holds(&plan, *node)));
        silence.begin(Duration::from_secs(1));
        assert!(chosen.iter().all(|node| silence.holds(&plan, *node)));
        assert!(other.iter().all(|node| silence.of(&plan, *node).is_none()));
        silence.end(Duration::from_secs(2));
        assert!(chosen.iter().all(|node| !silence.holds(&plan, *node)));
        let silent = Silent { since: Duration::from_secs(1), until: Some(Duration::from_secs(2)) };
        assert_eq!(silence.of(&plan, chosen[0]), Some(silent));
    }

    #[test]
    fn the_latest_contact_counts() {
        let contacts = Contacts::none(2);
        assert_eq!(contacts.last(0), None);
        for ms in [0, 500, 300] {
            contacts.note(0, Duration::from_millis(ms));
        }
        assert_eq!(contacts.last(0), Some(Duration::from_millis(500)));
        assert_eq!(contacts.last(1), None);
    }
}
