//! Every query on participants, sessions and memberships.

use contracts::{EventEnvelopeVersion, ParticipantId, SessionId};
use sqlx::{PgConnection, PgExecutor};
use time::OffsetDateTime;
use uuid::Uuid;

use super::{
    floor::Floor,
    session::{Member, MembershipState, Role, Session, SessionState},
};
use crate::{auth::Actor, failure::Fault};

/// A locked session, as a caller who is an active member sees it.
#[derive(Clone, Debug)]
pub struct LockedSession {
    /// The session.
    pub id: SessionId,
    /// Where it stands.
    pub state: SessionState,
    /// Its floor.
    pub floor: Floor,
    role: Role,
}

impl LockedSession {
    /// Whether the caller may run nodes here.
    pub fn may_run_nodes(&self) -> bool {
        self.role.runs_nodes()
    }

    /// Whether the caller may change the session.
    pub fn may_manage(&self) -> bool {
        self.role == Role::Owner
    }
}

struct LockedRow {
    state: String,
    min_client_version: Option<String>,
}

impl LockedRow {
    async fn with_membership(
        row: Option<Self>,
        db: &mut PgConnection,
        id: SessionId,
        participant: ParticipantId,
    ) -> Result<Option<LockedSession>, Fault> {
        let Some(row) = row else { return Ok(None) };
        let role = sqlx::query_scalar!(
            "select role from session_memberships
             where session_id = $1 and participant_id = $2 and state = 'active' for share",
            id.0,
            participant.0
        )
        .fetch_optional(db)
        .await?;
        let Some(role) = role else { return Ok(None) };
        Ok(Some(LockedSession {
            id,
            state: SessionState::from_stored(&row.state)?,
            floor: Floor::from_stored(row.min_client_version.as_deref()),
            role: Role::from_stored(&role)?,
        }))
    }
}

/// Locks a session for an attach: attaches of one session go one by one, so that its bound on nodes is exact.
pub async fn lock_for_attach(
    db: &mut PgConnection,
    id: SessionId,
    participant: ParticipantId,
) -> Result<Option<LockedSession>, Fault> {
    let row = sqlx::query_as!(
        LockedRow,
        "select state, min_client_version from sessions where id = $1 for no key update",
        id.0
    )
    .fetch_optional(&mut *db)
    .await?;
    LockedRow::with_membership(row, db, id, participant).await
}

/// Locks a session for a write that its floor gates: the floor cannot rise before that write commits.
pub async fn lock_for_write(
    db: &mut PgConnection,
    id: SessionId,
    participant: ParticipantId,
) -> Result<Option<LockedSession>, Fault> {
    let row = sqlx::query_as!(
        LockedRow,
        "select state, min_client_version from sessions where id = $1 for share",
        id.0
    )
    .fetch_optional(&mut *db)
    .await?;
    LockedRow::with_membership(row, db, id, participant).await
}

/// Locks a session for a change of itself, of its members, or of somebody's node in it. An admin needs no membership.
pub(crate) async fn lock_to_manage(
    db: &mut PgConnection,
    id: SessionId,
    actor: Actor,
) -> Result<Option<LockedSession>, Fault> {
    if !actor.is_admin {
        return lock_for_attach(db, id, actor.participant).await;
    }
    let row = sqlx::query_as!(
        LockedRow,
        "select state, min_client_version from sessions where id = $1 for no key update",
        id.0
    )
    .fetch_optional(db)
    .await?;
    row.map(|row| {
        Ok(LockedSession {
            id,
            state: SessionState::from_stored(&row.state)?,
            floor: Floor::from_stored(row.min_client_version.as_deref()),
            role: Role::Owner,
        })
    })
    .transpose()
}

/// Whether the actor may see this session: an active member, or, if there is such a session, an admin.
pub(crate) async fn may_see(db: impl PgExecutor<'_>, id: SessionId, actor: Actor) -> Result<bool, Fault> {
    Ok(sqlx::query_scalar!(
        r#"select exists (
             select from sessions session
             where session.id = $1 and ($3 or exists (
               select from session_memberships membership
               where membership.session_id = session.id and membership.participant_id = $2
                 and membership.state = 'active'))) as "may!""#,
        id.0,
        actor.participant.0,
        actor.is_admin
    )
    .fetch_one(db)
    .await?)
}

/// Where a session stands.
pub(crate) async fn state(db: impl PgExecutor<'_>, id: SessionId) -> Result<SessionState, Fault> {
    let state = sqlx::query_scalar!("select state from sessions where id = $1", id.0).fetch_one(db).await?;
    SessionState::from_stored(&state)
}

struct SessionRow {
    id: Uuid,
    name: String,
    state: String,
    min_client_version: Option<String>,
    active_nodes: i64,
    created_at: OffsetDateTime,
    updated_at: OffsetDateTime,
}

impl TryFrom<SessionRow> for Session {
    type Error = Fault;

    fn try_from(row: SessionRow) -> Result<Self, Fault> {
        Ok(Self {
            id: SessionId(row.id),
            name: row.name,
            state: SessionState::from_stored(&row.state)?,
            floor: Floor::from_stored(row.min_client_version.as_deref()),
            active_nodes: row.active_nodes,
            created_at: row.created_at,
            updated_at: row.updated_at,
        })
    }
}

/// Selects sessions as [`SessionRow`]; the literal goes on after `from sessions session`.
macro_rules! select_sessions {
    ($rest:literal $(, $argument:expr)*) => {
        sqlx::query_as!(
            SessionRow,
            r#"select session.id, session.name, session.state, session.min_client_version,
                      session.created_at, session.updated_at,
                      (select count(*) from runtime_node_attachments attachment
                       where attachment.session_id = session.id
                         and attachment.state in ('registering', 'online', 'degraded')) as "active_nodes!"
               from sessions session "# + $rest
            $(, $argument)*
        )
    };
}

/// A session, if the actor may see it.
pub(super) async fn session(
    db: impl PgExecutor<'_>,
    id: SessionId,
    actor: Actor,
) -> Result<Option<Session>, Fault> {
    let row = select_sessions!(
        "where session.id = $1 and ($3 or exists (
             select from session_memberships membership
             where membership.session_id = session.id and membership.participant_id = $2
               and membership.state = 'active'))",
        id.0,
        actor.participant.0,
        actor.is_admin
    );
    row.fetch_optional(db).await?.map(Session::try_from).transpose()
}

/// A page of the sessions that the actor may see, by id.
pub(super) async fn sessions(
    db: impl PgExecutor<'_>,
    actor: Actor,
    after: Uuid,
    limit: i64,
) -> Result<Vec<Session>, Fault> {
    let rows = select_sessions!(
        "where session.id > $2 and ($4 or exists (
             select from session_memberships membership
             where membership.session_id = session.id and membership.participant_id = $1
               and membership.state = 'active'))
         order by session.id limit $3",
        actor.participant.0,
        after,
        limit,
        actor.is_admin
    );
    rows.fetch_all(db).await?.into_iter().map(Session::try_from).collect()
}

/// The floor of every session, for a leader that starts.
pub async fn all_floors(db: impl PgExecutor<'_>) -> Result<Vec<(SessionId, Floor)>, Fault> {
    let rows = sqlx::query!("select id, min_client_version from sessions").fetch_all(db).await?;
    Ok(rows
        .into_iter()
        .map(|row| (SessionId(row.id), Floor::from_stored(row.min_client_version.as_deref())))
        .collect())
}

/// Makes a session with its owner, unless the id is taken; tells whether it was made.
pub(super) async fn insert(
    db: &mut PgConnection,
    id: SessionId,
    name: &str,
    floor: Option<&EventEnvelopeVersion>,
    owner: ParticipantId,
) -> Result<bool, Fault> {
    put_participant(db, owner).await?;
    let made = sqlx::query!(
        "insert into sessions (id, name, min_client_version) values ($1, $2, $3) on conflict do nothing",
        id.0,
        name,
        floor.map(EventEnvelopeVersion::as_str)
    )
    .execute(&mut *db)
    .await?
    .rows_affected()
        == 1;
    if made {
        sqlx::query!(
            "insert into session_memberships (session_id, participant_id, role, state)
             values ($1, $2, 'owner', 'active')",
            id.0,
            owner.0
        )
        .execute(db)
        .await?;
    }
    Ok(made)
}

/// Writes a new state.
pub(super) async fn set_state(
    db: &mut PgConnection,
    id: SessionId,
    state: SessionState,
) -> Result<(), Fault> {
    sqlx::query!("update sessions set state = $2, updated_at = now() where id = $1", id.0, state.as_str())
        .execute(db)
        .await?;
    Ok(())
}

/// Writes a new floor.
pub(super) async fn set_floor(
    db: &mut PgConnection,
    id: SessionId,
    floor: &EventEnvelopeVersion,
) -> Result<(), Fault> {
    sqlx::query!(
        "update sessions set min_client_version = $2, updated_at = now() where id = $1",
        id.0,
        floor.as_str()
    )
    .execute(db)
    .await?;
    Ok(())
}

/// Name and version of each active node of a session. Versions compare exactly in Rust only, hence all.
pub(super) async fn versions_of_active_nodes(
    db: impl PgExecutor<'_>,
    id: SessionId,
) -> Result<Vec<(String, String)>, Fault> {
    let rows = sqlx::query!(
        r#"select node_id as "node_id!", client_version as "client_version!" from runtime_node_slots
           where session_id = $1 and state in ('registering', 'online', 'degraded')"#,
        id.0
    )
    .fetch_all(db)
    .await?;
    Ok(rows.into_iter().map(|row| (row.node_id, row.client_version)).collect())
}

/// Makes a participant, unless it is there.
pub(crate) async fn put_participant(db: &mut PgConnection, participant: ParticipantId) -> Result<(), Fault> {
    sqlx::query!("insert into participants (id) values ($1) on conflict do nothing", participant.0)
        .execute(db)
        .await?;
    Ok(())
}

/// Who may run nodes in which session, for a leader that starts.
pub(crate) async fn all_runners(db: impl PgExecutor<'_>) -> Result<Vec<(SessionId, ParticipantId)>, Fault> {
    let rows = sqlx::query!(
        "select session_id, participant_id from session_memberships
         where state = 'active' and role in ('owner', 'collaborator', 'runtime_contributor')"
    )
    .fetch_all(db)
    .await?;
    Ok(rows.into_iter().map(|row| (SessionId(row.session_id), ParticipantId(row.participant_id))).collect())
}

struct MemberRow {
    participant_id: Uuid,
    role: String,
    state: String,
    joined_at: OffsetDateTime,
    updated_at: OffsetDateTime,
}

impl TryFrom<MemberRow> for Member {
    type Error = Fault;

    fn try_from(row: MemberRow) -> Result<Self, Fault> {
        Ok(Self {
            participant_id: ParticipantId(row.participant_id),
            role: Role::from_stored(&row.role)?,
            state: MembershipState::from_stored(&row.state)?,
            joined_at: row.joined_at,
            updated_at: row.updated_at,
        })
    }
}

/// Makes or changes a membership, and the participant if it is new.
pub(super) async fn put_member(
    db: &mut PgConnection,
    id: SessionId,
    participant: ParticipantId,
    role: Role,
    state: MembershipState,
) -> Result<Member, Fault> {
    put_participant(db, participant).await?;
    sqlx::query_as!(
        MemberRow,
        "insert into session_memberships (session_id, participant_id, role, state) values ($1, $2, $3, $4)
         on conflict (session_id, participant_id) do update
         set role = excluded.role, state = excluded.state, updated_at = now()
         returning participant_id, role, state, joined_at, updated_at",
        id.0,
        participant.0,
        role.as_str(),
        state.as_str()
    )
    .fetch_one(db)
    .await?
    .try_into()
}

/// Deletes a membership; tells whether there was one.
pub(super) async fn delete_member(
    db: &mut PgConnection,
    id: SessionId,
    participant: ParticipantId,
) -> Result<bool, Fault> {
    let deleted = sqlx::query!(
        "delete from session_memberships where session_id = $1 and participant_id = $2",
        id.0,
        participant.0
    )
    .execute(db)
    .await?;
    Ok(deleted.rows_affected() == 1)
}

/// How many active owners a session has.
pub(super) async fn active_owners(db: impl PgExecutor<'_>, id: SessionId) -> Result<i64, Fault> {
    Ok(sqlx::query_scalar!(
        r#"select count(*) as "count!" from session_memberships
           where session_id = $1 and role = 'owner' and state = 'active'"#,
        id.0
    )
    .fetch_one(db)
    .await?)
}

/// A page of a session's members, by participant.
pub(super) async fn members(
    db: impl PgExecutor<'_>,
    id: SessionId,
    after: Uuid,
    limit: i64,
) -> Result<Vec<Member>, Fault> {
    let rows = sqlx::query_as!(
        MemberRow,
        "select participant_id, role, state, joined_at, updated_at from session_memberships
         where session_id = $1 and participant_id > $2 order by participant_id limit $3",
        id.0,
        after,
        limit
    );
    rows.fetch_all(db).await?.into_iter().map(Member::try_from).collect()
}
