//! The JSON of `rollcall leader ... --json`. A field is never renamed or removed; new ones may come.

use contracts::wire::v1;
use serde::Serialize;

use crate::cli::{age::rfc3339, wire_word::word};

/// The answer of show.
#[derive(Debug, Serialize)]
pub(crate) struct Leadership {
    /// `standby`, `recovering` or `active`: the server that answered.
    role: String,
    epoch: i64,
    /// `won`, `recovering`, `active` or `released`.
    state: String,
    /// Null before the first leader.
    leader_address: Option<String>,
    since: Option<String>,
    renewed_at: Option<String>,
    standbys: i32,
    abdications: Vec<Abdication>,
}

#[derive(Debug, Serialize)]
struct Abdication {
    duty: String,
    epoch: i64,
    at: Option<String>,
}

/// The answer of step-down.
#[derive(Debug, Serialize)]
pub(crate) struct SteppedDown {
    /// Term that ended.
    pub(crate) epoch: i64,
    pub(crate) dry_run: bool,
    pub(crate) request_id: String,
}

impl From<v1::GetLeadershipResponse> for Leadership {
    fn from(leadership: v1::GetLeadershipResponse) -> Self {
        Self {
            role: word::<v1::LeadershipRole>(leadership.role),
            epoch: leadership.epoch,
            since: rfc3339(leadership.since.as_ref()),
            renewed_at: rfc3339(leadership.renewed_at.as_ref()),
            standbys: leadership.standbys,
            state: leadership.state,
            leader_address: Some(leadership.leader_address).filter(|address| !address.is_empty()),
            abdications: leadership
                .abdications
                .into_iter()
                .map(|last| Abdication { at: rfc3339(last.at.as_ref()), duty: last.duty, epoch: last.epoch })
                .collect(),
        }
    }
}
