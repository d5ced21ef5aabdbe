//! What all tasks of a run have in common.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use contracts::{
    Code,
    refusal::{ReceivedRefusal, RetryAdvice},
};
use daemon_client::Setback;
use rand::Rng;
use serde_json::json;
use tokio::sync::mpsc;

use crate::{
    clock::Clock,
    events::Events,
    plan::Plan,
    roster::Roster,
    silence::{Contacts, Silence},
    tally::Tally,
};

/// How long to wait for the answer to any call, as a daemon at the default pace waits.
pub(crate) const DEADLINE: Duration = Duration::from_secs(5);
/// Least wait before a refused call is repeated, when the server gave none, and the jitter on top of any wait.
const RETRY_DELAY: Duration = Duration::from_millis(250);

/// Two intervals that are shorter than this say nothing about who is heard: machines pause for longer.
const UNHEARD_AFTER_MIN: Duration = Duration::from_secs(10);

/// Why a run cannot go on.
#[derive(Clone, Debug)]
pub(crate) struct End {
    pub(crate) setback: Setback,
}

/// A run. Everything in it is reached from all tasks, and no lock is held over a wait.
pub(crate) struct Drill {
    pub(crate) plan: Plan,
    pub(crate) session_ids: Vec<String>,
    pub(crate) clock: Clock,
    pub(crate) silence: Silence,
    pub(crate) contacts: Contacts,
    pub(crate) events: Events,
    /// Interval and jitter of the beats as the user set them.
    pub(crate) cadence: Option<Duration>,
    pub(crate) jitter: f64,
    tally: Mutex<Tally>,
    roster: Mutex<Roster>,
    ends: mpsc::Sender<End>,
}

/// What a refusal means for the call that met it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Meaning {
    /// Repeat it after this long.
    Wait(Duration),
    /// The attachment is not known there: attach again.
    Reattach(Duration),
    /// Not here: another server, or another token, is needed.
    Elsewhere,
    /// Never.
    Lost,
}

impl Drill {
    #[expect(clippy::too_many_arguments, reason = "made once, of what each part was made of before")]
    pub(crate) fn new(
        plan: Plan,
        session_ids: Vec<String>,
        clock: Clock,
        events: Events,
        (cadence, jitter): (Option<Duration>, f64),
        tally: Tally,
        roster: Roster,
        ends: mpsc::Sender<End>,
    ) -> Arc<Self> {
        Arc::new(Self {
            contacts: Contacts::none(plan.nodes),
            plan,
            session_ids,
            clock,
            silence: Silence::to_come(),
            events,
            cadence,
            jitter,
            tally: Mutex::new(tally),
            roster: Mutex::new(roster),
            ends,
        })
    }

    pub(crate) fn tally(&self) -> MutexGuard<'_, Tally> {
        self.tally.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn roster(&self) -> MutexGuard<'_, Roster> {
        self.roster.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Ends the run: no call will ever succeed.
    pub(crate) fn end(&self, setback: Setback) {
        // The first is enough.
        drop(self.ends.try_send(End { setback }));
    }

    /// Notes a setback of a call or stream.
    pub(crate) fn note(&self, setback: &Setback) {
        let mut tally = self.tally();
        if let Setback::Refused(refusal) = setback {
            tally.refused(&refusal.code, 1);
        }
        tally.last_setback = Some(setback.to_string());
    }

    /// A node was attached, by a call that was sent then.
    pub(crate) fn attached(&self, node: u32, sent_at: Duration) {
        let now = self.clock.now();
        let is_first = self.contacts.last(node).is_none();
        self.contacts.note(node, sent_at);
        let mut tally = self.tally();
        tally.attach_latency.record(now.saturating_sub(sent_at), 1);
        if is_first {
            tally.attached += 1;
            tally.last_attached_at = now;
        }
    }

    /// Whether every node was attached, or cannot be.
    pub(crate) fn is_attached(&self) -> bool {
        let tally = self.tally();
        tally.attached + tally.lost_at_attach >= self.plan.nodes
    }

    /// How many attached nodes are to beat and were not acknowledged for two intervals, or 10 s.
    pub(crate) fn unheard(&self, at: Duration) -> u32 {
        let (patience, lost) = {
            let tally = self.tally();
            ((tally.interval * 2).max(UNHEARD_AFTER_MIN), tally.lost - tally.lost_at_attach)
        };
        let is_unheard = |node: u32| {
            let silent = self.silence.of(&self.plan, node);
            // Who came back is given the same time.
            let is_to_beat =
                silent.is_none_or(|silent| silent.until.is_some_and(|until| until + patience < at));
            is_to_beat && self.contacts.last(node).is_some_and(|last| last + patience < at)
        };
        let unheard = (0..self.plan.nodes).filter(|node| is_unheard(*node)).count();
        u32::try_from(unheard).unwrap_or(u32::MAX).saturating_sub(lost)
    }

    /// A node was refused for ever.
    pub(crate) fn lost(&self, node: u32, refusal: &ReceivedRefusal) {
        let mut tally = self.tally();
        tally.lost += 1;
        if self.contacts.last(node).is_none() {
            tally.lost_at_attach += 1;
        }
        // A fleet of which nobody could attach is no fleet.
        if tally.attached == 0 {
            self.end(Setback::Refused(refusal.clone()));
        }
        tally.last_setback = Some(refusal.to_string());
        drop(tally);
        let fields = json!({ "node": self.plan.name(node), "code": refusal.code });
        self.events.write("lost", self.clock.now(), fields);
    }
}

/// What a refusal means. Waits have jitter: every call of a fleet was refused at the same time.
pub(crate) fn meaning(refusal: &ReceivedRefusal) -> Meaning {
    let jitter = RETRY_DELAY.mul_f64(rand::rng().random_range(0.0..=1.0));
    let wait = refusal.retry_delay.unwrap_or(RETRY_DELAY) + jitter;
    match refusal.advice {
        RetryAdvice::SameRequest => Meaning::Wait(wait),
        RetryAdvice::AfterReattach => Meaning::Reattach(wait),
        RetryAdvice::Elsewhere => Meaning::Elsewhere,
        RetryAdvice::Never | RetryAdvice::AfterUpgrade if is_about_token(refusal) => Meaning::Elsewhere,
        RetryAdvice::Never | RetryAdvice::AfterUpgrade => Meaning::Lost,
    }
}

/// Whether it concerns every call alike.
pub(crate) fn is_about_token(refusal: &ReceivedRefusal) -> bool {
    matches!(
        refusal.known(),
        Some(
            Code::AuthTokenInvalid
                | Code::AuthTokenExpired
                | Code::AuthTokenRevoked
                | Code::AuthInsufficientScope
        )
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn meaning_of(code: Code, retry_delay: Option<Duration>) -> Meaning {
        let refusal = ReceivedRefusal {
            code: code.entry().code.to_owned(),
            message: String::new(),
            advice: code.entry().retry,
            retry_delay,
            facts: Default::default(),
            field: None,
        };
        meaning(&refusal)
    }

    #[test]
    fn a_refusal_means_what_its_advice_says() {
        assert_eq!(meaning_of(Code::ControllerStandby, None), Meaning::Elsewhere);
        assert_eq!(meaning_of(Code::AuthTokenExpired, None), Meaning::Elsewhere);
        assert_eq!(meaning_of(Code::RuntimeNodeGenerationSuperseded, None), Meaning::Lost);
        assert!(matches!(meaning_of(Code::RuntimeNodeNotAttached, None), Meaning::Reattach(_)));
        let advised = Duration::from_secs(3);
        let Meaning::Wait(wait) = meaning_of(Code::ControllerRecovering, Some(advised)) else {
            panic!("it is the same place a moment later")
        };
        assert!(wait >= advised && wait <= advised + RETRY_DELAY);
    }
}
