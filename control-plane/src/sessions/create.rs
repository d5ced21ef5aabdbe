//! CreateSession: idempotent by the id that the client brings.

use contracts::{
    Code, EventEnvelopeVersion, Refusal, SessionId, limits,
    refusal::FieldViolation,
    text,
    wire::v1::{CreateSessionRequest, CreateSessionResponse},
};
use sqlx::Connection;
use uuid::Uuid;

use super::store;
use crate::{
    audit::{
        self, Entry,
        repeat::{Repeatable, Seen},
    },
    auth::Actor,
    failure::{Failure, Fault},
    leadership::Leader,
};

/// A parsed creation.
#[derive(Clone, Debug)]
pub(super) struct CreateSession {
    id: SessionId,
    name: String,
    floor: Option<EventEnvelopeVersion>,
    reason: Option<String>,
    validate_only: bool,
    repeatable: Repeatable,
}

impl CreateSession {
    /// Parses the request.
    pub(super) fn parse(request: CreateSessionRequest) -> Result<Self, Refusal> {
        let repeatable = Repeatable::parse("CreateSession", &request.request_id, &request)?;
        let CreateSessionRequest {
            session_id,
            name,
            min_client_version,
            reason,
            validate_only,
            request_id: _,
        } = request;
        let id = if session_id.is_empty() {
            SessionId(Uuid::now_v7())
        } else {
            SessionId::parse_new("session_id", &session_id)?
        };
        Ok(Self {
            id,
            name: text::required("name", &name, limits::SESSION_NAME_CHARS_MAX)?,
            floor: (!min_client_version.is_empty())
                .then(|| parse_version(&min_client_version))
                .transpose()?,
            reason: text::optional("reason", &reason, limits::REASON_CHARS_MAX)?,
            validate_only,
            repeatable,
        })
    }
}

/// Parses the field `min_client_version`.
pub(super) fn parse_version(text: &str) -> Result<EventEnvelopeVersion, FieldViolation> {
    text.parse().map_err(|error| FieldViolation::new("min_client_version", format!("{error}")))
}

/// Makes a session that the caller owns; the same request again answers with the session as it is.
pub(super) async fn create_session(
    leader: &Leader,
    actor: Actor,
    create: CreateSession,
) -> Result<CreateSessionResponse, Failure> {
    let CreateSession { id, name, floor, reason, validate_only, repeatable } = create;
    let mut connection = leader.db().acquire().await?;
    let mut tx = connection.begin().await?;
    if let Seen::Answered(answer) = repeatable.take(&mut tx, actor.participant).await? {
        return Ok(answer);
    }
    let made = store::insert(&mut tx, id, &name, floor.as_ref(), actor.participant).await?;
    let session = store::session(&mut *tx, id, actor).await?;
    // An id that is taken by somebody else looks like one that is taken with another name.
    let session = session.filter(|session| made || session.name == name).ok_or_else(|| {
        Refusal::new(
            Code::SessionCreateConflict,
            "a session of this id exists with another name, floor or owner. Leave session_id empty for a new one",
        )
    })?;
    let first_floor_differs = !made && session.floor.version()? < floor.as_ref();
    if first_floor_differs {
        return Err(Refusal::new(
            Code::SessionCreateConflict,
            "the session exists with a lower floor. Raise it: `rollcall session raise-floor`",
        )
        .into());
    }
    let floor = session.floor.clone();
    let answer = CreateSessionResponse { session: Some(session.into()) };
    if validate_only {
        tx.rollback().await?;
        return Ok(answer);
    }
    let target = id.to_string();
    let entry = Entry {
        actor: actor.participant,
        action: "session.create",
        session_id: Some(id),
        target: &target,
        reason: reason.as_deref(),
        request_id: repeatable.request_id(),
    };
    audit::finish(leader, &mut tx, actor.participant, made.then_some(entry), &repeatable, &answer).await?;
    tx.commit().await.map_err(Fault::Commit)?;
    if made {
        leader.fleet().raise_floor(id, floor);
        leader.fleet().set_runner(id, actor.participant, true);
    }
    Ok(answer)
}
