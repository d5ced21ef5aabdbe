//! What an update of capabilities or health reads and writes.

use contracts::{SessionId, capabilities::Declaration, ids::AttachmentId};
use sqlx::{PgConnection, types::Json};
use time::OffsetDateTime;

use crate::{
    failure::Fault,
    nodes::slot::{SelfReport, SlotState, StateReason},
    presence::health::Report,
};

/// What an update of a slot decides by.
pub(in crate::nodes) struct ActiveSlot {
    pub(in crate::nodes) id: AttachmentId,
    pub(in crate::nodes) session_id: SessionId,
    pub(in crate::nodes) client_version: String,
    /// The word of its state.
    pub(in crate::nodes) state: String,
    pub(in crate::nodes) declaration: Declaration,
    pub(in crate::nodes) report: SelfReport,
}

/// Locks the slot that carries this generation.
pub(in crate::nodes) async fn lock_slot(
    db: &mut PgConnection,
    node_key: i64,
    generation: i64,
) -> Result<ActiveSlot, Fault> {
    let row = sqlx::query!(
        r#"select id, session_id, client_version, state, capabilities as "capabilities!: Json<Declaration>",
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
        state: row.state,
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
pub(in crate::nodes) async fn update_slot(
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
