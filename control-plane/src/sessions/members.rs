//! SetMember and RemoveMember: who may use a session. Neither touches a slot, and a session keeps an owner.

use contracts::{
    Code, ParticipantId, Refusal, SessionId, limits,
    refusal::FieldViolation,
    text,
    wire::v1::{
        MemberRole, MemberState, RemoveMemberRequest, RemoveMemberResponse, SetMemberRequest,
        SetMemberResponse,
    },
};
use sqlx::Connection;

use super::{
    raise_floor::not_found,
    session::{MembershipState, Role},
    store,
};
use crate::{
    audit::{
        self, Entry,
        repeat::{Repeatable, Seen},
    },
    auth::Actor,
    event_log,
    failure::{Failure, Fault},
    leadership::Leader,
};

/// A parsed change of a membership.
#[derive(Clone, Debug)]
pub(super) struct SetMember {
    session_id: SessionId,
    participant: ParticipantId,
    role: Role,
    state: MembershipState,
    reason: Option<String>,
    validate_only: bool,
    repeatable: Repeatable,
}

impl SetMember {
    /// Parses the request.
    pub(super) fn parse(request: SetMemberRequest) -> Result<Self, Refusal> {
        let repeatable = Repeatable::parse("SetMember", &request.request_id, &request)?;
        let SetMemberRequest {
            session_id,
            participant_id,
            role,
            state,
            reason,
            validate_only,
            request_id: _,
        } = request;
        Ok(Self {
            session_id: SessionId::parse("session_id", &session_id)?,
            participant: ParticipantId::parse("participant_id", &participant_id)?,
            role: parse_role(role)?,
            state: parse_state(state)?,
            reason: text::optional("reason", &reason, limits::REASON_CHARS_MAX)?,
            validate_only,
            repeatable,
        })
    }
}

fn parse_role(role: i32) -> Result<Role, FieldViolation> {
    match MemberRole::try_from(role) {
        Ok(MemberRole::Owner) => Ok(Role::Owner),
        Ok(MemberRole::Collaborator) => Ok(Role::Collaborator),
        Ok(MemberRole::RuntimeContributor) => Ok(Role::RuntimeContributor),
        Ok(MemberRole::Viewer) => Ok(Role::Viewer),
        Ok(MemberRole::Unspecified) => Err(FieldViolation::new("role", "is required")),
        Err(_) => {
            Err(FieldViolation::new("role", "must be owner, collaborator, runtime_contributor or viewer"))
        }
    }
}

fn parse_state(state: i32) -> Result<MembershipState, FieldViolation> {
    match MemberState::try_from(state) {
        Ok(MemberState::Pending) => Ok(MembershipState::Pending),
        Ok(MemberState::Active) => Ok(MembershipState::Active),
        Ok(MemberState::Suspended) => Ok(MembershipState::Suspended),
        Ok(MemberState::Revoked) => Ok(MembershipState::Revoked),
        Ok(MemberState::Unspecified) => Err(FieldViolation::new("state", "is required")),
        Err(_) => Err(FieldViolation::new("state", "must be pending, active, suspended or revoked")),
    }
}

/// Makes or changes a membership.
pub(super) async fn set_member(
    leader: &Leader,
    actor: Actor,
    set: SetMember,
) -> Result<SetMemberResponse, Failure> {
    let SetMember { session_id, participant, role, state, reason, validate_only, repeatable } = set;
    let mut connection = leader.db().acquire().await?;
    let mut tx = connection.begin().await?;
    if let Seen::Answered(answer) = repeatable.take(&mut tx, actor.participant).await? {
        return Ok(answer);
    }
    // The session's lock makes changes of its owners go one by one.
    let locked = store::lock_to_manage(&mut tx, session_id, actor).await?.ok_or_else(not_found)?;
    if !locked.may_manage() {
        return Err(Refusal::permission_denied().into());
    }
    let member = store::put_member(&mut tx, session_id, participant, role, state).await?;
    keep_an_owner(store::active_owners(&mut *tx, session_id).await?)?;
    let answer = SetMemberResponse { member: Some(member.into()) };
    if validate_only {
        tx.rollback().await?;
        return Ok(answer);
    }
    let entry = Entry {
        actor: actor.participant,
        action: "member.set",
        session_id: Some(session_id),
        target: &participant.to_string(),
        reason: reason.as_deref(),
        request_id: repeatable.request_id(),
    };
    audit::finish(leader, &mut tx, actor.participant, Some(entry), &repeatable, &answer).await?;
    event_log::hold(&mut tx, session_id).await?;
    let _in_order = leader.fleet().membership_order().await;
    tx.commit().await.map_err(Fault::Commit)?;
    leader.fleet().set_runner(session_id, participant, role.runs_nodes() && state == MembershipState::Active);
    Ok(answer)
}

/// A parsed end of a membership.
#[derive(Clone, Debug)]
pub(super) struct RemoveMember {
    session_id: SessionId,
    participant: ParticipantId,
    reason: Option<String>,
    validate_only: bool,
    repeatable: Repeatable,
}

impl RemoveMember {
    /// Parses the request.
    pub(super) fn parse(request: RemoveMemberRequest) -> Result<Self, Refusal> {
        let repeatable = Repeatable::parse("RemoveMember", &request.request_id, &request)?;
        let RemoveMemberRequest { session_id, participant_id, reason, validate_only, request_id: _ } =
            request;
        Ok(Self {
            session_id: SessionId::parse("session_id", &session_id)?,
            participant: ParticipantId::parse("participant_id", &participant_id)?,
            reason: text::optional("reason", &reason, limits::REASON_CHARS_MAX)?,
            validate_only,
            repeatable,
        })
    }
}

/// Ends a membership; one that is not there is gone already.
pub(super) async fn remove_member(
    leader: &Leader,
    actor: Actor,
    remove: RemoveMember,
) -> Result<RemoveMemberResponse, Failure> {
    let RemoveMember { session_id, participant, reason, validate_only, repeatable } = remove;
    let mut connection = leader.db().acquire().await?;
    let mut tx = connection.begin().await?;
    if let Seen::Answered(answer) = repeatable.take(&mut tx, actor.participant).await? {
        return Ok(answer);
    }
    let locked = store::lock_to_manage(&mut tx, session_id, actor).await?.ok_or_else(not_found)?;
    if !locked.may_manage() {
        return Err(Refusal::permission_denied().into());
    }
    let was_there = store::delete_member(&mut tx, session_id, participant).await?;
    keep_an_owner(store::active_owners(&mut *tx, session_id).await?)?;
    let answer = RemoveMemberResponse {};
    if validate_only {
        tx.rollback().await?;
        return Ok(answer);
    }
    let target = participant.to_string();
    let entry = Entry {
        actor: actor.participant,
        action: "member.remove",
        session_id: Some(session_id),
        target: &target,
        reason: reason.as_deref(),
        request_id: repeatable.request_id(),
    };
    audit::finish(leader, &mut tx, actor.participant, was_there.then_some(entry), &repeatable, &answer)
        .await?;
    if was_there {
        event_log::hold(&mut tx, session_id).await?;
    }
    let _in_order = leader.fleet().membership_order().await;
    tx.commit().await.map_err(Fault::Commit)?;
    leader.fleet().set_runner(session_id, participant, false);
    Ok(answer)
}

fn keep_an_owner(active_owners: i64) -> Result<(), Refusal> {
    if active_owners > 0 {
        return Ok(());
    }
    Err(Refusal::new(
        Code::MembershipLastOwner,
        "the session would be left without an active owner. Make somebody else an owner first",
    ))
}
