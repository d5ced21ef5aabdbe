//! Nodes are forgotten: one by ForgetNode, which only an admin may ask for, and by retention those that were not heard
//! for long.

use std::{collections::HashSet, time::Duration};

use contracts::{
    Code, NodeId, Refusal, limits, log, text,
    wire::v1::{ForgetNodeRequest, ForgetNodeResponse},
};
use sqlx::Connection;
use time::OffsetDateTime;

use super::{
    life_events::{Change, told},
    refusals,
    remove::unknown,
    slot::SlotState,
    store,
};
use crate::{
    audit::{
        self, Entry,
        repeat::{Repeatable, Seen},
    },
    auth::Actor,
    days::in_days,
    event_log,
    failure::{Failure, Fault},
    leadership::Leader,
};

/// In the audit, whoever does it.
const FORGET: &str = "node.forget";

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
    store::delete_nodes(&mut tx, &[node.node_key]).await?;
    if validate_only {
        tx.rollback().await?;
        return Ok(answer);
    }
    let entry = Entry {
        actor: actor.participant,
        action: FORGET,
        session_id: None,
        target: node_id.as_str(),
        reason: reason.as_deref(),
        request_id: repeatable.request_id(),
    };
    audit::finish(leader, &mut tx, actor.participant, Some(entry), &repeatable, &answer).await?;
    tx.commit().await.map_err(Fault::Commit)?;
    leader.fleet().forget(&HashSet::from([node.node_key]));
    Ok(answer)
}

/// Deletes nodes that are offline and were last heard before an instant, at most `limit` of them; gives how many. One
/// that is just attaching or beating is passed over, and none that was revoked is taken.
///
/// # Errors
///
/// The database failed; none of them is deleted, unless the commit was not answered.
pub(crate) async fn forget_unheard(
    leader: &Leader,
    heard_before: OffsetDateTime,
    kept_for: Duration,
    limit: i64,
) -> Result<usize, Fault> {
    let mut connection = leader.db().acquire().await?;
    let mut tx = connection.begin().await?;
    let nodes = store::lock_unheard(&mut tx, heard_before, limit).await?;
    if nodes.is_empty() {
        return Ok(0);
    }
    let (keys, names): (Vec<_>, Vec<_>) = nodes.into_iter().unzip();
    let ended = store::active_slots(&mut tx, &keys).await?;
    store::delete_nodes(&mut tx, &keys).await?;
    let reason = format!("not heard in {} of service", in_days(kept_for));
    audit::store::record_own(&mut tx, leader.epoch(), FORGET, &names, &reason).await?;
    let forgotten = |slot| told(log::Actor::Server, slot, Change::Forgotten(&reason));
    let recorded = event_log::record(leader, &mut tx, ended.iter().map(forgotten).collect()).await?;
    tx.commit().await.map_err(Fault::Commit)?;
    leader.log().committed(recorded);
    let forgotten = keys.len();
    leader.fleet().forget(&keys.into_iter().collect());
    Ok(forgotten)
}
