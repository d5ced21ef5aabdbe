//! Every query on leadership, and those on the advisory lock.

use sqlx::PgConnection;

use super::locks;
use crate::failure::Fault;

/// Tries the leader's lock on this session.
pub(super) async fn try_lock(db: &mut PgConnection) -> Result<bool, Fault> {
    Ok(sqlx::query_scalar!(r#"select pg_try_advisory_lock($1) as "locked!""#, locks::LEADER)
        .fetch_one(db)
        .await?)
}

/// Whether this session holds the leader's lock: asked of the lock table, for a socket that answers proves no lock.
pub(super) async fn holds_lock(db: &mut PgConnection) -> Result<bool, Fault> {
    Ok(sqlx::query_scalar!(
        r#"select exists (
             select from pg_locks
             where locktype = 'advisory' and pid = pg_backend_pid() and granted and objsubid = 1
               and (classid::bigint << 32) | objid::bigint = $1) as "holds!""#,
        locks::LEADER
    )
    .fetch_one(db)
    .await?)
}

/// Begins a term: the next epoch, with the address of its leader, where that is known.
pub(super) async fn begin_term(db: &mut PgConnection, address: Option<&str>) -> Result<i64, Fault> {
    Ok(sqlx::query_scalar!(
        "update leadership set epoch = epoch + 1, holder_address = $1, since = clock_timestamp() returning epoch",
        address
    )
    .fetch_one(db)
    .await?)
}

/// Where the leader said it is.
pub(super) async fn holder_address(db: &mut PgConnection) -> Result<Option<String>, Fault> {
    Ok(sqlx::query_scalar!("select holder_address from leadership").fetch_one(db).await?)
}
