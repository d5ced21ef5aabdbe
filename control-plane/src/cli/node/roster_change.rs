//! What changed about a node, in a few words. Pure.

use std::time::SystemTime;

use contracts::wire::v1::{PresenceCause, PresenceHealth, RuntimeNode, SlotState};

use crate::cli::{
    age::ago,
    node::text::{reason, yes_or_no},
    wire_word::word,
};

/// The differences between what was held of a node and what it is now; a node that was not held is told whole.
pub(crate) fn describe(before: Option<&RuntimeNode>, after: &RuntimeNode, now: SystemTime) -> String {
    let Some(before) = before else {
        return format!(
            "slot {}, health {}, read-only {}, version {}, generation {}",
            slot(after),
            health(after),
            yes_or_no(after.read_only),
            after.client_version,
            after.generation
        );
    };
    let mut changes = Vec::new();
    let mut compare = |what: &str, old: String, new: String| {
        if old != new {
            changes.push(format!("{what} {old} -> {new}"));
        }
    };
    compare("slot", slot(before), slot(after));
    compare("health", health(before), health(after));
    compare("read-only", yes_or_no(before.read_only).into(), yes_or_no(after.read_only).into());
    compare("version", before.client_version.clone(), after.client_version.clone());
    compare("generation", before.generation.to_string(), after.generation.to_string());
    if before.declaration != after.declaration {
        changes.push("declaration changed".to_owned());
    }
    if changes.is_empty() {
        let heard = after.presence.as_ref().and_then(|presence| presence.last_heartbeat_at.as_ref());
        return format!("no visible change, last heard {}", ago(heard, now));
    }
    changes.join(", ")
}

/// The slot's state, with the reasons when it has any.
fn slot(node: &RuntimeNode) -> String {
    let state = word::<SlotState>(node.slot_state);
    if node.state_reasons.is_empty() {
        return state;
    }
    let reasons: Vec<String> = node.state_reasons.iter().map(reason).collect();
    format!("{state} ({})", reasons.join("; "))
}

/// The health, with its cause where that is not plain.
fn health(node: &RuntimeNode) -> String {
    let Some(presence) = &node.presence else {
        return "-".to_owned();
    };
    let health = word::<PresenceHealth>(presence.health);
    if presence.health() == PresenceHealth::Online {
        return health;
    }
    format!("{health} ({})", word::<PresenceCause>(presence.cause))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use contracts::wire::v1::{Declaration, Presence, StateReason, StateReasonKind};

    use super::*;
    use crate::cli::fake_server::node;

    fn now() -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_secs(1_700_000_003)
    }

    #[test]
    fn only_what_differs_is_told() {
        let mut silent = node("laptop-1");
        silent.presence = Some(Presence {
            health: PresenceHealth::Degraded.into(),
            cause: PresenceCause::Silence.into(),
            last_heartbeat_at: None,
        });
        silent.read_only = true;
        assert_eq!(
            describe(Some(&node("laptop-1")), &silent, now()),
            "health online -> degraded (silence), read-only no -> yes"
        );
    }

    #[test]
    fn a_degraded_slot_says_why() {
        let mut unwell = node("laptop-1");
        unwell.slot_state = SlotState::Degraded.into();
        unwell.state_reasons = vec![StateReason {
            kind: StateReasonKind::SelfReported.into(),
            detail: "disk full".into(),
            ..StateReason::default()
        }];
        unwell.declaration = Some(Declaration::default());
        assert_eq!(
            describe(Some(&node("laptop-1")), &unwell, now()),
            "slot online -> degraded (self_reported: disk full), declaration changed"
        );
    }

    #[test]
    fn a_new_node_is_told_whole_and_an_unchanged_one_has_its_age() {
        assert_eq!(
            describe(None, &node("laptop-1"), now()),
            "slot online, health online, read-only no, version 1.0, generation 4"
        );
        assert_eq!(
            describe(Some(&node("laptop-1")), &node("laptop-1"), now()),
            "no visible change, last heard 3s ago"
        );
    }
}
