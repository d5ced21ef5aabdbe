//! What a token says.

use std::fmt;

use contracts::ParticipantId;
use serde::{Deserialize, Serialize};
use time::OffsetDateTime;
use uuid::{NoContext, Timestamp, Uuid};

use super::scopes::Scopes;

/// What a verified token says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claims {
    /// Who calls (`sub`). Nothing else in a request says that.
    pub participant: ParticipantId,
    /// What for (`scope`).
    pub scopes: Scopes,
    /// The first moment at which it is no longer valid (`exp`).
    pub expires_at: OffsetDateTime,
    /// When it was made (`iat`).
    pub issued_at: OffsetDateTime,
    /// Its own name (`jti`), by which it is revoked.
    pub token_id: TokenId,
    /// What it is meant for (`aud`).
    pub audience: Audience,
}

/// The name of a token: a UUIDv7, so that names sort by when tokens were made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TokenId(Uuid);

/// What a token is meant for. There is one audience; a token for another one is not ours to judge.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Audience {
    /// The servers of this product.
    Rollcall,
}

impl Audience {
    /// The value of `aud`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Rollcall => "rollcall",
        }
    }

    pub(super) fn parse(text: &str) -> Option<Self> {
        (text == Self::Rollcall.as_str()).then_some(Self::Rollcall)
    }
}

impl TokenId {
    /// A new name, sorted by this moment. None before 1970.
    pub(super) fn at(moment: OffsetDateTime) -> Option<Self> {
        let seconds = u64::try_from(moment.unix_timestamp()).ok()?;
        Some(Self(Uuid::new_v7(Timestamp::from_unix(NoContext, seconds, moment.nanosecond()))))
    }

    /// Reads a name. None if it is not the hyphenated form of a UUIDv7.
    pub fn parse(text: &str) -> Option<Self> {
        let id = Uuid::parse_str(text).ok().filter(|_| text.len() == uuid::fmt::Hyphenated::LENGTH)?;
        // The version has its meaning only within the variant of RFC 9562.
        let is_v7 =
            id.get_version() == Some(uuid::Version::SortRand) && id.get_variant() == uuid::Variant::RFC4122;
        is_v7.then_some(Self(id))
    }

    /// The UUID, for storage.
    pub fn as_uuid(self) -> Uuid {
        self.0
    }
}

impl fmt::Display for TokenId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The payload of a token as it is written. Unknown claims are refused: one that we do not know may be a restriction.
#[derive(Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Payload {
    pub(super) sub: String,
    pub(super) scope: String,
    pub(super) aud: String,
    #[serde(with = "time::serde::rfc3339")]
    pub(super) exp: OffsetDateTime,
    #[serde(with = "time::serde::rfc3339")]
    pub(super) iat: OffsetDateTime,
    pub(super) jti: String,
}

/// A payload says something that no token of ours does.
pub(super) struct NoClaims;

impl TryFrom<&Payload> for Claims {
    type Error = NoClaims;

    fn try_from(payload: &Payload) -> Result<Self, NoClaims> {
        let (issued_at, expires_at) = (payload.iat, payload.exp);
        // We write UTC. Converting what is not could overflow.
        if !issued_at.offset().is_utc() || !expires_at.offset().is_utc() || expires_at <= issued_at {
            return Err(NoClaims);
        }
        Ok(Self {
            participant: payload.sub.parse().map_err(|_| NoClaims)?,
            scopes: payload.scope.parse().map_err(|_| NoClaims)?,
            expires_at,
            issued_at,
            token_id: TokenId::parse(&payload.jti).ok_or(NoClaims)?,
            audience: Audience::parse(&payload.aud).ok_or(NoClaims)?,
        })
    }
}

impl From<&Claims> for Payload {
    fn from(claims: &Claims) -> Self {
        Self {
            sub: claims.participant.to_string(),
            scope: claims.scopes.to_string(),
            aud: claims.audience.as_str().to_owned(),
            exp: claims.expires_at,
            iat: claims.issued_at,
            jti: claims.token_id.to_string(),
        }
    }
}
