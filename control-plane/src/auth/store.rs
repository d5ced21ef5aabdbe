//! Every query on tokens.

use std::time::Duration;

use contracts::ParticipantId;
use sqlx::{PgConnection, PgExecutor, postgres::types::PgInterval};
use time::OffsetDateTime;
use uuid::Uuid;

use super::tokens::{Claims, JoinSecret, JoinSecretHash, Scopes, TokenId};
use crate::{
    failure::Fault,
    postgres::{interval, stored},
    sessions,
};

/// Notes a token that was made, so that it can be revoked by its id.
pub(super) async fn note_issued(db: &mut PgConnection, claims: &Claims) -> Result<(), Fault> {
    sessions::store::put_participant(db, claims.participant).await?;
    sqlx::query!(
        "insert into issued_tokens (token_id, participant_id, expires_at) values ($1, $2, $3)
         on conflict (token_id) do nothing",
        claims.token_id.as_uuid(),
        claims.participant.0,
        claims.expires_at
    )
    .execute(db)
    .await?;
    Ok(())
}

/// Whose token this is, and when it ends; none when no such token is known.
pub(super) async fn issued(
    db: impl PgExecutor<'_>,
    token_id: TokenId,
) -> Result<Option<(ParticipantId, OffsetDateTime)>, Fault> {
    let row = sqlx::query!(
        "select participant_id, expires_at from issued_tokens where token_id = $1",
        token_id.as_uuid()
    )
    .fetch_optional(db)
    .await?;
    Ok(row.map(|row| (ParticipantId(row.participant_id), row.expires_at)))
}

/// Revokes a token; tells whether it was not revoked before.
pub(super) async fn revoke(
    db: &mut PgConnection,
    token_id: TokenId,
    expires_at: OffsetDateTime,
) -> Result<bool, Fault> {
    let revoked = sqlx::query!(
        "insert into revoked_tokens (token_id, expires_at) values ($1, $2) on conflict do nothing",
        token_id.as_uuid(),
        expires_at
    )
    .execute(db)
    .await?;
    Ok(revoked.rows_affected() == 1)
}

/// Revoked tokens that would still be valid: all, or those revoked not longer ago than this.
pub(super) async fn revoked(
    db: impl PgExecutor<'_>,
    not_longer_ago: Option<Duration>,
) -> Result<Vec<(TokenId, OffsetDateTime)>, Fault> {
    let rows = sqlx::query!(
        "select token_id, expires_at from revoked_tokens
         where expires_at > now() and ($1::interval is null or revoked_at > now() - $1)",
        not_longer_ago.map(interval)
    )
    .fetch_all(db)
    .await?;
    rows.into_iter().map(|row| Ok((token_id(row.token_id)?, row.expires_at))).collect()
}

fn token_id(id: Uuid) -> Result<TokenId, Fault> {
    TokenId::parse(&id.to_string())
        .ok_or_else(|| stored::unreadable("revoked_tokens", "token_id", id.to_string()))
}

/// A join token as it is made.
pub(super) struct NewJoinToken<'a> {
    pub(super) secret: &'a JoinSecret,
    pub(super) participant: ParticipantId,
    pub(super) scopes: Scopes,
    pub(super) uses: i32,
    pub(super) lifetime: Duration,
    pub(super) token_lifetime: Duration,
}

/// Stores a join token, without its secret; gives its end.
pub(super) async fn insert_join_token(
    db: &mut PgConnection,
    join: NewJoinToken<'_>,
) -> Result<OffsetDateTime, Fault> {
    sessions::store::put_participant(db, join.participant).await?;
    let hash = join.secret.hash();
    Ok(sqlx::query_scalar!(
        "insert into join_tokens (id, secret_hash, participant_id, scopes, uses_left, token_lifetime, expires_at)
         values ($1, $2, $3, $4, $5, $6, now() + $7::interval) returning expires_at",
        join.secret.id().to_string(),
        hash.as_bytes().as_slice(),
        join.participant.0,
        join.scopes.to_string(),
        join.uses,
        interval(join.token_lifetime),
        interval(join.lifetime)
    )
    .fetch_one(db)
    .await?)
}

/// What a join token gives.
pub(super) struct JoinGrant {
    pub(super) participant: ParticipantId,
    pub(super) scopes: Scopes,
    pub(super) token_lifetime: Duration,
}

/// Takes one use of a join token; none when it is not there, not this secret, used up, or over.
pub(super) async fn use_join_token(
    db: &mut PgConnection,
    secret: &JoinSecret,
) -> Result<Option<JoinGrant>, Fault> {
    let row = sqlx::query!(
        r#"select secret_hash, participant_id, scopes, token_lifetime as "token_lifetime: PgInterval"
           from join_tokens where id = $1 and uses_left > 0 and expires_at > now() for no key update"#,
        secret.id().to_string()
    )
    .fetch_optional(&mut *db)
    .await?;
    let Some(row) = row else { return Ok(None) };
    let hash: [u8; 32] = row
        .secret_hash
        .try_into()
        .map_err(|_| stored::unreadable("join_tokens", "secret_hash", "not 32 bytes"))?;
    if !JoinSecretHash::from_bytes(hash).matches(secret) {
        return Ok(None);
    }
    sqlx::query!("update join_tokens set uses_left = uses_left - 1 where id = $1", secret.id().to_string())
        .execute(db)
        .await?;
    let scopes = row.scopes.parse().map_err(|_| stored::unreadable("join_tokens", "scopes", &row.scopes))?;
    let microseconds = u64::try_from(row.token_lifetime.microseconds).unwrap_or_default();
    Ok(Some(JoinGrant {
        participant: ParticipantId(row.participant_id),
        scopes,
        token_lifetime: Duration::from_micros(microseconds),
    }))
}

/// Whether any token was ever made, so that the first one is made once.
pub async fn any_issued(db: impl PgExecutor<'_>) -> Result<bool, Fault> {
    Ok(sqlx::query_scalar!(r#"select exists (select from issued_tokens) as "any!""#).fetch_one(db).await?)
}
