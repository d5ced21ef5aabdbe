//! What to think of a presence that a roster shows. Pure: times are since the start of the run.
//!
//! The fleet knows what it silenced and when, and when each node was last acknowledged. A server counts silence from the
//! commit of a beat, which lies after its sending: so a verdict of silence that comes sooner after the sending of the
//! last acknowledged beat than the threshold is too early, whatever the clocks and the network did.

use std::time::Duration;

use contracts::wire::v1::{PresenceCause, PresenceHealth};

/// A verdict may be this much too early by the two clocks' difference in speed.
const TOLERANCE: Duration = Duration::from_millis(50);
/// A verdict from before a node's return may be heard of this long after its first beat.
const STALE: Duration = Duration::from_secs(2);

/// What the server promises about silence.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Expectation {
    pub(crate) degraded_after: Duration,
    pub(crate) offline_after: Duration,
}

/// When a node kept silent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Silent {
    pub(crate) since: Duration,
    pub(crate) until: Option<Duration>,
}

/// What is known of a node when a roster shows it anew.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Known {
    /// What it was shown as before, if ever.
    pub(crate) before: Option<PresenceHealth>,
    /// When the last beat, or the attach, that was acknowledged had been sent.
    pub(crate) last_contact: Duration,
    /// Whether it is among those that were silenced.
    pub(crate) silent: Option<Silent>,
    /// Now.
    pub(crate) at: Duration,
}

/// What to think of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Judgement {
    /// A node is shown alive that is.
    Alive,
    /// A silenced node was found, this long after its last contact.
    Found { after: Duration },
    /// This must not be.
    Wrong(Wrong),
}

/// What is wrong with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wrong {
    /// A node that beats is shown silent.
    LivingShownSilent,
    /// A silenced node is shown silent before the threshold.
    TooEarly,
    /// A silent node is shown alive again.
    RevivedWhileSilent,
    /// A node was detached or revoked, and not by us.
    Removed,
    /// The node is said to have reported what no node of ours reports.
    Misreported,
}

impl Wrong {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::LivingShownSilent => "living_shown_silent",
            Self::TooEarly => "too_early",
            Self::RevivedWhileSilent => "revived_while_silent",
            Self::Removed => "removed",
            Self::Misreported => "misreported",
        }
    }
}

/// Judges what a roster shows.
pub(crate) fn judge(
    health: PresenceHealth,
    cause: PresenceCause,
    known: Known,
    expected: Expectation,
) -> Judgement {
    let threshold = match health {
        PresenceHealth::Online => return judge_alive(known),
        PresenceHealth::Degraded => expected.degraded_after,
        PresenceHealth::Offline => expected.offline_after,
        PresenceHealth::Unspecified => return Judgement::Wrong(Wrong::Misreported),
    };
    match cause {
        PresenceCause::Silence => judge_silence(known, threshold),
        PresenceCause::Detached | PresenceCause::Revoked => Judgement::Wrong(Wrong::Removed),
        PresenceCause::SelfReported | PresenceCause::Unspecified => Judgement::Wrong(Wrong::Misreported),
    }
}

fn judge_alive(known: Known) -> Judgement {
    let was_found = match known.before {
        Some(PresenceHealth::Degraded | PresenceHealth::Offline) => true,
        Some(PresenceHealth::Online | PresenceHealth::Unspecified) | None => false,
    };
    match known.silent {
        Some(Silent { until: None, .. }) if was_found => Judgement::Wrong(Wrong::RevivedWhileSilent),
        Some(_) | None => Judgement::Alive,
    }
}

fn judge_silence(known: Known, threshold: Duration) -> Judgement {
    let after = known.at.saturating_sub(known.last_contact);
    match known.silent {
        None => Judgement::Wrong(Wrong::LivingShownSilent),
        // It has beaten again: only news from before that may still come.
        Some(Silent { until: Some(until), .. }) if known.last_contact >= until => {
            if after < STALE {
                Judgement::Found { after: threshold }
            } else {
                Judgement::Wrong(Wrong::LivingShownSilent)
            }
        }
        Some(_) if after + TOLERANCE < threshold => Judgement::Wrong(Wrong::TooEarly),
        Some(_) => Judgement::Found { after },
    }
}

/// What must have been shown of a silenced node by now. `allowance` is how much later than its threshold a verdict may
/// come: the pace of the sweep, and all the time that was no service time.
pub(crate) fn overdue(
    silent_for: Duration,
    allowance: Duration,
    expected: Expectation,
) -> Option<PresenceHealth> {
    if silent_for >= expected.offline_after + allowance {
        Some(PresenceHealth::Offline)
    } else if silent_for >= expected.degraded_after + allowance {
        Some(PresenceHealth::Degraded)
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use PresenceCause::{Detached, Revoked, SelfReported, Silence};
    use PresenceHealth::{Degraded, Offline, Online};

    const EXPECTED: Expectation =
        Expectation { degraded_after: Duration::from_secs(30), offline_after: Duration::from_secs(60) };

    const fn secs(secs: u64) -> Duration {
        Duration::from_secs(secs)
    }

    fn known(last_contact: u64, at: u64, silent: Option<(u64, Option<u64>)>) -> Known {
        let silent = silent.map(|(since, until)| Silent { since: secs(since), until: until.map(secs) });
        Known { before: Some(Online), last_contact: secs(last_contact), silent, at: secs(at) }
    }

    fn found(secs: u64) -> Judgement {
        Judgement::Found { after: Duration::from_secs(secs) }
    }

    #[test]
    fn a_silenced_node_is_found_at_the_threshold_and_not_before() {
        let silent = Some((100, None));
        for (health, at, judgement) in [
            (Degraded, 119, Judgement::Wrong(Wrong::TooEarly)),
            (Degraded, 120, found(30)),
            (Degraded, 200, found(110)),
            (Offline, 149, Judgement::Wrong(Wrong::TooEarly)),
            (Offline, 150, found(60)),
        ] {
            // Silence counts from the last contact at 90, not from when it was decided on at 100.
            assert_eq!(judge(health, Silence, known(90, at, silent), EXPECTED), judgement, "{health:?} {at}");
        }
    }

    #[test]
    fn a_living_node_that_is_shown_silent_is_wrong_however_late() {
        for at in [90, 1_000] {
            let judgement = judge(Degraded, Silence, known(90, at, None), EXPECTED);
            assert_eq!(judgement, Judgement::Wrong(Wrong::LivingShownSilent));
        }
        assert_eq!(judge(Online, SelfReported, known(90, 91, None), EXPECTED), Judgement::Alive);
    }

    #[test]
    fn a_silent_node_does_not_come_back_and_a_returned_one_does() {
        let mut shown = known(90, 200, Some((100, None)));
        assert_eq!(judge(Online, SelfReported, shown, EXPECTED), Judgement::Alive, "it was never gone");
        shown.before = Some(Offline);
        assert_eq!(judge(Online, SelfReported, shown, EXPECTED), Judgement::Wrong(Wrong::RevivedWhileSilent));
        shown.silent = Some(Silent { since: secs(100), until: Some(secs(190)) });
        assert_eq!(judge(Online, SelfReported, shown, EXPECTED), Judgement::Alive);
    }

    #[test]
    fn after_its_return_a_node_is_living_but_old_news_may_still_come() {
        let returned = Some((100, Some(190)));
        let late_verdict =
            |last_contact, at| judge(Offline, Silence, known(last_contact, at, returned), EXPECTED);
        assert_eq!(late_verdict(90, 195), found(105), "it has not beaten yet");
        assert_eq!(late_verdict(194, 195), found(60));
        assert_eq!(late_verdict(194, 197), Judgement::Wrong(Wrong::LivingShownSilent));
    }

    #[test]
    fn what_nobody_of_us_did_is_wrong() {
        for (health, cause, wrong) in [
            (Offline, Detached, Wrong::Removed),
            (Offline, Revoked, Wrong::Removed),
            (Degraded, SelfReported, Wrong::Misreported),
        ] {
            assert_eq!(judge(health, cause, known(90, 91, None), EXPECTED), Judgement::Wrong(wrong));
        }
    }

    #[test]
    fn a_verdict_is_overdue_after_threshold_and_allowance() {
        for (silent_for, due) in [(39, None), (40, Some(Degraded)), (69, Some(Degraded)), (70, Some(Offline))]
        {
            assert_eq!(overdue(secs(silent_for), secs(10), EXPECTED), due, "{silent_for}");
        }
    }
}
