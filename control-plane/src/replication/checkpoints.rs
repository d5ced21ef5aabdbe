//! Checkpoints: a duty that copies the state of sessions whose log went on, so that rebuilds begin there.

use std::sync::Arc;

use contracts::SessionId;
use metrics::counter;
use uuid::Uuid;

use super::{base, engine::PinKind};
use crate::{
    event_log::store::{self, BaseKind},
    failure::Fault,
    leadership::Leader,
};

/// Sessions of one pass; the next one goes on with the others.
const SESSIONS_MAX: i64 = 100;
/// Checkpoints of a session that are kept: the last one, and the one before it, which a rebuild may have begun with.
const KEPT: usize = 2;

/// One pass: a checkpoint of each session whose log went on by `every` events since its last one, or whose last one was
/// found damaged.
///
/// # Errors
///
/// The database failed; the checkpoints that were made stay.
pub(crate) async fn pass(leader: &Arc<Leader>, every: u64) -> Result<(), Fault> {
    let every = i64::try_from(every).unwrap_or(i64::MAX);
    for session_id in store::checkpoints_due(leader.db(), every, SESSIONS_MAX).await? {
        if leader.stopped().is_cancelled() {
            break;
        }
        make(leader, session_id).await?;
    }
    Ok(())
}

/// Makes a checkpoint of a session and deletes those that are no longer of use.
pub(super) async fn make(leader: &Leader, session_id: SessionId) -> Result<(), Fault> {
    let db = leader.db();
    let Some(made) = base::make(db, session_id, Uuid::now_v7(), BaseKind::Checkpoint).await? else {
        return Ok(());
    };
    counter!("rollcall_checkpoints_total").increment(1);
    let hub = leader.replication();
    hub.checkpointed(session_id, made.base.at, true);
    let pinned: Vec<_> = hub
        .status(session_id)
        .into_iter()
        .flat_map(|status| status.replicas)
        .flat_map(|replica| replica.pins)
        .filter(|pin| pin.kind == PinKind::Checkpoint)
        .map(|pin| pin.after)
        .collect();
    for old in store::checkpoints(db, session_id).await?.into_iter().skip(KEPT) {
        if !pinned.contains(&old.at.seq) {
            store::delete_base(db, old.id).await?;
        }
    }
    Ok(())
}
