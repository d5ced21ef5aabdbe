//! The events of the control plane's own, written by the transaction that they tell of.

use std::collections::{BTreeSet, HashMap};

use contracts::{
    EventEnvelopeVersion, EventId, SessionId,
    log::{Actor, Append, ContentType, Event, EventDraft, EventKey, EventType},
};
use sqlx::PgConnection;
use uuid::Uuid;

use super::{
    heads::Recorded,
    store::{self, LockedLog, Writing},
};
use crate::{failure::Fault, leadership::Leader};

/// Something that the control plane tells of, in JSON.
#[derive(Clone, Debug)]
pub(crate) struct Happening {
    /// In which session.
    pub(crate) session_id: SessionId,
    /// Who did it.
    pub(crate) actor: Actor,
    /// What.
    pub(crate) event_type: EventType,
    /// To what.
    pub(crate) key: EventKey,
    /// The facts. Nothing secret.
    pub(crate) payload: Vec<u8>,
}

/// Writes what happened into the logs of its sessions. The last thing in its transaction but for the commit: from here on
/// no other transaction of any session commits events before this one.
pub(crate) async fn record(
    leader: &Leader,
    tx: &mut PgConnection,
    happenings: Vec<Happening>,
) -> Result<Recorded, Fault> {
    let ids: BTreeSet<_> = happenings.iter().map(|happening| happening.session_id.0).collect();
    if ids.is_empty() {
        return Ok(Recorded::default());
    }
    let locked = lock(tx, &ids.into_iter().collect::<Vec<_>>()).await?;
    let mut logs: HashMap<_, _> = locked.into_iter().map(|log| (log.session_id, log)).collect();
    let mut writing = Writing::default();
    for happening in happenings {
        let session_id = happening.session_id;
        leader.log().check_whole(session_id)?;
        let log = logs.get_mut(&session_id).ok_or(Fault::LogBroken(session_id))?;
        let to = Append { session_id, epoch: leader.epoch().unsigned_abs(), recorded_at: log.locked_at };
        let Happening { actor, event_type, key, payload, .. } = happening;
        let draft = EventDraft {
            id: EventId(Uuid::now_v7()),
            envelope_version: EventEnvelopeVersion::current(),
            event_type,
            key: Some(key),
            content_type: ContentType::json(),
            payload,
            occurred_at: None,
        };
        let event = Event::append(log.head, to, actor, draft).ok_or(Fault::LogBroken(session_id))?;
        log.head = event.point();
        writing.add(event)?;
    }
    store::write(tx, &writing).await?;
    Ok(Recorded(writing.heads().collect()))
}

/// Holds the log of a session until the end of the transaction: no append is judged meanwhile by what the transaction is
/// about to change.
pub(crate) async fn hold(tx: &mut PgConnection, session_id: SessionId) -> Result<(), Fault> {
    lock(tx, &[session_id.0]).await.map(drop)
}

/// Locks the logs of sessions, and makes those that are not there.
pub(super) async fn lock(tx: &mut PgConnection, ids: &[Uuid]) -> Result<Vec<LockedLog>, Fault> {
    let locked = store::lock(tx, ids).await?;
    if locked.len() == ids.len() {
        return Ok(locked);
    }
    // The first event of a session.
    store::make(&mut *tx, ids).await?;
    store::lock(tx, ids).await
}
