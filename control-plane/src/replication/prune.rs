//! Pruning: a duty that deletes events which are no longer kept. The engine decides up to where, so that no plan counts on
//! what is about to go; this finds out what retention wants, and does it.

use std::sync::Arc;

use contracts::{LogPoint, SessionId};
use metrics::counter;
use sqlx::Connection;
use uuid::Uuid;

use super::{
    checkpoints,
    engine::{KeptBy, Marks, Prune, Stale, Wanted},
};
use crate::{
    event_log::{
        self,
        store::{self, LetGo},
    },
    failure::Fault,
    leadership::Leader,
    settings::LogRetention,
};

/// Sessions that are asked for at once.
const SESSIONS_MAX: i64 = 100;

/// One pass over all logs that hold more than is kept. Of each, as much is deleted as one transaction should; the next
/// pass goes on.
///
/// # Errors
///
/// The database failed; what was deleted stays deleted.
pub(crate) async fn pass(leader: &Arc<Leader>, retention: &LogRetention) -> Result<(), Fault> {
    let keeping = retention.keeping();
    if keeping.is_unbounded() {
        return Ok(());
    }
    let mut after = Uuid::nil();
    loop {
        let sessions = store::prunable_sessions(leader.db(), keeping, after, SESSIONS_MAX).await?;
        let Some(last) = sessions.last() else { return Ok(()) };
        after = last.0;
        for session_id in sessions {
            if leader.stopped().is_cancelled() {
                return Ok(());
            }
            prune(leader, session_id, retention).await?;
        }
    }
}

async fn prune(leader: &Arc<Leader>, session_id: SessionId, retention: &LogRetention) -> Result<(), Fault> {
    let (hub, db) = (leader.replication(), leader.db());
    hub.take_care_of(leader, session_id).await?;
    let tail = store::let_go(db, session_id, retention.keeping()).await?;
    let hold = store::let_go(db, session_id, retention.holding()).await?;
    let wanted = Wanted { tail: marks(tail), hold: marks(hold) };
    let mut decided = decide(leader, session_id, wanted);
    if decided == Some(Prune::Nothing(KeptBy::NoTrustedCheckpoint)) {
        // Only what a rebuild can do without is deleted.
        checkpoints::make(leader, session_id).await?;
        decided = decide(leader, session_id, wanted);
    }
    match decided {
        Some(Prune::To { tail, .. }) => {
            let pruned = delete(leader, session_id, tail).await;
            // Whatever came of it: the engine has to know where the tail is.
            let at = store::extent(db, session_id).await?.tail;
            tell(leader, session_id, at);
            let pruned = pruned?;
            counter!("rollcall_log_events_pruned_total").increment(pruned);
            tracing::debug!(%session_id, pruned, tail = %at, "a log was pruned");
        }
        // A prune of which it is not known how it ended.
        Some(Prune::Nothing(KeptBy::PruneUnderWay)) => {
            let at = store::extent(db, session_id).await?.tail;
            tell(leader, session_id, at);
        }
        Some(Prune::Nothing(
            KeptBy::Retention
            | KeptBy::Grace
            | KeptBy::NoTrustedCheckpoint
            | KeptBy::Checkpoint
            | KeptBy::Pin
            | KeptBy::Replica,
        ))
        | None => {}
    }
    Ok(())
}

/// What the engine lets go; none when the term is over.
fn decide(leader: &Leader, session_id: SessionId, wanted: Wanted) -> Option<Prune> {
    leader.replication().ask(|engine, now| match engine.prune(session_id, wanted, now) {
        Ok((prune, effects)) => (Some(prune), effects),
        Err(_) => (None, Vec::new()),
    })
}

fn tell(leader: &Leader, session_id: SessionId, tail: LogPoint) {
    // A term that is over needs to know nothing.
    let _: Result<(), Stale> = leader.replication().tell(|engine, _| {
        engine.pruned(session_id, tail)?;
        Ok(Vec::new())
    });
}

async fn delete(leader: &Leader, session_id: SessionId, to: contracts::Seq) -> Result<u64, Fault> {
    let mut connection = leader.db().acquire().await?;
    let mut tx = connection.begin().await?;
    event_log::hold(&mut tx, session_id).await?;
    let pruned = store::prune(&mut tx, session_id, to).await?;
    tx.commit().await.map_err(Fault::Commit)?;
    Ok(pruned)
}

fn marks(let_go: LetGo) -> Marks {
    Marks { by_count: let_go.by_events, by_bytes: let_go.by_bytes, by_age: let_go.by_age }
}
