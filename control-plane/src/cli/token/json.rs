//! The JSON of `rollcall token ... --json`. A field is never renamed or removed; new ones may come.

use contracts::wire::v1;
use serde::Serialize;

use super::scope;
use crate::cli::age::rfc3339;

/// An access token: the answer of renew and join exchange, and a part of that of issue.
#[derive(Serialize)]
pub(crate) struct AccessToken {
    /// Shown here and never again.
    token: String,
    token_id: String,
    participant_id: String,
    /// Of `node`, `session:read`, `session:write` and `admin`.
    scopes: Vec<&'static str>,
    expires_at: Option<String>,
}

/// The answer of issue.
#[derive(Serialize)]
pub(crate) struct Issued {
    /// Without the token itself and its id when `dry_run` is true.
    #[serde(flatten)]
    pub(crate) token: AccessToken,
    pub(crate) dry_run: bool,
    /// As the audit names it.
    pub(crate) request_id: String,
}

/// The answer of revoke.
#[derive(Debug, Serialize)]
pub(crate) struct RevokedToken {
    pub(crate) token_id: String,
    /// All that were ended by it, or would be when `dry_run` is true.
    pub(crate) token_ids: Vec<String>,
    pub(crate) dry_run: bool,
    /// As the audit names it.
    pub(crate) request_id: String,
}

/// The answer of join create.
#[derive(Serialize)]
pub(crate) struct JoinToken {
    /// Shown here and never again.
    pub(crate) join_token: String,
    pub(crate) join_token_id: String,
    pub(crate) expires_at: Option<String>,
    /// Whether nothing was made; then there is neither a join token nor an id.
    pub(crate) dry_run: bool,
    /// As the audit names it.
    pub(crate) request_id: String,
}

impl From<v1::AccessToken> for AccessToken {
    fn from(token: v1::AccessToken) -> Self {
        Self {
            scopes: token.scopes.iter().map(|scope| scope::word(*scope)).collect(),
            expires_at: rfc3339(token.expires_at.as_ref()),
            token: token.token,
            token_id: token.token_id,
            participant_id: token.participant_id,
        }
    }
}
