//! A session and its states. No I/O, no clock.

use contracts::{ParticipantId, SessionId, wire::v1};
use time::OffsetDateTime;

use super::floor::Floor;
use crate::{postgres::stored::stored_enum, wire};

stored_enum! {
    /// Where a session stands: active, then archived or not, then closed for ever.
    pub enum SessionState in "sessions"."state" {
        /// Nodes may attach.
        Active = "active",
        /// Takes no new nodes.
        Archived = "archived",
        /// Over.
        Closed = "closed",
    }
}

impl SessionState {
    /// Whether nodes may attach.
    pub fn takes_nodes(self) -> bool {
        match self {
            Self::Active => true,
            Self::Archived | Self::Closed => false,
        }
    }

    fn to_wire(self) -> v1::SessionState {
        match self {
            Self::Active => v1::SessionState::Active,
            Self::Archived => v1::SessionState::Archived,
            Self::Closed => v1::SessionState::Closed,
        }
    }
}

stored_enum! {
    /// What a member may do.
    pub enum Role in "session_memberships"."role" {
        /// Everything.
        Owner = "owner",
        /// Runs nodes and works.
        Collaborator = "collaborator",
        /// Runs nodes.
        RuntimeContributor = "runtime_contributor",
        /// Looks on.
        Viewer = "viewer",
    }
}

impl Role {
    /// Whether this role may run nodes.
    pub fn runs_nodes(self) -> bool {
        match self {
            Self::Owner | Self::Collaborator | Self::RuntimeContributor => true,
            Self::Viewer => false,
        }
    }
}

/// A session, as stored.
#[derive(Clone, Debug)]
pub struct Session {
    /// The session.
    pub id: SessionId,
    /// Name for people.
    pub name: String,
    /// Where it stands.
    pub state: SessionState,
    /// Version floor.
    pub floor: Floor,
    /// Nodes whose slot is active.
    pub active_nodes: i64,
    /// When it was made.
    pub created_at: OffsetDateTime,
    /// When state or floor changed last.
    pub updated_at: OffsetDateTime,
}

impl From<Session> for v1::Session {
    fn from(session: Session) -> Self {
        Self {
            session_id: session.id.to_string(),
            name: session.name,
            state: session.state.to_wire().into(),
            min_client_version: session.floor.to_wire(),
            active_nodes: session.active_nodes,
            created_at: Some(wire::timestamp(session.created_at)),
            updated_at: Some(wire::timestamp(session.updated_at)),
        }
    }
}

stored_enum! {
    /// Whether a membership counts.
    pub enum MembershipState in "session_memberships"."state" {
        /// Invited, and nothing yet.
        Pending = "pending",
        /// In force.
        Active = "active",
        /// Out of force for now.
        Suspended = "suspended",
        /// Out of force.
        Revoked = "revoked",
    }
}

/// A membership, as stored.
#[derive(Clone, Copy, Debug)]
pub struct Member {
    /// Who.
    pub participant_id: ParticipantId,
    /// What it may do.
    pub role: Role,
    /// Whether that counts.
    pub state: MembershipState,
    /// Since when.
    pub joined_at: OffsetDateTime,
    /// When role or state changed last.
    pub updated_at: OffsetDateTime,
}

impl From<Member> for v1::Member {
    fn from(member: Member) -> Self {
        let role = match member.role {
            Role::Owner => v1::MemberRole::Owner,
            Role::Collaborator => v1::MemberRole::Collaborator,
            Role::RuntimeContributor => v1::MemberRole::RuntimeContributor,
            Role::Viewer => v1::MemberRole::Viewer,
        };
        let state = match member.state {
            MembershipState::Pending => v1::MemberState::Pending,
            MembershipState::Active => v1::MemberState::Active,
            MembershipState::Suspended => v1::MemberState::Suspended,
            MembershipState::Revoked => v1::MemberState::Revoked,
        };
        Self {
            participant_id: member.participant_id.to_string(),
            role: role.into(),
            state: state.into(),
            joined_at: Some(wire::timestamp(member.joined_at)),
            updated_at: Some(wire::timestamp(member.updated_at)),
        }
    }
}
