//! CreateSession: idempotent by the id that the client brings.

use contracts::{
    Code, EventEnvelopeVersion, Refusal, SessionId, limits, refusal::FieldViolation, text,
    wire::v1::CreateSessionRequest,
};
use sqlx::Connection;
use uuid::Uuid;

use super::{session::Session, store};
use crate::{
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
}

impl CreateSession {
    /// Parses the request.
    pub(super) fn parse(request: CreateSessionRequest) -> Result<Self, Refusal> {
        let CreateSessionRequest { session_id, name, min_client_version } = request;
        let id = if session_id.is_empty() {
            SessionId(Uuid::now_v7())
        } else {
            SessionId::parse_new("session_id", &session_id)?
        };
        let name = text::required("name", &name, limits::SESSION_NAME_CHARS_MAX)?;
        let floor =
            (!min_client_version.is_empty()).then(|| parse_version(&min_client_version)).transpose()?;
        Ok(Self { id, name, floor })
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
) -> Result<Session, Failure> {
    let mut connection = leader.db().acquire().await?;
    let mut tx = connection.begin().await?;
    let made =
        store::insert(&mut tx, create.id, &create.name, create.floor.as_ref(), actor.participant).await?;
    let session = store::session(&mut *tx, create.id, actor).await?;
    // An id that is taken by somebody else looks like one that is taken with another name.
    let session = session.filter(|session| made || session.name == create.name).ok_or_else(|| {
        Refusal::new(
            Code::SessionCreateConflict,
            "a session of this id exists with another name, floor or owner. Leave session_id empty for a new one",
        )
    })?;
    let first_floor_differs = !made && session.floor.version()? < create.floor.as_ref();
    if first_floor_differs {
        return Err(Refusal::new(
            Code::SessionCreateConflict,
            "the session exists with a lower floor. Raise it: `rollcall session raise-floor`",
        )
        .into());
    }
    tx.commit().await.map_err(Fault::Commit)?;
    if made {
        leader.fleet().raise_floor(session.id, session.floor.clone());
        leader.fleet().set_runner(session.id, actor.participant, true);
    }
    Ok(session)
}
