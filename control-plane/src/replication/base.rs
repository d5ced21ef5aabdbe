//! Bases: copies of a session's state at one place of its log, proven before they are used.
//!
//! A copy is made by one statement, and so of one moment; then it is read back piece by piece. It is trusted when each
//! event is what its hash says, all are there, and the digest is that of what was written down. No snapshot stays open
//! while a replica is being sent to.

use contracts::{
    SessionId,
    limits::{EVENT_BYTES_PER_MESSAGE_MAX, EVENTS_PER_MESSAGE_MAX},
    log::{BaseDigest, Event, EventHash, Seq, digest_of_base},
};
use sqlx::PgPool;
use uuid::Uuid;

use crate::{
    event_log::store::{self, Base, BaseKind},
    failure::Fault,
};

/// A base that was proven.
#[derive(Clone, Copy, Debug)]
pub(super) struct Proven {
    pub(super) base: Base,
    pub(super) digest: BaseDigest,
}

/// Copies the state of a session and proves the copy; none when nothing was ever appended, or when the copy does not
/// hold, which is told.
pub(super) async fn make(
    db: &PgPool,
    session_id: SessionId,
    id: Uuid,
    kind: BaseKind,
) -> Result<Option<Proven>, Fault> {
    let Some(base) = store::copy_state(db, session_id, id, kind).await? else { return Ok(None) };
    let Some(digest) = digest(db, session_id, &base).await? else {
        tracing::error!(%session_id, at = %base.at, "the state of a session is not what its hashes say");
        store::delete_base(db, base.id).await?;
        return Ok(None);
    };
    store::set_digest(db, base.id, Some(digest)).await?;
    Ok(Some(Proven { base, digest }))
}

/// Proves a stored base anew.
pub(super) async fn prove(db: &PgPool, session_id: SessionId, base: Base) -> Result<Option<Proven>, Fault> {
    let found = digest(db, session_id, &base).await?;
    Ok(found.filter(|found| base.digest == Some(*found)).map(|digest| Proven { base, digest }))
}

/// The digest of a base; none when an event is not what its hash says, or not all are there.
async fn digest(db: &PgPool, session_id: SessionId, base: &Base) -> Result<Option<BaseDigest>, Fault> {
    let mut hashes: Vec<EventHash> = Vec::new();
    let mut after = Seq::ORIGIN;
    loop {
        let part = match part(db, session_id, base.id, after).await {
            Ok(part) => part,
            // What is stored there cannot even be read as an event.
            Err(Fault::Unreadable { .. }) => return Ok(None),
            Err(fault) => return Err(fault),
        };
        let Some(last) = part.last() else { break };
        after = last.seq;
        if !part.iter().all(Event::is_what_its_hash_says) {
            return Ok(None);
        }
        hashes.extend(part.iter().map(|event| event.hash));
    }
    let is_whole = hashes.len() as u64 == base.events && after <= base.at.seq;
    Ok(is_whole.then(|| digest_of_base(hashes)))
}

/// The events of a base after a place, as many as fit one message.
pub(super) async fn part(
    db: &PgPool,
    session_id: SessionId,
    id: Uuid,
    after: Seq,
) -> Result<Vec<Event>, Fault> {
    let (events, bytes) = (EVENTS_PER_MESSAGE_MAX as i64, EVENT_BYTES_PER_MESSAGE_MAX as i64);
    let read = store::base_events(db, session_id, id, after, events, bytes).await?;
    Ok(read.map(|read| read.events).unwrap_or_default())
}
