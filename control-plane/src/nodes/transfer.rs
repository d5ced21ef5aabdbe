//! TransferNode and ForgetNode: what only an admin may do with a node.

use contracts::{
    Code, NodeId, ParticipantId, Refusal, limits, text,
    wire::v1::{ForgetNodeRequest, ForgetNodeResponse, TransferNodeRequest, TransferNodeResponse},
};
use sqlx::Connection;

use super::{
    refusals,
    remove::{finish, unknown},
    slot::SlotState,
    store::{self, SpanEnd},
};
use crate::{
    audit::{
        Entry,
        repeat::{Repeatable, Seen},
    },
    auth::Actor,
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
    finish(leader, &mut tx, entry, &repeatable, &answer).await?;
    tx.commit().await.map_err(Fault::Commit)?;
    for shown in slots {
        leader.fleet().put(shown.slot);
    }
    Ok(answer)
}

/// A parsed wish to forget.
#[derive(Clone, Debug)]
pub(super) struct ForgetNode {
    node_id: NodeId,
    reason: Option<String>,
    validate_only: bool,
    repeatable: Repeatable,
}

impl ForgetNode {
    /// Parses the request.
    pub(super) fn parse(request: ForgetNodeRequest) -> Result<Self, Refusal> {
        let repeatable = Repeatable::parse("ForgetNode", &request.request_id, &request)?;
        let ForgetNodeRequest { node_id, reason, validate_only, request_id: _ } = request;
        Ok(Self {
            node_id: NodeId::parse("node_id", &node_id)?,
            reason: text::optional("reason", &reason, limits::REASON_CHARS_MAX)?,
            validate_only,
            repeatable,
        })
    }
}

/// Deletes a node with all that is known of it. One that is attached is refused, and so is one that was revoked, for
/// forgetting it would lift what was meant for ever.
pub(super) async fn forget_node(
    leader: &Leader,
    actor: Actor,
    forget: ForgetNode,
) -> Result<ForgetNodeResponse, Failure> {
    let ForgetNode { node_id, reason, validate_only, repeatable } = forget;
    let mut connection = leader.db().acquire().await?;
    let mut tx = connection.begin().await?;
    if let Seen::Answered(answer) = repeatable.take(&mut tx, actor.participant).await? {
        return Ok(answer);
    }
    let answer = ForgetNodeResponse {};
    let node = store::lock_node(&mut tx, &node_id).await?.ok_or_else(|| unknown(&node_id, actor))?;
    let slots = store::slots_of_node(&mut *tx, &node_id).await?;
    if node.revoked || slots.iter().any(|shown| shown.slot.state == SlotState::Revoked) {
        return Err(refusals::revoked(&node_id).into());
    }
    if slots.iter().any(|shown| shown.slot.state.is_active()) {
        let message =
            format!("node {node_id} is attached. Detach it first: `rollcall node detach {node_id}`");
        return Err(Refusal::new(Code::RuntimeNodeStillAttached, message).into());
    }
    store::delete_node(&mut tx, node.node_key).await?;
    if validate_only {
        tx.rollback().await?;
        return Ok(answer);
    }
    let entry = Entry {
        actor: actor.participant,
        action: "node.forget",
        session_id: None,
        target: node_id.as_str(),
        reason: reason.as_deref(),
        request_id: repeatable.request_id(),
    };
    finish(leader, &mut tx, entry, &repeatable, &answer).await?;
    tx.commit().await.map_err(Fault::Commit)?;
    leader.fleet().forget(node.node_key);
    Ok(answer)
}
