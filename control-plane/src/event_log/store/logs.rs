//! The rows of the logs, and their locks.

use contracts::{EventHash, LogPoint, Seq, SessionId};
use sqlx::{PgConnection, PgExecutor};
use time::OffsetDateTime;
use uuid::Uuid;

use super::times::micros;
use crate::{failure::Fault, postgres::stored};

/// A log that a transaction holds.
#[derive(Clone, Copy, Debug)]
pub(in crate::event_log) struct LockedLog {
    pub(in crate::event_log) session_id: SessionId,
    pub(in crate::event_log) head: LogPoint,
    /// Keys of its state.
    pub(in crate::event_log) state_keys: u64,
    /// The time of the database once the lock was had, in microseconds.
    pub(in crate::event_log) locked_at: i64,
}

struct LogRow {
    session_id: Uuid,
    head: i64,
    head_hash: Vec<u8>,
    state_keys: i64,
    locked_at: OffsetDateTime,
}

impl TryFrom<LogRow> for LockedLog {
    type Error = Fault;

    fn try_from(row: LogRow) -> Result<Self, Fault> {
        Ok(Self {
            session_id: SessionId(row.session_id),
            head: LogPoint { seq: seq("head", row.head)?, hash: hash("head_hash", &row.head_hash)? },
            state_keys: row.state_keys.unsigned_abs(),
            locked_at: micros(row.locked_at),
        })
    }
}

/// A place, as stored.
pub(super) fn seq(column: &'static str, stored: i64) -> Result<Seq, Fault> {
    let seq = u64::try_from(stored).ok().and_then(Seq::new);
    seq.ok_or_else(|| stored::unreadable("session_logs", column, stored.to_string()))
}

/// A hash, as stored.
pub(super) fn hash(column: &'static str, stored: &[u8]) -> Result<EventHash, Fault> {
    EventHash::parse(column, stored)
        .map_err(|_| stored::unreadable("session_logs", column, format!("{} bytes", stored.len())))
}

/// Locks logs in the order of their ids, in the way that the literal says. The time is taken outside of what locks: in
/// there it would be that of before the wait.
macro_rules! lock_logs {
    ($how:literal, $ids:expr) => {
        sqlx::query_as!(
            LogRow,
            "with log as materialized (
               select session_id, head, head_hash, state_keys from session_logs
               where session_id = any($1) order by session_id for no key update "
                + $how
                + r#"
             )
             select session_id as "session_id!", head as "head!", head_hash as "head_hash!",
                    state_keys as "state_keys!", clock_timestamp() as "locked_at!"
             from log"#,
            $ids
        )
    };
}

/// Locks the logs of these sessions, waiting for whoever holds them. A log that was not made yet is not among them.
pub(in crate::event_log) async fn lock(db: &mut PgConnection, ids: &[Uuid]) -> Result<Vec<LockedLog>, Fault> {
    lock_logs!("", ids).fetch_all(db).await?.into_iter().map(LockedLog::try_from).collect()
}

/// Locks those logs of these sessions that nobody holds, and waits for none.
pub(in crate::event_log) async fn lock_free(
    db: &mut PgConnection,
    ids: &[Uuid],
) -> Result<Vec<LockedLog>, Fault> {
    lock_logs!("skip locked", ids).fetch_all(db).await?.into_iter().map(LockedLog::try_from).collect()
}

/// Makes the logs of these sessions, of those that there are and that have none yet.
pub(in crate::event_log) async fn make(db: impl PgExecutor<'_>, ids: &[Uuid]) -> Result<(), Fault> {
    let origins: Vec<Vec<u8>> =
        ids.iter().map(|id| EventHash::genesis(SessionId(*id)).as_bytes().to_vec()).collect();
    sqlx::query!(
        "insert into session_logs (session_id, head_hash, tail_hash)
         select made.session_id, made.origin, made.origin
         from unnest($1::uuid[], $2::bytea[]) as made (session_id, origin)
         join sessions session on session.id = made.session_id
         order by made.session_id
         on conflict (session_id) do nothing",
        ids,
        &origins
    )
    .execute(db)
    .await?;
    Ok(())
}
