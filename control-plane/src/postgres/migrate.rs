//! Migrations: embedded, applied in order, each in a transaction of its own, under an advisory lock, for the migrator
//! itself takes none and instances may start together.

use std::time::Duration;

use refinery_core::{
    Migration, Runner,
    traits::r#async::{AsyncMigrate, AsyncQuery, AsyncTransaction},
};
use sqlx::{AssertSqlSafe, Connection, Executor, PgConnection, Row, postgres::PgConnectOptions};
use time::{OffsetDateTime, format_description::well_known::Rfc3339};
use tokio::time::sleep;

use super::by_hand;
use crate::leadership::locks;

mod embedded {
    refinery::embed_migrations!("../migrations");
}

/// How often the lock is tried while another instance migrates. Not a wait inside Postgres: that would hold back
/// vacuum.
const LOCK_INTERVAL: Duration = Duration::from_millis(50);

/// Why a schema is not as this build needs it.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The database failed.
    #[error("the database failed")]
    Database(#[from] sqlx::Error),
    /// A migration failed, or the history in the database differs from this build's.
    #[error("the migrations failed; nothing of the failed one is left")]
    Migration(#[from] refinery_core::Error),
    /// The schema is from a newer release.
    #[error(
        "the schema is at version {found}, and this build knows only up to {known}: run a newer rollcall"
    )]
    SchemaNewer {
        /// Version in the database.
        found: i32,
        /// Newest version that this build knows.
        known: i32,
    },
    /// Migrations are pending.
    #[error(
        "the schema is at version {found}, and this build needs {needed}: run `rollcall migrate`, or serve with --migrate"
    )]
    SchemaOlder {
        /// Version in the database; 0 when it is empty.
        found: i32,
        /// Version that this build needs.
        needed: i32,
    },
}

/// Brings the schema to this build's version; gives the versions that were applied.
///
/// # Errors
///
/// The database or a migration failed, or the schema is from a newer release; then nothing is changed.
pub async fn migrate(options: &PgConnectOptions) -> Result<Vec<i32>, Error> {
    let mut session = Session(PgConnection::connect_with(&by_hand(options.clone())).await?);
    while !try_lock(&mut session.0).await? {
        sleep(LOCK_INTERVAL).await;
    }
    refuse_newer(applied_version(&mut session.0).await?)?;
    let report = embedded::migrations::runner().run_async(&mut session).await?;
    // Ending the session releases the lock.
    session.0.close().await?;
    Ok(report.applied_migrations().iter().map(Migration::version).collect())
}

/// Checks that the schema is at this build's version.
///
/// # Errors
///
/// It is older or newer; the error says what to do.
pub async fn check(options: &PgConnectOptions) -> Result<(), Error> {
    let mut connection = PgConnection::connect_with(options).await?;
    let found = applied_version(&mut connection).await?;
    connection.close().await?;
    refuse_newer(found)?;
    let needed = known_version();
    if found < needed { Err(Error::SchemaOlder { found, needed }) } else { Ok(()) }
}

fn refuse_newer(found: i32) -> Result<(), Error> {
    let known = known_version();
    if found > known { Err(Error::SchemaNewer { found, known }) } else { Ok(()) }
}

/// The version of this build.
pub(crate) fn known_version() -> i32 {
    let runner: Runner = embedded::migrations::runner();
    runner.get_migrations().iter().map(Migration::version).max().unwrap_or_default()
}

async fn try_lock(connection: &mut PgConnection) -> Result<bool, sqlx::Error> {
    sqlx::query_scalar("select pg_try_advisory_lock($1)").bind(locks::MIGRATIONS).fetch_one(connection).await
}

async fn applied_version(connection: &mut PgConnection) -> Result<i32, sqlx::Error> {
    let is_new: bool = sqlx::query_scalar("select to_regclass('refinery_schema_history') is null")
        .fetch_one(&mut *connection)
        .await?;
    if is_new {
        return Ok(0);
    }
    sqlx::query_scalar("select coalesce(max(version), 0)::int from refinery_schema_history")
        .fetch_one(connection)
        .await
}

/// The migrator's view of our driver, so that there is one driver and one TLS.
struct Session(PgConnection);

impl AsyncTransaction for Session {
    type Error = sqlx::Error;

    async fn execute<'a, T: Iterator<Item = &'a str> + Send + 'a>(
        &'a mut self,
        queries: T,
    ) -> Result<usize, Self::Error> {
        let mut transaction = self.0.begin().await?;
        let mut count = 0;
        for query in queries {
            // From the migrations embedded in this binary and from the migrator, never from a user.
            transaction.execute(sqlx::raw_sql(AssertSqlSafe(query))).await?;
            count += 1;
        }
        transaction.commit().await?;
        Ok(count)
    }
}

impl AsyncQuery<Vec<Migration>> for Session {
    async fn query<'a>(&'a mut self, query: &'a str) -> Result<Vec<Migration>, sqlx::Error> {
        let rows = sqlx::query(AssertSqlSafe(query)).fetch_all(&mut self.0).await?;
        rows.iter()
            .map(|row| {
                let applied_on: String = row.try_get(2)?;
                let applied_on = OffsetDateTime::parse(&applied_on, &Rfc3339)
                    .map_err(|error| sqlx::Error::Decode(error.into()))?;
                let checksum: String = row.try_get(3)?;
                let checksum = checksum.parse().map_err(|error| sqlx::Error::Decode(Box::new(error)))?;
                Ok(Migration::applied(row.try_get(0)?, row.try_get(1)?, applied_on, checksum))
            })
            .collect()
    }
}

impl AsyncMigrate for Session {}
