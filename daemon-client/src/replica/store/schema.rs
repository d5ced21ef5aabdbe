//! Makes the file, and tells whose it is.

use contracts::SessionId;
use rusqlite::{Connection, TransactionBehavior, named_params};
use uuid::Uuid;

use super::{OpenError, empty_strand, row};

/// "Roll", so that `file` and people know what it is.
const APPLICATION_ID: i64 = 0x526f_6c6c;
/// Raised with every change that an older release could not read.
const FORMAT: i64 = 1;

/// Sets the connection up, and makes the tables if the file is new.
pub(super) fn prepare(connection: &mut Connection, session_id: SessionId) -> Result<(), OpenError> {
    // Before anything is written: a file of others is left as it is.
    let format = format(connection)?;
    connection.pragma_update(None, "journal_mode", "wal")?;
    connection.pragma_update(None, "synchronous", "full")?;
    connection.pragma_update(None, "foreign_keys", true)?;
    // After a large transaction the log of it shrinks again to this.
    connection.pragma_update(None, "journal_size_limit", 16 * 1024 * 1024)?;
    if format.is_none() {
        create(connection, session_id)?;
    }
    match session(connection)? {
        held if held == session_id => Ok(()),
        held => Err(OpenError::OtherSession(held)),
    }
}

/// The format of a replica's file; none for a file that is empty.
pub(super) fn format(connection: &Connection) -> Result<Option<i64>, OpenError> {
    let pragma = |name: &str| connection.pragma_query_value(None, name, |row| row.get::<_, i64>(0));
    let (application, format) = (pragma("application_id")?, pragma("user_version")?);
    if application == APPLICATION_ID {
        return match format {
            FORMAT => complete(connection).map(Some),
            newer if newer > FORMAT => Err(OpenError::Newer(newer)),
            other => Err(OpenError::Damaged(format!("there is no format {other}"))),
        };
    }
    let tables: i64 = connection.query_row("select count(*) from sqlite_schema", [], |row| row.get(0))?;
    if application == 0 && tables == 0 {
        Ok(None)
    } else {
        Err(OpenError::Damaged("it is a database of something else".to_owned()))
    }
}

/// The tables are there: without one of them, each statement would fail in a way of its own.
fn complete(connection: &Connection) -> Result<i64, OpenError> {
    let sql = "select count(*) from sqlite_schema where type = 'table' and name in ('replica', 'strands', 'events')";
    match connection.query_row(sql, [], |row| row.get(0))? {
        3_i64 => Ok(FORMAT),
        tables => Err(OpenError::Damaged(format!("of its three tables there are {tables}"))),
    }
}

pub(super) fn session(connection: &Connection) -> Result<SessionId, OpenError> {
    let id: [u8; 16] = connection.query_row("select session_id from replica", [], |row| row.get(0))?;
    Ok(SessionId(Uuid::from_bytes(id)))
}

/// All in one transaction: a file has everything, or is empty.
fn create(connection: &mut Connection, session_id: SessionId) -> Result<(), OpenError> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    transaction.execute_batch(include_str!("schema.sql"))?;
    transaction.execute(
        "insert into replica (id, session_id) values (1, :session_id)",
        named_params! { ":session_id": session_id.0.as_bytes() },
    )?;
    row::insert_strand(&transaction, "current", &empty_strand(session_id))?;
    transaction.pragma_update(None, "application_id", APPLICATION_ID)?;
    transaction.pragma_update(None, "user_version", FORMAT)?;
    transaction.commit()?;
    Ok(())
}
