//! The JSON of `rollcall maintenance ... --json`. A field is never renamed or removed; new ones may come.

use contracts::wire::v1;
use serde::Serialize;

use crate::cli::age::rfc3339;

/// The answer of status.
#[derive(Debug, Serialize)]
pub(crate) struct Maintenance {
    on: bool,
    /// Null when it is off.
    since: Option<String>,
    /// Null when it is off.
    reason: Option<String>,
}

/// The answer of on and off.
#[derive(Debug, Serialize)]
pub(crate) struct Turned {
    /// As it is now; as it would be when `dry_run` is true.
    #[serde(flatten)]
    pub(crate) maintenance: Maintenance,
    pub(crate) dry_run: bool,
    pub(crate) request_id: String,
}

impl From<v1::Maintenance> for Maintenance {
    fn from(maintenance: v1::Maintenance) -> Self {
        Self {
            on: maintenance.on,
            since: rfc3339(maintenance.since.as_ref()),
            reason: Some(maintenance.reason).filter(|reason| !reason.is_empty()),
        }
    }
}
