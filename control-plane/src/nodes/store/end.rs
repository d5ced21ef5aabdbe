//! What ends slots, for now or for ever, and nodes.

use std::time::Duration;

use contracts::{SessionId, ids::AttachmentId};
use sqlx::{PgConnection, PgExecutor};
use time::OffsetDateTime;
use uuid::Uuid;

use super::{nodes::NodeRow, slots, spans::SpanEnd};
use crate::{failure::Fault, nodes::slot::Slot, postgres::interval::interval};

/// Ends active slots of locked nodes: slots, spans and presences in one statement.
pub(in crate::nodes) async fn end_slots(
    db: &mut PgConnection,
    ids: &[Uuid],
    cause: SpanEnd,
    reason: Option<&str>,
) -> Result<(), Fault> {
    sqlx::query!(
        "with slot as (
           update runtime_node_attachments
           set state = 'offline', state_reasons = '[]', revision = revision + 1
           where id = any($1)
           returning node_key, generation
         ), ended as (
           update attachment_spans span
           set ended_at = greatest(span.started_at, clock_timestamp()), end_cause = $2, end_reason = $3
           from slot where span.node_key = slot.node_key and span.ended_at is null
         )
         update runtime_node_presence presence
         set generation = null, health_state = 'offline', health_cause = 'detached'
         from slot where presence.node_key = slot.node_key and presence.generation = slot.generation",
        ids,
        cause.as_str(),
        reason
    )
    .execute(db)
    .await?;
    Ok(())
}

/// Locks the active slots of a session with their nodes and presences, each in the order of the keys.
pub(crate) async fn lock_active_slots(
    db: &mut PgConnection,
    session_id: SessionId,
) -> Result<Vec<AttachmentId>, Fault> {
    let node_keys = sqlx::query_scalar!(
        "select node_key from runtime_node_attachments
         where session_id = $1 and state in ('registering', 'online', 'degraded')",
        session_id.0
    )
    .fetch_all(&mut *db)
    .await?;
    sqlx::query!(
        "select node_key from runtime_nodes where node_key = any($1) order by node_key for no key update",
        &node_keys
    )
    .fetch_all(&mut *db)
    .await?;
    // Again, now that no attach or detach of these nodes is under way.
    let ids = sqlx::query_scalar!(
        "select id from runtime_node_attachments
         where session_id = $1 and node_key = any($2) and state in ('registering', 'online', 'degraded')
         order by node_key for no key update",
        session_id.0,
        &node_keys
    )
    .fetch_all(&mut *db)
    .await?;
    // Beats lock presences too, a batch at a time, in this order.
    sqlx::query!(
        "select node_key from runtime_node_presence where node_key = any($1) order by node_key for no key update",
        &node_keys
    )
    .fetch_all(db)
    .await?;
    Ok(ids.into_iter().map(AttachmentId).collect())
}

/// Ends the active slots of a closing session.
pub(crate) async fn end_slots_of_closed_session(
    db: &mut PgConnection,
    ids: &[AttachmentId],
    reason: Option<&str>,
) -> Result<Vec<Slot>, Fault> {
    let ids: Vec<_> = ids.iter().map(|id| id.0).collect();
    end_slots(db, &ids, SpanEnd::SessionClosed, reason).await?;
    slots::slots(db, &ids).await
}

/// Marks a node as revoked everywhere, once; tells whether it was not before.
pub(in crate::nodes) async fn revoke_everywhere(db: &mut PgConnection, node_key: i64) -> Result<bool, Fault> {
    let marked = sqlx::query!(
        "update runtime_nodes set revoked_at = now(), generation = generation + 1
         where node_key = $1 and revoked_at is null",
        node_key
    )
    .execute(db)
    .await?;
    Ok(marked.rows_affected() == 1)
}

/// Revokes slots of a locked node: slots, spans and presence in one statement. An active one goes on under a generation
/// that nobody holds; one that had ended keeps its own, so that the slot which the node attached last stays the last.
pub(in crate::nodes) async fn revoke_slots(
    db: &mut PgConnection,
    node: NodeRow,
    ids: &[Uuid],
    reason: &str,
) -> Result<(), Fault> {
    sqlx::query!(
        "with node as (
           update runtime_nodes set generation = generation + 1 where node_key = $1 returning generation
         ), held as (
           select id, node_key, generation, state in ('registering', 'online', 'degraded') as active,
                  generation = (select max(generation) from runtime_node_attachments where node_key = $1) as last
           from runtime_node_attachments where id = any($2)
         ), slot as (
           update runtime_node_attachments attachment
           set state = 'revoked', state_reasons = '[]', revision = revision + 1,
               generation = case when held.active then node.generation else attachment.generation end
           from node, held where attachment.id = held.id
         ), ended as (
           update attachment_spans span
           set ended_at = greatest(span.started_at, clock_timestamp()), end_cause = 'revoked', end_reason = $3
           from held where span.attachment_id = held.id and span.ended_at is null
         )
         update runtime_node_presence presence
         set generation = null, health_state = 'offline', health_cause = 'revoked'
         from held
         where presence.node_key = held.node_key
           and (presence.generation = held.generation or presence.generation is null and held.last)",
        node.node_key,
        ids,
        reason
    )
    .execute(db)
    .await?;
    Ok(())
}

/// Locks nodes that are offline and were last heard before an instant, and gives their keys and names. What others hold
/// is passed over, for somebody is just being heard or taken out; nothing waits, so nothing can deadlock.
pub(in crate::nodes) async fn lock_unheard(
    db: &mut PgConnection,
    heard_before: OffsetDateTime,
    limit: i64,
) -> Result<Vec<(i64, String)>, Fault> {
    let locked = sqlx::query_scalar!(
        "select node.node_key
         from runtime_node_presence presence join runtime_nodes node using (node_key)
         where presence.health_state = 'offline' and presence.last_heartbeat_at < $1 and node.revoked_at is null
           and not exists (select from runtime_node_attachments slot
                           where slot.node_key = node.node_key and slot.state = 'revoked')
         order by node.node_key limit $2
         for update of node, presence skip locked",
        heard_before,
        limit
    )
    .fetch_all(&mut *db)
    .await?;
    // Again: a slot may have been revoked after the snapshot by which the nodes were found.
    let rows = sqlx::query!(
        "select node.node_key, node.node_id from runtime_nodes node
         where node.node_key = any($1)
           and not exists (select from runtime_node_attachments slot
                           where slot.node_key = node.node_key and slot.state = 'revoked')
         order by node.node_key",
        &locked
    )
    .fetch_all(db)
    .await?;
    Ok(rows.into_iter().map(|row| (row.node_key, row.node_id)).collect())
}

/// Deletes locked nodes with their spans, slots and presences.
pub(in crate::nodes) async fn delete_nodes(db: &mut PgConnection, node_keys: &[i64]) -> Result<(), Fault> {
    sqlx::query!("delete from attachment_spans where node_key = any($1)", node_keys)
        .execute(&mut *db)
        .await?;
    sqlx::query!("delete from runtime_node_attachments where node_key = any($1)", node_keys)
        .execute(&mut *db)
        .await?;
    sqlx::query!("delete from runtime_node_presence where node_key = any($1)", node_keys)
        .execute(&mut *db)
        .await?;
    sqlx::query!("delete from runtime_nodes where node_key = any($1)", node_keys).execute(db).await?;
    Ok(())
}

/// Deletes spans that ended longer ago than this, at most `limit` of them; gives how many.
pub(crate) async fn forget_spans(
    db: impl PgExecutor<'_>,
    kept_for: Duration,
    limit: i64,
) -> Result<u64, Fault> {
    let deleted = sqlx::query!(
        "delete from attachment_spans where id = any(array(
             select id from attachment_spans where ended_at < now() - $1::interval
             order by ended_at limit $2 for update skip locked))",
        interval(kept_for),
        limit
    )
    .execute(db)
    .await?;
    Ok(deleted.rows_affected())
}
