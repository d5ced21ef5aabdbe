//! Receives a base, and the events after it, beside what the application reads, and puts them in its place.

use contracts::{
    EventHash, HistoryId, LogPoint, Seq,
    log::{BaseDigest, Event, digest_of_base},
};
use rusqlite::{Connection, Transaction};

use super::{
    Error, Misfit, Result, Staged, Store, entries,
    row::{self, Base, Strand},
};

impl Store {
    /// Begins to receive a base of `events` events, the state at `at`. What was being received before is forgotten.
    pub(crate) fn stage(&mut self, history: HistoryId, at: LogPoint, events: u64) -> Result<()> {
        self.forget_staged()?;
        if let Some(held) = self.current.history.filter(|held| *held != history) {
            return Err(Misfit::History { held, offered: history }.into());
        }
        let base = Base { at, events, digest: None };
        let mut strand = Strand { id: 0, history: Some(history), base, end: at, events: 0, bytes: 0 };
        strand.id = self.in_transaction(|transaction| row::insert_strand(transaction, "staged", &strand))?;
        self.staged = Some(Staged { strand, base_last: Seq::ORIGIN });
        Ok(())
    }

    /// Takes further events of the base. Gives how many there are.
    pub(crate) fn stage_base(&mut self, events: &[Event]) -> Result<u64> {
        let mut staged = self.staged.clone().ok_or(Misfit::NothingStaged)?;
        for event in events {
            staged.base_last = next_of_base(&staged, event)?;
            staged.strand.events += 1;
            staged.strand.bytes += row::bytes_of(event);
        }
        let Base { events: expected, .. } = staged.strand.base;
        if staged.strand.events > expected {
            return Err(Misfit::BaseCount { expected, found: staged.strand.events }.into());
        }
        self.in_transaction(|transaction| entries::write(transaction, &staged.strand, events))?;
        let received = staged.strand.events;
        self.staged = Some(staged);
        Ok(received)
    }

    /// Proves that the base is complete and what its digest says.
    pub(crate) fn seal_base(&mut self, digest: BaseDigest) -> Result<LogPoint> {
        let mut staged = self.staged.clone().ok_or(Misfit::NothingStaged)?;
        let Base { at, events: expected, .. } = staged.strand.base;
        if staged.strand.events != expected {
            return Err(Misfit::BaseCount { expected, found: staged.strand.events }.into());
        }
        if digest_of_rows(&self.connection, &staged.strand)? != digest {
            return Err(Misfit::Digest.into());
        }
        if has_a_key_twice(&self.connection, &staged.strand)? {
            return Err(Misfit::BaseKeys.into());
        }
        staged.strand.base.digest = Some(digest);
        self.in_transaction(|transaction| row::update_strand(transaction, &staged.strand))?;
        self.staged = Some(staged);
        Ok(at)
    }

    /// Appends events after the base that is being received.
    pub(crate) fn stage_tail(&mut self, events: &[Event]) -> Result<LogPoint> {
        let staged = self.sealed()?;
        let grown = entries::grown(&staged.strand, events)?;
        self.in_transaction(|transaction| entries::write(transaction, &grown, events))?;
        let end = grown.end;
        self.staged = Some(Staged { strand: grown, ..staged });
        Ok(end)
    }

    /// Puts what was received in the place of what was there, which is kept aside.
    pub(crate) fn swap(&mut self, why: &str) -> Result<LogPoint> {
        let Staged { strand, .. } = self.sealed()?;
        let replaced = self.current.clone();
        self.in_transaction(|transaction| exchange(transaction, &replaced, &strand, why))?;
        self.staged = None;
        self.current = strand;
        Ok(self.current.end)
    }

    /// Drops what was being received, in this run or before it.
    pub(super) fn forget_staged(&mut self) -> Result<()> {
        self.staged = None;
        self.connection.execute("update strands set part = 'dropped' where part = 'staged'", [])?;
        Ok(())
    }

    fn sealed(&self) -> Result<Staged> {
        let staged = self.staged.clone().filter(|staged| staged.strand.base.digest.is_some());
        staged.ok_or_else(|| Misfit::NothingStaged.into())
    }
}

/// Whether `event` may follow what there is of a base; gives its number.
fn next_of_base(staged: &Staged, event: &Event) -> Result<Seq, Misfit> {
    let at = staged.strand.base.at;
    let is_in_order = event.seq > staged.base_last && event.seq <= at.seq && event.key.is_some();
    // The event at the base's own place is known by its hash already.
    if !is_in_order || (event.seq == at.seq && event.hash != at.hash) {
        return Err(Misfit::BaseOrder(event.seq));
    }
    if !event.is_what_its_hash_says() {
        return Err(Misfit::BaseContent(event.seq));
    }
    Ok(event.seq)
}

/// The digest of the base of a strand, as its rows are.
pub(super) fn digest_of_rows(connection: &Connection, strand: &Strand) -> Result<BaseDigest> {
    let sql = "select hash from events where strand = ?1 and seq <= ?2 order by seq";
    let mut statement = connection.prepare_cached(sql)?;
    let base = (strand.id, row::number(strand.base.at.seq.get()));
    let mut rows = statement.query_map(base, |row| row.get::<_, [u8; 32]>(0))?;
    let mut failure = None;
    let hashes = std::iter::from_fn(|| match rows.next()? {
        Ok(hash) => Some(EventHash::from_bytes(hash)),
        Err(error) => {
            failure = Some(Error::from(error));
            None
        }
    });
    let digest = digest_of_base(hashes);
    failure.map_or(Ok(digest), Err)
}

fn has_a_key_twice(connection: &Connection, strand: &Strand) -> Result<bool> {
    let sql = "select count(*) <> count(distinct key) from events where strand = ?1";
    Ok(connection.query_row(sql, [strand.id], |row| row.get(0))?)
}

/// A change of two words, however large the strands are.
fn exchange(transaction: &Transaction<'_>, replaced: &Strand, by: &Strand, why: &str) -> Result<()> {
    if replaced.events == 0 {
        transaction.execute("update strands set part = 'dropped' where id = ?1", [replaced.id])?;
    } else {
        entries::keep_aside(transaction, replaced.id, &format!("replaced: {why}"))?;
    }
    transaction.execute("update strands set part = 'current' where id = ?1", [by.id])?;
    Ok(())
}
