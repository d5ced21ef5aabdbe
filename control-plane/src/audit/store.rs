//! Every query on audit entries and answers.

use contracts::ParticipantId;
use sqlx::{PgConnection, PgExecutor};
use time::OffsetDateTime;
use uuid::Uuid;

use super::Entry;
use crate::failure::Fault;

/// Writes an entry, in the transaction of what it tells.
pub async fn record(db: &mut PgConnection, epoch: i64, entry: Entry<'_>) -> Result<(), Fault> {
    sqlx::query!(
        "insert into audit_entries (epoch, actor_id, action, session_id, target, reason, request_id)
         values ($1, $2, $3, $4, $5, $6, $7)",
        epoch,
        entry.actor.0,
        entry.action,
        entry.session_id.map(|id| id.0),
        entry.target,
        entry.reason,
        entry.request_id
    )
    .execute(db)
    .await?;
    Ok(())
}

/// An entry, as stored.
#[derive(Clone, Debug)]
pub(super) struct EntryRow {
    pub(super) id: i64,
    pub(super) at: OffsetDateTime,
    pub(super) epoch: i64,
    pub(super) actor_id: Uuid,
    pub(super) action: String,
    pub(super) session_id: Option<Uuid>,
    pub(super) target: String,
    pub(super) reason: Option<String>,
    pub(super) request_id: Option<Uuid>,
}

/// A page of entries, newest first.
pub(super) async fn entries(
    db: impl PgExecutor<'_>,
    session_id: Option<Uuid>,
    target: Option<&str>,
    before: i64,
    limit: i64,
) -> Result<Vec<EntryRow>, Fault> {
    Ok(sqlx::query_as!(
        EntryRow,
        "select id, at, epoch, actor_id, action, session_id, target, reason, request_id
         from audit_entries
         where id < $3 and ($1::uuid is null or session_id = $1) and ($2::text is null or target = $2)
         order by id desc limit $4",
        session_id,
        target,
        before,
        limit
    )
    .fetch_all(db)
    .await?)
}

/// Takes a request id for this transaction. None when it is ours now; else what was asked and answered under it.
///
/// A request under way with the same id is waited for.
pub(super) async fn take_request(
    db: &mut PgConnection,
    actor: ParticipantId,
    request_id: Uuid,
    method: &str,
    digest: &[u8],
) -> Result<Option<(String, Vec<u8>, Vec<u8>)>, Fault> {
    let taken = sqlx::query!(
        "insert into request_answers (participant_id, request_id, method, request_digest, answer)
         values ($1, $2, $3, $4, '') on conflict do nothing",
        actor.0,
        request_id,
        method,
        digest
    )
    .execute(&mut *db)
    .await?;
    if taken.rows_affected() == 1 {
        return Ok(None);
    }
    let row = sqlx::query!(
        "select method, request_digest, answer from request_answers where participant_id = $1 and request_id = $2",
        actor.0,
        request_id
    )
    .fetch_one(db)
    .await?;
    Ok(Some((row.method, row.request_digest, row.answer)))
}

/// Stores the answer of the request that this transaction took.
pub(super) async fn store_answer(
    db: &mut PgConnection,
    actor: ParticipantId,
    request_id: Uuid,
    answer: &[u8],
) -> Result<(), Fault> {
    sqlx::query!(
        "update request_answers set answer = $3 where participant_id = $1 and request_id = $2",
        actor.0,
        request_id,
        answer
    )
    .execute(db)
    .await?;
    Ok(())
}
