//! RaiseVersionFloor: monotonic, and able to tell beforehand who would become read-only.

use contracts::{
    Code, EventEnvelopeVersion, Refusal, SessionId, limits,
    refusal::FieldViolation,
    text,
    wire::v1::{AffectedNode, RaiseVersionFloorRequest, RaiseVersionFloorResponse},
};
use sqlx::Connection;

use super::{create::parse_version, floor::Floor, store};
use crate::{
    audit::{
        self, Entry,
        repeat::{Repeatable, Seen},
    },
    auth::Actor,
    event_log,
    failure::{Failure, Fault},
    leadership::Leader,
    postgres::stored,
    wire::Page,
};

/// A parsed raise.
#[derive(Clone, Debug)]
pub(super) struct RaiseFloor {
    id: SessionId,
    to: EventEnvelopeVersion,
    reason: Option<String>,
    validate_only: bool,
    page: Page,
    repeatable: Repeatable,
}

impl RaiseFloor {
    /// Parses the request.
    pub(super) fn parse(request: RaiseVersionFloorRequest) -> Result<Self, Refusal> {
        let repeatable = Repeatable::parse("RaiseVersionFloor", &request.request_id, &request)?;
        let RaiseVersionFloorRequest {
            session_id,
            min_client_version,
            validate_only,
            page_size,
            page_token,
            reason,
            request_id: _,
        } = request;
        if !validate_only && !page_token.is_empty() {
            return Err(FieldViolation::new("page_token", "goes with validate_only").into());
        }
        Ok(Self {
            id: SessionId::parse("session_id", &session_id)?,
            to: parse_version(&min_client_version)?,
            reason: text::optional("reason", &reason, limits::REASON_CHARS_MAX)?,
            validate_only,
            page: Page::parse(page_size, &page_token)?,
            repeatable,
        })
    }
}

/// Raises the floor, or, with `validate_only`, only tells who is affected.
pub(super) async fn raise_floor(
    leader: &Leader,
    actor: Actor,
    raise: RaiseFloor,
) -> Result<RaiseVersionFloorResponse, Failure> {
    let RaiseFloor { id, to, reason, validate_only, page, repeatable } = raise;
    let mut connection = leader.db().acquire().await?;
    let mut tx = connection.begin().await?;
    if let Seen::Answered(answer) = repeatable.take(&mut tx, actor.participant).await? {
        return Ok(answer);
    }
    let locked = store::lock_to_manage(&mut tx, id, actor).await?.ok_or_else(not_found)?;
    if !locked.may_manage() {
        return Err(Refusal::permission_denied().into());
    }
    let from = locked.floor.version()?;
    if let Some(from) = from.filter(|from| to < **from) {
        return Err(Refusal::new(
            Code::VersionFloorLowered,
            format!("the floor is {from}, and a floor is never lowered; {to} is below it"),
        )
        .with_fact("min_client_version", from.as_str())
        .into());
    }
    if from == Some(&to) {
        // Nothing to do, and nobody affected.
        let session = store::session(&mut *tx, id, actor).await?.ok_or_else(not_found)?;
        let answer = RaiseVersionFloorResponse { session: Some(session.into()), ..Default::default() };
        if !validate_only {
            audit::finish(leader, &mut tx, actor.participant, None, &repeatable, &answer).await?;
            tx.commit().await.map_err(Fault::Commit)?;
        }
        return Ok(answer);
    }

    let affected = affected(store::versions_of_active_nodes(&mut *tx, id).await?, from, &to)?;
    store::set_floor(&mut tx, id, &to).await?;
    let session = store::session(&mut *tx, id, actor).await?.ok_or_else(not_found)?;
    let affected_nodes_count = i64::try_from(affected.len()).unwrap_or(i64::MAX);
    let mut affected_nodes: Vec<_> = affected.into_iter().filter(|node| node.node_id > page.after).collect();
    let next_page = page.cut(&mut affected_nodes, |node| node.node_id.clone());
    // Once the floor is raised nobody is affected any more, so there is no further page to ask for.
    let next_page_token = if validate_only { next_page } else { String::new() };
    let answer = RaiseVersionFloorResponse {
        session: Some(session.into()),
        affected_nodes_count,
        affected_nodes,
        next_page_token,
    };
    if validate_only {
        tx.rollback().await?;
        return Ok(answer);
    }
    let target = id.to_string();
    let entry = Entry {
        actor: actor.participant,
        action: "session.raise_floor",
        session_id: Some(id),
        target: &target,
        reason: reason.as_deref(),
        request_id: repeatable.request_id(),
    };
    audit::finish(leader, &mut tx, actor.participant, Some(entry), &repeatable, &answer).await?;
    event_log::hold(&mut tx, id).await?;
    tx.commit().await.map_err(Fault::Commit)?;
    leader.fleet().raise_floor(id, Floor::At(to));
    Ok(answer)
}

/// The nodes that may write below the old floor's rule and not below the new one's.
fn affected(
    nodes: Vec<(String, String)>,
    from: Option<&EventEnvelopeVersion>,
    to: &EventEnvelopeVersion,
) -> Result<Vec<AffectedNode>, Fault> {
    let mut affected: Vec<AffectedNode> = Vec::new();
    for (node_id, client_version) in nodes {
        let version: EventEnvelopeVersion = client_version
            .parse()
            .map_err(|_| stored::unreadable("runtime_node_attachments", "client_version", &client_version))?;
        if version < *to && from.is_none_or(|from| version >= *from) {
            affected.push(AffectedNode { node_id, client_version });
        }
    }
    // Not by the database, whose collation need not agree with the comparison that cuts the pages.
    affected.sort_by(|left, right| left.node_id.cmp(&right.node_id));
    Ok(affected)
}

/// No session of that id is visible to the caller.
pub(super) fn not_found() -> Refusal {
    Refusal::new(Code::SessionNotFound, "there is no such session. See `rollcall session list`")
}
