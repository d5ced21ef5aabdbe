//! The JSON of `rollcall node ... --json`. A field is never renamed or removed; new ones may come.

use contracts::wire::v1;
use prost_types::value::Kind;
use serde::Serialize;

use crate::cli::{age::rfc3339, wire_word::word};

/// A node's slot in one session, and its presence.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Node {
    node_id: String,
    session_id: String,
    participant_id: String,
    attachment_id: String,
    generation: u64,
    /// `registering`, `online`, `degraded`, `offline` or `revoked`.
    slot_state: String,
    /// Null when the node's presence belongs to another slot by now.
    presence: Option<Presence>,
    read_only: bool,
    client_version: String,
    /// Null when nothing was declared.
    declaration: Option<Declaration>,
    state_reasons: Vec<StateReason>,
    attached_at: Option<String>,
}

#[derive(Clone, Debug, Serialize)]
struct Presence {
    /// `online`, `degraded` or `offline`.
    health: String,
    /// `self_reported`, `silence`, `detached` or `revoked`.
    cause: String,
    last_heartbeat_at: Option<String>,
}

#[derive(Clone, Debug, Serialize)]
struct StateReason {
    /// `self_reported`, `unsupported_contract_version`, `unsupported_feature` or `unsupported_idempotency_class`.
    kind: String,
    /// Null when the reason is about the node as a whole.
    capability_key: Option<String>,
    detail: String,
}

#[derive(Clone, Debug, Serialize)]
struct Declaration {
    capabilities: Vec<Capability>,
}

#[derive(Clone, Debug, Serialize)]
struct Capability {
    key: String,
    contract_version: String,
    features: Vec<String>,
    tools: Vec<Tool>,
    /// As the node declared them; null when it did not.
    details: Option<serde_json::Value>,
}

#[derive(Clone, Debug, Serialize)]
struct Tool {
    name: String,
    /// `idempotent`, `compensable` or `manual_reconcile_only`.
    idempotency_class: String,
    description: String,
}

/// The answer of list.
#[derive(Debug, Serialize)]
pub(crate) struct Nodes {
    pub(crate) nodes: Vec<Node>,
}

/// The answer of get.
#[derive(Debug, Serialize)]
pub(crate) struct NodeWithSlots {
    pub(crate) node_id: String,
    pub(crate) first_seen_at: Option<String>,
    /// Of the node's last attach or revocation.
    pub(crate) generation: u64,
    /// The one attached last first.
    pub(crate) slots: Vec<Node>,
}

/// The answer of explain.
#[derive(Debug, Serialize)]
pub(crate) struct Explanation {
    pub(crate) node: Option<Node>,
    pub(crate) summary: String,
    /// The decisive one first.
    pub(crate) findings: Vec<Finding>,
}

#[derive(Debug, Serialize)]
pub(crate) struct Finding {
    /// `last_contact`, `thresholds`, `silence`, `self_reported`, `unsupported_declaration`, `not_declared`,
    /// `below_floor`, `detached`, `revoked`, `superseded`, `service_gap`, `brake` or `session_not_active`.
    kind: String,
    text: String,
    /// Null where the fact has no time.
    at: Option<String>,
}

/// The answer of detach.
#[derive(Debug, Serialize)]
pub(crate) struct Detached {
    /// As it is now; as it would be when `dry_run` is true.
    pub(crate) node: Node,
    pub(crate) dry_run: bool,
    /// As the audit names it.
    pub(crate) request_id: String,
}

/// The answer of revoke.
#[derive(Debug, Serialize)]
pub(crate) struct Revoked {
    /// As they are now; as they would be when `dry_run` is true.
    pub(crate) slots: Vec<Node>,
    pub(crate) dry_run: bool,
    /// As the audit names it.
    pub(crate) request_id: String,
}

/// The answer of transfer.
#[derive(Debug, Serialize)]
pub(crate) struct Transferred {
    pub(crate) node_id: String,
    /// The new owner.
    pub(crate) participant_id: String,
    /// Fences the former owner's daemon.
    pub(crate) generation: u64,
    pub(crate) dry_run: bool,
    /// As the audit names it.
    pub(crate) request_id: String,
}

/// The answer of forget.
#[derive(Debug, Serialize)]
pub(crate) struct Forgotten {
    pub(crate) node_id: String,
    pub(crate) dry_run: bool,
    /// As the audit names it.
    pub(crate) request_id: String,
}

/// One line of watch.
#[derive(Debug, Serialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub(crate) enum WatchEvent {
    /// A part of the snapshot.
    SnapshotChunk { nodes: Vec<Node> },
    /// The snapshot is complete.
    SnapshotEnd { revision: String },
    /// One node changed.
    Change { revision: String, node: Box<Node> },
    /// Nothing changed up to this revision.
    Bookmark { revision: String },
    /// Forget what you hold, a snapshot follows. The reason is `slow_reader` or `revision_unknown` as the server says,
    /// or `connection_lost` when a snapshot was cut short.
    Resync { reason: String },
}

impl From<v1::RuntimeNode> for Node {
    fn from(node: v1::RuntimeNode) -> Self {
        Self {
            slot_state: word::<v1::SlotState>(node.slot_state),
            presence: node.presence.map(Presence::from),
            read_only: node.read_only,
            client_version: node.client_version,
            declaration: node.declaration.map(Declaration::from),
            state_reasons: node.state_reasons.into_iter().map(StateReason::from).collect(),
            attached_at: rfc3339(node.attached_at.as_ref()),
            node_id: node.node_id,
            session_id: node.session_id,
            participant_id: node.participant_id,
            attachment_id: node.attachment_id,
            generation: node.generation,
        }
    }
}

impl From<v1::Presence> for Presence {
    fn from(presence: v1::Presence) -> Self {
        Self {
            health: word::<v1::PresenceHealth>(presence.health),
            cause: word::<v1::PresenceCause>(presence.cause),
            last_heartbeat_at: rfc3339(presence.last_heartbeat_at.as_ref()),
        }
    }
}

impl From<v1::StateReason> for StateReason {
    fn from(reason: v1::StateReason) -> Self {
        Self {
            kind: word::<v1::StateReasonKind>(reason.kind),
            capability_key: Some(reason.capability_key).filter(|key| !key.is_empty()),
            detail: reason.detail,
        }
    }
}

impl From<v1::Declaration> for Declaration {
    fn from(declaration: v1::Declaration) -> Self {
        Self { capabilities: declaration.capabilities.into_iter().map(Capability::from).collect() }
    }
}

impl From<v1::Capability> for Capability {
    fn from(capability: v1::Capability) -> Self {
        Self {
            key: capability.key,
            contract_version: capability.contract_version,
            features: capability.features,
            tools: capability.tools.into_iter().map(Tool::from).collect(),
            details: capability.details.map(json_object),
        }
    }
}

impl From<v1::Tool> for Tool {
    fn from(tool: v1::Tool) -> Self {
        Self {
            name: tool.name,
            idempotency_class: word::<v1::IdempotencyClass>(tool.idempotency_class),
            description: tool.description,
        }
    }
}

impl From<v1::Finding> for Finding {
    fn from(finding: v1::Finding) -> Self {
        Self {
            kind: word::<v1::FindingKind>(finding.kind),
            text: finding.text,
            at: rfc3339(finding.at.as_ref()),
        }
    }
}

fn json_object(object: prost_types::Struct) -> serde_json::Value {
    object.fields.into_iter().map(|(name, value)| (name, json_value(value))).collect()
}

/// Recursion is bounded: the decoder refuses messages that nest deeper than it recurses itself.
fn json_value(value: prost_types::Value) -> serde_json::Value {
    match value.kind {
        None | Some(Kind::NullValue(_)) => serde_json::Value::Null,
        Some(Kind::BoolValue(value)) => value.into(),
        Some(Kind::NumberValue(number)) => json_number(number),
        Some(Kind::StringValue(text)) => text.into(),
        Some(Kind::StructValue(object)) => json_object(object),
        Some(Kind::ListValue(list)) => list.values.into_iter().map(json_value).collect(),
    }
}

/// The wire has only floating point numbers; a whole one is shown without `.0`, as it was written.
fn json_number(number: f64) -> serde_json::Value {
    const EXACT_MAX: f64 = 9_007_199_254_740_992.0;
    if number.fract() == 0.0 && number.abs() <= EXACT_MAX {
        return (number as i64).into();
    }
    number.into()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::cli::fake_server::node;

    #[test]
    fn a_bare_node_has_this_shape() {
        let bare = v1::RuntimeNode { node_id: "laptop-1".into(), ..v1::RuntimeNode::default() };
        assert_eq!(
            serde_json::to_value(Node::from(bare)).unwrap(),
            json!({
                "node_id": "laptop-1",
                "session_id": "",
                "participant_id": "",
                "attachment_id": "",
                "generation": 0,
                "slot_state": "unknown",
                "presence": null,
                "read_only": false,
                "client_version": "",
                "declaration": null,
                "state_reasons": [],
                "attached_at": null,
            })
        );
    }

    #[test]
    fn a_full_node_has_this_shape() {
        let value = |kind| prost_types::Value { kind: Some(kind) };
        let details = [
            ("cores".to_owned(), value(Kind::NumberValue(8.0))),
            ("load".to_owned(), value(Kind::NumberValue(0.5))),
            (
                "tags".to_owned(),
                value(Kind::ListValue(prost_types::ListValue { values: vec![value(Kind::BoolValue(true))] })),
            ),
        ];
        let full = v1::RuntimeNode {
            slot_state: v1::SlotState::Degraded.into(),
            read_only: true,
            declaration: Some(v1::Declaration {
                capabilities: vec![v1::Capability {
                    key: "codex".into(),
                    contract_version: "1.0".into(),
                    features: vec!["teleport".into()],
                    tools: vec![v1::Tool {
                        name: "shell".into(),
                        idempotency_class: v1::IdempotencyClass::Compensable.into(),
                        description: "runs a command".into(),
                    }],
                    details: Some(prost_types::Struct { fields: details.into() }),
                }],
            }),
            state_reasons: vec![v1::StateReason {
                kind: v1::StateReasonKind::UnsupportedFeature.into(),
                capability_key: "codex".into(),
                detail: "teleport".into(),
            }],
            ..node("laptop-1")
        };
        assert_eq!(
            serde_json::to_value(Node::from(full)).unwrap(),
            json!({
                "node_id": "laptop-1",
                "session_id": "0198c5a2-6f1e-7c3a-9b54-2f8e1d0c7a61",
                "participant_id": "5f0c3a52-93d5-4a26-8f58-0f6a3f2f6f10",
                "attachment_id": "7d1b9b8e-2c1c-4a43-9a35-5b8f3f0f4c11",
                "generation": 4,
                "slot_state": "degraded",
                "presence": {
                    "health": "online",
                    "cause": "self_reported",
                    "last_heartbeat_at": "2023-11-14T22:13:20Z",
                },
                "read_only": true,
                "client_version": "1.0",
                "declaration": {
                    "capabilities": [{
                        "key": "codex",
                        "contract_version": "1.0",
                        "features": ["teleport"],
                        "tools": [{
                            "name": "shell",
                            "idempotency_class": "compensable",
                            "description": "runs a command",
                        }],
                        "details": {"cores": 8, "load": 0.5, "tags": [true]},
                    }],
                },
                "state_reasons": [
                    {"kind": "unsupported_feature", "capability_key": "codex", "detail": "teleport"},
                ],
                "attached_at": "2023-11-14T22:13:20Z",
            })
        );
    }

    #[test]
    fn watch_events_are_told_apart_by_their_event_field() {
        for (event, expected) in [
            (
                WatchEvent::SnapshotChunk { nodes: Vec::new() },
                json!({"event": "snapshot_chunk", "nodes": []}),
            ),
            (
                WatchEvent::SnapshotEnd { revision: "1".into() },
                json!({"event": "snapshot_end", "revision": "1"}),
            ),
            (WatchEvent::Bookmark { revision: "2".into() }, json!({"event": "bookmark", "revision": "2"})),
            (
                WatchEvent::Resync { reason: "slow_reader".into() },
                json!({"event": "resync", "reason": "slow_reader"}),
            ),
        ] {
            assert_eq!(serde_json::to_value(event).unwrap(), expected);
        }
        let change = WatchEvent::Change { revision: "3".into(), node: Box::new(node("laptop-1").into()) };
        let change = serde_json::to_value(change).unwrap();
        assert_eq!((&change["event"], &change["node"]["node_id"]), (&json!("change"), &json!("laptop-1")));
    }
}
