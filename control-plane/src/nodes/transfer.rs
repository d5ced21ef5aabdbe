//! TransferNode: an admin gives a node to another participant.

use contracts::{
    NodeId, ParticipantId, Refusal, limits, log, text,
    wire::v1::{TransferNodeRequest, TransferNodeResponse},
};
use sqlx::Connection;

use super::{
    life_events::{Change, told},
    remove::unknown,
    store::{self, SpanEnd},
};
use crate::{
    audit::{
        self, Entry,
        repeat::{Repeatable, Seen},
    },
    auth::Actor,
    event_log,
    failure::{Failure, Fault},
    leadership::Leader,
    sessions, wire,
};

/// A parsed transfer.
#[derive(Clone, Debug)]
pub(super) struct TransferNode {
    node_id: NodeId,
    to: ParticipantId,
    reason: Option<String>,
    validate_only: bool,
    repeatable: Repeatable,
}

impl TransferNode {
    /// Parses the request.
    pub(super) fn parse(request: TransferNodeRequest) -> Result<Self, Refusal> {
        let repeatable = Repeatable::parse("TransferNode", &request.request_id, &request)?;
        let TransferNodeRequest { node_id, participant_id, reason, validate_only, request_id: _ } = request;
        Ok(Self {
            node_id: NodeId::parse("node_id", &node_id)?,
            to: ParticipantId::parse("participant_id", &participant_id)?,
            reason: text::optional("reason", &reason, limits::REASON_CHARS_MAX)?,
            validate_only,
            repeatable,
        })
    }
}

/// Gives the node to another participant. Its active slot ends, and its generation rises: the former owner's daemon is
/// a zombie from here on.
pub(super) async fn transfer_node(
    leader: &Leader,
    actor: Actor,
    transfer: TransferNode,
) -> Result<TransferNodeResponse, Failure> {
    let TransferNode { node_id, to, reason, validate_only, repeatable } = transfer;
    let mut connection = leader.db().acquire().await?;
    let mut tx = connection.begin().await?;
    if let Seen::Answered(answer) = repeatable.take(&mut tx, actor.participant).await? {
        return Ok(answer);
    }
    let node = store::lock_node(&mut tx, &node_id).await?.ok_or_else(|| unknown(&node_id, actor))?;
    sessions::store::put_participant(&mut tx, to).await?;
    let ended = store::active_slot_of(&mut *tx, node.node_key).await?;
    if let Some(attachment_id) = ended {
        store::end_slots(&mut tx, &[attachment_id.0], SpanEnd::Transferred, reason.as_deref()).await?;
    }
    let generation = store::give_node(&mut tx, node.node_key, to).await?;
    let answer = TransferNodeResponse { generation: wire::generation_out(generation) };
    if validate_only {
        tx.rollback().await?;
        return Ok(answer);
    }
    let slots = store::slots_of_node(&mut *tx, &node_id).await?;
    let entry = Entry {
        actor: actor.participant,
        action: "node.transfer",
        session_id: None,
        target: node_id.as_str(),
        reason: reason.as_deref(),
        request_id: repeatable.request_id(),
    };
    audit::finish(leader, &mut tx, actor.participant, Some(entry), &repeatable, &answer).await?;
    let change = Change::Detached(SpanEnd::Transferred, reason.as_deref());
    let happened = slots
        .iter()
        .filter(|shown| Some(shown.slot.attachment_id) == ended)
        .map(|shown| told(log::Actor::Participant(actor.participant), &shown.slot, change))
        .collect();
    let recorded = event_log::record(leader, &mut tx, happened).await?;
    tx.commit().await.map_err(Fault::Commit)?;
    for shown in slots {
        leader.fleet().put(shown.slot);
    }
    leader.log().committed(recorded);
    Ok(answer)
}
