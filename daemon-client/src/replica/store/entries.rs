//! Appends to the current strand and to the staged one, cuts, and tells hashes.

use contracts::{
    HistoryId, LogPoint, Seq,
    log::{Event, verify_chain},
};
use rusqlite::{Connection, OptionalExtension, Transaction, named_params};

use super::{
    Error, Misfit, Result, Store,
    row::{self, Strand, number},
};

/// Why a tail is kept aside.
const CUT: &str = "cut off: it was not part of the log";

impl Store {
    /// Follows this history from now on. A replica that follows one already keeps to it.
    pub(crate) fn follow(&mut self, history: HistoryId) -> Result<()> {
        match self.current.history {
            Some(held) if held == history => Ok(()),
            Some(held) => Err(Misfit::History { held, offered: history }.into()),
            None => {
                let followed = Strand { history: Some(history), ..self.current.clone() };
                self.in_transaction(|transaction| row::update_strand(transaction, &followed))?;
                self.current = followed;
                Ok(())
            }
        }
    }

    /// Appends events that continue the log, all or none, and moves the position with them.
    pub(crate) fn append(&mut self, events: &[Event]) -> Result<LogPoint> {
        let grown = grown(&self.current, events)?;
        self.in_transaction(|transaction| write(transaction, &grown, events))?;
        self.current = grown;
        Ok(self.current.end)
    }

    /// The points of these numbers, those that it can tell: none before its base.
    pub(crate) fn points(&self, seqs: &[Seq]) -> Result<Vec<LogPoint>> {
        let told = seqs.iter().map(|seq| point_at(&self.connection, &self.current, *seq));
        told.filter_map(Result::transpose).collect()
    }

    /// Cuts the log back to `to`, and keeps aside what is cut off.
    pub(crate) fn truncate(&mut self, to: LogPoint) -> Result<LogPoint> {
        let base = self.current.base.at.seq;
        if to.seq < base {
            return Err(Misfit::BeforeBase { at: to.seq, base }.into());
        }
        if point_at(&self.connection, &self.current, to.seq)? != Some(to) {
            return Err(Misfit::Place(to).into());
        }
        if to == self.current.end {
            return Ok(to);
        }
        let before = self.current.clone();
        self.current = self.in_transaction(|transaction| cut(transaction, &before, to))?;
        Ok(to)
    }
}

/// The strand with these events after its end.
pub(super) fn grown(strand: &Strand, events: &[Event]) -> Result<Strand, Misfit> {
    let end = verify_chain(strand.end, events)?;
    Ok(Strand {
        end,
        events: strand.events + events.len() as u64,
        bytes: strand.bytes + events.iter().map(row::bytes_of).sum::<u64>(),
        ..strand.clone()
    })
}

/// Writes events of a strand, and how it is with them.
pub(super) fn write(transaction: &Transaction<'_>, strand: &Strand, events: &[Event]) -> Result<()> {
    events.iter().try_for_each(|event| row::insert_event(transaction, strand.id, event))?;
    row::update_strand(transaction, strand)
}

/// The point of a strand at `seq`, if it can tell it.
fn point_at(connection: &Connection, strand: &Strand, seq: Seq) -> Result<Option<LogPoint>> {
    if seq == strand.base.at.seq {
        return Ok(Some(strand.base.at));
    }
    if seq < strand.base.at.seq || seq > strand.end.seq {
        return Ok(None);
    }
    let sql = "select hash from events where strand = ?1 and seq = ?2";
    let mut statement = connection.prepare_cached(sql)?;
    let hash = statement.query_row((strand.id, number(seq.get())), |row| row.get(0)).optional()?;
    let hash: [u8; 32] = hash.ok_or_else(|| Error::Damaged(format!("event {seq} is missing")))?;
    Ok(Some(LogPoint { seq, hash: contracts::EventHash::from_bytes(hash) }))
}

fn cut(transaction: &Transaction<'_>, strand: &Strand, to: LogPoint) -> Result<Strand> {
    let after = (strand.id, number(to.seq.get()));
    let (events, bytes) = transaction.query_row(
        "select count(*), coalesce(sum(length(payload)), 0) from events where strand = ?1 and seq > ?2",
        after,
        |row| Ok((row.get::<_, i64>(0)?.cast_unsigned(), row.get::<_, i64>(1)?.cast_unsigned())),
    )?;
    let bytes = row::bytes_of_rows(events, bytes);
    let base = row::Base { at: to, events: 0, digest: None };
    let tail = Strand { id: 0, history: strand.history, base, end: strand.end, events, bytes };
    // Written as one that is dropped, because only the next statement may call it kept aside.
    let aside = row::insert_strand(transaction, "dropped", &tail)?;
    transaction
        .execute("update events set strand = ?3 where strand = ?1 and seq > ?2", (after.0, after.1, aside))?;
    keep_aside(transaction, aside, CUT)?;
    let rest = Strand {
        end: to,
        events: strand.events.saturating_sub(events),
        bytes: strand.bytes.saturating_sub(bytes),
        ..strand.clone()
    };
    row::update_strand(transaction, &rest)?;
    Ok(rest)
}

/// Makes a strand one that is kept aside. The time is the machine's own, for people.
pub(super) fn keep_aside(transaction: &Transaction<'_>, strand: i64, why: &str) -> Result<()> {
    transaction.execute(
        "update strands set part = 'aside', kept_at = unixepoch(), why = :why where id = :id",
        named_params! { ":id": strand, ":why": why },
    )?;
    Ok(())
}
