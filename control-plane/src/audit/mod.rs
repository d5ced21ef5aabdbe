//! The audit: who did what, when, and why; and the first answers to requests that may be repeated.
//!
//! Tables owned: `audit_entries`, `request_answers`.
//!
//! Invariants:
//! - **audited-with-its-effect**: an admin's write and its audit row are one transaction; neither is there without the
//!   other;
//! - **repeat-answers-alike**: a request with an id that was answered once has no second effect, and the same answer.

pub mod repeat;
pub mod rpc;
pub mod store;

use contracts::{ParticipantId, SessionId};
use uuid::Uuid;

/// What was done, to be written with it.
#[derive(Clone, Debug)]
pub struct Entry<'a> {
    /// Who.
    pub actor: ParticipantId,
    /// What, `noun.verb`.
    pub action: &'static str,
    /// In which session.
    pub session_id: Option<SessionId>,
    /// To what.
    pub target: &'a str,
    /// Why.
    pub reason: Option<&'a str>,
    /// Under which request.
    pub request_id: Option<Uuid>,
}

impl<'a> Entry<'a> {
    /// What was done to a session itself; `target` is its id as text.
    pub fn of_session(
        action: &'static str,
        actor: ParticipantId,
        session_id: SessionId,
        target: &'a str,
    ) -> Self {
        Self { actor, action, session_id: Some(session_id), target, reason: None, request_id: None }
    }
}
