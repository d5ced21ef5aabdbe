//! What is said to who is not let in.

use contracts::{Code, Refusal};
use time::{OffsetDateTime, format_description::well_known::Rfc3339};

use super::tokens::{Scope, VerifyError};

pub(super) fn token_missing() -> Refusal {
    Refusal::new(
        Code::AuthTokenInvalid,
        "no token. Send the metadata `authorization: Bearer TOKEN`; the command line takes it from ROLLCALL_TOKEN, \
         which `rollcall dev` prints",
    )
}

pub(super) fn not_verified(error: VerifyError) -> Refusal {
    match error {
        VerifyError::Expired { at } => expired(at),
        VerifyError::Malformed
        | VerifyError::UnknownKey { .. }
        | VerifyError::BadSignature
        | VerifyError::WrongAudience
        | VerifyError::NotYetValid { .. }
        | VerifyError::BadClaims => {
            Refusal::new(Code::AuthTokenInvalid, format!("the token is not valid here: {error}"))
        }
    }
}

pub(super) fn expired(at: OffsetDateTime) -> Refusal {
    let at = at.format(&Rfc3339).unwrap_or_default();
    Refusal::new(Code::AuthTokenExpired, format!("the token ended at {at}. Renew tokens before they end"))
        .with_fact("expired_at", at)
}

pub(super) fn revoked() -> Refusal {
    Refusal::new(Code::AuthTokenRevoked, "the token was revoked. Ask an admin for another one")
}

pub(super) fn scopes_missing(one: Scope, other: Scope) -> Refusal {
    Refusal::new(
        Code::AuthInsufficientScope,
        format!("the token lacks the scopes {one} and {other}, one of which this call needs"),
    )
    .with_fact("scope", one.as_str())
}

pub(super) fn scope_missing(scope: Scope) -> Refusal {
    Refusal::new(
        Code::AuthInsufficientScope,
        format!("the token lacks the scope {scope}, which this call needs"),
    )
    .with_fact("scope", scope.as_str())
}
