//! Makes tokens.

use std::{fmt, time::Duration};

use contracts::ParticipantId;
use pasetors::version4::PublicToken;
use time::{OffsetDateTime, UtcOffset};
use zeroize::Zeroizing;

use super::{
    claims::{Audience, Claims, Payload, TokenId},
    footer,
    key_ring::KeyRing,
    ring_key::RingKey,
    scopes::Scopes,
};

/// What a token is to give.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Grant {
    /// To whom.
    pub participant: ParticipantId,
    /// What for.
    pub scopes: Scopes,
    /// For how long, in whole seconds; what is left over is dropped.
    pub lifetime: Duration,
}

/// A new token and what it says.
#[derive(Clone, Debug)]
pub struct Minted {
    /// For handing out.
    pub token: AccessToken,
    /// For the audit row.
    pub claims: Claims,
    /// For making it again.
    pub record: Record,
}

/// From this, and the ring, a token can be made again: Ed25519 gives the same signature for the same key and text. It
/// holds no secret, and without the ring it is worth nothing, so it can be stored where a token must not.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct Record {
    /// The key that signed it.
    #[prost(string, tag = "1")]
    kid: String,
    /// What it says, as it was signed.
    #[prost(string, tag = "2")]
    payload: String,
}

/// A token that works: whoever has it is its participant. Wiped when dropped, and not shown by `Debug`.
#[derive(Clone, PartialEq, Eq)]
pub struct AccessToken(Zeroizing<String>);

/// A token that cannot be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MintError {
    /// It would never be valid.
    #[error("a token must live for at least a second; ask for a longer lifetime")]
    LifetimeTooShort,
    /// Its times cannot be written.
    #[error(
        "a token cannot be dated so; check the clock, and ask for a lifetime that ends before the year 10000"
    )]
    Time,
    /// What is to be made again cannot be read.
    #[error("the record of a token cannot be read by this release")]
    Record,
    /// The key does not sign.
    #[error("the signing key does not sign; add a key to the key ring and promote it")]
    Signing,
}

impl AccessToken {
    /// The token itself, for handing out.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for AccessToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("AccessToken(…)")
    }
}

/// Makes a token, signed with the ring's signing key and dated `now`.
///
/// # Errors
///
/// Refused when the lifetime is under a second or its end cannot be written.
pub fn mint(ring: &KeyRing, grant: &Grant, now: OffsetDateTime) -> Result<Minted, MintError> {
    let lifetime = Duration::from_secs(grant.lifetime.as_secs());
    if lifetime.is_zero() {
        return Err(MintError::LifetimeTooShort);
    }
    let now = now.checked_to_offset(UtcOffset::UTC).ok_or(MintError::Time)?;
    // Down, not to the nearest: a token dated in the future would be refused.
    let issued_at = now.truncate_to_second();
    let lifetime = lifetime.try_into().map_err(|_| MintError::Time)?;
    let claims = Claims {
        participant: grant.participant,
        scopes: grant.scopes,
        expires_at: issued_at.checked_add(lifetime).ok_or(MintError::Time)?,
        issued_at,
        token_id: TokenId::at(now).ok_or(MintError::Time)?,
        audience: Audience::Rollcall,
    };
    let payload = serde_json::to_string(&Payload::from(&claims)).map_err(|_| MintError::Time)?;
    let token = sign(ring.signing(), &payload)?;
    Ok(Minted { token, claims, record: Record { kid: ring.signing().kid().to_string(), payload } })
}

/// Makes a token again. If its key is no longer in the ring it is signed with the one that signs now: what was handed out
/// is refused by then, and this is what it would be.
///
/// # Errors
///
/// The record is none of this release's, or the key does not sign.
pub fn mint_again(ring: &KeyRing, record: Record) -> Result<Minted, MintError> {
    let payload: Payload = serde_json::from_str(&record.payload).map_err(|_| MintError::Record)?;
    let claims = Claims::try_from(&payload).map_err(|_| MintError::Record)?;
    let key = record.kid.parse().ok().and_then(|kid| ring.key(kid)).unwrap_or_else(|| ring.signing());
    Ok(Minted { token: sign(key, &record.payload)?, claims, record })
}

/// Signs a payload and names the key.
pub(super) fn sign(key: &RingKey, payload: &str) -> Result<AccessToken, MintError> {
    let footer = footer::write(key.kid());
    PublicToken::sign(key.secret(), payload.as_bytes(), Some(footer.as_bytes()), None)
        .map(|token| AccessToken(Zeroizing::new(token)))
        .map_err(|_| MintError::Signing)
}
