//! What is kept aside is bounded in bytes: when there is more, the oldest is dropped, and said to be.

use rusqlite::{OptionalExtension, Transaction, named_params};

use super::{
    Result, Store,
    row::{self, number},
};

/// Events that one transaction deletes at most, so that none is large.
const BATCH: i64 = 2_000;
/// Strands that are kept aside at most, however small they are.
const STRANDS_MAX: u64 = 256;

/// What was dropped of what had been kept aside.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Dropped {
    /// Events.
    pub(crate) events: u64,
    /// What they took, roughly.
    pub(crate) bytes: u64,
}

impl Store {
    /// Brings what is kept aside within its bounds, and deletes the events of dropped strands. In batches: what a crash
    /// leaves is for the next time.
    pub(crate) fn tidy(&mut self) -> Result<Dropped> {
        let mut dropped = Dropped::default();
        while let Some(batch) = self.drop_oldest()? {
            dropped.events += batch.events;
            dropped.bytes += batch.bytes;
        }
        while self.in_transaction(delete_dropped)? {}
        Ok(dropped)
    }

    fn drop_oldest(&mut self) -> Result<Option<Dropped>> {
        let bytes_max = self.aside_bytes_max;
        self.in_transaction(|transaction| {
            let excess = kept(transaction)?.saturating_sub(bytes_max);
            match oldest(transaction)? {
                Some(strand) if excess > 0 => shorten(transaction, strand, excess).map(Some),
                Some(_) | None => forget_beyond(transaction),
            }
        })
    }
}

fn kept(transaction: &Transaction<'_>) -> Result<u64> {
    let sql = "select coalesce(sum(bytes), 0) as bytes from strands where part = 'aside'";
    transaction.query_row(sql, [], |row| Ok(row::count(row, "bytes")))?
}

fn oldest(transaction: &Transaction<'_>) -> Result<Option<i64>> {
    let sql = "select min(id) from strands where part = 'aside' and events > 0";
    Ok(transaction.query_row(sql, [], |row| row.get(0))?)
}

/// Deletes the first events of a strand until `excess` bytes are gone, a batch at most.
fn shorten(transaction: &Transaction<'_>, strand: i64, excess: u64) -> Result<Dropped> {
    let mut dropped = Dropped::default();
    let mut through = 0_i64;
    {
        let sql = "select seq, length(payload) as length from events where strand = ?1 order by seq limit ?2";
        let mut statement = transaction.prepare_cached(sql)?;
        let mut rows = statement.query((strand, BATCH))?;
        while let Some(row) = rows.next()? {
            if dropped.bytes >= excess {
                break;
            }
            through = row.get("seq")?;
            dropped.events += 1;
            dropped.bytes += row::bytes_of_rows(1, row::count(row, "length")?);
        }
    }
    transaction.execute("delete from events where strand = ?1 and seq <= ?2", (strand, through))?;
    transaction.execute(
        "update strands set events = max(events - :events, 0), bytes = max(bytes - :bytes, 0), \
         dropped_events = dropped_events + :events, dropped_bytes = dropped_bytes + :bytes where id = :id",
        named_params! { ":id": strand, ":events": number(dropped.events), ":bytes": number(dropped.bytes) },
    )?;
    if dropped.events == 0 {
        // Its counters are wrong, as only a fault could make them: it has nothing to give.
        transaction.execute("update strands set events = 0, bytes = 0 where id = ?1", [strand])?;
    }
    Ok(dropped)
}

/// Drops the oldest strand when there are too many of them.
fn forget_beyond(transaction: &Transaction<'_>) -> Result<Option<Dropped>> {
    let sql = "select id, events, bytes from strands where part = 'aside' order by id desc limit 1 offset ?1";
    let row = |row: &rusqlite::Row<'_>| {
        Ok((row.get::<_, i64>("id")?, row::count(row, "events"), row::count(row, "bytes")))
    };
    let Some((id, events, bytes)) = transaction.query_row(sql, [number(STRANDS_MAX)], row).optional()? else {
        return Ok(None);
    };
    transaction.execute("update strands set part = 'dropped' where id = ?1", [id])?;
    Ok(Some(Dropped { events: events?, bytes: bytes? }))
}

/// Deletes a batch of the events of dropped strands, then the strands. Gives whether there may be more.
fn delete_dropped(transaction: &Transaction<'_>) -> Result<bool> {
    let sql = "select min(id) from strands where part = 'dropped'";
    let Some(strand) = transaction.query_row(sql, [], |row| row.get::<_, Option<i64>>(0))? else {
        return Ok(false);
    };
    let sql = "delete from events where strand = ?1 and seq <= \
               (select max(seq) from (select seq from events where strand = ?1 order by seq limit ?2))";
    if transaction.execute(sql, (strand, BATCH))? == 0 {
        transaction.execute("delete from strands where id = ?1", [strand])?;
    }
    Ok(true)
}
