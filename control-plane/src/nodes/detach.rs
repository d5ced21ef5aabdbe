//! Detach: the daemon gives its slot back.

use contracts::{NodeId, ParticipantId, Refusal, limits, log::Actor, text, wire::v1::DetachRequest};
use sqlx::Connection;

use super::{
    life_events::{Change, told},
    refusals,
    standing::{self, Standing},
    store::{self, SpanEnd},
};
use crate::{
    event_log,
    failure::{Failure, Fault},
    leadership::Leader,
    wire,
};

/// A parsed detach.
#[derive(Clone, Debug)]
pub(super) struct Detach {
    node_id: NodeId,
    generation: i64,
    reason: Option<String>,
}

impl Detach {
    /// Parses the request.
    pub(super) fn parse(request: DetachRequest) -> Result<Self, Refusal> {
        let DetachRequest { node_id, generation, reason } = request;
        Ok(Self {
            node_id: NodeId::parse("node_id", &node_id)?,
            generation: wire::generation("generation", generation)?,
            reason: text::optional("reason", &reason, limits::REASON_CHARS_MAX)?,
        })
    }
}

/// Ends the slot that this generation holds; a repeat changes nothing. Needs no membership: who owns a node may take
/// it out, whatever became of its owner's place in the session.
pub(super) async fn detach(
    leader: &Leader,
    participant: ParticipantId,
    detach: Detach,
) -> Result<(), Failure> {
    let Detach { node_id, generation, reason } = detach;
    let mut connection = leader.db().acquire().await?;
    let mut tx = connection.begin().await?;

    let node = store::lock_node(&mut tx, &node_id).await?;
    let node =
        node.filter(|node| node.participant_id == participant).ok_or_else(Refusal::permission_denied)?;
    match standing::judge(store::known(&mut *tx, node.node_key, generation).await?) {
        Standing::Holds => {}
        Standing::Detached => return Ok(()),
        Standing::Revoked => return Err(refusals::revoked(&node_id).into()),
        Standing::NotAttached => return Err(refusals::not_attached(&node_id).into()),
        Standing::Superseded => return Err(refusals::superseded(&node_id).into()),
    }
    let slot = store::lock_slot(&mut tx, node.node_key, generation).await?;
    store::end_slots(&mut tx, &[slot.id.0], SpanEnd::Detached, reason.as_deref()).await?;
    let shown = store::slot(&mut *tx, slot.id).await?;
    let change = Change::Detached(SpanEnd::Detached, reason.as_deref());
    let happened = vec![told(Actor::Node(node_id), &shown.slot, change)];
    let recorded = event_log::record(leader, &mut tx, happened).await?;
    tx.commit().await.map_err(Fault::Commit)?;
    leader.fleet().put(shown.slot);
    leader.log().committed(recorded);
    Ok(())
}
