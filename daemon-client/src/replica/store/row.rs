//! Rows: events and strands, in and out.

use contracts::{
    EventHash, EventId, HistoryId, LogPoint, Seq, SessionId,
    log::{Actor, BaseDigest, ContentType, Event, EventKey, EventType},
    refusal::FieldViolation,
};
use rusqlite::{Connection, OptionalExtension, Row, named_params};
use uuid::Uuid;

use super::{Error, Result};

/// What an event takes beside its payload, roughly: its hashes, its texts and its rows in the indexes.
const OVERHEAD_BYTES: u64 = 512;

/// The columns of an event, for a `select` whose rows [`event`] reads.
macro_rules! event_columns {
    () => {
        "seq, event_id, epoch, envelope_version, type, key, actor, content_type, payload, occurred_at, \
         recorded_at, prev_hash, hash"
    };
}
pub(super) use event_columns;

/// A strand of the log, without its events.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Strand {
    pub(super) id: i64,
    /// The history that it follows; none before it has one.
    pub(crate) history: Option<HistoryId>,
    /// What it begins with.
    pub(crate) base: Base,
    /// Where it ends.
    pub(crate) end: LogPoint,
    /// Events in it, those of the base included.
    pub(crate) events: u64,
    /// What they take, roughly.
    pub(crate) bytes: u64,
}

/// What a strand begins with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Base {
    /// The place that it is the state at. The events after it are all there.
    pub(crate) at: LogPoint,
    /// Events in it.
    pub(crate) events: u64,
    /// Its digest; none where there is no base, and while it is being received.
    pub(crate) digest: Option<BaseDigest>,
}

/// What an event takes, roughly.
pub(super) fn bytes_of(event: &Event) -> u64 {
    OVERHEAD_BYTES + event.payload.len() as u64
}

/// The same for the rows of a `select count(*), sum(length(payload))`.
pub(super) fn bytes_of_rows(rows: u64, payloads: u64) -> u64 {
    rows * OVERHEAD_BYTES + payloads
}

pub(super) fn insert_event(connection: &Connection, strand: i64, event: &Event) -> Result<()> {
    let sql = "insert into events (strand, seq, event_id, epoch, envelope_version, type, key, actor, content_type, \
               payload, occurred_at, recorded_at, prev_hash, hash) values (:strand, :seq, :event_id, :epoch, \
               :envelope_version, :type, :key, :actor, :content_type, :payload, :occurred_at, :recorded_at, \
               :prev_hash, :hash)";
    connection.prepare_cached(sql)?.execute(named_params! {
        ":strand": strand,
        ":seq": number(event.seq.get()),
        ":event_id": event.id.0.as_bytes(),
        ":epoch": event.epoch.cast_signed(),
        ":envelope_version": event.envelope_version.as_str(),
        ":type": event.event_type.as_str(),
        ":key": event.key.as_ref().map(EventKey::as_str),
        ":actor": event.actor.to_string(),
        ":content_type": event.content_type.as_str(),
        ":payload": event.payload,
        ":occurred_at": event.occurred_at,
        ":recorded_at": event.recorded_at,
        ":prev_hash": event.prev_hash.as_bytes(),
        ":hash": event.hash.as_bytes(),
    })?;
    Ok(())
}

/// Reads the [`event_columns`].
pub(super) fn event(session_id: SessionId, row: &Row<'_>) -> Result<Event> {
    let text = |index: &'static str| row.get_ref(index)?.as_str().map_err(rusqlite::Error::from);
    let version = text("envelope_version")?;
    Ok(Event {
        session_id,
        seq: seq(row, "seq")?,
        id: EventId(Uuid::from_bytes(row.get("event_id")?)),
        epoch: row.get::<_, i64>("epoch")?.cast_unsigned(),
        envelope_version: version.parse().map_err(|error| Error::Damaged(format!("a version: {error}")))?,
        event_type: EventType::parse("type", text("type")?).map_err(unreadable)?,
        key: key(row)?,
        actor: Actor::parse("actor", text("actor")?).map_err(unreadable)?,
        content_type: ContentType::parse("content_type", text("content_type")?).map_err(unreadable)?,
        payload: row.get("payload")?,
        occurred_at: row.get("occurred_at")?,
        recorded_at: row.get("recorded_at")?,
        prev_hash: EventHash::from_bytes(row.get("prev_hash")?),
        hash: EventHash::from_bytes(row.get("hash")?),
    })
}

fn key(row: &Row<'_>) -> Result<Option<EventKey>> {
    let key: Option<String> = row.get("key")?;
    key.map(|key| EventKey::parse("key", &key)).transpose().map_err(unreadable)
}

fn unreadable(violation: FieldViolation) -> Error {
    Error::Damaged(format!("an event: {violation}"))
}

pub(super) fn seq(row: &Row<'_>, column: &'static str) -> Result<Seq> {
    Seq::new(count(row, column)?).ok_or_else(|| Error::Damaged(format!("{column} is no number of an event")))
}

pub(super) fn count(row: &Row<'_>, column: &'static str) -> Result<u64> {
    let count: i64 = row.get(column)?;
    count.try_into().map_err(|_| Error::Damaged(format!("{column} is negative")))
}

/// A number as SQLite has it. The numbers of events, and counts of what fits on a disk, are in its range.
pub(super) fn number(number: u64) -> i64 {
    number.try_into().unwrap_or(i64::MAX)
}

const STRAND_COLUMNS: &str =
    "id, history_id, base_seq, base_hash, base_events, base_digest, seq, hash, events, bytes";

pub(super) fn strand(row: &Row<'_>) -> Result<Strand> {
    let base_at = LogPoint { seq: seq(row, "base_seq")?, hash: EventHash::from_bytes(row.get("base_hash")?) };
    let digest: Option<[u8; 32]> = row.get("base_digest")?;
    let history: Option<[u8; 16]> = row.get("history_id")?;
    Ok(Strand {
        id: row.get("id")?,
        history: history.map(|id| HistoryId(Uuid::from_bytes(id))),
        base: Base {
            at: base_at,
            events: count(row, "base_events")?,
            digest: digest.map(BaseDigest::from_bytes),
        },
        end: LogPoint { seq: seq(row, "seq")?, hash: EventHash::from_bytes(row.get("hash")?) },
        events: count(row, "events")?,
        bytes: count(row, "bytes")?,
    })
}

/// The strand in this part, of which there is one at most.
pub(super) fn find_strand(connection: &Connection, part: &str) -> Result<Option<Strand>> {
    let sql = format!("select {STRAND_COLUMNS} from strands where part = ?1");
    let mut statement = connection.prepare_cached(&sql)?;
    let found = statement.query_row([part], |row| Ok(strand(row))).optional()?;
    found.transpose()
}

/// Makes a strand; its id is given by the file.
pub(super) fn insert_strand(connection: &Connection, part: &str, strand: &Strand) -> Result<i64> {
    let sql = "insert into strands (part, history_id, base_seq, base_hash, base_events, base_digest, seq, hash, \
               events, bytes) values (:part, :history_id, :base_seq, :base_hash, :base_events, :base_digest, :seq, \
               :hash, :events, :bytes)";
    connection.prepare_cached(sql)?.execute(named_params! {
        ":part": part,
        ":history_id": strand.history.map(|history| *history.0.as_bytes()),
        ":base_seq": number(strand.base.at.seq.get()),
        ":base_hash": strand.base.at.hash.as_bytes(),
        ":base_events": number(strand.base.events),
        ":base_digest": strand.base.digest.map(|digest| *digest.as_bytes()),
        ":seq": number(strand.end.seq.get()),
        ":hash": strand.end.hash.as_bytes(),
        ":events": number(strand.events),
        ":bytes": number(strand.bytes),
    })?;
    Ok(connection.last_insert_rowid())
}

/// Writes what may change of a strand.
pub(super) fn update_strand(connection: &Connection, strand: &Strand) -> Result<()> {
    let sql = "update strands set history_id = :history_id, base_digest = :base_digest, seq = :seq, hash = :hash, \
               events = :events, bytes = :bytes where id = :id";
    connection.prepare_cached(sql)?.execute(named_params! {
        ":id": strand.id,
        ":history_id": strand.history.map(|history| *history.0.as_bytes()),
        ":base_digest": strand.base.digest.map(|digest| *digest.as_bytes()),
        ":seq": number(strand.end.seq.get()),
        ":hash": strand.end.hash.as_bytes(),
        ":events": number(strand.events),
        ":bytes": number(strand.bytes),
    })?;
    Ok(())
}
