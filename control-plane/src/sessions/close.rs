//! ArchiveSession and CloseSession.

use contracts::{Code, Refusal, SessionId};
use sqlx::Connection;

use super::{
    raise_floor::not_found,
    session::{Session, SessionState},
    store,
};
use crate::{
    audit::{self, Entry},
    auth::Actor,
    failure::{Failure, Fault},
    leadership::Leader,
    nodes,
};

/// Stops the session from taking new nodes; those attached stay.
pub(super) async fn archive_session(
    leader: &Leader,
    actor: Actor,
    id: SessionId,
) -> Result<Session, Failure> {
    let mut connection = leader.db().acquire().await?;
    let mut tx = connection.begin().await?;
    let locked = store::lock_to_manage(&mut tx, id, actor).await?.ok_or_else(not_found)?;
    if !locked.may_manage() {
        return Err(Refusal::permission_denied().into());
    }
    let target = id.to_string();
    match locked.state {
        SessionState::Active => {
            store::set_state(&mut tx, id, SessionState::Archived).await?;
            audit::store::record(
                &mut tx,
                leader.epoch(),
                Entry::of_session("session.archive", actor.participant, id, &target),
            )
            .await?;
        }
        SessionState::Archived => {}
        SessionState::Closed => {
            return Err(Refusal::new(Code::SessionNotActive, "the session is closed, for ever").into());
        }
    }
    let session = store::session(&mut *tx, id, actor).await?.ok_or_else(not_found)?;
    tx.commit().await.map_err(Fault::Commit)?;
    Ok(session)
}

/// Ends the session for ever and the slots in it; tells how many nodes were detached by it.
pub(super) async fn close_session(
    leader: &Leader,
    actor: Actor,
    id: SessionId,
) -> Result<(Session, usize), Failure> {
    let mut connection = leader.db().acquire().await?;
    let mut tx = connection.begin().await?;
    let locked = store::lock_to_manage(&mut tx, id, actor).await?.ok_or_else(not_found)?;
    if !locked.may_manage() {
        return Err(Refusal::permission_denied().into());
    }
    let target = id.to_string();
    let ended = match locked.state {
        SessionState::Active | SessionState::Archived => {
            // No attach gets in: it needs the session's row, which is locked.
            let slots = nodes::store::lock_active_slots(&mut tx, id).await?;
            let ended = nodes::store::end_slots_of_closed_session(&mut tx, &slots).await?;
            store::set_state(&mut tx, id, SessionState::Closed).await?;
            audit::store::record(
                &mut tx,
                leader.epoch(),
                Entry::of_session("session.close", actor.participant, id, &target),
            )
            .await?;
            ended
        }
        SessionState::Closed => Vec::new(),
    };
    let session = store::session(&mut *tx, id, actor).await?.ok_or_else(not_found)?;
    tx.commit().await.map_err(Fault::Commit)?;
    let detached = ended.len();
    for slot in ended {
        leader.fleet().put(slot);
    }
    Ok((session, detached))
}
