//! Judges tokens.

use pasetors::{
    Public,
    errors::Error,
    token::UntrustedToken,
    version4::{PublicToken, V4},
};
use time::{Duration, OffsetDateTime, format_description::well_known::Rfc3339};

use super::{
    claims::{Audience, Claims, Payload},
    footer,
    key_ring::KeyRing,
    kid::Kid,
};

/// Bytes of a token at most: ours take less than 500. Checked before anything is decoded.
pub const TOKEN_BYTES_MAX: usize = 2048;

/// How far the clock of the server that made a token may be ahead of ours. Only for the moment of making: an end is an
/// end.
pub const ISSUED_AT_LEEWAY: Duration = Duration::seconds(5);

/// Why a token is refused. The texts are for our log and for the token's holder; they carry nothing of the token but
/// times and the key id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum VerifyError {
    /// Not the form of our tokens.
    #[error("it is not an access token of this product (v4.public.…); check that it was copied whole")]
    Malformed,
    /// Signed by a key that we do not have.
    #[error(
        "its key {kid} is not in the key ring: it was retired, or the token is of another installation; obtain a new \
         token"
    )]
    UnknownKey {
        /// The key it names. Nothing proves that it was signed with it.
        kid: Kid,
    },
    /// Not what the key signed.
    #[error("its signature is wrong: it was changed or forged; obtain a new token")]
    BadSignature,
    /// Meant for something else.
    #[error("it is not meant for this product; obtain a token here")]
    WrongAudience,
    /// It is over.
    #[error("it was valid until {}; obtain a new token", written(at))]
    Expired {
        /// When it ended.
        at: OffsetDateTime,
    },
    /// Made in the future.
    #[error(
        "it was made at {}, which is in the future; correct the clock of this server or of the one that made it",
        written(issued_at)
    )]
    NotYetValid {
        /// When it says it was made.
        issued_at: OffsetDateTime,
    },
    /// Signed by us, and yet not what we write.
    #[error("its claims are not those of this release; obtain a new token from a server of this release")]
    BadClaims,
}

/// Says what a token says, if one of the ring's keys signed it and it is valid `now`. Whether it is revoked is not
/// looked at.
///
/// # Errors
///
/// Refused in this order: form, key, signature, claims, audience, moment of making, end.
pub fn verify(ring: &KeyRing, token: &str, now: OffsetDateTime) -> Result<Claims, VerifyError> {
    if token.len() > TOKEN_BYTES_MAX {
        return Err(VerifyError::Malformed);
    }
    // Refuses any header but `v4.public.`, hence other versions and purposes, and base64 that is not canonical.
    let untrusted = UntrustedToken::<Public, V4>::try_from(token).map_err(|_| VerifyError::Malformed)?;
    let kid = footer::read(untrusted.untrusted_footer()).ok_or(VerifyError::Malformed)?;
    let key = ring.key(kid).ok_or(VerifyError::UnknownKey { kid })?;
    // The signature covers header and footer too.
    let trusted = PublicToken::verify(key.public(), &untrusted, None, None).map_err(|error| {
        // Looked at only after the signature.
        if matches!(error, Error::PayloadInvalidUtf8) {
            VerifyError::BadClaims
        } else {
            VerifyError::BadSignature
        }
    })?;
    let payload: Payload = serde_json::from_str(trusted.payload()).map_err(|_| VerifyError::BadClaims)?;
    judge(&payload, now)
}

/// The key that a token names. Only of a token that was verified is that the key that signed it.
pub fn key_named_by(token: &str) -> Option<Kid> {
    let untrusted = UntrustedToken::<Public, V4>::try_from(token).ok()?;
    footer::read(untrusted.untrusted_footer())
}

fn judge(payload: &Payload, now: OffsetDateTime) -> Result<Claims, VerifyError> {
    if Audience::parse(&payload.aud).is_none() {
        return Err(VerifyError::WrongAudience);
    }
    let claims = Claims::try_from(payload).map_err(|_| VerifyError::BadClaims)?;
    let (issued_at, expires_at) = (claims.issued_at, claims.expires_at);
    if issued_at - now > ISSUED_AT_LEEWAY {
        return Err(VerifyError::NotYetValid { issued_at });
    }
    if now >= expires_at {
        return Err(VerifyError::Expired { at: expires_at });
    }
    Ok(claims)
}

/// As tokens have it.
fn written(moment: &OffsetDateTime) -> String {
    moment.format(&Rfc3339).unwrap_or_else(|_| moment.to_string())
}
