//! What an attach reads and writes.

use contracts::{InstanceId, NodeId, ParticipantId, SessionId, capabilities::Declaration, ids::AttachmentId};
use sqlx::{PgConnection, types::Json};

use super::nodes::{NodeRow, lock_node};
use crate::{
    failure::Fault,
    nodes::slot::SlotState,
    presence::health::{Health, Report},
};

/// Makes the node for this participant if there is none of that name, and locks it. One that is forgotten while its
/// lock is waited for is made anew.
pub(in crate::nodes) async fn claim_node(
    db: &mut PgConnection,
    node_id: &NodeId,
    participant: ParticipantId,
) -> Result<NodeRow, Fault> {
    loop {
        sqlx::query!(
            "insert into runtime_nodes (node_id, participant_id) values ($1, $2) on conflict (node_id) do nothing",
            node_id.as_str(),
            participant.0
        )
        .execute(&mut *db)
        .await?;
        if let Some(node) = lock_node(db, node_id).await? {
            return Ok(node);
        }
    }
}

/// What an attach needs to know of a locked node.
#[derive(Clone, Debug)]
pub(in crate::nodes) struct AttachFacts {
    /// The node's slot in this session.
    pub(in crate::nodes) here: Option<SlotHere>,
    /// The node's active slot is in another session.
    pub(in crate::nodes) active_elsewhere: bool,
    /// This instance was attached before.
    pub(in crate::nodes) instance_seen: bool,
    /// Active slots of the session.
    pub(in crate::nodes) active_in_session: i64,
}

/// The node's slot in the session that it attaches to.
#[derive(Clone, Debug)]
pub(in crate::nodes) struct SlotHere {
    pub(in crate::nodes) id: AttachmentId,
    pub(in crate::nodes) state: String,
    pub(in crate::nodes) declaration: Declaration,
}

/// Locks the node's slot in a session and its active one, and reads what an attach decides by.
pub(in crate::nodes) async fn attach_facts(
    db: &mut PgConnection,
    node_key: i64,
    session_id: SessionId,
    instance: InstanceId,
) -> Result<AttachFacts, Fault> {
    let slots = sqlx::query!(
        r#"select id, session_id, state, capabilities as "capabilities!: Json<Declaration>"
           from runtime_node_attachments
           where node_key = $1 and (session_id = $2 or state in ('registering', 'online', 'degraded'))
           for no key update"#,
        node_key,
        session_id.0
    )
    .fetch_all(&mut *db)
    .await?;
    let counted = sqlx::query!(
        r#"select
             exists (select from attachment_spans where node_key = $1 and instance_id = $2) as "instance_seen!",
             (select count(*) from runtime_node_attachments
              where session_id = $3 and state in ('registering', 'online', 'degraded')) as "active!""#,
        node_key,
        instance.0,
        session_id.0
    )
    .fetch_one(db)
    .await?;
    let active_elsewhere = slots.iter().any(|slot| slot.session_id != session_id.0);
    let here = slots.into_iter().find(|slot| slot.session_id == session_id.0).map(|slot| SlotHere {
        id: AttachmentId(slot.id),
        state: slot.state,
        declaration: slot.capabilities.0,
    });
    Ok(AttachFacts {
        here,
        active_elsewhere,
        instance_seen: counted.instance_seen,
        active_in_session: counted.active,
    })
}

/// What an attach writes.
pub(in crate::nodes) struct Activation<'a> {
    pub(in crate::nodes) node: NodeRow,
    pub(in crate::nodes) attachment_id: AttachmentId,
    pub(in crate::nodes) session_id: SessionId,
    pub(in crate::nodes) instance_id: InstanceId,
    pub(in crate::nodes) client_version: &'a str,
    pub(in crate::nodes) declaration: &'a Declaration,
    pub(in crate::nodes) state: &'a SlotState,
    pub(in crate::nodes) report: Report,
}

/// Activates a slot under the next generation: node, slot, spans and presence in one statement.
///
/// The time is taken here, under the node's lock: by the start of their transactions, attaches that waited for each
/// other would follow in another order.
pub(in crate::nodes) async fn activate(
    db: &mut PgConnection,
    activation: Activation<'_>,
) -> Result<(), sqlx::Error> {
    let Activation {
        node,
        attachment_id,
        session_id,
        instance_id,
        client_version,
        declaration,
        state,
        report,
    } = activation;
    let (health_state, health_cause) = Health::from(report).as_stored();
    sqlx::query!(
        r#"with at as materialized (
             select clock_timestamp() as time
           ), node as (
             update runtime_nodes set generation = $2, instance_id = $5 where node_key = $1
           ), slot as (
             insert into runtime_node_attachments
               (id, session_id, node_key, participant_id, generation, client_version, capabilities, state,
                reported_health, state_reasons, attached_at)
             values ($3, $4, $1, $6, $2, $7, $8, $9, $10, $11, (select time from at))
             on conflict (node_key, session_id) do update set
               participant_id = excluded.participant_id,
               generation = excluded.generation,
               revision = runtime_node_attachments.revision + 1,
               client_version = excluded.client_version,
               capabilities = excluded.capabilities,
               state = excluded.state,
               reported_health = excluded.reported_health,
               state_reasons = excluded.state_reasons
           ), ended as (
             update attachment_spans set ended_at = greatest(started_at, at.time), end_cause = 'superseded'
             from at where node_key = $1 and generation < $2 and ended_at is null
           ), started as (
             insert into attachment_spans
               (attachment_id, session_id, node_key, participant_id, generation, instance_id, started_at)
             values ($3, $4, $1, $6, $2, $5, (select time from at))
           )
           insert into runtime_node_presence (node_key, generation, last_heartbeat_at, health_state, health_cause)
           values ($1, $2, (select time from at), $12, $13)
           on conflict (node_key) do update set
             generation = excluded.generation,
             last_heartbeat_at = excluded.last_heartbeat_at,
             health_state = excluded.health_state,
             health_cause = excluded.health_cause"#,
        node.node_key,
        node.generation + 1,
        attachment_id.0,
        session_id.0,
        instance_id.0,
        node.participant_id.0,
        client_version,
        Json(declaration) as _,
        state.as_str(),
        report.as_str(),
        Json(state.reasons()) as _,
        health_state,
        health_cause
    )
    .execute(db)
    .await?;
    Ok(())
}
