//! The JSON of `rollcall token ... --json`. A field is never renamed or removed; new ones may come.

use contracts::wire::v1;
use serde::Serialize;

use super::scope;
use crate::cli::age::rfc3339;

/// An access token: the answer of issue, renew and join exchange.
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

/// The answer of revoke.
#[derive(Debug, Serialize)]
pub(crate) struct RevokedToken {
    pub(crate) token_id: String,
}

/// The answer of join create.
#[derive(Serialize)]
pub(crate) struct JoinToken {
    /// Shown here and never again.
    pub(crate) join_token: String,
    pub(crate) join_token_id: String,
    pub(crate) expires_at: Option<String>,
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
