//! How it ended.

use std::fmt;

use contracts::{Code, refusal::ReceivedRefusal};

use crate::Setback;

/// The last word about a node's attachment. The client does nothing more after it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The application asked for it.
    Detached(Detachment),
    /// Another daemon attached with this node id, and holds the slot. Attaching again would only take it away.
    Superseded(ReceivedRefusal),
    /// The node's place in the session was revoked for ever.
    Revoked(ReceivedRefusal),
    /// The session is archived or closed.
    SessionNotActive(ReceivedRefusal),
    /// The session or node does not exist, or is not the caller's to use.
    PermissionDenied(ReceivedRefusal),
    /// The token, or the join token, is not valid, or not any more, and no file may bring another one.
    TokenInvalid(ReceivedRefusal),
    /// Only a newer client can attach.
    UpgradeRequired(ReceivedRefusal),
    /// Refused for ever for another reason.
    Refused(ReceivedRefusal),
    /// The client's task died: a fault in it, or the runtime was shut down under it.
    TaskDied,
}

/// What became of the slot when the client stopped.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Detachment {
    /// The server gave the slot back.
    Acknowledged,
    /// There was no attachment to end.
    NotAttached,
    /// The server could not be told in time, or would not hear it. It will find the node silent.
    Unacknowledged(Setback),
}

impl Outcome {
    /// The outcome of a refusal that a repeat of the same request will meet again.
    pub(crate) fn of_final_refusal(refusal: ReceivedRefusal) -> Self {
        match refusal.known() {
            Some(Code::RuntimeNodeGenerationSuperseded) => Self::Superseded(refusal),
            Some(Code::RuntimeNodeAttachRevoked) => Self::Revoked(refusal),
            Some(Code::SessionNotActive) => Self::SessionNotActive(refusal),
            Some(Code::RuntimeNodePermissionDenied) => Self::PermissionDenied(refusal),
            Some(Code::AuthTokenInvalid | Code::AuthTokenExpired | Code::AuthTokenRevoked) => {
                Self::TokenInvalid(refusal)
            }
            // A code that needs no outcome of its own, or that this build does not know, is told by its refusal: the
            // registry only grows.
            Some(_) | None => Self::Refused(refusal),
        }
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Detached(Detachment::Acknowledged) => f.write_str("detached"),
            Self::Detached(Detachment::NotAttached) => f.write_str("stopped, there was nothing to detach"),
            Self::Detached(Detachment::Unacknowledged(setback)) => {
                write!(f, "stopped, but the server did not acknowledge the detach: {setback}")
            }
            Self::Superseded(refusal) => write!(f, "another daemon took over this node id: {refusal}"),
            Self::Revoked(refusal) => write!(f, "revoked: {refusal}"),
            Self::SessionNotActive(refusal) => write!(f, "the session is not active: {refusal}"),
            Self::PermissionDenied(refusal) => write!(f, "permission denied: {refusal}"),
            Self::TokenInvalid(refusal) => write!(f, "the token is not valid: {refusal}"),
            Self::UpgradeRequired(refusal) => write!(f, "a newer client is required: {refusal}"),
            Self::Refused(refusal) => write!(f, "refused for ever: {refusal}"),
            Self::TaskDied => f.write_str("the client's task died"),
        }
    }
}
