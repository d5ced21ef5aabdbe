//! The file of a replica: the one place in this crate that holds SQL. Blocking.
//!
//! A replica is a folder with `replica.db`, a SQLite file in WAL mode, and `replica.lock`, which its one writer holds.
//! In the file are *strands*, stretches of the log: the current one, which the application reads, one that is being
//! received beside it, and those that were kept aside. Every operation here is one transaction, so that entries and
//! position never part.
//!
//! `synchronous` is `full`: a commit is on the disk before it is acknowledged to the server, which may then prune what
//! it covers. With `normal`, a power cut could take back what was acknowledged. What it costs, one flush a commit, is
//! shared by all events that arrived since the last one.
//!
//! - [`schema`] makes the file, [`folder`] names the files and locks them, [`row`] reads and writes rows;
//! - [`entries`] appends and cuts, [`staging`] receives a base beside what is there and swaps, [`aside`] bounds what
//!   is kept aside;
//! - [`check`] proves what is there, [`reader`] reads it.

mod aside;
mod check;
mod entries;
mod folder;
mod reader;
mod row;
mod schema;
mod staging;

use contracts::{
    HistoryId, LogPoint, Seq, SessionId,
    log::{BrokenChain, digest_of_base},
};
use rusqlite::{Connection, ErrorCode, OpenFlags, Transaction, TransactionBehavior};

pub use check::{Check, Verified};
pub use reader::Aside;

pub(crate) use aside::Dropped;
pub(crate) use check::verify;
pub(crate) use folder::{Folder, Why};
pub(crate) use reader::{Page, Reader, Standing};
pub(crate) use row::{Base, Strand};

use folder::Lock;

/// Why nothing was done.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Error {
    /// What came does not fit what is there.
    #[error(transparent)]
    Misfit(#[from] Misfit),
    /// The file is not what this code wrote.
    #[error("the file is damaged: {0}")]
    Damaged(String),
    /// SQLite or the disk said no, and may say yes another time.
    #[error("{0}")]
    Failed(String),
}

pub(crate) type Result<T, E = Error> = std::result::Result<T, E>;

/// How what a server sent does not fit what a replica holds.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Misfit {
    /// The events do not continue the log.
    #[error(transparent)]
    Chain(#[from] BrokenChain),
    /// The replica has no such place.
    #[error("the replica has not {0}, or not that content there")]
    Place(LogPoint),
    /// The place lies before the base, where the replica has no events.
    #[error("{at} lies before {base}, where the history of the replica begins")]
    BeforeBase {
        /// What was asked for.
        at: Seq,
        /// Where the history begins.
        base: Seq,
    },
    /// An event of a base has no key, or is not after the one before it, or lies after the base's place.
    #[error("event {0} cannot be in that place of a base")]
    BaseOrder(Seq),
    /// An event of a base is not what its hash says.
    #[error("event {0} of the base is not what its hash says")]
    BaseContent(Seq),
    /// Two events of a base have one key.
    #[error("the base has two events for one key")]
    BaseKeys,
    /// The base has fewer or more events than it should.
    #[error("the base has {found} events, not {expected}")]
    BaseCount {
        /// What was said.
        expected: u64,
        /// What came.
        found: u64,
    },
    /// The base is not what its digest says.
    #[error("the base is not what its digest says")]
    Digest,
    /// The history is not the one that the replica follows.
    #[error("the replica follows history {held}, not {offered}")]
    History {
        /// The replica's.
        held: HistoryId,
        /// The server's.
        offered: HistoryId,
    },
    /// There is no base being received.
    #[error("no base is being received")]
    NothingStaged,
}

impl From<rusqlite::Error> for Error {
    fn from(error: rusqlite::Error) -> Self {
        let is_corrupt = error
            .sqlite_error_code()
            .is_some_and(|code| matches!(code, ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase));
        // Rows that have to be there, and values that no code of this crate wrote.
        let is_damage = is_corrupt
            || matches!(
                error,
                rusqlite::Error::QueryReturnedNoRows
                    | rusqlite::Error::FromSqlConversionFailure(..)
                    | rusqlite::Error::IntegralValueOutOfRange(..)
                    | rusqlite::Error::Utf8Error(..)
                    | rusqlite::Error::InvalidColumnType(..)
            );
        if is_damage { Self::Damaged(error.to_string()) } else { Self::Failed(error.to_string()) }
    }
}

/// Why a replica cannot be opened.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OpenError {
    /// Another process, or another client in this one, has it.
    #[error("the folder is in use by another client")]
    InUse,
    /// It is the replica of another session.
    #[error("the folder holds the replica of session {0}")]
    OtherSession(SessionId),
    /// It was written by a newer release.
    #[error("the folder was written by a newer release (format {0})")]
    Newer(i64),
    /// It is not what was written.
    #[error("the file is damaged: {0}")]
    Damaged(String),
    /// There is none.
    #[error("there is no replica in the folder")]
    Absent,
    /// The disk or SQLite said no.
    #[error("{0}")]
    Failed(String),
}

impl From<Error> for OpenError {
    fn from(error: Error) -> Self {
        match error {
            Error::Damaged(how) => Self::Damaged(how),
            Error::Failed(why) => Self::Failed(why),
            Error::Misfit(misfit) => Self::Damaged(misfit.to_string()),
        }
    }
}

impl From<rusqlite::Error> for OpenError {
    fn from(error: rusqlite::Error) -> Self {
        Error::from(error).into()
    }
}

/// Without URIs: a folder may have any name.
const FLAGS: OpenFlags = OpenFlags::SQLITE_OPEN_READ_WRITE
    .union(OpenFlags::SQLITE_OPEN_CREATE)
    .union(OpenFlags::SQLITE_OPEN_NO_MUTEX);

/// A replica, open for writing. There is one a folder.
#[derive(Debug)]
pub(crate) struct Store {
    // Before the lock, so that the file is closed when the lock goes.
    connection: Connection,
    current: Strand,
    staged: Option<Staged>,
    aside_bytes_max: u64,
    _lock: Lock,
}

/// A strand that is being received.
#[derive(Clone, Debug)]
struct Staged {
    strand: Strand,
    /// The last event of its base so far.
    base_last: Seq,
}

impl Store {
    /// Opens the replica of a session, or makes it, and checks it.
    pub(crate) fn open(
        folder: &Folder,
        session_id: SessionId,
        aside_bytes_max: u64,
        check: Check,
    ) -> Result<(Self, Dropped), OpenError> {
        let lock = folder.lock()?;
        let mut connection = Connection::open_with_flags(folder.file(), FLAGS)?;
        schema::prepare(&mut connection, session_id)?;
        let current = row::find_strand(&connection, "current")?
            .ok_or_else(|| OpenError::Damaged("there is no current strand".to_owned()))?;
        let mut store = Self { connection, current, staged: None, aside_bytes_max, _lock: lock };
        store.forget_staged()?;
        let dropped = store.tidy()?;
        check::recent_or_full(&store.connection, session_id, &store.current, check)?;
        Ok((store, dropped))
    }

    /// The strand that the application reads.
    pub(crate) fn current(&self) -> &Strand {
        &self.current
    }

    /// Runs `work` in one transaction, which is undone when it fails.
    fn in_transaction<T>(&mut self, work: impl FnOnce(&Transaction<'_>) -> Result<T>) -> Result<T> {
        let transaction = self.connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let done = work(&transaction)?;
        transaction.commit()?;
        Ok(done)
    }
}

/// A strand before it holds anything.
fn empty_strand(session_id: SessionId) -> Strand {
    let origin = LogPoint::origin(session_id);
    let base = Base { at: origin, events: 0, digest: Some(digest_of_base([])) };
    Strand { id: 0, history: None, base, end: origin, events: 0, bytes: 0 }
}

#[cfg(test)]
mod tests;
