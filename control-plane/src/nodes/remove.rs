//! DetachNode and RevokeNode: an owner of the session, or an admin, takes somebody's node out.

use contracts::{
    Code, NodeId, Refusal, SessionId, limits, log,
    refusal::FieldViolation,
    text,
    wire::v1::{
        DetachNodeRequest, DetachNodeResponse, RevokeNodeRequest, RevokeNodeResponse,
        revoke_node_request::Scope,
    },
};
use sqlx::{Connection, PgConnection};

use super::{
    life_events::{Change, told},
    slot::SlotState,
    store::{self, ShownSlot, SpanEnd},
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
    sessions,
};

/// A parsed detach by an admin or owner.
#[derive(Clone, Debug)]
pub(super) struct DetachNode {
    node_id: NodeId,
    reason: Option<String>,
    validate_only: bool,
    repeatable: Repeatable,
}

impl DetachNode {
    /// Parses the request.
    pub(super) fn parse(request: DetachNodeRequest) -> Result<Self, Refusal> {
        let repeatable = Repeatable::parse("DetachNode", &request.request_id, &request)?;
        let DetachNodeRequest { node_id, reason, validate_only, request_id: _ } = request;
        Ok(Self {
            node_id: NodeId::parse("node_id", &node_id)?,
            reason: text::optional("reason", &reason, limits::REASON_CHARS_MAX)?,
            validate_only,
            repeatable,
        })
    }
}

/// Ends the node's active slot. A node without one stays as it is.
pub(super) async fn detach_node(
    leader: &Leader,
    actor: Actor,
    detach: DetachNode,
) -> Result<DetachNodeResponse, Failure> {
    let DetachNode { node_id, reason, validate_only, repeatable } = detach;
    let mut connection = leader.db().acquire().await?;
    let mut tx = connection.begin().await?;
    if let Seen::Answered(answer) = repeatable.take(&mut tx, actor.participant).await? {
        return Ok(answer);
    }
    let last = store::slots_of_node(&mut *tx, &node_id).await?.into_iter().next();
    let last = last.ok_or_else(|| unknown(&node_id, actor))?;
    let session_id = last.slot.session_id;
    lock_managed(&mut tx, session_id, actor, &node_id).await?;
    store::lock_node(&mut tx, &node_id).await?.ok_or_else(|| unknown(&node_id, actor))?;
    // Read again under the lock: it may have moved to a session where the actor has no say.
    let slot = store::slot(&mut *tx, last.slot.attachment_id).await?;
    let elsewhere = store::active_session(&mut *tx, &node_id).await?;
    if elsewhere.is_some_and(|elsewhere| elsewhere != session_id) {
        return Err(Refusal::permission_denied().into());
    }
    let was_active = slot.slot.state.is_active();
    let shown = if was_active {
        store::end_slots(&mut tx, &[slot.slot.attachment_id.0], SpanEnd::Detached, reason.as_deref()).await?;
        store::slot(&mut *tx, slot.slot.attachment_id).await?
    } else {
        slot
    };
    let answer = DetachNodeResponse { node: Some(shown.slot.to_wire(&shown.floor)) };
    if validate_only {
        tx.rollback().await?;
        return Ok(answer);
    }
    let entry = Entry {
        actor: actor.participant,
        action: "node.detach",
        session_id: Some(session_id),
        target: node_id.as_str(),
        reason: reason.as_deref(),
        request_id: repeatable.request_id(),
    };
    audit::finish(leader, &mut tx, actor.participant, was_active.then_some(entry), &repeatable, &answer)
        .await?;
    let change = Change::Detached(SpanEnd::Detached, reason.as_deref());
    let told = was_active.then(|| told(log::Actor::Participant(actor.participant), &shown.slot, change));
    let recorded = event_log::record(leader, &mut tx, told.into_iter().collect()).await?;
    tx.commit().await.map_err(Fault::Commit)?;
    leader.fleet().put(shown.slot);
    leader.log().committed(recorded);
    Ok(answer)
}

/// A parsed revocation.
#[derive(Clone, Debug)]
pub(super) struct RevokeNode {
    node_id: NodeId,
    from: Option<SessionId>,
    reason: String,
    validate_only: bool,
    repeatable: Repeatable,
}

impl RevokeNode {
    /// Parses the request.
    pub(super) fn parse(request: RevokeNodeRequest) -> Result<Self, Refusal> {
        let repeatable = Repeatable::parse("RevokeNode", &request.request_id, &request)?;
        let RevokeNodeRequest { node_id, scope, reason, validate_only, request_id: _ } = request;
        let from = match scope {
            Some(Scope::SessionId(id)) => Some(SessionId::parse("session_id", &id)?),
            Some(Scope::Everywhere(true)) => None,
            Some(Scope::Everywhere(false)) => {
                return Err(FieldViolation::new("everywhere", "must be true, or name a session_id").into());
            }
            None => return Err(FieldViolation::new("scope", "is required: session_id or everywhere").into()),
        };
        Ok(Self {
            node_id: NodeId::parse("node_id", &node_id)?,
            from,
            reason: text::required("reason", &reason, limits::REASON_CHARS_MAX)?,
            validate_only,
            repeatable,
        })
    }
}

/// Bars the node from a session or from all, for ever. A repeat changes nothing.
pub(super) async fn revoke_node(
    leader: &Leader,
    actor: Actor,
    revoke: RevokeNode,
) -> Result<RevokeNodeResponse, Failure> {
    let RevokeNode { node_id, from, reason, validate_only, repeatable } = revoke;
    let mut connection = leader.db().acquire().await?;
    let mut tx = connection.begin().await?;
    if let Seen::Answered(answer) = repeatable.take(&mut tx, actor.participant).await? {
        return Ok(answer);
    }
    match from {
        Some(session_id) => lock_managed(&mut tx, session_id, actor, &node_id).await?,
        None if actor.is_admin => {}
        None => return Err(Refusal::permission_denied().into()),
    }
    let node = store::lock_node(&mut tx, &node_id).await?.ok_or_else(|| unknown(&node_id, actor))?;
    let slots = store::slots_of_node(&mut *tx, &node_id).await?;
    let barred: Vec<_> = slots
        .iter()
        .filter(|shown| match from {
            Some(session_id) => shown.slot.session_id == session_id,
            None => shown.slot.state.is_active(),
        })
        .filter(|shown| shown.slot.state != SlotState::Revoked)
        .map(|shown| shown.slot.attachment_id.0)
        .collect();
    let was_here = slots.iter().any(|shown| Some(shown.slot.session_id) == from);
    if from.is_some() && !was_here {
        return Err(unknown(&node_id, actor).into());
    }
    let barred_everywhere = from.is_none() && store::revoke_everywhere(&mut tx, node.node_key).await?;
    if !barred.is_empty() {
        store::revoke_slots(&mut tx, node, &barred, &reason).await?;
    }
    let revoked: Vec<ShownSlot> = store::slots_of_node(&mut *tx, &node_id)
        .await?
        .into_iter()
        .filter(|shown| shown.slot.state == SlotState::Revoked)
        .filter(|shown| from.is_none_or(|from| from == shown.slot.session_id))
        .collect();
    let answer =
        RevokeNodeResponse { slots: revoked.iter().map(|shown| shown.slot.to_wire(&shown.floor)).collect() };
    if validate_only {
        tx.rollback().await?;
        return Ok(answer);
    }
    let entry = Entry {
        actor: actor.participant,
        action: if from.is_some() { "node.revoke" } else { "node.revoke_everywhere" },
        session_id: from,
        target: node_id.as_str(),
        reason: Some(&reason),
        request_id: repeatable.request_id(),
    };
    let done = (barred_everywhere || !barred.is_empty()).then_some(entry);
    audit::finish(leader, &mut tx, actor.participant, done, &repeatable, &answer).await?;
    let barred_now = revoked.iter().filter(|shown| barred.contains(&shown.slot.attachment_id.0));
    let by = || log::Actor::Participant(actor.participant);
    let happened = barred_now.map(|shown| told(by(), &shown.slot, Change::Revoked(&reason))).collect();
    let recorded = event_log::record(leader, &mut tx, happened).await?;
    tx.commit().await.map_err(Fault::Commit)?;
    for shown in revoked {
        leader.fleet().put(shown.slot);
    }
    leader.log().committed(recorded);
    Ok(answer)
}

/// Locks a session that the actor may manage.
async fn lock_managed(
    tx: &mut PgConnection,
    session_id: SessionId,
    actor: Actor,
    node_id: &NodeId,
) -> Result<(), Failure> {
    let locked = sessions::store::lock_to_manage(tx, session_id, actor).await?;
    let locked = locked.ok_or_else(|| unknown(node_id, actor))?;
    if locked.may_manage() { Ok(()) } else { Err(Refusal::permission_denied().into()) }
}

/// An admin is told that there is no such node; anybody else is denied as if there were.
pub(super) fn unknown(node_id: &NodeId, actor: Actor) -> Refusal {
    if !actor.is_admin {
        return Refusal::permission_denied();
    }
    let message = format!("no node {node_id} was ever seen there. See `rollcall node list`");
    Refusal::new(Code::RuntimeNodeNotFound, message)
}
