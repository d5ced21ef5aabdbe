//! Every query on nodes, slots and spans.

use std::sync::Arc;

use contracts::{InstanceId, NodeId, ParticipantId, SessionId, capabilities::Declaration, ids::AttachmentId};
use sqlx::{PgConnection, PgExecutor, types::Json};
use time::OffsetDateTime;
use uuid::Uuid;

use super::{
    slot::{SelfReport, Slot, SlotState, StateReason},
    standing::{Known, OfferedSlot},
};
use crate::{
    auth::Actor,
    failure::Fault,
    postgres::stored,
    presence::health::{Health, Presence, Report},
    sessions::floor::Floor,
};

/// A node, locked.
#[derive(Clone, Copy, Debug)]
pub(super) struct NodeRow {
    pub(super) node_key: i64,
    pub(super) participant_id: ParticipantId,
    pub(super) generation: i64,
    pub(super) instance_id: Option<InstanceId>,
    pub(super) revoked: bool,
}

/// A slot with the floor of its session, as a roster shows it.
#[derive(Clone, Debug)]
pub struct ShownSlot {
    /// The slot.
    pub slot: Slot,
    /// The floor of its session.
    pub floor: Floor,
}

struct SlotRow {
    attachment_id: Uuid,
    session_id: Uuid,
    node_id: String,
    node_key: i64,
    participant_id: Uuid,
    generation: i64,
    revision: i64,
    client_version: String,
    capabilities: Json<Declaration>,
    state: String,
    state_reasons: Json<Vec<StateReason>>,
    attached_at: OffsetDateTime,
    min_client_version: Option<String>,
    health_state: Option<String>,
    health_cause: Option<String>,
    last_heartbeat_at: Option<OffsetDateTime>,
}

impl TryFrom<SlotRow> for ShownSlot {
    type Error = Fault;

    fn try_from(row: SlotRow) -> Result<Self, Fault> {
        let presence = match (row.health_state, row.health_cause, row.last_heartbeat_at) {
            (Some(state), Some(cause), Some(last_heartbeat_at)) => {
                Some(Presence { health: Health::from_stored(&state, &cause)?, last_heartbeat_at })
            }
            _ => None,
        };
        let unreadable = |column, value: &str| stored::unreadable("runtime_node_attachments", column, value);
        let slot = Slot {
            attachment_id: AttachmentId(row.attachment_id),
            session_id: SessionId(row.session_id),
            node_id: row
                .node_id
                .parse()
                .map_err(|_| stored::unreadable("runtime_nodes", "node_id", &row.node_id))?,
            node_key: row.node_key,
            participant_id: ParticipantId(row.participant_id),
            generation: row.generation,
            revision: row.revision,
            client_version: row
                .client_version
                .parse()
                .map_err(|_| unreadable("client_version", &row.client_version))?,
            declaration: Arc::new(row.capabilities.0),
            state: SlotState::from_stored(&row.state, row.state_reasons.0)?,
            attached_at: row.attached_at,
            presence,
        };
        Ok(Self { slot, floor: Floor::from_stored(row.min_client_version.as_deref()) })
    }
}

/// Selects slots as [`SlotRow`]; the literal goes on after `from runtime_node_slots slot`.
macro_rules! select_slots {
    ($rest:literal $(, $argument:expr)*) => {
        sqlx::query_as!(
            SlotRow,
            r#"select slot.attachment_id as "attachment_id!", slot.session_id as "session_id!",
                      slot.node_id as "node_id!", slot.node_key as "node_key!",
                      slot.participant_id as "participant_id!", slot.generation as "generation!",
                      slot.revision as "revision!", slot.client_version as "client_version!",
                      slot.capabilities as "capabilities!: Json<Declaration>", slot.state as "state!",
                      slot.state_reasons as "state_reasons!: Json<Vec<StateReason>>",
                      slot.attached_at as "attached_at!", slot.min_client_version, slot.health_state,
                      slot.health_cause, slot.last_heartbeat_at
               from runtime_node_slots slot "# + $rest
            $(, $argument)*
        )
    };
}

fn shown(rows: Vec<SlotRow>) -> Result<Vec<ShownSlot>, Fault> {
    rows.into_iter().map(ShownSlot::try_from).collect()
}

/// One slot, as stored.
pub(super) async fn slot(db: impl PgExecutor<'_>, id: AttachmentId) -> Result<ShownSlot, Fault> {
    select_slots!("where slot.attachment_id = $1", id.0).fetch_one(db).await?.try_into()
}

/// A page of a session's slots, by node id.
pub(super) async fn slots_of_session(
    db: impl PgExecutor<'_>,
    session_id: SessionId,
    after: &str,
    limit: i64,
) -> Result<Vec<ShownSlot>, Fault> {
    let rows = select_slots!(
        r#"where slot.session_id = $1 and slot.node_id > $2 order by slot.node_id limit $3"#,
        session_id.0,
        after,
        limit
    );
    shown(rows.fetch_all(db).await?)
}

/// A page of the fleet: for each node its active slot, else the one that it attached last, by node id.
pub(super) async fn last_slots(
    db: impl PgExecutor<'_>,
    actor: Actor,
    session_id: Option<SessionId>,
    after: &str,
    limit: i64,
) -> Result<Vec<ShownSlot>, Fault> {
    let rows = select_slots!(
        r#"where slot.node_id > $3
             and ($2::uuid is null or slot.session_id = $2)
             and ($5 or exists (select from session_memberships membership
                                where membership.session_id = slot.session_id and membership.participant_id = $1
                                  and membership.state = 'active'))
             and ($2::uuid is not null or not exists (
                 select from runtime_node_attachments later
                 where later.node_key = slot.node_key and later.generation > slot.generation))
           order by slot.node_id limit $4"#,
        actor.participant.0,
        session_id.map(|id| id.0),
        after,
        limit,
        actor.is_admin
    );
    shown(rows.fetch_all(db).await?)
}

/// All slots of a node, the one attached last first.
pub(super) async fn slots_of_node(
    db: impl PgExecutor<'_>,
    node_id: &NodeId,
) -> Result<Vec<ShownSlot>, Fault> {
    shown(
        select_slots!("where slot.node_id = $1 order by slot.generation desc", node_id.as_str())
            .fetch_all(db)
            .await?,
    )
}

/// Every slot, for a leader that starts.
pub async fn all_slots(db: impl PgExecutor<'_>) -> Result<Vec<Slot>, Fault> {
    let rows = select_slots!("order by slot.node_key").fetch_all(db).await?;
    rows.into_iter().map(|row| ShownSlot::try_from(row).map(|shown| shown.slot)).collect()
}

/// Makes the node for this participant if there is none of that name, and locks it. One that is forgotten while its
/// lock is waited for is made anew.
pub(super) async fn claim_node(
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

/// Locks a node.
pub(super) async fn lock_node(db: &mut PgConnection, node_id: &NodeId) -> Result<Option<NodeRow>, Fault> {
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

/// What an attach needs to know of a locked node.
#[derive(Clone, Debug)]
pub(super) struct AttachFacts {
    /// The node's slot in this session.
    pub(super) here: Option<SlotHere>,
    /// The node's active slot is in another session.
    pub(super) active_elsewhere: bool,
    /// This instance was attached before.
    pub(super) instance_seen: bool,
    /// Active slots of the session.
    pub(super) active_in_session: i64,
}

/// The node's slot in the session that it attaches to.
#[derive(Clone, Debug)]
pub(super) struct SlotHere {
    pub(super) id: AttachmentId,
    pub(super) state: String,
    pub(super) declaration: Declaration,
}

/// Locks the node's slot in a session and its active one, and reads what an attach decides by.
pub(super) async fn attach_facts(
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
pub(super) struct Activation<'a> {
    pub(super) node: NodeRow,
    pub(super) attachment_id: AttachmentId,
    pub(super) session_id: SessionId,
    pub(super) instance_id: InstanceId,
    pub(super) client_version: &'a str,
    pub(super) declaration: &'a Declaration,
    pub(super) state: &'a SlotState,
    pub(super) report: Report,
}

/// Activates a slot under the next generation: node, slot, spans and presence in one statement.
///
/// The time is taken here, under the node's lock: by the start of their transactions, attaches that waited for each
/// other would follow in another order.
pub(super) async fn activate(db: &mut PgConnection, activation: Activation<'_>) -> Result<(), sqlx::Error> {
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

/// Where a node's active slot is, unlocked: a hint for locking in order, to be checked again under the locks.
pub(super) async fn active_session(
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
pub(super) async fn last_session(
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
pub(super) async fn known(db: impl PgExecutor<'_>, node_key: i64, generation: i64) -> Result<Known, Fault> {
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
pub(super) async fn run_node_key(
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

/// What an update of a slot decides by.
pub(super) struct ActiveSlot {
    pub(super) id: AttachmentId,
    pub(super) session_id: SessionId,
    pub(super) client_version: String,
    pub(super) declaration: Declaration,
    pub(super) report: SelfReport,
}

/// Locks the slot that carries this generation.
pub(super) async fn lock_slot(
    db: &mut PgConnection,
    node_key: i64,
    generation: i64,
) -> Result<ActiveSlot, Fault> {
    let row = sqlx::query!(
        r#"select id, session_id, client_version, capabilities as "capabilities!: Json<Declaration>",
                  reported_health, state_reasons as "state_reasons!: Json<Vec<StateReason>>"
           from runtime_node_attachments where node_key = $1 and generation = $2 for no key update"#,
        node_key,
        generation
    )
    .fetch_one(db)
    .await?;
    Ok(ActiveSlot {
        id: AttachmentId(row.id),
        session_id: SessionId(row.session_id),
        client_version: row.client_version,
        declaration: row.capabilities.0,
        report: SelfReport {
            health: Report::from_stored(&row.reported_health)?,
            reason: row.state_reasons.0.into_iter().find_map(|reason| match reason {
                StateReason::SelfReported(reason) => reason,
                StateReason::Unsupported(_) => None,
            }),
        },
    })
}

/// Writes what a daemon declared and reported; gives the time of it.
pub(super) async fn update_slot(
    db: &mut PgConnection,
    id: AttachmentId,
    declaration: &Declaration,
    report: &SelfReport,
    state: &SlotState,
) -> Result<OffsetDateTime, Fault> {
    Ok(sqlx::query_scalar!(
        r#"update runtime_node_attachments
           set capabilities = $2, reported_health = $3, state = $4, state_reasons = $5, revision = revision + 1
           where id = $1 returning now() as "now!""#,
        id.0,
        Json(declaration) as _,
        report.health.as_str(),
        state.as_str(),
        Json(state.reasons()) as _
    )
    .fetch_one(db)
    .await?)
}

/// Ends active slots of locked nodes: slots, spans and presences in one statement.
pub(super) async fn end_slots(
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

stored::stored_enum! {
    /// Why a span ended.
    pub(crate) enum SpanEnd in "attachment_spans"."end_cause" {
        /// The daemon gave its slot back.
        Detached = "detached",
        /// A newer attach took it.
        Superseded = "superseded",
        /// The session was closed.
        SessionClosed = "session_closed",
        /// The slot or the node was revoked.
        Revoked = "revoked",
        /// The node was given to another participant.
        Transferred = "transferred",
    }
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
) -> Result<Vec<Slot>, Fault> {
    let ids: Vec<_> = ids.iter().map(|id| id.0).collect();
    end_slots(db, &ids, SpanEnd::SessionClosed, None).await?;
    let rows = select_slots!("where slot.attachment_id = any($1)", &ids).fetch_all(db).await?;
    rows.into_iter().map(|row| ShownSlot::try_from(row).map(|shown| shown.slot)).collect()
}

/// A stretch of time for which one instance held a slot.
#[derive(Clone, Debug)]
pub(super) struct Span {
    pub(super) generation: i64,
    pub(super) instance_id: InstanceId,
    pub(super) started_at: OffsetDateTime,
    pub(super) end: Option<(OffsetDateTime, SpanEnd, Option<String>)>,
}

/// The latest spans of a node, newest first.
pub(super) async fn latest_spans(
    db: impl PgExecutor<'_>,
    node_key: i64,
    limit: i64,
) -> Result<Vec<Span>, Fault> {
    let rows = sqlx::query!(
        "select generation, instance_id, started_at, ended_at, end_cause, end_reason
         from attachment_spans where node_key = $1 order by generation desc limit $2",
        node_key,
        limit
    )
    .fetch_all(db)
    .await?;
    rows.into_iter()
        .map(|row| {
            let end = match (row.ended_at, row.end_cause) {
                (Some(at), Some(cause)) => Some((at, SpanEnd::from_stored(&cause)?, row.end_reason)),
                _ => None,
            };
            Ok(Span {
                generation: row.generation,
                instance_id: InstanceId(row.instance_id),
                started_at: row.started_at,
                end,
            })
        })
        .collect()
}

/// When a node was first seen, its generation, and when it was revoked everywhere.
pub(super) struct NodeFacts {
    pub(super) node_key: i64,
    pub(super) first_seen_at: OffsetDateTime,
    pub(super) generation: i64,
    pub(super) revoked_at: Option<OffsetDateTime>,
}

/// A node, unlocked.
pub(super) async fn node_facts(
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

/// Marks a node as revoked everywhere, once.
pub(super) async fn revoke_everywhere(db: &mut PgConnection, node_key: i64) -> Result<(), Fault> {
    sqlx::query!(
        "update runtime_nodes set revoked_at = now(), generation = generation + 1
         where node_key = $1 and revoked_at is null",
        node_key
    )
    .execute(db)
    .await?;
    Ok(())
}

/// Revokes slots of a locked node: slots, spans and presence in one statement. An active one goes on under a generation
/// that nobody holds; one that had ended keeps its own, so that the slot which the node attached last stays the last.
pub(super) async fn revoke_slots(
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

/// The active slot of a locked node.
pub(super) async fn active_slot_of(
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
pub(super) async fn give_node(db: &mut PgConnection, node_key: i64, to: ParticipantId) -> Result<i64, Fault> {
    Ok(sqlx::query_scalar!(
        "update runtime_nodes set participant_id = $2, generation = generation + 1, instance_id = null
         where node_key = $1 returning generation",
        node_key,
        to.0
    )
    .fetch_one(db)
    .await?)
}

/// Deletes a locked node with its spans, slots and presence.
pub(super) async fn delete_node(db: &mut PgConnection, node_key: i64) -> Result<(), Fault> {
    sqlx::query!("delete from attachment_spans where node_key = $1", node_key).execute(&mut *db).await?;
    sqlx::query!("delete from runtime_node_attachments where node_key = $1", node_key)
        .execute(&mut *db)
        .await?;
    sqlx::query!("delete from runtime_node_presence where node_key = $1", node_key).execute(&mut *db).await?;
    sqlx::query!("delete from runtime_nodes where node_key = $1", node_key).execute(db).await?;
    Ok(())
}
