//! Nodes, and where their slots are.

use contracts::{InstanceId, NodeId, ParticipantId, SessionId, ids::AttachmentId};
use sqlx::{PgConnection, PgExecutor};
use time::OffsetDateTime;

use crate::failure::Fault;

/// A node, locked.
#[derive(Clone, Copy, Debug)]
pub(in crate::nodes) struct NodeRow {
    pub(in crate::nodes) node_key: i64,
    pub(in crate::nodes) participant_id: ParticipantId,
    pub(in crate::nodes) generation: i64,
    pub(in crate::nodes) instance_id: Option<InstanceId>,
    pub(in crate::nodes) revoked: bool,
}

/// Locks a node.
pub(in crate::nodes) async fn lock_node(
    db: &mut PgConnection,
    node_id: &NodeId,
) -> Result<Option<NodeRow>, Fault> {
    let row = sqlx::query!(
        "select node_key, participant_id, generation, instance_id, revoked_at is not null as \"revoked!\"
         from runtime_nodes where node_id = $1 for no key update",
        node_id.as_str()
    )
    .fetch_optional(db)
    .await?;
    Ok(row.map(|row| NodeRow {
        node_key: row.node_key,
        participant_id: ParticipantId(row.participant_id),
        generation: row.generation,
        instance_id: row.instance_id.map(InstanceId),
        revoked: row.revoked,
    }))
}

/// Where a node's active slot is, unlocked: a hint for locking in order, to be checked again under the locks.
pub(in crate::nodes) async fn active_session(
    db: impl PgExecutor<'_>,
    node_id: &NodeId,
) -> Result<Option<SessionId>, Fault> {
    let session_id = sqlx::query_scalar!(
        "select attachment.session_id
         from runtime_nodes node join runtime_node_attachments attachment using (node_key)
         where node.node_id = $1 and attachment.state in ('registering', 'online', 'degraded')",
        node_id.as_str()
    )
    .fetch_optional(db)
    .await?;
    Ok(session_id.map(SessionId))
}

/// Where the slot is that a node attached last, unlocked: a hint like that of its active one, which it is if there is one.
pub(in crate::nodes) async fn last_session(
    db: impl PgExecutor<'_>,
    node_id: &NodeId,
) -> Result<Option<SessionId>, Fault> {
    let session_id = sqlx::query_scalar!(
        "select attachment.session_id
         from runtime_nodes node join runtime_node_attachments attachment using (node_key)
         where node.node_id = $1 order by attachment.generation desc limit 1",
        node_id.as_str()
    )
    .fetch_optional(db)
    .await?;
    Ok(session_id.map(SessionId))
}

/// When a node was first seen, its generation, and when it was revoked everywhere.
pub(in crate::nodes) struct NodeFacts {
    pub(in crate::nodes) node_key: i64,
    pub(in crate::nodes) first_seen_at: OffsetDateTime,
    pub(in crate::nodes) generation: i64,
    pub(in crate::nodes) revoked_at: Option<OffsetDateTime>,
}

/// A node, unlocked.
pub(in crate::nodes) async fn node_facts(
    db: impl PgExecutor<'_>,
    node_id: &NodeId,
) -> Result<Option<NodeFacts>, Fault> {
    Ok(sqlx::query_as!(
        NodeFacts,
        "select node_key, first_seen_at, generation, revoked_at from runtime_nodes where node_id = $1",
        node_id.as_str()
    )
    .fetch_optional(db)
    .await?)
}

/// The active slot of a locked node.
pub(in crate::nodes) async fn active_slot_of(
    db: impl PgExecutor<'_>,
    node_key: i64,
) -> Result<Option<AttachmentId>, Fault> {
    let id = sqlx::query_scalar!(
        "select id from runtime_node_attachments
         where node_key = $1 and state in ('registering', 'online', 'degraded')",
        node_key
    )
    .fetch_optional(db)
    .await?;
    Ok(id.map(AttachmentId))
}

/// Gives a locked node to another participant, under the next generation.
pub(in crate::nodes) async fn give_node(
    db: &mut PgConnection,
    node_key: i64,
    to: ParticipantId,
) -> Result<i64, Fault> {
    Ok(sqlx::query_scalar!(
        "update runtime_nodes set participant_id = $2, generation = generation + 1, instance_id = null
         where node_key = $1 returning generation",
        node_key,
        to.0
    )
    .fetch_one(db)
    .await?)
}
