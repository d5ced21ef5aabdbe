//! Reads a replica beside its writer. Each read is of one state of the file.

use std::sync::{
    Arc, Mutex, PoisonError,
    atomic::{AtomicU64, Ordering},
};

use contracts::{
    HistoryId, LogPoint, Seq, SessionId,
    log::{Event, EventKey},
};
use rusqlite::{Connection, OpenFlags};

use super::{
    Folder, OpenError, Result,
    row::{self, Strand, event_columns, number},
    schema,
};

/// Payload bytes on a page, beyond which it holds no further event.
const PAGE_BYTES_MAX: usize = 4 * 1024 * 1024;

/// Where a replica stands by its file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Standing {
    pub(crate) session_id: SessionId,
    pub(crate) history: Option<HistoryId>,
    /// Where its history begins.
    pub(crate) begins: LogPoint,
    /// Events in its base.
    pub(crate) base_events: u64,
    /// Events in all.
    pub(crate) events: u64,
    /// What they take, roughly.
    pub(crate) bytes: u64,
    /// Where it ends.
    pub(crate) end: LogPoint,
}

/// Events in their order, and where the replica stood then.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Page {
    pub(crate) events: Vec<Event>,
    pub(crate) standing: Standing,
}

/// What was kept aside: a tail that was not part of the log, or a whole replica that was replaced.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Aside {
    /// Its number in the file.
    pub id: u64,
    /// When, by this machine's clock: Unix seconds.
    pub kept_at: i64,
    /// Why, for people.
    pub why: String,
    /// The history that it followed.
    pub history_id: Option<HistoryId>,
    /// The place that its events follow.
    pub begins: LogPoint,
    /// Where it ended.
    pub end: LogPoint,
    /// Events that are left of it.
    pub events: u64,
    /// What they take, roughly.
    pub bytes: u64,
    /// Events that were dropped from its beginning, for want of room.
    pub dropped_events: u64,
}

/// Reads over a connection that it keeps.
#[derive(Debug)]
pub(crate) struct Reader {
    folder: Folder,
    /// Raised by the writer when it puts the file aside: what a connection then still reads is the old file.
    file_number: Arc<AtomicU64>,
    connected: Mutex<Option<(u64, Connection)>>,
}

impl Reader {
    pub(crate) fn new(folder: Folder, file_number: Arc<AtomicU64>) -> Self {
        Self { folder, file_number, connected: Mutex::new(None) }
    }

    pub(crate) fn standing(&self) -> Result<Standing, OpenError> {
        self.read(|connection| standing(connection).map(|(standing, _)| standing))
    }

    /// The events after `after`, or after the place where the history begins if that is later; `limit` at most.
    pub(crate) fn events(&self, after: Seq, limit: usize) -> Result<Page, OpenError> {
        self.read(|connection| {
            let (standing, strand) = standing(connection)?;
            let sql = concat!(
                "select ",
                event_columns!(),
                " from events where strand = ?1 and seq > ?2 order by seq limit ?3"
            );
            let after = number(after.max(standing.begins.seq).get());
            let events = collect(connection, standing, sql, (strand, after, number(limit as u64)))?;
            Ok(Page { events, standing })
        })
    }

    /// The latest event of a key.
    pub(crate) fn state(&self, key: &EventKey) -> Result<Option<Event>, OpenError> {
        self.read(|connection| {
            let (standing, strand) = standing(connection)?;
            let sql = concat!(
                "select ",
                event_columns!(),
                " from events where strand = ?1 and key = ?2 order by seq desc limit 1"
            );
            Ok(collect(connection, standing, sql, (strand, key.as_str()))?.pop())
        })
    }

    /// The latest events of the keys after `after`, `limit` at most.
    pub(crate) fn states(&self, after: Option<&EventKey>, limit: usize) -> Result<Page, OpenError> {
        self.read(|connection| {
            let (standing, strand) = standing(connection)?;
            // SQLite takes the columns beside `max(seq)` from the row that has it.
            let sql = "select max(seq) as seq, event_id, epoch, envelope_version, type, key, actor, content_type, \
                       payload, occurred_at, recorded_at, prev_hash, hash from events \
                       where strand = ?1 and key is not null and key > ?2 group by key order by key limit ?3";
            let after = after.map_or("", EventKey::as_str);
            let events = collect(connection, standing, sql, (strand, after, number(limit as u64)))?;
            Ok(Page { events, standing })
        })
    }

    /// What is kept aside, the oldest first.
    pub(crate) fn aside(&self) -> Result<Vec<Aside>, OpenError> {
        self.read(|connection| Ok(asides(connection)?))
    }

    /// The events of something that is kept aside.
    pub(crate) fn events_aside(&self, id: u64, after: Seq, limit: usize) -> Result<Vec<Event>, OpenError> {
        self.read(|connection| {
            let (standing, _) = standing(connection)?;
            let sql = concat!(
                "select ",
                event_columns!(),
                " from events where strand = (select id from strands where id = ?1 and part = 'aside') \
                 and seq > ?2 order by seq limit ?3"
            );
            collect(connection, standing, sql, (number(id), number(after.get()), number(limit as u64)))
        })
    }

    fn read<T>(&self, read: impl FnOnce(&Connection) -> Result<T, OpenError>) -> Result<T, OpenError> {
        // A reader that panicked left a connection that is as good as any.
        let mut connected = self.connected.lock().unwrap_or_else(PoisonError::into_inner);
        let file_number = self.file_number.load(Ordering::Acquire);
        let connection = match connected.take() {
            Some((number, connection)) if number == file_number => connection,
            Some(_) | None => connect(&self.folder)?,
        };
        let (_, connection) = connected.insert((file_number, connection));
        let transaction = connection.transaction()?;
        read(&transaction)
    }
}

/// Opens the file of a replica to read it. Nothing is made that is not there.
pub(super) fn connect(folder: &Folder) -> Result<Connection, OpenError> {
    if !folder.file().exists() {
        return Err(OpenError::Absent);
    }
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(folder.file(), flags)?;
    match schema::format(&connection)? {
        Some(_) => Ok(connection),
        // Made, and not yet written: its client is just starting.
        None => Err(OpenError::Absent),
    }
}

fn standing(connection: &Connection) -> Result<(Standing, i64), OpenError> {
    let missing = || OpenError::Damaged("there is no current strand".to_owned());
    let strand = row::find_strand(connection, "current")?.ok_or_else(missing)?;
    let standing = Standing {
        session_id: schema::session(connection)?,
        history: strand.history,
        begins: strand.base.at,
        base_events: strand.base.events,
        events: strand.events,
        bytes: strand.bytes,
        end: strand.end,
    };
    Ok((standing, strand.id))
}

/// Reads events until there are no more, or the page is full.
fn collect(
    connection: &Connection,
    standing: Standing,
    sql: &str,
    parameters: impl rusqlite::Params,
) -> Result<Vec<Event>, OpenError> {
    let mut statement = connection.prepare_cached(sql)?;
    let mut rows = statement.query(parameters)?;
    let (mut events, mut bytes) = (Vec::new(), 0);
    while let Some(row) = rows.next()? {
        let event = row::event(standing.session_id, row)?;
        bytes += event.payload.len();
        if bytes > PAGE_BYTES_MAX && !events.is_empty() {
            break;
        }
        events.push(event);
    }
    Ok(events)
}

fn asides(connection: &Connection) -> Result<Vec<Aside>> {
    let sql = "select id, kept_at, why, dropped_events, history_id, base_seq, base_hash, base_events, base_digest, \
               seq, hash, events, bytes from strands where part = 'aside' order by id";
    let mut statement = connection.prepare_cached(sql)?;
    let mut rows = statement.query([])?;
    let mut asides = Vec::new();
    while let Some(row) = rows.next()? {
        let strand = row::strand(row)?;
        asides.push(Aside {
            id: row::count(row, "id")?,
            kept_at: row.get("kept_at")?,
            why: row.get("why")?,
            history_id: strand.history,
            begins: strand.base.at,
            end: strand.end,
            events: strand.events,
            bytes: strand.bytes,
            dropped_events: row::count(row, "dropped_events")?,
        });
    }
    Ok(asides)
}

pub(super) fn strands_aside(connection: &Connection) -> Result<Vec<Strand>> {
    let sql = "select id, history_id, base_seq, base_hash, base_events, base_digest, seq, hash, events, bytes \
               from strands where part = 'aside' order by id";
    let mut statement = connection.prepare_cached(sql)?;
    let strands = statement.query_map([], |row| Ok(row::strand(row)))?;
    strands.map(|strand| strand?).collect()
}
