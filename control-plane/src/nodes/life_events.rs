//! What is told of a node's slot in the log of its session. The facts, and nothing secret: of a declaration the keys.

use contracts::{
    InstanceId,
    log::{Actor, EventKey, NodeChange},
};
use serde::Serialize;

use super::{slot::Slot, store::SpanEnd};
use crate::event_log::Happening;

/// What changed, with the facts that the slot itself does not show.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Change<'a> {
    /// This instance took the slot.
    Attached(InstanceId),
    /// Its daemon declared or reported something else.
    CapabilitiesChanged,
    /// The slot ended.
    Detached(SpanEnd, Option<&'a str>),
    /// The node and all that was known of it was forgotten, its active slot with it.
    Forgotten(&'a str),
    /// The slot is revoked, for ever.
    Revoked(&'a str),
}

/// The payload, as JSON. A field is never renamed or removed; new ones may come.
#[derive(Debug, Serialize)]
struct Facts<'a> {
    node_id: &'a str,
    participant_id: String,
    attachment_id: String,
    generation: i64,
    client_version: &'a str,
    state: &'static str,
    capabilities: Vec<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    instance_id: Option<String>,
    /// Why the slot ended, in a word.
    #[serde(skip_serializing_if = "Option::is_none")]
    cause: Option<&'static str>,
    /// Why, in the words of who did it.
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'a str>,
}

/// Tells of a change of a slot, as it is after the change.
pub(crate) fn told(actor: Actor, slot: &Slot, change: Change<'_>) -> Happening {
    let (kind, instance_id, cause, reason) = match change {
        Change::Attached(instance) => (NodeChange::Attached, Some(instance.to_string()), None, None),
        Change::CapabilitiesChanged => (NodeChange::CapabilitiesChanged, None, None, None),
        Change::Detached(end, reason) => (NodeChange::Detached, None, Some(end.as_str()), reason),
        Change::Forgotten(reason) => (NodeChange::Detached, None, Some("forgotten"), Some(reason)),
        Change::Revoked(reason) => (NodeChange::Revoked, None, Some("revoked"), Some(reason)),
    };
    let state = match change {
        // It is gone by now; as it was it was attached.
        Change::Forgotten(_) => "offline",
        Change::Attached(_) | Change::CapabilitiesChanged | Change::Detached(..) | Change::Revoked(_) => {
            slot.state.as_str()
        }
    };
    let facts = Facts {
        node_id: slot.node_id.as_str(),
        participant_id: slot.participant_id.to_string(),
        attachment_id: slot.attachment_id.to_string(),
        generation: slot.generation,
        client_version: slot.client_version.as_str(),
        state,
        capabilities: slot.declaration.keys().collect(),
        instance_id,
        cause,
        reason,
    };
    Happening {
        session_id: slot.session_id,
        actor,
        event_type: kind.event_type(),
        key: EventKey::of_node(&slot.node_id),
        // Texts and numbers are always JSON.
        payload: serde_json::to_vec(&facts).unwrap_or_default(),
    }
}
