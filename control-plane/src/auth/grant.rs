//! What a token may be made for, and for how long; and the making itself.

use std::{sync::Arc, time::Duration};

use contracts::{ParticipantId, refusal::FieldViolation, wire::v1};
use sqlx::PgConnection;
use tokio::sync::watch;

use super::{
    clock::now,
    store::{self, Family},
    tokens::{Grant, KeyRing, Minted, Record, Scope, Scopes, mint, mint_again},
};
use crate::{days::in_days, failure::Fault, wire};

/// The shortest lifetime of anything.
pub const LIFETIME_MIN: Duration = Duration::from_secs(60);
/// The longest lifetime of an access token.
pub const LIFETIME_MAX: Duration = Duration::from_secs(365 * 24 * 60 * 60);
/// The lifetime of an access token when nobody says.
pub const LIFETIME_DEFAULT: Duration = Duration::from_secs(24 * 60 * 60);

/// The keys of this server, for making tokens.
#[derive(Clone, Debug)]
pub struct Mint(watch::Receiver<Arc<KeyRing>>);

impl Mint {
    /// Signs with the signing key of the moment.
    pub fn new(ring: watch::Receiver<Arc<KeyRing>>) -> Self {
        Self(ring)
    }

    /// Makes a token and notes it, in the transaction of its caller.
    ///
    /// # Errors
    ///
    /// The database failed, or the key does not sign.
    pub(super) async fn issue(
        &self,
        db: &mut PgConnection,
        grant: Grant,
        family: Option<Family>,
    ) -> Result<Minted, Fault> {
        let minted = mint(&self.ring(), &grant, now()).map_err(Fault::Token)?;
        store::note_issued(db, &minted.claims, family).await?;
        Ok(minted)
    }

    /// Makes a token again that was made before.
    ///
    /// # Errors
    ///
    /// The record cannot be read, or the key does not sign.
    pub(super) fn again(&self, record: Record) -> Result<Minted, Fault> {
        mint_again(&self.ring(), record).map_err(Fault::Token)
    }

    /// The ring of the moment.
    pub(super) fn ring(&self) -> Arc<KeyRing> {
        Arc::clone(&self.0.borrow())
    }
}

/// Makes a token with this ring and notes it, in the transaction of its caller.
///
/// # Errors
///
/// The database failed, or the key does not sign.
pub async fn issue(db: &mut PgConnection, ring: &KeyRing, grant: Grant) -> Result<Minted, Fault> {
    let minted = mint(ring, &grant, now()).map_err(Fault::Token)?;
    store::note_issued(db, &minted.claims, None).await?;
    Ok(minted)
}

/// Parses the scopes of a request: at least one, each known.
///
/// # Errors
///
/// The violation names the field.
pub(super) fn parse_scopes(scopes: &[i32]) -> Result<Scopes, FieldViolation> {
    let parsed: Vec<_> = scopes
        .iter()
        .map(|scope| match v1::TokenScope::try_from(*scope) {
            Ok(v1::TokenScope::Node) => Ok(Scope::Node),
            Ok(v1::TokenScope::SessionRead) => Ok(Scope::SessionRead),
            Ok(v1::TokenScope::SessionWrite) => Ok(Scope::SessionWrite),
            Ok(v1::TokenScope::Admin) => Ok(Scope::Admin),
            Ok(v1::TokenScope::Unspecified) | Err(_) => {
                Err(FieldViolation::new("scopes", "must be of node, session_read, session_write and admin"))
            }
        })
        .collect::<Result<_, _>>()?;
    Scopes::new(parsed).ok_or_else(|| FieldViolation::new("scopes", "must name at least one"))
}

/// Parses a lifetime between a minute and `max`; absent means `default`.
///
/// # Errors
///
/// The violation names `field`.
pub(super) fn parse_lifetime(
    field: &'static str,
    lifetime: Option<prost_types::Duration>,
    default: Duration,
    max: Duration,
) -> Result<Duration, FieldViolation> {
    let Some(lifetime) = lifetime else { return Ok(default) };
    let rule = || {
        FieldViolation::new(field, format!("must be between {} and {}", in_days(LIFETIME_MIN), in_days(max)))
    };
    let seconds = u64::try_from(lifetime.seconds).map_err(|_| rule())?;
    let lifetime = Duration::from_secs(seconds);
    if (LIFETIME_MIN..=max).contains(&lifetime) { Ok(lifetime) } else { Err(rule()) }
}

/// A token as the wire hands it out.
pub(super) fn to_wire(minted: &Minted) -> v1::AccessToken {
    let scope_to_wire = |scope| match scope {
        Scope::Node => v1::TokenScope::Node,
        Scope::SessionRead => v1::TokenScope::SessionRead,
        Scope::SessionWrite => v1::TokenScope::SessionWrite,
        Scope::Admin => v1::TokenScope::Admin,
    };
    v1::AccessToken {
        token: minted.token.reveal().to_owned(),
        token_id: minted.claims.token_id.to_string(),
        participant_id: minted.claims.participant.to_string(),
        scopes: minted.claims.scopes.iter().map(|scope| scope_to_wire(scope).into()).collect(),
        expires_at: Some(wire::timestamp(minted.claims.expires_at)),
    }
}

/// A participant that the request names, or a new one.
///
/// # Errors
///
/// The violation names the field.
pub(super) fn parse_participant(text: &str) -> Result<ParticipantId, FieldViolation> {
    if text.is_empty() {
        return Ok(ParticipantId(uuid::Uuid::now_v7()));
    }
    ParticipantId::parse("participant_id", text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refused_lifetime_is_told_its_bounds_in_days() {
        let refused = |max| {
            let lifetime = Some(prost_types::Duration { seconds: 1, nanos: 0 });
            parse_lifetime("lifetime", lifetime, max, max).unwrap_err().to_string()
        };
        assert!(refused(LIFETIME_MAX).contains("between 1m and 365 days"), "{}", refused(LIFETIME_MAX));
    }
}
