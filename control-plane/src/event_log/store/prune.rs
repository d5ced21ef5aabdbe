//! What followers of a log need to know of it, and its pruning.

use std::time::Duration;

use contracts::{
    LogPoint, SessionId,
    log::{HistoryId, Seq},
};
use sqlx::{PgConnection, PgExecutor};
use time::OffsetDateTime;
use uuid::Uuid;

use super::{
    events::place,
    logs::{hash, seq},
};
use crate::{failure::Fault, postgres::interval::interval};

/// Events after the tail that one pass looks at, and deletes at most.
const PRUNED_AT_ONCE: i64 = 10_000;

/// Where a log begins and ends, and of which history it is.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Extent {
    pub(crate) history_id: HistoryId,
    pub(crate) head: LogPoint,
    pub(crate) tail: LogPoint,
    /// When that was so, by the database's clock.
    pub(crate) read_at: OffsetDateTime,
}

/// Where the log of a session begins and ends; at its origin both when nothing was ever appended.
pub(crate) async fn extent(db: impl PgExecutor<'_>, session_id: SessionId) -> Result<Extent, Fault> {
    let row = sqlx::query!(
        r#"select control_plane.history_id, log.head as "head?", log.head_hash as "head_hash?",
                  log.tail as "tail?", log.tail_hash as "tail_hash?", clock_timestamp() as "read_at!"
           from control_plane left join session_logs log on log.session_id = $1"#,
        session_id.0
    )
    .fetch_one(db)
    .await?;
    let point = |at: Option<i64>, of: Option<Vec<u8>>| match (at, of) {
        (Some(at), Some(of)) => {
            Ok::<_, Fault>(LogPoint { seq: seq("head", at)?, hash: hash("head_hash", &of)? })
        }
        (None, _) | (_, None) => Ok(LogPoint::origin(session_id)),
    };
    Ok(Extent {
        history_id: HistoryId(row.history_id),
        head: point(row.head, row.head_hash)?,
        tail: point(row.tail, row.tail_hash)?,
        read_at: row.read_at,
    })
}

/// The hashes that a log has at these places, as far as it has them: at its events, and at its tail.
pub(crate) async fn hashes_at(
    db: impl PgExecutor<'_>,
    session_id: SessionId,
    places: &[Seq],
) -> Result<Vec<LogPoint>, Fault> {
    let wanted: Vec<_> = places.iter().map(|seq| place(*seq)).collect();
    let rows = sqlx::query!(
        r#"select asked.seq as "seq!", coalesce(event.hash, log.tail_hash) as "hash!"
           from unnest($2::bigint[]) as asked (seq)
           join session_logs log on log.session_id = $1
           left join lateral (select hash from session_events event
                              where event.session_id = $1 and event.seq = asked.seq limit 1) event on true
           where event.hash is not null or log.tail = asked.seq
           order by asked.seq"#,
        session_id.0,
        &wanted
    )
    .fetch_all(db)
    .await?;
    let mut points = rows
        .into_iter()
        .map(|row| Ok::<_, Fault>(LogPoint { seq: seq("seq", row.seq)?, hash: hash("hash", &row.hash)? }))
        .collect::<Result<Vec<_>, _>>()?;
    let origin = LogPoint::origin(session_id);
    if places.contains(&origin.seq) && points.first().is_none_or(|first| first.seq != origin.seq) {
        points.insert(0, origin);
    }
    Ok(points)
}

/// Bounds of what is retained of a log; none where there is no such bound.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Keeping {
    pub(crate) events: Option<u64>,
    pub(crate) bytes: Option<u64>,
    pub(crate) age: Option<Duration>,
}

impl Keeping {
    /// Whether nothing is ever let go.
    pub(crate) fn is_unbounded(&self) -> bool {
        let Self { events, bytes, age } = self;
        events.is_none() && bytes.is_none() && age.is_none()
    }
}

/// The places up to which bounds let go, one for each bound.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct LetGo {
    pub(crate) by_events: Option<Seq>,
    pub(crate) by_bytes: Option<Seq>,
    pub(crate) by_age: Option<Seq>,
}

/// Up to where these bounds let go, as far as one pass looks.
pub(crate) async fn let_go(
    db: impl PgExecutor<'_>,
    session_id: SessionId,
    keeping: Keeping,
) -> Result<LetGo, Fault> {
    let bound = |bound: Option<u64>| bound.map(|bound| i64::try_from(bound).unwrap_or(i64::MAX));
    let row = sqlx::query!(
        "with log as (select * from session_logs where session_id = $1),
         early as (
           select event.seq, event.recorded_at, octet_length(event.payload) as bytes,
                  sum(octet_length(event.payload)) over (order by event.seq) as upto
           from (select event.seq, event.recorded_at, event.payload
                 from log, lateral (select * from session_events event
                                    where event.session_id = $1 and event.seq > log.tail
                                    order by event.seq limit $5) event) event
         )
         select max(early.seq) filter (where early.seq <= log.head - $2) as by_events,
                -- The last one without which there are still too many bytes.
                max(early.seq) filter (where log.retained_bytes - early.upto + early.bytes > $3) as by_bytes,
                max(early.seq) filter (where early.recorded_at < clock_timestamp() - $4::interval) as by_age
         from early, log",
        session_id.0,
        bound(keeping.events),
        bound(keeping.bytes),
        keeping.age.map(interval) as _,
        PRUNED_AT_ONCE
    )
    .fetch_one(db)
    .await?;
    let mark = |stored: Option<i64>| stored.map(|stored| seq("seq", stored)).transpose();
    Ok(LetGo { by_events: mark(row.by_events)?, by_bytes: mark(row.by_bytes)?, by_age: mark(row.by_age)? })
}

/// Sessions whose log has events that these bounds may let go, from the one after `after` on.
pub(crate) async fn prunable_sessions(
    db: impl PgExecutor<'_>,
    keeping: Keeping,
    after: Uuid,
    sessions_max: i64,
) -> Result<Vec<SessionId>, Fault> {
    let bound = |bound: Option<u64>| bound.map(|bound| i64::try_from(bound).unwrap_or(i64::MAX));
    let ids = sqlx::query_scalar!(
        "select log.session_id from session_logs log
         where log.session_id > $4 and log.head > log.tail
           and (log.head - log.tail > $1 or log.retained_bytes > $2
                or (select recorded_at < clock_timestamp() - $3::interval from session_events event
                    where event.session_id = log.session_id and event.seq > log.tail
                    order by event.seq limit 1))
         order by log.session_id limit $5",
        bound(keeping.events),
        bound(keeping.bytes),
        keeping.age.map(interval) as _,
        after,
        sessions_max
    )
    .fetch_all(db)
    .await?;
    Ok(ids.into_iter().map(SessionId).collect())
}

/// Deletes the events of a log up to a place, and moves its tail there. The transaction holds the log.
pub(crate) async fn prune(db: &mut PgConnection, session_id: SessionId, to: Seq) -> Result<u64, Fault> {
    let pruned = sqlx::query_scalar!(
        r#"with gone as (
             delete from session_events event using session_logs log
             where log.session_id = $1 and event.session_id = $1 and event.seq > log.tail and event.seq <= $2
             returning event.seq, event.hash, octet_length(event.payload) as bytes
           ), moved as (
             update session_logs log
             set tail = last.seq, tail_hash = last.hash,
                 retained_bytes = log.retained_bytes - (select sum(bytes) from gone)
             from (select seq, hash from gone order by seq desc limit 1) last
             where log.session_id = $1 and last.seq = $2
           )
           select count(*) as "count!" from gone"#,
        session_id.0,
        place(to)
    )
    .fetch_one(db)
    .await?;
    Ok(pruned.unsigned_abs())
}
