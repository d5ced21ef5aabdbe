//! What the rosters show of the fleet, and what to think of it.

use std::time::Duration;

use contracts::wire::v1::{Presence, PresenceHealth};

use crate::{
    judgement::{Expectation, Judgement, Known, Wrong, judge, overdue},
    plan::Plan,
    silence::{Contacts, Silence},
};

/// Nodes that are named in the report; all of them are in the events.
const EXAMPLES_MAX: usize = 20;

/// A node as it was shown last, and as what it was found since it was silenced.
#[derive(Clone, Copy, Debug, Default)]
struct Shown {
    health: Option<PresenceHealth>,
    found: Option<PresenceHealth>,
}

/// The shortest and the longest of some durations.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Range {
    pub(crate) bounds: Option<(Duration, Duration)>,
}

impl Range {
    fn include(&mut self, duration: Duration) {
        let (least, most) = self.bounds.unwrap_or((duration, duration));
        self.bounds = Some((least.min(duration), most.max(duration)));
    }
}

/// The fleet as its rosters show it.
#[derive(Debug)]
pub(crate) struct Roster {
    shown: Vec<Shown>,
    expected: Expectation,
    pub(crate) found: u64,
    pub(crate) degraded_after: Range,
    pub(crate) offline_after: Range,
    pub(crate) wrong: u64,
    pub(crate) wrong_examples: Vec<(String, Wrong)>,
}

/// What is known at the end about those that were silenced.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Silenced {
    pub(crate) nodes: u32,
    pub(crate) shown_degraded: u32,
    pub(crate) shown_offline: u32,
    /// Not shown, and not long enough silent to be.
    pub(crate) pending: u32,
    /// Not shown, and should have been.
    pub(crate) missing: u32,
    pub(crate) missing_examples: Vec<String>,
}

impl Roster {
    pub(crate) fn new(nodes: u32, expected: Expectation) -> Self {
        Self {
            shown: vec![Shown::default(); nodes as usize],
            expected,
            found: 0,
            degraded_after: Range::default(),
            offline_after: Range::default(),
            wrong: 0,
            wrong_examples: Vec::new(),
        }
    }

    /// A roster shows a node. Gives the judgement when it is shown other than before, and when its last contact was.
    pub(crate) fn show(
        &mut self,
        (plan, silence, contacts): (&Plan, &Silence, &Contacts),
        node: u32,
        presence: &Presence,
        at: Duration,
    ) -> Option<(Judgement, Duration)> {
        let health = presence.health();
        let shown = &mut self.shown[node as usize];
        if shown.health == Some(health) {
            return None;
        }
        let before = shown.health.replace(health);
        // An attach may be shown before it is answered.
        let last_contact = contacts.last(node).unwrap_or(at);
        let known = Known { before, last_contact, silent: silence.of(plan, node), at };
        let judgement = judge(health, presence.cause(), known, self.expected);
        match judgement {
            Judgement::Alive => {}
            Judgement::Found { after } => {
                // Offline stays when degraded is told after it, which a resumed watch may do.
                if shown.found != Some(PresenceHealth::Offline) {
                    shown.found = Some(health);
                }
                self.found += 1;
                let range = if health == PresenceHealth::Offline {
                    &mut self.offline_after
                } else {
                    &mut self.degraded_after
                };
                range.include(after);
            }
            Judgement::Wrong(wrong) => {
                self.wrong += 1;
                if self.wrong_examples.len() < EXAMPLES_MAX {
                    self.wrong_examples.push((plan.name(node), wrong));
                }
            }
        }
        Some((judgement, last_contact))
    }

    /// What became of those that were silenced. `allowance` is how much later than its threshold a verdict may come.
    pub(crate) fn silenced(
        &self,
        plan: &Plan,
        silence: &Silence,
        allowance: Duration,
        at: Duration,
    ) -> Silenced {
        let Some(silent) = silence.period() else { return Silenced::default() };
        let silent_for = silent.until.unwrap_or(at).saturating_sub(silent.since);
        let due = overdue(silent_for, allowance, self.expected);
        let mut result = Silenced::default();
        for node in (0..plan.nodes).filter(|node| plan.is_silenced(*node)) {
            result.nodes += 1;
            let found = self.shown[node as usize].found;
            // A node that is offline was degraded on its way, though a watch that was cut may not have seen it.
            result.shown_degraded += u32::from(found.is_some());
            result.shown_offline += u32::from(found == Some(PresenceHealth::Offline));
            let is_missing = match due {
                Some(PresenceHealth::Offline) => found != Some(PresenceHealth::Offline),
                Some(PresenceHealth::Degraded | PresenceHealth::Online | PresenceHealth::Unspecified) => {
                    found.is_none()
                }
                None => false,
            };
            if is_missing {
                result.missing += 1;
                if result.missing_examples.len() < EXAMPLES_MAX {
                    result.missing_examples.push(plan.name(node));
                }
            } else if found != Some(PresenceHealth::Offline) {
                result.pending += 1;
            }
        }
        result
    }
}

#[cfg(test)]
mod tests {
    use contracts::wire::v1::PresenceCause;

    use super::*;

    const EXPECTED: Expectation =
        Expectation { degraded_after: Duration::from_secs(2), offline_after: Duration::from_secs(4) };

    const fn secs(secs: u64) -> Duration {
        Duration::from_secs(secs)
    }

    fn silent(health: PresenceHealth) -> Presence {
        Presence { health: health.into(), cause: PresenceCause::Silence.into(), ..Presence::default() }
    }

    struct Scene {
        plan: Plan,
        silence: Silence,
        contacts: Contacts,
        roster: Roster,
        silenced: Vec<u32>,
        living: Vec<u32>,
    }

    /// Ten nodes, of which three fall silent at 10 s. All were last heard at 10 s.
    fn scene() -> Scene {
        let plan = Plan { prefix: "n".to_owned(), nodes: 10, sessions: 1, streams: 1, silenced: 0.3 };
        let (silenced, living) = (0..10).partition(|node| plan.is_silenced(*node));
        let (silence, contacts) = (Silence::to_come(), Contacts::none(10));
        (0..10).for_each(|node| contacts.note(node, secs(10)));
        silence.begin(secs(10));
        Scene { plan, silence, contacts, roster: Roster::new(10, EXPECTED), silenced, living }
    }

    impl Scene {
        fn show(&mut self, node: u32, health: PresenceHealth, at: u64) -> Option<Judgement> {
            let known = (&self.plan, &self.silence, &self.contacts);
            self.roster.show(known, node, &silent(health), secs(at)).map(|(judgement, _)| judgement)
        }

        fn outcome(&self, at: u64) -> Silenced {
            self.roster.silenced(&self.plan, &self.silence, secs(1), secs(at))
        }
    }

    #[test]
    fn who_was_silenced_is_found_and_a_repeat_is_no_news() {
        let mut scene = scene();
        for node in scene.silenced.clone() {
            assert_eq!(
                scene.show(node, PresenceHealth::Degraded, 13),
                Some(Judgement::Found { after: secs(3) })
            );
            assert_eq!(scene.show(node, PresenceHealth::Degraded, 13), None);
            scene.show(node, PresenceHealth::Offline, 15);
        }
        let outcome = scene.outcome(20);
        assert_eq!((outcome.nodes, outcome.shown_degraded, outcome.shown_offline), (3, 3, 3));
        assert_eq!((outcome.missing, outcome.pending, scene.roster.wrong), (0, 0, 0));
        assert_eq!(scene.roster.offline_after.bounds, Some((secs(5), secs(5))));
    }

    #[test]
    fn a_living_one_is_wrong_and_named() {
        let mut scene = scene();
        let node = scene.living[0];
        scene.show(node, PresenceHealth::Degraded, 13);
        assert_eq!(scene.roster.wrong, 1);
        assert_eq!(scene.roster.wrong_examples, [(scene.plan.name(node), Wrong::LivingShownSilent)]);
    }

    #[test]
    fn who_is_not_shown_is_pending_first_and_missing_then() {
        let mut scene = scene();
        assert_eq!((scene.outcome(12).pending, scene.outcome(12).missing), (3, 0));
        assert_eq!((scene.outcome(13).pending, scene.outcome(13).missing), (0, 3));
        for node in scene.silenced.clone() {
            scene.show(node, PresenceHealth::Degraded, 13);
        }
        assert_eq!((scene.outcome(14).pending, scene.outcome(14).missing), (3, 0));
        let outcome = scene.outcome(15);
        assert_eq!((outcome.missing, outcome.missing_examples.len()), (3, 3));
    }

    #[test]
    fn nothing_is_missing_of_those_that_came_back_in_time() {
        let scene = scene();
        scene.silence.end(secs(11));
        assert_eq!(scene.outcome(1_000).missing, 0);
    }
}
