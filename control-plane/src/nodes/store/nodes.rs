//! Nodes, and what is known of their generations.

use contracts::{InstanceId, NodeId, ParticipantId, SessionId, ids::AttachmentId};
use sqlx::{PgConnection, PgExecutor};
use time::OffsetDateTime;

use crate::{
    failure::Fault,
    nodes::standing::{Known, OfferedSlot},
    postgres::stored,
};

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

/// What is known of an offered generation of a node. Under the node's lock the answer stays true.
pub(in crate::nodes) async fn known(
    db: impl PgExecutor<'_>,
    node_key: i64,
    generation: i64,
) -> Result<Known, Fault> {
    let row = sqlx::query!(
        r#"select
             node.revoked_at is not null as "node_revoked!",
             node.generation > $2 as "newer_exists!",
             (select attachment.generation from runtime_node_attachments attachment
              where attachment.node_key = node.node_key
                and attachment.state in ('registering', 'online', 'degraded')) as active,
             (select attachment.state
              from attachment_spans span
              join runtime_node_attachments attachment on attachment.id = span.attachment_id
              where span.node_key = node.node_key and span.generation = $2
                and (attachment.generation = $2 or attachment.state = 'revoked')) as offered
           from runtime_nodes node where node.node_key = $1"#,
        node_key,
        generation
    )
    .fetch_one(db)
    .await?;
    let offered_slot = match row.offered.as_deref() {
        None => None,
        Some("registering" | "online" | "degraded") => Some(OfferedSlot::Active),
        Some("offline") => Some(OfferedSlot::Detached),
        Some("revoked") => Some(OfferedSlot::Revoked),
        Some(other) => return Err(stored::unreadable("runtime_node_attachments", "state", other)),
    };
    Ok(Known {
        node_revoked: row.node_revoked,
        active: row.active,
        offered_slot,
        newer_exists: row.newer_exists,
    })
}

/// A node's key, if this participant owns it and may run nodes in the session of the slot that it attached last.
pub(in crate::nodes) async fn run_node_key(
    db: impl PgExecutor<'_>,
    node_id: &NodeId,
    participant: ParticipantId,
) -> Result<Option<i64>, Fault> {
    Ok(sqlx::query_scalar!(
        "select node.node_key from runtime_nodes node
         where node.node_id = $1 and node.participant_id = $2 and exists (
             select from session_memberships membership
             where membership.participant_id = $2 and membership.state = 'active'
               and membership.role in ('owner', 'collaborator', 'runtime_contributor')
               and membership.session_id = (
                   select attachment.session_id from runtime_node_attachments attachment
                   where attachment.node_key = node.node_key
                   order by attachment.generation desc limit 1))",
        node_id.as_str(),
        participant.0
    )
    .fetch_optional(db)
    .await?)
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
