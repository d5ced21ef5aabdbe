//! Why a node is in the state it is in: the evidence is gathered from the database, and judged without it.

use std::time::Duration;

use contracts::{
    InstanceId, NodeId,
    wire::v1::{ExplainNodeResponse, Finding, FindingKind},
};
use humantime::format_duration;
use sqlx::PgPool;
use time::OffsetDateTime;

use super::{
    slot::{SlotState, StateReason},
    store::{self, NodeFacts, ShownSlot, Span, SpanEnd},
};
use crate::{
    audit::{self, Act},
    failure::Fault,
    presence::{
        self,
        health::{DegradedBecause, Health, OfflineBecause},
        service_time::{Window, instant_after, service_since},
    },
    sessions::{self, session::SessionState},
    settings::Cadence,
    wire,
};

/// Spans that are looked at.
const SPANS_MAX: i64 = 10;

/// What a verdict on a node rests on.
#[derive(Clone, Debug)]
pub(super) struct Evidence {
    /// The slot that the verdict is about, with its session's floor.
    shown: ShownSlot,
    session: SessionState,
    cadence: Cadence,
    /// When the node was revoked everywhere.
    revoked_at: Option<OffsetDateTime>,
    /// Latest spans of the node, newest first.
    spans: Vec<Span>,
    /// What owners and admins did to the node and its session, newest first.
    acts: Vec<Act>,
    /// Windows of service, newest first.
    windows: Vec<Window>,
    /// When the mass-offline brake began to hold, if that is stored.
    brake_since: Option<OffsetDateTime>,
    now: OffsetDateTime,
}

impl Evidence {
    /// The latest act of this kind, in the slot's session if it is done in one.
    fn act(&self, action: &str) -> Option<&Act> {
        let here = self.shown.slot.session_id;
        self.acts.iter().find(|act| act.action == action && act.session_id.is_none_or(|there| there == here))
    }

    /// Since when the brake holds, if it does.
    fn holding_since(&self) -> Option<OffsetDateTime> {
        self.brake_since.filter(|since| self.now - *since < self.cadence.brake_hold())
    }
}

/// Gathers the evidence on the first of these slots.
pub(super) async fn gather(
    db: &PgPool,
    cadence: &Cadence,
    node_id: &NodeId,
    facts: NodeFacts,
    slots: Vec<ShownSlot>,
) -> Result<Evidence, Fault> {
    let shown = slots.into_iter().next().ok_or_else(|| Fault::Statement(sqlx::Error::RowNotFound))?;
    let (windows, now) = presence::store::windows(db).await?;
    Ok(Evidence {
        session: sessions::store::state(db, shown.slot.session_id).await?,
        acts: audit::store::latest_acts(db, node_id, shown.slot.session_id).await?,
        shown,
        cadence: *cadence,
        revoked_at: facts.revoked_at,
        spans: store::latest_spans(db, facts.node_key, SPANS_MAX).await?,
        windows,
        brake_since: presence::store::held_since(db).await?,
        now,
    })
}

/// Judges the evidence: one sentence, and the findings it rests on, the decisive one first.
pub(super) fn explain(evidence: &Evidence) -> ExplainNodeResponse {
    let mut findings = Vec::new();
    let summary = [revoked, detached, presence, slot_degraded, registering]
        .into_iter()
        .find_map(|judge| judge(evidence, &mut findings))
        .unwrap_or_else(|| "online: it declared what it can do, and is heard in time".to_owned());
    let read_only = floor(evidence, &mut findings);
    contact(evidence, &mut findings);
    session(evidence, &mut findings);
    superseded(evidence, &mut findings);
    ExplainNodeResponse {
        node: Some(evidence.shown.slot.to_wire(&evidence.shown.floor)),
        summary: format!("{} is {summary}{}", evidence.shown.slot.node_id, read_only.unwrap_or_default()),
        findings,
    }
}

fn finding(kind: FindingKind, text: String, at: Option<OffsetDateTime>) -> Finding {
    Finding { kind: kind.into(), text, at: at.map(wire::timestamp) }
}

/// Who did it and why, as a clause.
fn by_whom(act: Option<&Act>) -> String {
    act.map(|act| format!(" by participant {}{}", act.actor, in_words(act.reason.as_deref())))
        .unwrap_or_default()
}

fn in_words(reason: Option<&str>) -> String {
    reason.map(|reason| format!(", with the words: {reason}")).unwrap_or_default()
}

fn revoked(evidence: &Evidence, findings: &mut Vec<Finding>) -> Option<String> {
    if let Some(at) = evidence.revoked_at {
        let text =
            format!("the node was revoked everywhere{}", by_whom(evidence.act("node.revoke_everywhere")));
        findings.push(finding(FindingKind::Revoked, text, Some(at)));
        return Some("revoked everywhere, for ever".to_owned());
    }
    match evidence.shown.slot.state {
        SlotState::Revoked => {
            let act = evidence.act("node.revoke");
            let text = format!("its slot was revoked{}", by_whom(act));
            let ended = evidence.spans.first().and_then(|span| span.end.as_ref()).map(|(at, _, _)| *at);
            findings.push(finding(FindingKind::Revoked, text, act.map(|act| act.at).or(ended)));
            Some("revoked in this session, for ever".to_owned())
        }
        SlotState::Registering | SlotState::Online | SlotState::Degraded(_) | SlotState::Offline => None,
    }
}

fn detached(evidence: &Evidence, findings: &mut Vec<Finding>) -> Option<String> {
    if evidence.shown.slot.state != SlotState::Offline {
        return None;
    }
    let span = evidence.spans.iter().find(|span| span.generation == evidence.shown.slot.generation);
    let Some((span, (at, cause, reason))) = span.and_then(|span| Some((span, span.end.as_ref()?))) else {
        return Some("detached".to_owned());
    };
    // By somebody else, if the audit tells of it while the span went on: a daemon's own detach is no matter of the audit.
    let taken_out = evidence.act("node.detach").filter(|act| (span.started_at..=*at).contains(&act.at));
    let words = in_words(reason.as_deref());
    let (kind, text, summary) = match (cause, taken_out) {
        (SpanEnd::Detached, Some(act)) => (
            FindingKind::Detached,
            format!("it was taken out of its slot{}", by_whom(Some(act))),
            "detached by an owner or admin, and may attach again",
        ),
        (SpanEnd::Detached, None) => {
            (FindingKind::Detached, format!("the daemon gave its slot back{words}"), "detached by its daemon")
        }
        (SpanEnd::SessionClosed, _) => (
            FindingKind::SessionNotActive,
            format!("the session was closed{}", by_whom(evidence.act("session.close"))),
            "detached, for its session was closed",
        ),
        (SpanEnd::Superseded, _) => {
            (FindingKind::Superseded, format!("a newer attach took the slot{words}"), "detached")
        }
        (SpanEnd::Revoked, _) => (FindingKind::Revoked, format!("it was revoked{words}"), "detached"),
        (SpanEnd::Transferred, _) => (
            FindingKind::Transferred,
            format!(
                "the node was given to participant {}{}",
                evidence.shown.slot.participant_id,
                by_whom(evidence.act("node.transfer"))
            ),
            "detached by a transfer: its new owner's daemon has to attach",
        ),
    };
    findings.push(finding(kind, text, Some(*at)));
    Some(summary.to_owned())
}

fn presence(evidence: &Evidence, findings: &mut Vec<Finding>) -> Option<String> {
    let presence = evidence.shown.slot.presence?;
    let cadence = &evidence.cadence;
    let (threshold, word) = match presence.health {
        Health::Degraded(DegradedBecause::Silence) => (cadence.degraded_after(), "degraded"),
        Health::Offline(OfflineBecause::Silence) => (cadence.offline_after(), "offline"),
        Health::Degraded(DegradedBecause::SelfReported) => {
            findings.push(finding(
                FindingKind::SelfReported,
                "its last beat reported it degraded".to_owned(),
                Some(presence.last_heartbeat_at),
            ));
            return Some("degraded by its own word".to_owned());
        }
        Health::Online | Health::Offline(OfflineBecause::Detached | OfflineBecause::Revoked) => return None,
    };
    findings.push(finding(
        FindingKind::Silence,
        format!(
            "the sweep marked it {word}: it was silent for more than {} of service time",
            format_duration(threshold)
        ),
        instant_after(&evidence.windows, cadence.heartbeat_interval(), presence.last_heartbeat_at, threshold),
    ));
    let is_held = word == "degraded" && evidence.holding_since().is_some();
    let held = if is_held { ", and not offline because the mass-offline brake holds" } else { "" };
    Some(format!("{word} because it is silent{held}"))
}

fn slot_degraded(evidence: &Evidence, findings: &mut Vec<Finding>) -> Option<String> {
    let reasons = evidence.shown.slot.state.reasons();
    for reason in reasons {
        let (kind, text) = match reason {
            StateReason::SelfReported(None) => {
                (FindingKind::SelfReported, "the daemon reported itself degraded".to_owned())
            }
            StateReason::SelfReported(Some(reason)) => {
                (FindingKind::SelfReported, format!("the daemon reported itself degraded: {reason}"))
            }
            StateReason::Unsupported(unsupported) => (
                FindingKind::UnsupportedDeclaration,
                format!(
                    "capability {} names what this server does not know: {}",
                    unsupported.capability_key, unsupported.value
                ),
            ),
        };
        findings.push(finding(kind, text, None));
    }
    (!reasons.is_empty())
        .then(|| "heard, and its slot is degraded by what it declared or reported".to_owned())
}

fn registering(evidence: &Evidence, findings: &mut Vec<Finding>) -> Option<String> {
    match evidence.shown.slot.state {
        SlotState::Registering => {
            findings.push(finding(
                FindingKind::NotDeclared,
                "it has declared nothing since its last attach".to_owned(),
                None,
            ));
            Some("registering: attached, and waiting for its declaration".to_owned())
        }
        SlotState::Online | SlotState::Degraded(_) | SlotState::Offline | SlotState::Revoked => None,
    }
}

fn contact(evidence: &Evidence, findings: &mut Vec<Finding>) {
    let Some(presence) = evidence.shown.slot.presence else { return };
    let wall: Duration = (evidence.now - presence.last_heartbeat_at).try_into().unwrap_or_default();
    let service = service_since(&evidence.windows, presence.last_heartbeat_at);
    findings.push(finding(
        FindingKind::LastContact,
        format!(
            "it was heard last {} ago; {} of that is service time, which silence is counted in",
            format_duration(whole_seconds(wall)),
            format_duration(whole_seconds(service)),
        ),
        Some(presence.last_heartbeat_at),
    ));
    findings.push(finding(
        FindingKind::Thresholds,
        format!(
            "degraded after {} of silence, offline after {}; a beat is due every {}",
            format_duration(evidence.cadence.degraded_after()),
            format_duration(evidence.cadence.offline_after()),
            format_duration(evidence.cadence.heartbeat_interval()),
        ),
        None,
    ));
    let interruptions = evidence
        .windows
        .iter()
        .zip(evidence.windows.iter().skip(1))
        .filter(|(_, older)| older.proven_until > presence.last_heartbeat_at);
    for (newer, older) in interruptions {
        findings.push(finding(
            FindingKind::ServiceGap,
            format!(
                "the service itself was interrupted; silence counts again {} {}",
                if newer.counts_from > evidence.now { "from" } else { "since" },
                newer.counts_from.replace_nanosecond(0).unwrap_or(newer.counts_from)
            ),
            Some(older.proven_until),
        ));
    }
    if let Some(since) = evidence.holding_since() {
        findings.push(finding(
            FindingKind::Brake,
            format!(
                "most of the fleet fell silent at once: nobody is called offline for {}",
                format_duration(evidence.cadence.brake_hold())
            ),
            Some(since),
        ));
    }
}

/// Says so when the node is read-only, and gives the clause of the summary for one that is attached.
fn floor(evidence: &Evidence, findings: &mut Vec<Finding>) -> Option<String> {
    let ShownSlot { slot, floor } = &evidence.shown;
    if !floor.is_above(&slot.client_version) {
        return None;
    }
    let below =
        format!("its version {} is below the session's floor {}", slot.client_version, floor.to_wire());
    findings.push(finding(FindingKind::BelowFloor, format!("it is read-only: {below}"), None));
    slot.state.is_active().then(|| format!("; and read-only, for {below}"))
}

fn session(evidence: &Evidence, findings: &mut Vec<Finding>) {
    match evidence.session {
        SessionState::Active => {}
        SessionState::Archived => {
            let act = evidence.act("session.archive");
            let text = format!("the session was archived{}: it takes no further nodes", by_whom(act));
            findings.push(finding(FindingKind::SessionNotActive, text, act.map(|act| act.at)));
        }
        SessionState::Closed => {
            let is_told = findings.iter().any(|finding| finding.kind() == FindingKind::SessionNotActive);
            if !is_told {
                let act = evidence.act("session.close");
                let text = format!("the session was closed{}", by_whom(act));
                findings.push(finding(FindingKind::SessionNotActive, text, act.map(|act| act.at)));
            }
        }
    }
}

fn superseded(evidence: &Evidence, findings: &mut Vec<Finding>) {
    for (newer, older) in evidence.spans.iter().zip(evidence.spans.iter().skip(1)) {
        let Some((at, SpanEnd::Superseded, _)) = &older.end else { continue };
        let describe =
            |instance: InstanceId, generation| format!("instance {instance} (generation {generation})");
        findings.push(finding(
            FindingKind::Superseded,
            format!(
                "{} was superseded by {}, which attached at {}",
                describe(older.instance_id, older.generation),
                describe(newer.instance_id, newer.generation),
                newer.started_at.replace_nanosecond(0).unwrap_or(newer.started_at)
            ),
            Some(*at),
        ));
    }
}

fn whole_seconds(duration: Duration) -> Duration {
    Duration::from_secs(duration.as_secs())
}
