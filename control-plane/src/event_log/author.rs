//! Who appends, and whether it may. No I/O, no clock.

use contracts::{NodeId, ParticipantId, Refusal, log::Actor};

use super::{refusals, store::Judged};
use crate::{
    failure::Failure,
    nodes::{
        refusals as of_nodes,
        standing::{Standing, judge},
    },
    sessions::session::Role,
};

/// Who appends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Author {
    /// A participant, in person.
    Participant(ParticipantId),
    /// A node, by its owner.
    Node {
        /// The node.
        node_id: NodeId,
        /// Generation that its daemon holds.
        generation: i64,
        /// Who calls.
        owner: ParticipantId,
    },
}

impl Author {
    /// Who calls.
    pub(super) fn participant(&self) -> ParticipantId {
        match self {
            Self::Participant(participant) | Self::Node { owner: participant, .. } => *participant,
        }
    }

    /// Name of the node; empty for a participant.
    pub(super) fn node_name(&self) -> &str {
        match self {
            Self::Participant(_) => "",
            Self::Node { node_id, .. } => node_id.as_str(),
        }
    }

    /// Generation of the node; 0 for a participant.
    pub(super) fn generation(&self) -> i64 {
        match self {
            Self::Participant(_) => 0,
            Self::Node { generation, .. } => *generation,
        }
    }

    /// What its events say of who appended them.
    pub(super) fn actor(&self) -> Actor {
        match self {
            Self::Participant(participant) => Actor::Participant(*participant),
            Self::Node { node_id, .. } => Actor::Node(node_id.clone()),
        }
    }

    /// Whether it is somebody who appends here at all: permission, revoked, not attached, generation. Whoever may is told
    /// of what it appended before.
    ///
    /// # Errors
    ///
    /// The first of these that is against it.
    pub(super) fn check_standing(&self, judged: &Judged) -> Result<(), Refusal> {
        let role = judged.session.and(judged.role).ok_or_else(Refusal::permission_denied)?;
        match self {
            Self::Participant(_) => match role {
                Role::Owner | Role::Collaborator => Ok(()),
                Role::RuntimeContributor | Role::Viewer => Err(Refusal::permission_denied()),
            },
            Self::Node { node_id, .. } => {
                let node = judged.node.as_ref().filter(|_| role.runs_nodes());
                let node = node.ok_or_else(Refusal::permission_denied)?;
                let standing = judge(node.known);
                if node.is_revoked_here || standing == Standing::Revoked {
                    return Err(of_nodes::revoked(node_id));
                }
                match standing {
                    Standing::Holds if node.holds_with.is_some() => Ok(()),
                    // It holds its slot in another session.
                    Standing::Holds | Standing::Detached | Standing::NotAttached => {
                        Err(of_nodes::not_attached(node_id))
                    }
                    Standing::Superseded => Err(of_nodes::superseded(node_id)),
                    Standing::Revoked => Err(of_nodes::revoked(node_id)),
                }
            }
        }
    }

    /// Whether what it appends now may be written: the session's state, and for a node its floor.
    ///
    /// # Errors
    ///
    /// The session takes nothing more, or the node is below its floor. A floor that cannot be read lets no node pass.
    pub(super) fn check_session(&self, judged: &Judged) -> Result<(), Failure> {
        let state = judged.session.ok_or_else(Refusal::permission_denied)?;
        if !state.takes_nodes() {
            return Err(refusals::session_not_active(state.as_str()).into());
        }
        let version = judged.node.as_ref().and_then(|node| node.holds_with.as_ref());
        match (version, judged.floor.version()) {
            (None, _) | (Some(_), Ok(None)) => Ok(()),
            (Some(version), Ok(Some(floor))) if version < floor => {
                Err(of_nodes::below_floor(version, floor).into())
            }
            (Some(_), Ok(Some(_))) => Ok(()),
            (Some(_), Err(fault)) => Err(fault.into()),
        }
    }
}
