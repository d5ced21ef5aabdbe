//! Every query on maintenance.

use sqlx::{PgConnection, PgExecutor};

use super::Maintenance;
use crate::{failure::Fault, postgres::stored::unreadable};

/// The maintenance that is on, if it is.
pub async fn current(db: impl PgExecutor<'_>) -> Result<Option<Maintenance>, Fault> {
    let row = sqlx::query!("select since, reason from maintenance").fetch_one(db).await?;
    match (row.since, row.reason) {
        (None, None) => Ok(None),
        (Some(since), Some(reason)) => Ok(Some(Maintenance { since, reason })),
        (since, reason) => Err(unreadable("maintenance", "since", format!("{since:?} with {reason:?}"))),
    }
}

/// Begins it, or changes the reason of one that is on.
pub(super) async fn begin(db: &mut PgConnection, reason: &str) -> Result<Maintenance, Fault> {
    let since = sqlx::query_scalar!(
        r#"update maintenance set since = coalesce(since, clock_timestamp()), reason = $1 returning since as "since!""#,
        reason
    )
    .fetch_one(db)
    .await?;
    Ok(Maintenance { since, reason: reason.to_owned() })
}

/// Ends it.
pub(super) async fn end(db: &mut PgConnection) -> Result<(), Fault> {
    sqlx::query!("update maintenance set since = null, reason = null").execute(db).await?;
    Ok(())
}
