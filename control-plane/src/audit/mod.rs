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
use repeat::Repeatable;
use sqlx::PgConnection;
use time::OffsetDateTime;
use uuid::Uuid;

use crate::{failure::Fault, leadership::Leader};

/// The actor of what the control plane does of its own accord: the nil UUID, which is no participant's.
pub const CONTROL_PLANE: ParticipantId = ParticipantId(Uuid::nil());

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

/// Something that was done, as the audit has it.
#[derive(Clone, Debug)]
pub(crate) struct Act {
    pub(crate) at: OffsetDateTime,
    pub(crate) actor: ParticipantId,
    /// `noun.verb`.
    pub(crate) action: String,
    pub(crate) session_id: Option<SessionId>,
    pub(crate) reason: Option<String>,
}

/// Writes what was done, if anything was, and the answer: the last things before the commit.
pub(crate) async fn finish(
    leader: &Leader,
    tx: &mut PgConnection,
    actor: ParticipantId,
    done: Option<Entry<'_>>,
    repeatable: &Repeatable,
    answer: &impl prost::Message,
) -> Result<(), Fault> {
    if let Some(entry) = done {
        store::record(tx, leader.epoch(), entry).await?;
    }
    repeatable.answer(tx, actor, answer).await
}
