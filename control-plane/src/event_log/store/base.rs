//! The state, which is the latest event of each key, and the copies of it that replicas are rebuilt from.

use contracts::{
    LogPoint, SessionId,
    log::{BaseDigest, Seq},
};
use sqlx::{PgConnection, PgExecutor};
use uuid::Uuid;

use super::{
    events::{Read, ReadRow, place, select_stretch, stretch},
    logs::{hash, seq},
};
use crate::{failure::Fault, postgres::stored};

/// What a base is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum BaseKind {
    /// Kept for later rebuilds.
    Checkpoint,
    /// Made for one rebuild.
    FullBase,
}

impl BaseKind {
    fn as_str(self) -> &'static str {
        match self {
            Self::Checkpoint => "checkpoint",
            Self::FullBase => "full_base",
        }
    }
}

/// A copy of the state of a session.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Base {
    /// Its name.
    pub(crate) id: Uuid,
    /// The place that it is the state at.
    pub(crate) at: LogPoint,
    /// Events in it.
    pub(crate) events: u64,
    /// What it was proven to be.
    pub(crate) digest: Option<BaseDigest>,
    /// When it was made.
    pub(crate) created_at: time::OffsetDateTime,
}

struct BaseRow {
    id: Uuid,
    seq: i64,
    hash: Vec<u8>,
    events: i64,
    digest: Option<Vec<u8>>,
    created_at: time::OffsetDateTime,
}

impl TryFrom<BaseRow> for Base {
    type Error = Fault;

    fn try_from(row: BaseRow) -> Result<Self, Fault> {
        let digest = row.digest.map(|digest| {
            BaseDigest::parse("digest", &digest)
                .map_err(|_| stored::unreadable("session_bases", "digest", row.id.to_string()))
        });
        Ok(Self {
            id: row.id,
            at: LogPoint { seq: seq("seq", row.seq)?, hash: hash("hash", &row.hash)? },
            events: row.events.unsigned_abs(),
            digest: digest.transpose()?,
            created_at: row.created_at,
        })
    }
}

/// Which of these keys a session's state holds.
pub(in crate::event_log) async fn keys_among(
    db: &mut PgConnection,
    session_id: SessionId,
    keys: &[String],
) -> Result<Vec<String>, Fault> {
    Ok(sqlx::query_scalar!(
        "select key from session_state where session_id = $1 and key = any($2)",
        session_id.0,
        keys
    )
    .fetch_all(db)
    .await?)
}

/// Copies the state of a session, with the place that it is the state at: one statement, and so of one moment. None when
/// nothing was ever appended.
pub(crate) async fn copy_state(
    db: impl PgExecutor<'_>,
    session_id: SessionId,
    id: Uuid,
    kind: BaseKind,
) -> Result<Option<Base>, Fault> {
    let row = sqlx::query_as!(
        BaseRow,
        r#"with log as (
             select session_id, head, head_hash from session_logs where session_id = $1
           ), copied as (
             insert into session_base_events
               (base_id, seq, event_id, epoch, envelope_version, type, key, actor, content_type, payload,
                occurred_at, recorded_at, prev_hash, hash)
             select $2, state.seq, state.event_id, state.epoch, state.envelope_version, state.type, state.key,
                    state.actor, state.content_type, state.payload, state.occurred_at, state.recorded_at,
                    state.prev_hash, state.hash
             from session_state state join log using (session_id)
             returning 1
           )
           insert into session_bases (id, session_id, kind, seq, hash, events)
           select $2, log.session_id, $3, log.head, log.head_hash, (select count(*) from copied) from log
           returning id, seq, hash, events, digest, created_at"#,
        session_id.0,
        id,
        kind.as_str()
    )
    .fetch_optional(db)
    .await?;
    row.map(Base::try_from).transpose()
}

/// The checkpoints of a session, the last one first.
pub(crate) async fn checkpoints(db: impl PgExecutor<'_>, session_id: SessionId) -> Result<Vec<Base>, Fault> {
    sqlx::query_as!(
        BaseRow,
        "select id, seq, hash, events, digest, created_at from session_bases
         where session_id = $1 and kind = 'checkpoint' order by seq desc, created_at desc",
        session_id.0
    )
    .fetch_all(db)
    .await?
    .into_iter()
    .map(Base::try_from)
    .collect()
}

/// Events of a base after a place, in the order of their numbers.
pub(crate) async fn base_events(
    db: impl PgExecutor<'_>,
    session_id: SessionId,
    id: Uuid,
    after: Seq,
    events_max: i64,
    bytes_max: i64,
) -> Result<Option<Read>, Fault> {
    let rows = select_stretch!(
        "select base.seq as head, base.hash as head_hash, base.seq as tail, base.hash as tail_hash, ",
        "session_bases base",
        "session_base_events event where event.base_id = base.id",
        "base.id = $1",
        id,
        place(after),
        events_max,
        bytes_max
    )
    .fetch_all(db)
    .await?;
    stretch(session_id, rows)
}

/// Writes down what a base was proven to be, or that it was not.
pub(crate) async fn set_digest(
    db: impl PgExecutor<'_>,
    id: Uuid,
    digest: Option<BaseDigest>,
) -> Result<(), Fault> {
    let digest = digest.map(|digest| digest.as_bytes().to_vec());
    sqlx::query!("update session_bases set digest = $2 where id = $1", id, digest).execute(db).await?;
    Ok(())
}

/// Deletes a base.
pub(crate) async fn delete_base(db: impl PgExecutor<'_>, id: Uuid) -> Result<(), Fault> {
    sqlx::query!("delete from session_bases where id = $1", id).execute(db).await?;
    Ok(())
}

/// Deletes the bases that were made for rebuilds of former terms.
pub(crate) async fn delete_full_bases(db: impl PgExecutor<'_>) -> Result<u64, Fault> {
    Ok(sqlx::query!("delete from session_bases where kind = 'full_base'").execute(db).await?.rows_affected())
}

/// Sessions whose log went on by so many events since its last checkpoint, or whose last checkpoint is not trusted.
pub(crate) async fn checkpoints_due(
    db: impl PgExecutor<'_>,
    events: i64,
    sessions_max: i64,
) -> Result<Vec<SessionId>, Fault> {
    let ids = sqlx::query_scalar!(
        "select log.session_id from session_logs log
         left join lateral (select seq, digest is null as is_doubtful from session_bases base
                            where base.session_id = log.session_id and base.kind = 'checkpoint'
                            order by seq desc, created_at desc limit 1) last on true
         where log.head - coalesce(last.seq, 0) >= $1 or last.is_doubtful
         limit $2",
        events,
        sessions_max
    )
    .fetch_all(db)
    .await?;
    Ok(ids.into_iter().map(SessionId).collect())
}
