//! Proves that a file holds what was written: the base by its digest, the events by their chain.

use contracts::{
    HistoryId, LogPoint, Seq, SessionId,
    log::{Event, verify_chain},
};
use rusqlite::{Connection, OptionalExtension};

use super::{
    Error, Folder, OpenError, Result, reader,
    row::{self, Strand, event_columns, number},
    staging,
};

/// Events that are checked at each start when not all are.
const RECENT: u64 = 1_024;

/// What is checked when a replica is opened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Check {
    /// The last 1,024 events and where they lead: what a crash could have touched.
    #[default]
    Recent,
    /// All of it, which takes as long as reading it.
    Full,
}

/// What a whole replica was proven to hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verified {
    /// The session whose log it follows.
    pub session_id: SessionId,
    /// The history that it follows; none before it has one.
    pub history_id: Option<HistoryId>,
    /// Where its history begins: at the origin, or at the place of its base.
    pub begins: LogPoint,
    /// Events in its base.
    pub base_events: u64,
    /// Events after it.
    pub events: u64,
    /// Where it ends.
    pub end: LogPoint,
    /// Strands that are kept aside.
    pub aside: u64,
}

/// Reads the whole replica in `folder`, what is kept aside included, and proves it. Works while a client has it open.
///
/// # Errors
///
/// [`OpenError::Damaged`] says what is not as it was written.
pub(crate) fn verify(folder: &Folder) -> Result<Verified, OpenError> {
    let mut connection = reader::connect(folder)?;
    // One state of the file, however long it takes.
    let transaction = connection.transaction()?;
    let session_id = super::schema::session(&transaction)?;
    let missing = || OpenError::Damaged("there is no current strand".to_owned());
    let strand = row::find_strand(&transaction, "current")?.ok_or_else(missing)?;
    sound(&transaction)?;
    full(&transaction, session_id, &strand)?;
    let aside = reader::strands_aside(&transaction)?;
    for kept in &aside {
        chain_of_aside(&transaction, session_id, kept)?;
    }
    Ok(Verified {
        session_id,
        history_id: strand.history,
        begins: strand.base.at,
        base_events: strand.base.events,
        events: strand.events - strand.base.events,
        end: strand.end,
        aside: aside.len() as u64,
    })
}

pub(super) fn recent_or_full(
    connection: &Connection,
    session_id: SessionId,
    strand: &Strand,
    check: Check,
) -> Result<()> {
    match check {
        Check::Recent => recent(connection, session_id, strand),
        Check::Full => {
            sound(connection)?;
            full(connection, session_id, strand)
        }
    }
}

/// SQLite's own check of its pages.
fn sound(connection: &Connection) -> Result<()> {
    let verdict: String = connection.query_row("pragma quick_check(1)", [], |row| row.get(0))?;
    if verdict == "ok" { Ok(()) } else { Err(Error::Damaged(verdict)) }
}

fn recent(connection: &Connection, session_id: SessionId, strand: &Strand) -> Result<()> {
    let begins = strand.base.at.seq.get();
    let after = strand.end.seq.get().saturating_sub(RECENT).max(begins);
    if after == begins {
        return chain(connection, session_id, strand, strand.base.at);
    }
    let sql = "select hash from events where strand = ?1 and seq = ?2";
    let hash = connection.query_row(sql, (strand.id, number(after)), |row| row.get(0)).optional()?;
    let hash: [u8; 32] = hash.ok_or_else(|| Error::Damaged(format!("event {after} is missing")))?;
    let seq = Seq::new(after).ok_or_else(|| Error::Damaged("the end is no number".to_owned()))?;
    chain(connection, session_id, strand, LogPoint { seq, hash: contracts::EventHash::from_bytes(hash) })
}

fn full(connection: &Connection, session_id: SessionId, strand: &Strand) -> Result<()> {
    let through = number(strand.base.at.seq.get());
    let mut found = 0_u64;
    each_event(connection, session_id, strand.id, (0, through), |event| {
        found += 1;
        if event.is_what_its_hash_says() {
            Ok(())
        } else {
            Err(Error::Damaged(format!("event {} of the base is not what its hash says", event.seq)))
        }
    })?;
    if found != strand.base.events {
        let expected = strand.base.events;
        return Err(Error::Damaged(format!("the base has {found} events, not {expected}")));
    }
    if Some(staging::digest_of_rows(connection, strand)?) != strand.base.digest {
        return Err(Error::Damaged("the base is not what its digest says".to_owned()));
    }
    chain(connection, session_id, strand, strand.base.at)?;
    let rows: i64 =
        connection
            .query_row("select count(*) from events where strand = ?1", [strand.id], |row| row.get(0))?;
    if rows.cast_unsigned() != strand.events {
        return Err(Error::Damaged(format!("there are {rows} events, not {}", strand.events)));
    }
    Ok(())
}

/// The events after `from` lead to the end of the strand, one by one, and nothing comes after it.
fn chain(connection: &Connection, session_id: SessionId, strand: &Strand, from: LogPoint) -> Result<()> {
    let mut at = from;
    each_event(connection, session_id, strand.id, (number(from.seq.get()), i64::MAX), |event| {
        at = verify_chain(at, [&event]).map_err(|broken| Error::Damaged(broken.to_string()))?;
        Ok(())
    })?;
    if at == strand.end {
        return Ok(());
    }
    Err(Error::Damaged(format!("the events lead to {at}, and the replica should end at {}", strand.end)))
}

/// What is left of a strand that is kept aside: whatever follows its base is a chain up to its end.
fn chain_of_aside(connection: &Connection, session_id: SessionId, strand: &Strand) -> Result<()> {
    let mut at = None;
    each_event(connection, session_id, strand.id, (0, i64::MAX), |event| {
        let is_of_base = event.seq <= strand.base.at.seq;
        let previous = at.filter(|_| !is_of_base).map_or_else(|| before(&event), Ok)?;
        let point = verify_chain(previous, [&event])
            .map_err(|broken| Error::Damaged(format!("kept aside: {broken}")))?;
        at = (!is_of_base).then_some(point);
        Ok(())
    })?;
    match at {
        Some(at) if at != strand.end => {
            Err(Error::Damaged(format!("kept aside: the events lead to {at}, not to {}", strand.end)))
        }
        Some(_) | None => Ok(()),
    }
}

/// The place that an event says it follows.
fn before(event: &Event) -> Result<LogPoint> {
    let seq = event.seq.get().checked_sub(1).and_then(Seq::new);
    let seq = seq.ok_or_else(|| Error::Damaged("an event has the number 0".to_owned()))?;
    Ok(LogPoint { seq, hash: event.prev_hash })
}

/// Reads the events of a strand after one number, up to another, one at a time.
fn each_event(
    connection: &Connection,
    session_id: SessionId,
    strand: i64,
    (after, through): (i64, i64),
    mut take: impl FnMut(Event) -> Result<()>,
) -> Result<()> {
    let sql = concat!(
        "select ",
        event_columns!(),
        " from events where strand = ?1 and seq > ?2 and seq <= ?3 order by seq"
    );
    let mut statement = connection.prepare_cached(sql)?;
    let mut rows = statement.query((strand, after, through))?;
    while let Some(row) = rows.next()? {
        take(row::event(session_id, row)?)?;
    }
    Ok(())
}
