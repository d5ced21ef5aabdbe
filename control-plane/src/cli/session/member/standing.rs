//! Roles and states of members as words of the command line.

use contracts::wire::v1::{MemberRole, MemberState};

/// What a member may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Role {
    /// Everything in the session
    Owner,
    /// Works in the session and runs nodes
    Collaborator,
    /// Runs nodes
    #[value(alias = "runtime_contributor")]
    RuntimeContributor,
    /// Looks on
    Viewer,
}

/// Whether a membership counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum State {
    /// In force
    Active,
    /// Invited, and nothing yet
    Pending,
    /// Out of force for now
    Suspended,
    /// Out of force
    Revoked,
}

impl From<Role> for MemberRole {
    fn from(role: Role) -> Self {
        match role {
            Role::Owner => Self::Owner,
            Role::Collaborator => Self::Collaborator,
            Role::RuntimeContributor => Self::RuntimeContributor,
            Role::Viewer => Self::Viewer,
        }
    }
}

impl From<State> for MemberState {
    fn from(state: State) -> Self {
        match state {
            State::Active => Self::Active,
            State::Pending => Self::Pending,
            State::Suspended => Self::Suspended,
            State::Revoked => Self::Revoked,
        }
    }
}
