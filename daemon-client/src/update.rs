//! A change of what the node says about itself while it is attached.

use contracts::{
    capabilities::Declaration,
    refusal::ReceivedRefusal,
    wire::v1::{SlotState, StateReason},
};

use crate::{Health, Outcome};

/// What changes.
#[derive(Clone, Debug, PartialEq)]
pub enum Update {
    /// The whole new declaration; an empty one clears it.
    Declaration(Declaration),
    /// The daemon's own health. Beats carry it from now on, whatever the server makes of the update.
    Health(HealthReport),
    /// Both at once.
    Both(Declaration, HealthReport),
}

/// Health, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HealthReport {
    /// The daemon's own health.
    pub health: Health,
    /// Why it is degraded, for people: at most 512 characters, may be empty.
    pub reason: String,
}

/// What the server made of an update.
#[derive(Clone, Debug, PartialEq)]
pub struct Updated {
    /// Where the slot stands now.
    pub slot_state: SlotState,
    /// Why it is degraded.
    pub state_reasons: Vec<StateReason>,
}

/// Why an update was not accepted. The node stays attached unless it says otherwise.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UpdateError {
    /// Refused, by the session's floor for one. The refusal's advice tells what would help.
    #[error(transparent)]
    Refused(ReceivedRefusal),
    /// There was no answer in time. It may have been accepted.
    #[error("no answer in time: the update may or may not have been accepted")]
    NoAnswer,
    /// The client has ended.
    #[error("the client has ended: {0}")]
    Ended(Outcome),
}

impl Update {
    pub(crate) fn declaration(&self) -> Option<&Declaration> {
        match self {
            Self::Declaration(declaration) | Self::Both(declaration, _) => Some(declaration),
            Self::Health(_) => None,
        }
    }

    pub(crate) fn health(&self) -> Option<&HealthReport> {
        match self {
            Self::Health(report) | Self::Both(_, report) => Some(report),
            Self::Declaration(_) => None,
        }
    }
}
