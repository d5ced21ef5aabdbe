//! What the control plane tells of runtime nodes: the types and the key of its own events.

use super::{ContentType, EventKey, EventType};
use crate::NodeId;

/// What became of a node in a session. Its event is written in the transaction that did it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum NodeChange {
    /// It took its slot, under a generation of its own.
    Attached,
    /// It declared something else, or reported another health.
    CapabilitiesChanged,
    /// Its slot ended.
    Detached,
    /// It was barred, for ever.
    Revoked,
}

impl NodeChange {
    /// Every change.
    pub const ALL: [Self; 4] = [Self::Attached, Self::CapabilitiesChanged, Self::Detached, Self::Revoked];

    /// The type of its event, as text.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Attached => "runtime_node.attached",
            Self::CapabilitiesChanged => "runtime_node.capabilities_changed",
            Self::Detached => "runtime_node.detached",
            Self::Revoked => "runtime_node.revoked",
        }
    }

    /// The type of its event.
    pub fn event_type(self) -> EventType {
        EventType(self.as_str().to_owned())
    }
}

impl EventKey {
    /// The key of all that is told of a node: the latest event under it says how the node is.
    pub fn of_node(node_id: &NodeId) -> Self {
        Self(format!("runtime_node/{node_id}"))
    }
}

impl ContentType {
    /// Of the payloads that the control plane writes.
    pub fn json() -> Self {
        Self("application/json".to_owned())
    }
}
