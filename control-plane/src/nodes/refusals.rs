//! What the verbs of this folder refuse, in words that tell the caller what to do. No message names another session,
//! an owner, or anything else that the caller might not see.

use contracts::{Code, EventEnvelopeVersion, NodeId, Refusal};

pub(crate) fn revoked(node_id: &NodeId) -> Refusal {
    Refusal::new(
        Code::RuntimeNodeAttachRevoked,
        format!("node {node_id} was revoked for this session, for ever. Ask an owner of the session"),
    )
}

pub(super) fn active_elsewhere(node_id: &NodeId) -> Refusal {
    Refusal::new(
        Code::RuntimeNodeAttachConflict,
        format!(
            "node {node_id} is active in another session. Detach it there first; a node has one active slot"
        ),
    )
}

pub(crate) fn superseded(node_id: &NodeId) -> Refusal {
    Refusal::new(
        Code::RuntimeNodeGenerationSuperseded,
        format!(
            "a newer attach of node {node_id} holds its slot: another daemon runs under this id. Stop one of the \
             two, or give them ids of their own"
        ),
    )
}

pub(crate) fn not_attached(node_id: &NodeId) -> Refusal {
    Refusal::new(
        Code::RuntimeNodeNotAttached,
        format!("node {node_id} has no active slot under this generation. Attach it again"),
    )
}

pub(super) fn online_undeclared(node_id: &NodeId) -> Refusal {
    Refusal::new(
        Code::RuntimeNodeCapabilityUpdateConflict,
        format!(
            "node {node_id} cannot be online, for it has declared nothing. Send a declaration with the health"
        ),
    )
}

pub(crate) fn below_floor(version: &EventEnvelopeVersion, floor: &EventEnvelopeVersion) -> Refusal {
    Refusal::new(
        Code::VersionFloorExceeded,
        format!("version {version} is below the session's floor {floor}: the node is read-only. Upgrade it"),
    )
    .with_fact("client_version", version.as_str())
    .with_fact("min_client_version", floor.as_str())
}

pub(super) fn above_ceiling(version: &EventEnvelopeVersion, server: &EventEnvelopeVersion) -> Refusal {
    Refusal::new(
        Code::VersionCeilingExceeded,
        format!(
            "version {version} is a breaking step above this server's {server}. Upgrade the server, or run an older \
             daemon"
        ),
    )
    .with_fact("client_version", version.as_str())
    .with_fact("server_version", server.as_str())
}

pub(super) fn session_not_active(state: &str) -> Refusal {
    Refusal::new(
        Code::SessionNotActive,
        format!(
            "the session is {state} and takes no nodes. Attach to an active one: `rollcall session list`"
        ),
    )
    .with_fact("state", state)
}
