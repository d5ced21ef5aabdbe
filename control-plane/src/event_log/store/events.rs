//! Events, as stored.

use contracts::{
    EventId, LogPoint, Seq, SessionId,
    log::{Actor, ContentType, Event, EventKey, EventType},
    refusal::FieldViolation,
};
use sqlx::{PgConnection, PgExecutor};
use time::OffsetDateTime;
use uuid::Uuid;

use super::{
    logs::{hash, seq},
    times::micros,
};
use crate::{failure::Fault, postgres::stored};

/// Where an event of a known id stands, and what of it is not in a repeat.
#[derive(Clone, Copy, Debug)]
pub(in crate::event_log) struct Placed {
    pub(in crate::event_log) at: LogPoint,
    pub(in crate::event_log) prev_hash: contracts::EventHash,
    pub(in crate::event_log) epoch: u64,
    pub(in crate::event_log) occurred_at: i64,
    pub(in crate::event_log) recorded_at: i64,
}

/// Those of the events of these ids that are retained. Without their payloads, which may be larger than what asks.
///
/// Each is looked up by itself (`limit 1`): a plan that was made when the table was small would scan it for ever.
pub(in crate::event_log) async fn placed(
    db: &mut PgConnection,
    sessions: &[Uuid],
    ids: &[Uuid],
) -> Result<Vec<((SessionId, EventId), Placed)>, Fault> {
    let rows = sqlx::query!(
        "select event.session_id, event.event_id, event.seq, event.hash, event.prev_hash, event.epoch,
                event.occurred_at, event.recorded_at
         from unnest($1::uuid[], $2::uuid[]) as asked (session_id, event_id)
         join lateral (select * from session_events event
                       where event.session_id = asked.session_id and event.event_id = asked.event_id
                       limit 1) event on true",
        sessions,
        ids
    )
    .fetch_all(db)
    .await?;
    rows.into_iter()
        .map(|row| {
            let placed = Placed {
                at: LogPoint { seq: seq("seq", row.seq)?, hash: hash("hash", &row.hash)? },
                prev_hash: hash("prev_hash", &row.prev_hash)?,
                epoch: row.epoch.unsigned_abs(),
                occurred_at: micros(row.occurred_at),
                recorded_at: micros(row.recorded_at),
            };
            Ok(((SessionId(row.session_id), EventId(row.event_id)), placed))
        })
        .collect()
}

/// A stretch of a log, with its ends, all of one moment.
#[derive(Clone, Debug)]
pub(crate) struct Read {
    pub(crate) head: LogPoint,
    pub(crate) tail: LogPoint,
    pub(crate) events: Vec<Event>,
}

pub(super) struct ReadRow {
    pub(super) head: i64,
    pub(super) head_hash: Vec<u8>,
    pub(super) tail: i64,
    pub(super) tail_hash: Vec<u8>,
    pub(super) seq: Option<i64>,
    pub(super) event_id: Option<Uuid>,
    pub(super) epoch: Option<i64>,
    pub(super) envelope_version: Option<String>,
    pub(super) r#type: Option<String>,
    pub(super) key: Option<String>,
    pub(super) actor: Option<String>,
    pub(super) content_type: Option<String>,
    pub(super) payload: Option<Vec<u8>>,
    pub(super) occurred_at: Option<OffsetDateTime>,
    pub(super) recorded_at: Option<OffsetDateTime>,
    pub(super) prev_hash: Option<Vec<u8>>,
    pub(super) hash: Option<Vec<u8>>,
}

/// Selects events after `$2` as [`ReadRow`]s: at most `$3`, and of no more bytes than `$4`, unless the first one alone has
/// more. Takes the select of the ends, what has them, the events that it has, and which one it is.
macro_rules! select_stretch {
    ($ends:literal, $whole:literal, $events:literal, $which:literal $(, $argument:expr)*) => {
        sqlx::query_as!(
            ReadRow,
            $ends
                + r#"event.seq as "seq?", event.event_id as "event_id?", event.epoch as "epoch?",
                     event.envelope_version as "envelope_version?", event.type as "type?", event.key as "key?",
                     event.actor as "actor?", event.content_type as "content_type?",
                     event.payload as "payload?", event.occurred_at as "occurred_at?",
                     event.recorded_at as "recorded_at?", event.prev_hash as "prev_hash?",
                     event.hash as "hash?" from "#
                + $whole
                + " left join lateral (
                      select sized.*, sum(octet_length(sized.payload)) over (order by sized.seq) as bytes
                      from (select * from "
                + $events
                + " and event.seq > $2 order by event.seq limit $3) sized
                    ) event on event.bytes - octet_length(event.payload) < $4 where "
                + $which
                + " order by event.seq"
            $(, $argument)*
        )
    };
}
pub(super) use select_stretch;

/// Reads the events after a place, at most so many, and of no more bytes than that, unless the first one alone has more.
/// One statement, so that nothing is pruned or appended in between.
pub(crate) async fn read(
    db: impl PgExecutor<'_>,
    session_id: SessionId,
    after: Seq,
    events_max: i64,
    bytes_max: i64,
) -> Result<Read, Fault> {
    let rows = select_stretch!(
        "select log.head, log.head_hash, log.tail, log.tail_hash, ",
        "session_logs log",
        "session_events event where event.session_id = log.session_id",
        "log.session_id = $1",
        session_id.0,
        place(after),
        events_max,
        bytes_max
    )
    .fetch_all(db)
    .await?;
    // Nothing was ever appended to a log without a row.
    let origin = LogPoint::origin(session_id);
    Ok(stretch(session_id, rows)?.unwrap_or(Read { head: origin, tail: origin, events: Vec::new() }))
}

/// The stretch that rows hold; none when there are none.
pub(super) fn stretch(session_id: SessionId, rows: Vec<ReadRow>) -> Result<Option<Read>, Fault> {
    let Some(first) = rows.first() else { return Ok(None) };
    Ok(Some(Read {
        head: LogPoint { seq: seq("head", first.head)?, hash: hash("head_hash", &first.head_hash)? },
        tail: LogPoint { seq: seq("tail", first.tail)?, hash: hash("tail_hash", &first.tail_hash)? },
        events: rows
            .into_iter()
            .filter_map(|row| event(session_id, row).transpose())
            .collect::<Result<_, _>>()?,
    }))
}

/// A number as the database takes it.
pub(super) fn place(seq: Seq) -> i64 {
    // No place is above what the database holds.
    i64::try_from(seq.get()).unwrap_or(i64::MAX)
}

/// The event of a row; none in the row of a log of which no event was asked for.
fn event(session_id: SessionId, row: ReadRow) -> Result<Option<Event>, Fault> {
    let Some(number) = row.seq else { return Ok(None) };
    let missing = || stored::unreadable("session_events", "seq", number.to_string());
    let unreadable = |violation: FieldViolation| {
        stored::unreadable("session_events", "seq", format!("{number}: {violation}"))
    };
    let version = row.envelope_version.ok_or_else(missing)?;
    Ok(Some(Event {
        session_id,
        seq: seq("seq", number)?,
        id: EventId(row.event_id.ok_or_else(missing)?),
        epoch: row.epoch.ok_or_else(missing)?.unsigned_abs(),
        envelope_version: version
            .parse()
            .map_err(|_| stored::unreadable("session_events", "envelope_version", &version))?,
        event_type: EventType::parse("type", &row.r#type.ok_or_else(missing)?).map_err(unreadable)?,
        key: row.key.map(|key| EventKey::parse("key", &key)).transpose().map_err(unreadable)?,
        actor: Actor::parse("actor", &row.actor.ok_or_else(missing)?).map_err(unreadable)?,
        content_type: ContentType::parse("content_type", &row.content_type.ok_or_else(missing)?)
            .map_err(unreadable)?,
        payload: row.payload.ok_or_else(missing)?,
        occurred_at: micros(row.occurred_at.ok_or_else(missing)?),
        recorded_at: micros(row.recorded_at.ok_or_else(missing)?),
        prev_hash: hash("prev_hash", &row.prev_hash.ok_or_else(missing)?)?,
        hash: hash("hash", &row.hash.ok_or_else(missing)?)?,
    }))
}
