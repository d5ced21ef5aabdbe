//! UpdateCapabilities: what the node declares and reports of itself. Gated by the session's floor.

use contracts::{
    EventEnvelopeVersion, NodeId, ParticipantId, Refusal, capabilities::Declaration, limits, log::Actor,
    refusal::FieldViolation, text, wire::v1::UpdateCapabilitiesRequest,
};
use sqlx::Connection;
use time::OffsetDateTime;

use super::{
    life_events::{Change, told},
    refusals,
    slot::{SelfReport, Slot, SlotState},
    standing::{self, Standing},
    store,
};
use crate::{
    event_log,
    failure::{Failure, Fault},
    leadership::Leader,
    postgres::stored,
    presence::health::Report,
    sessions, wire,
};

/// A parsed update.
#[derive(Clone, Debug)]
pub(super) struct UpdateCapabilities {
    node_id: NodeId,
    generation: i64,
    declaration: Option<Declaration>,
    health: Option<Report>,
    reason: Option<String>,
}

impl UpdateCapabilities {
    /// Parses the request.
    pub(super) fn parse(request: UpdateCapabilitiesRequest) -> Result<Self, Refusal> {
        let UpdateCapabilitiesRequest { node_id, generation, declaration, health, health_reason } = request;
        let update = Self {
            node_id: NodeId::parse("node_id", &node_id)?,
            generation: wire::generation("generation", generation)?,
            declaration: declaration.map(Declaration::parse).transpose()?,
            health: health.map(|health| Report::parse("health", health)).transpose()?,
            reason: text::optional("health_reason", &health_reason, limits::REASON_CHARS_MAX)?,
        };
        if update.declaration.is_none() && update.health.is_none() {
            return Err(FieldViolation::new("declaration", "or health is required").into());
        }
        if update.reason.is_some() && update.health != Some(Report::Degraded) {
            return Err(FieldViolation::new("health_reason", "goes with health degraded").into());
        }
        Ok(update)
    }
}

/// Replaces the declaration, the reported health, or both.
pub(super) async fn update_capabilities(
    leader: &Leader,
    participant: ParticipantId,
    update: UpdateCapabilities,
) -> Result<(Slot, OffsetDateTime), Failure> {
    let UpdateCapabilities { node_id, generation, declaration, health, reason } = update;
    let mut connection = leader.db().acquire().await?;
    let mut tx = connection.begin().await?;

    // The session is locked before the node; which one it is has to be known first, and is checked again below.
    let session_id = store::last_session(&mut *tx, &node_id).await?;
    let session = match session_id {
        Some(session_id) => {
            let session = sessions::store::lock_for_write(&mut tx, session_id, participant).await?;
            Some(session.filter(|session| session.may_run_nodes()).ok_or_else(Refusal::permission_denied)?)
        }
        None => None,
    };
    let node = store::lock_node(&mut tx, &node_id).await?;
    let node =
        node.filter(|node| node.participant_id == participant).ok_or_else(Refusal::permission_denied)?;
    match standing::judge(store::known(&mut *tx, node.node_key, generation).await?) {
        Standing::Holds => {}
        Standing::Revoked => return Err(refusals::revoked(&node_id).into()),
        Standing::Detached | Standing::NotAttached => return Err(refusals::not_attached(&node_id).into()),
        Standing::Superseded => return Err(refusals::superseded(&node_id).into()),
    }
    let slot = store::lock_slot(&mut tx, node.node_key, generation).await?;
    // The node moved to another session in between: the caller may not know that one.
    let session =
        session.filter(|session| session.id == slot.session_id).ok_or_else(Refusal::permission_denied)?;

    let version: EventEnvelopeVersion = slot.client_version.parse().map_err(|_| {
        stored::unreadable("runtime_node_attachments", "client_version", &slot.client_version)
    })?;
    if let Some(floor) = session.floor.version()?.filter(|floor| version < **floor) {
        return Err(refusals::below_floor(&version, floor).into());
    }
    let declaration = declaration.unwrap_or_else(|| slot.declaration.clone());
    let report = health.map_or_else(|| slot.report.clone(), |health| SelfReport { health, reason });
    let state = SlotState::updated(&declaration, &report, health.is_some())
        .map_err(|standing_undeclared| online_undeclared(standing_undeclared, &node_id))?;

    let is_new = slot.state != state.as_str() || slot.declaration != declaration || slot.report != report;
    let updated_at = store::update_slot(&mut tx, slot.id, &declaration, &report, &state).await?;
    let shown = store::slot(&mut *tx, slot.id).await?;
    let told = is_new.then(|| told(Actor::Node(node_id), &shown.slot, Change::CapabilitiesChanged));
    let recorded = event_log::record(leader, &mut tx, told.into_iter().collect()).await?;
    tx.commit().await.map_err(Fault::Commit)?;
    leader.fleet().put(shown.slot.clone());
    leader.log().committed(recorded);
    Ok((shown.slot, updated_at))
}

fn online_undeclared(_: super::slot::Undeclared, node_id: &NodeId) -> Refusal {
    refusals::online_undeclared(node_id)
}
