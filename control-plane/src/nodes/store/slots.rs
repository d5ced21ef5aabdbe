//! Slots as rosters show them.

use std::sync::Arc;

use contracts::{NodeId, ParticipantId, SessionId, capabilities::Declaration, ids::AttachmentId};
use sqlx::{PgConnection, PgExecutor, types::Json};
use time::OffsetDateTime;
use tokio_stream::StreamExt;
use uuid::Uuid;

use crate::{
    auth::Actor,
    failure::Fault,
    nodes::slot::{Slot, SlotState, StateReason},
    postgres::stored,
    presence::health::{Health, Presence},
    sessions::floor::Floor,
};

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
pub(in crate::nodes) async fn slot(db: impl PgExecutor<'_>, id: AttachmentId) -> Result<ShownSlot, Fault> {
    select_slots!("where slot.attachment_id = $1", id.0).fetch_one(db).await?.try_into()
}

/// These slots, as stored.
pub(super) async fn slots(db: impl PgExecutor<'_>, ids: &[Uuid]) -> Result<Vec<Slot>, Fault> {
    let rows = select_slots!("where slot.attachment_id = any($1)", ids).fetch_all(db).await?;
    rows.into_iter().map(|row| ShownSlot::try_from(row).map(|shown| shown.slot)).collect()
}

/// The active slots of these nodes.
pub(in crate::nodes) async fn active_slots(
    db: &mut PgConnection,
    node_keys: &[i64],
) -> Result<Vec<Slot>, Fault> {
    let rows = select_slots!(
        "where slot.node_key = any($1) and slot.state in ('registering', 'online', 'degraded') order by slot.node_key",
        node_keys
    );
    rows.fetch_all(db)
        .await?
        .into_iter()
        .map(|row| ShownSlot::try_from(row).map(|shown| shown.slot))
        .collect()
}

/// A page of a session's slots, by node id.
pub(in crate::nodes) async fn slots_of_session(
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
pub(in crate::nodes) async fn last_slots(
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
pub(in crate::nodes) async fn slots_of_node(
    db: impl PgExecutor<'_>,
    node_id: &NodeId,
) -> Result<Vec<ShownSlot>, Fault> {
    shown(
        select_slots!("where slot.node_id = $1 order by slot.generation desc", node_id.as_str())
            .fetch_all(db)
            .await?,
    )
}

/// Takes every slot, for a leader that starts. In no order, and each while Postgres is still at the next ones, for nobody
/// writes until all are taken.
pub async fn each_slot(db: impl PgExecutor<'_>, mut take: impl FnMut(Slot)) -> Result<(), Fault> {
    let mut rows = select_slots!("").fetch(db);
    while let Some(row) = rows.try_next().await? {
        take(ShownSlot::try_from(row)?.slot);
    }
    Ok(())
}
