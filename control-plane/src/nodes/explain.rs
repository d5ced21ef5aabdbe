//! Why a node is in the state it is in: the evidence is gathered from the database, and judged without it.

use std::time::Duration;

use contracts::{
    InstanceId,
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
    failure::Fault,
    presence::{
        self,
        health::{DegradedBecause, Health, OfflineBecause},
        service_time::{Window, service_since},
    },
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
    cadence: Cadence,
    /// When the node was revoked everywhere.
    revoked_at: Option<OffsetDateTime>,
    /// Latest spans of the node, newest first.
    spans: Vec<Span>,
    /// Windows of service, newest first.
    windows: Vec<Window>,
    /// When the mass-offline brake began to hold, if that is stored.
    brake_since: Option<OffsetDateTime>,
    now: OffsetDateTime,
}

/// Gathers the evidence on the first of these slots.
pub(super) async fn gather(
    db: &PgPool,
    cadence: &Cadence,
    facts: NodeFacts,
    slots: Vec<ShownSlot>,
) -> Result<Evidence, Fault> {
    let shown = slots.into_iter().next().ok_or_else(|| Fault::Statement(sqlx::Error::RowNotFound))?;
    let (windows, now) = presence::store::windows(db).await?;
    Ok(Evidence {
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
    contact(evidence, &mut findings);
    floor(evidence, &mut findings);
    superseded(evidence, &mut findings);
    ExplainNodeResponse {
        node: Some(evidence.shown.slot.to_wire(&evidence.shown.floor)),
        summary: format!("{} is {summary}", evidence.shown.slot.node_id),
        findings,
    }
}

fn finding(kind: FindingKind, text: String, at: Option<OffsetDateTime>) -> Finding {
    Finding { kind: kind.into(), text, at: at.map(wire::timestamp) }
}

fn revoked(evidence: &Evidence, findings: &mut Vec<Finding>) -> Option<String> {
    if let Some(at) = evidence.revoked_at {
        findings.push(finding(FindingKind::Revoked, "the node was revoked everywhere".to_owned(), Some(at)));
        return Some("revoked everywhere, for ever".to_owned());
    }
    match evidence.shown.slot.state {
        SlotState::Revoked => {
            let at = evidence.spans.first().and_then(|span| span.end.as_ref()).map(|(at, _, _)| *at);
            findings.push(finding(FindingKind::Revoked, "its slot was revoked".to_owned(), at));
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
    let Some((at, cause, reason)) = span.and_then(|span| span.end.as_ref()) else {
        return Some("detached".to_owned());
    };
    let reason = reason.as_ref().map(|reason| format!(", with the words: {reason}")).unwrap_or_default();
    let (kind, text, summary) = match cause {
        SpanEnd::Detached => {
            (FindingKind::Detached, "the daemon gave its slot back", "detached by its daemon")
        }
        SpanEnd::SessionClosed => {
            (FindingKind::SessionNotActive, "the session was closed", "detached, for its session was closed")
        }
        SpanEnd::Superseded => (FindingKind::Superseded, "a newer attach took the slot", "detached"),
        SpanEnd::Revoked => (FindingKind::Revoked, "it was revoked", "detached"),
        SpanEnd::Transferred => {
            (FindingKind::Detached, "the node was given to another participant", "detached by a transfer")
        }
    };
    findings.push(finding(kind, format!("{text}{reason}"), Some(*at)));
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
        None,
    ));
    Some(format!("{word} because it is silent"))
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
                "the service itself was interrupted; silence counts again since {}",
                newer.counts_from.replace_nanosecond(0).unwrap_or(newer.counts_from)
            ),
            Some(older.proven_until),
        ));
    }
    if let Some(since) =
        evidence.brake_since.filter(|since| evidence.now - *since < evidence.cadence.brake_hold())
    {
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

fn floor(evidence: &Evidence, findings: &mut Vec<Finding>) {
    let ShownSlot { slot, floor } = &evidence.shown;
    if floor.is_above(&slot.client_version) {
        findings.push(finding(
            FindingKind::BelowFloor,
            format!(
                "it is read-only: its version {} is below the session's floor {}",
                slot.client_version,
                floor.to_wire()
            ),
            None,
        ));
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
