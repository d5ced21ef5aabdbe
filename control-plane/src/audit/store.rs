//! Every query on audit entries and answers.

use std::time::Duration;

use contracts::{NodeId, ParticipantId, SessionId};
use sqlx::{PgConnection, PgExecutor};
use time::OffsetDateTime;
use uuid::Uuid;

use super::{Act, CONTROL_PLANE, Entry};
use crate::{failure::Fault, postgres::interval::interval};

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

/// Writes an entry for each of these targets: the control plane itself did it, of its own accord.
pub(crate) async fn record_own(
    db: &mut PgConnection,
    epoch: i64,
    action: &'static str,
    targets: &[String],
    reason: &str,
) -> Result<(), Fault> {
    sqlx::query!(
        "insert into audit_entries (epoch, actor_id, action, target, reason)
         select $1, $2, $3, target, $5 from unnest($4::text[]) as target",
        epoch,
        CONTROL_PLANE.0,
        action,
        targets,
        reason
    )
    .execute(db)
    .await?;
    Ok(())
}

/// Deletes entries older than this, at most `limit` of them; gives how many. It looks at the first `limit` by id only:
/// ids rise with time, but for what transactions overlap.
pub(crate) async fn forget_entries(
    db: impl PgExecutor<'_>,
    kept_for: Duration,
    limit: i64,
) -> Result<u64, Fault> {
    let deleted = sqlx::query!(
        "delete from audit_entries where id = any(array(
             select id from (select id, at from audit_entries order by id limit $2) oldest
             where at < now() - $1::interval))",
        interval(kept_for),
        limit
    )
    .execute(db)
    .await?;
    Ok(deleted.rows_affected())
}

/// Deletes answers older than this, at most `limit` of them; gives how many.
pub(crate) async fn forget_answers(
    db: impl PgExecutor<'_>,
    kept_for: Duration,
    limit: i64,
) -> Result<u64, Fault> {
    let deleted = sqlx::query!(
        "delete from request_answers where (participant_id, request_id) in (
             select participant_id, request_id from request_answers where answered_at < now() - $1::interval
             order by answered_at limit $2 for update skip locked)",
        interval(kept_for),
        limit
    )
    .execute(db)
    .await?;
    Ok(deleted.rows_affected())
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

/// What was done to a node, and to a session as a whole, newest first, as far as it may say why the node is where it is.
pub(crate) async fn latest_acts(
    db: impl PgExecutor<'_>,
    node_id: &NodeId,
    session_id: SessionId,
) -> Result<Vec<Act>, Fault> {
    let session = session_id.to_string();
    let rows = sqlx::query!(
        "select at, actor_id, action, session_id, reason from audit_entries
         where target = $1
             and action in ('node.detach', 'node.revoke', 'node.revoke_everywhere', 'node.transfer')
           or target = $2 and action in ('session.archive', 'session.close')
         order by id desc limit 50",
        node_id.as_str(),
        session
    )
    .fetch_all(db)
    .await?;
    let act = |at, actor: Uuid, action, session: Option<Uuid>, reason| Act {
        at,
        actor: ParticipantId(actor),
        action,
        session_id: session.map(SessionId),
        reason,
    };
    Ok(rows
        .into_iter()
        .map(|row| act(row.at, row.actor_id, row.action, row.session_id, row.reason))
        .collect())
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
