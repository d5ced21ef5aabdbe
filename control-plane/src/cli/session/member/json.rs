//! The JSON of `rollcall session member ... --json`. A field is never renamed or removed; new ones may come.

use contracts::wire::v1;
use serde::Serialize;

use crate::cli::{age::rfc3339, wire_word::word};

/// A membership.
#[derive(Debug, Serialize)]
pub(crate) struct Member {
    participant_id: String,
    /// `owner`, `collaborator`, `runtime_contributor` or `viewer`.
    role: String,
    /// `pending`, `active`, `suspended` or `revoked`.
    state: String,
    joined_at: Option<String>,
    updated_at: Option<String>,
}

/// The answer of list.
#[derive(Debug, Serialize)]
pub(crate) struct Members {
    /// By participant.
    pub(crate) members: Vec<Member>,
}

/// The answer of set.
#[derive(Debug, Serialize)]
pub(crate) struct SetMember {
    /// As it is now; as it would be when `dry_run` is true.
    pub(crate) member: Member,
    pub(crate) dry_run: bool,
    /// As the audit names it.
    pub(crate) request_id: String,
}

/// The answer of remove.
#[derive(Debug, Serialize)]
pub(crate) struct RemovedMember {
    pub(crate) session_id: String,
    pub(crate) participant_id: String,
    pub(crate) dry_run: bool,
    /// As the audit names it.
    pub(crate) request_id: String,
}

impl From<v1::Member> for Member {
    fn from(member: v1::Member) -> Self {
        Self {
            role: word::<v1::MemberRole>(member.role),
            state: word::<v1::MemberState>(member.state),
            joined_at: rfc3339(member.joined_at.as_ref()),
            updated_at: rfc3339(member.updated_at.as_ref()),
            participant_id: member.participant_id,
        }
    }
}
