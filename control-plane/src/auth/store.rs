//! Every query on tokens.

use std::time::Duration;

use contracts::ParticipantId;
use sqlx::{PgConnection, PgExecutor, postgres::types::PgInterval};
use time::OffsetDateTime;
use uuid::Uuid;

use super::tokens::{Claims, JoinId, JoinSecret, JoinSecretHash, Scopes, TokenId};
use crate::{
    failure::Fault,
    leadership::locks,
    postgres::{interval::interval, stored},
    sessions,
};

/// Tokens that were renewed from one another, named after the first of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Family(Uuid);

/// Notes a token that was made, so that it can be revoked by its id.
pub(super) async fn note_issued(
    db: &mut PgConnection,
    claims: &Claims,
    family: Option<Family>,
) -> Result<(), Fault> {
    sessions::store::put_participant(db, claims.participant).await?;
    sqlx::query!(
        "insert into issued_tokens (token_id, participant_id, expires_at, family_id) values ($1, $2, $3, $4)
         on conflict (token_id) do nothing",
        claims.token_id.as_uuid(),
        claims.participant.0,
        claims.expires_at,
        family.map(|family| family.0)
    )
    .execute(db)
    .await?;
    Ok(())
}

/// Whose token this is; none when no such token is known.
pub(super) async fn owner(
    db: impl PgExecutor<'_>,
    token_id: TokenId,
) -> Result<Option<ParticipantId>, Fault> {
    let owner = sqlx::query_scalar!(
        "select participant_id from issued_tokens where token_id = $1",
        token_id.as_uuid()
    )
    .fetch_optional(db)
    .await?;
    Ok(owner.map(ParticipantId))
}

/// The family of a token: its own, unless it was renewed from another.
async fn family(db: impl PgExecutor<'_>, token_id: TokenId) -> Result<Family, Fault> {
    let family =
        sqlx::query_scalar!("select family_id from issued_tokens where token_id = $1", token_id.as_uuid())
            .fetch_optional(db)
            .await?;
    Ok(Family(family.flatten().unwrap_or_else(|| token_id.as_uuid())))
}

/// The family of a token, for one more member: it is not revoked until this transaction is over.
pub(super) async fn share_family(db: &mut PgConnection, token_id: TokenId) -> Result<Family, Fault> {
    let family = family(&mut *db, token_id).await?;
    sqlx::query!(
        "select pg_advisory_xact_lock_shared($1, hashtext($2::uuid::text))",
        locks::TOKEN_FAMILY,
        family.0
    )
    .execute(db)
    .await?;
    Ok(family)
}

/// Whether a token was revoked.
pub(crate) async fn is_revoked(db: impl PgExecutor<'_>, token_id: TokenId) -> Result<bool, Fault> {
    Ok(sqlx::query_scalar!(
        r#"select exists (select from revoked_tokens where token_id = $1) as "revoked!""#,
        token_id.as_uuid()
    )
    .fetch_one(db)
    .await?)
}

/// Revokes a token and those of its family that are not over; gives which were not revoked before, with their ends.
pub(super) async fn revoke_family(
    db: &mut PgConnection,
    token_id: TokenId,
) -> Result<Vec<(TokenId, OffsetDateTime)>, Fault> {
    let family = family(&mut *db, token_id).await?;
    // Whoever is just being added to it is there, or is refused.
    sqlx::query!("select pg_advisory_xact_lock($1, hashtext($2::uuid::text))", locks::TOKEN_FAMILY, family.0)
        .execute(&mut *db)
        .await?;
    let rows = sqlx::query!(
        "insert into revoked_tokens (token_id, expires_at)
         select token_id, expires_at from issued_tokens
         where token_id = $1 or ((family_id = $2 or token_id = $2) and expires_at > now())
         order by token_id
         on conflict do nothing
         returning token_id, expires_at",
        token_id.as_uuid(),
        family.0
    )
    .fetch_all(db)
    .await?;
    rows.into_iter().map(|row| Ok((self::token_id(row.token_id)?, row.expires_at))).collect()
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
        join.secret.id().as_uuid(),
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

/// Locks a join token; none when it is not there, not this secret, or over.
pub(super) async fn lock_join_token(
    db: &mut PgConnection,
    secret: &JoinSecret,
) -> Result<Option<JoinGrant>, Fault> {
    let row = sqlx::query!(
        r#"select secret_hash, participant_id, scopes, token_lifetime as "token_lifetime: PgInterval"
           from join_tokens where id = $1 and expires_at > now() for no key update"#,
        secret.id().as_uuid()
    )
    .fetch_optional(db)
    .await?;
    let Some(row) = row else { return Ok(None) };
    let hash: [u8; 32] = row
        .secret_hash
        .try_into()
        .map_err(|_| stored::unreadable("join_tokens", "secret_hash", "not 32 bytes"))?;
    if !JoinSecretHash::from_bytes(hash).matches(secret) {
        return Ok(None);
    }
    let scopes = row.scopes.parse().map_err(|_| stored::unreadable("join_tokens", "scopes", &row.scopes))?;
    let microseconds = u64::try_from(row.token_lifetime.microseconds).unwrap_or_default();
    Ok(Some(JoinGrant {
        participant: ParticipantId(row.participant_id),
        scopes,
        token_lifetime: Duration::from_micros(microseconds),
    }))
}

/// Takes one use of a locked join token; tells whether there was one left.
pub(super) async fn use_join_token(db: &mut PgConnection, id: JoinId) -> Result<bool, Fault> {
    let used = sqlx::query!(
        "update join_tokens set uses_left = uses_left - 1 where id = $1 and uses_left > 0",
        id.as_uuid()
    )
    .execute(db)
    .await?;
    Ok(used.rows_affected() == 1)
}

/// Whether any token was ever made, so that the first one is made once.
pub async fn any_issued(db: impl PgExecutor<'_>) -> Result<bool, Fault> {
    Ok(sqlx::query_scalar!(r#"select exists (select from issued_tokens) as "any!""#).fetch_one(db).await?)
}

/// Deletes revocations of tokens that ended longer ago than this, at most `limit` of them; gives how many.
pub(crate) async fn forget_revoked(
    db: impl PgExecutor<'_>,
    ended_ago: Duration,
    limit: i64,
) -> Result<u64, Fault> {
    let deleted = sqlx::query!(
        "delete from revoked_tokens where id = any(array(
             select id from revoked_tokens where expires_at < now() - $1::interval
             order by expires_at limit $2 for update skip locked))",
        interval(ended_ago),
        limit
    )
    .execute(db)
    .await?;
    Ok(deleted.rows_affected())
}

/// Deletes notes of tokens that ended longer ago than this, at most `limit` of them; gives how many. The newest stays:
/// it tells that a first one was made.
pub(crate) async fn forget_issued(
    db: impl PgExecutor<'_>,
    ended_ago: Duration,
    limit: i64,
) -> Result<u64, Fault> {
    let deleted = sqlx::query!(
        "delete from issued_tokens where token_id = any(array(
             select token_id from issued_tokens
             where expires_at < now() - $1::interval
               and token_id <> (select token_id from issued_tokens order by token_id desc limit 1)
             order by expires_at limit $2 for update skip locked))",
        interval(ended_ago),
        limit
    )
    .execute(db)
    .await?;
    Ok(deleted.rows_affected())
}

/// Deletes join tokens that ended longer ago than this, at most `limit` of them; gives how many.
pub(crate) async fn forget_join_tokens(
    db: impl PgExecutor<'_>,
    ended_ago: Duration,
    limit: i64,
) -> Result<u64, Fault> {
    let deleted = sqlx::query!(
        "delete from join_tokens where id = any(array(
             select id from join_tokens where expires_at < now() - $1::interval
             order by expires_at limit $2 for update skip locked))",
        interval(ended_ago),
        limit
    )
    .execute(db)
    .await?;
    Ok(deleted.rows_affected())
}
