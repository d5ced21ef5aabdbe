//! ArchiveSession and CloseSession.

use contracts::{
    Code, Refusal, SessionId, limits, log, text,
    wire::v1::{ArchiveSessionRequest, ArchiveSessionResponse, CloseSessionRequest, CloseSessionResponse},
};
use sqlx::Connection;

use super::{raise_floor::not_found, session::SessionState, store};
use crate::{
    audit::{
        self, Entry,
        repeat::{Repeatable, Seen},
    },
    auth::Actor,
    event_log,
    failure::{Failure, Fault},
    leadership::Leader,
    nodes::{
        self,
        life_events::{Change, told},
        store::SpanEnd,
    },
};

/// A parsed wish to archive or close a session.
#[derive(Clone, Debug)]
pub(super) struct End {
    id: SessionId,
    reason: Option<String>,
    validate_only: bool,
    repeatable: Repeatable,
}

impl End {
    /// Parses the request to archive.
    pub(super) fn parse_archive(request: ArchiveSessionRequest) -> Result<Self, Refusal> {
        let repeatable = Repeatable::parse("ArchiveSession", &request.request_id, &request)?;
        let ArchiveSessionRequest { session_id, reason, validate_only, request_id: _ } = request;
        Self::parse(&session_id, &reason, validate_only, repeatable)
    }

    /// Parses the request to close.
    pub(super) fn parse_close(request: CloseSessionRequest) -> Result<Self, Refusal> {
        let repeatable = Repeatable::parse("CloseSession", &request.request_id, &request)?;
        let CloseSessionRequest { session_id, reason, validate_only, request_id: _ } = request;
        Self::parse(&session_id, &reason, validate_only, repeatable)
    }

    fn parse(
        session_id: &str,
        reason: &str,
        validate_only: bool,
        repeatable: Repeatable,
    ) -> Result<Self, Refusal> {
        Ok(Self {
            id: SessionId::parse("session_id", session_id)?,
            reason: text::optional("reason", reason, limits::REASON_CHARS_MAX)?,
            validate_only,
            repeatable,
        })
    }

    fn entry<'a>(&'a self, action: &'static str, actor: Actor, target: &'a str) -> Entry<'a> {
        Entry {
            actor: actor.participant,
            action,
            session_id: Some(self.id),
            target,
            reason: self.reason.as_deref(),
            request_id: self.repeatable.request_id(),
        }
    }
}

/// Stops the session from taking new nodes; those attached stay.
pub(super) async fn archive_session(
    leader: &Leader,
    actor: Actor,
    archive: End,
) -> Result<ArchiveSessionResponse, Failure> {
    let mut connection = leader.db().acquire().await?;
    let mut tx = connection.begin().await?;
    if let Seen::Answered(answer) = archive.repeatable.take(&mut tx, actor.participant).await? {
        return Ok(answer);
    }
    let locked = store::lock_to_manage(&mut tx, archive.id, actor).await?.ok_or_else(not_found)?;
    if !locked.may_manage() {
        return Err(Refusal::permission_denied().into());
    }
    let was_active = match locked.state {
        SessionState::Active => {
            store::set_state(&mut tx, archive.id, SessionState::Archived).await?;
            true
        }
        SessionState::Archived => false,
        SessionState::Closed => {
            return Err(Refusal::new(Code::SessionNotActive, "the session is closed, for ever").into());
        }
    };
    let session = store::session(&mut *tx, archive.id, actor).await?.ok_or_else(not_found)?;
    let answer = ArchiveSessionResponse { session: Some(session.into()) };
    if archive.validate_only {
        tx.rollback().await?;
        return Ok(answer);
    }
    let target = archive.id.to_string();
    let done = was_active.then(|| archive.entry("session.archive", actor, &target));
    audit::finish(leader, &mut tx, actor.participant, done, &archive.repeatable, &answer).await?;
    if was_active {
        event_log::hold(&mut tx, archive.id).await?;
    }
    tx.commit().await.map_err(Fault::Commit)?;
    Ok(answer)
}

/// Ends the session for ever and the slots in it.
pub(super) async fn close_session(
    leader: &Leader,
    actor: Actor,
    close: End,
) -> Result<CloseSessionResponse, Failure> {
    let mut connection = leader.db().acquire().await?;
    let mut tx = connection.begin().await?;
    if let Seen::Answered(answer) = close.repeatable.take(&mut tx, actor.participant).await? {
        return Ok(answer);
    }
    let locked = store::lock_to_manage(&mut tx, close.id, actor).await?.ok_or_else(not_found)?;
    if !locked.may_manage() {
        return Err(Refusal::permission_denied().into());
    }
    let (was_open, ended) = match locked.state {
        SessionState::Active | SessionState::Archived => {
            // No attach gets in: it needs the session's row, which is locked.
            let slots = nodes::store::lock_active_slots(&mut tx, close.id).await?;
            let reason = close.reason.as_deref();
            let ended = nodes::store::end_slots_of_closed_session(&mut tx, &slots, reason).await?;
            store::set_state(&mut tx, close.id, SessionState::Closed).await?;
            (true, ended)
        }
        SessionState::Closed => (false, Vec::new()),
    };
    let session = store::session(&mut *tx, close.id, actor).await?.ok_or_else(not_found)?;
    let detached_nodes = i64::try_from(ended.len()).unwrap_or(i64::MAX);
    let answer = CloseSessionResponse { session: Some(session.into()), detached_nodes };
    if close.validate_only {
        tx.rollback().await?;
        return Ok(answer);
    }
    let target = close.id.to_string();
    let done = was_open.then(|| close.entry("session.close", actor, &target));
    audit::finish(leader, &mut tx, actor.participant, done, &close.repeatable, &answer).await?;
    if was_open {
        event_log::hold(&mut tx, close.id).await?;
    }
    let change = Change::Detached(SpanEnd::SessionClosed, close.reason.as_deref());
    let by = || log::Actor::Participant(actor.participant);
    let happened = ended.iter().map(|slot| told(by(), slot, change)).collect();
    let recorded = event_log::record(leader, &mut tx, happened).await?;
    tx.commit().await.map_err(Fault::Commit)?;
    for slot in ended {
        leader.fleet().put(slot);
    }
    leader.log().committed(recorded);
    Ok(answer)
}
