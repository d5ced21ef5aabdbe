//! The JSON of `rollcall audit ... --json`. A field is never renamed or removed; new ones may come.

use contracts::wire::v1;
use serde::Serialize;

use crate::cli::age::rfc3339;

/// One thing that was done.
#[derive(Debug, Serialize)]
pub(crate) struct Entry {
    /// Rises from entry to entry.
    entry_id: i64,
    at: Option<String>,
    /// The participant that did it.
    actor_id: String,
    /// Such as `node.revoke`.
    action: String,
    /// Null when it was done in no session.
    session_id: Option<String>,
    /// The node, participant or token that it was done to.
    target: String,
    /// Null when none was given.
    reason: Option<String>,
    /// Null when it had none.
    request_id: Option<String>,
    /// Of the server that did it.
    epoch: i64,
}

/// The answer of list.
#[derive(Debug, Serialize)]
pub(crate) struct Entries {
    /// The newest first.
    pub(crate) entries: Vec<Entry>,
    /// Whether there are older ones, beyond the limit.
    pub(crate) has_more: bool,
}

impl From<v1::AuditEntry> for Entry {
    fn from(entry: v1::AuditEntry) -> Self {
        let unless_empty = |text: String| Some(text).filter(|text| !text.is_empty());
        Self {
            entry_id: entry.entry_id,
            at: rfc3339(entry.at.as_ref()),
            actor_id: entry.actor_id,
            action: entry.action,
            session_id: unless_empty(entry.session_id),
            target: entry.target,
            reason: unless_empty(entry.reason),
            request_id: unless_empty(entry.request_id),
            epoch: entry.epoch,
        }
    }
}
