//! SQL, and a Postgres that the tests of one process share while any of them needs it.

use std::{
    fs,
    path::Path,
    sync::{
        Arc, Mutex, Once, PoisonError, Weak,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use control_plane::postgres::{
    by_hand,
    embedded::{Durability, EmbeddedPostgres, Error, Progress, Settings},
    migrate::migrate,
};
use sqlx::{AssertSqlSafe, Connection, PgConnection, Row, postgres::PgConnectOptions};
use tokio::{runtime::Runtime, time::timeout};

use super::Place;

/// A statement that hangs is a failure, and is told as one.
const STATEMENT_LIMIT: Duration = Duration::from_secs(20);

/// Runs SQL; gives the rows in lines, with a bar between columns.
pub(crate) fn query(options: &PgConnectOptions, sql: &str) -> Result<String, sqlx::Error> {
    let statement = async {
        let mut connection = PgConnection::connect_with(&by_hand(options.clone())).await?;
        let rows = sqlx::raw_sql(AssertSqlSafe(sql)).fetch_all(&mut connection).await?;
        connection.close().await?;
        let lines: Result<Vec<String>, sqlx::Error> = rows
            .iter()
            .map(|row| {
                // Without parameters Postgres answers in text, whatever the type.
                let columns = (0..row.len()).map(|column| row.try_get_unchecked::<Option<String>, _>(column));
                let columns: Result<Vec<_>, _> = columns.collect();
                Ok(columns?.into_iter().map(Option::unwrap_or_default).collect::<Vec<_>>().join("|"))
            })
            .collect();
        Ok(lines?.join("\n"))
    };
    block_on(async { timeout(STATEMENT_LIMIT, statement).await.unwrap_or(Err(sqlx::Error::PoolTimedOut)) })
}

/// The constraint or unique index that refuses this statement.
pub(crate) fn refused_by(options: &PgConnectOptions, sql: &str) -> Option<String> {
    let error = query(options, sql).err()?;
    Some(error.as_database_error()?.constraint()?.to_owned())
}

/// How to reach the database of a `rollcall dev` with this data folder.
pub(crate) fn in_data_dir(data_dir: &Path) -> PgConnectOptions {
    PgConnectOptions::new_without_pgpass()
        .socket(data_dir.join("postgres/run"))
        .port(5432)
        .username("postgres")
        .database("rollcall")
}

/// The server process of a `rollcall dev` with this data folder, dead or alive; none when it was shut down in order.
pub(crate) fn postmaster(data_dir: &Path) -> Option<u32> {
    let text = fs::read_to_string(data_dir.join("postgres/data/postmaster.pid")).ok()?;
    text.lines().next()?.parse().ok()
}

fn block_on<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(future)
}

/// A server of the module in this process, and what it told on the way; stopped when dropped.
pub(crate) struct Cluster {
    runtime: Runtime,
    postgres: Option<EmbeddedPostgres>,
    pub(crate) steps: Vec<Progress>,
}

/// Starts the module in this process.
pub(crate) fn embedded(settings: Settings) -> Result<Cluster, Error> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let steps = Mutex::new(Vec::new());
    let tell = |step| steps.lock().unwrap().push(step);
    let postgres = Some(runtime.block_on(EmbeddedPostgres::start(settings, tell))?);
    Ok(Cluster { runtime, postgres, steps: steps.into_inner().unwrap() })
}

impl Cluster {
    pub(crate) fn url(&self, database: &str) -> String {
        self.postgres.as_ref().unwrap().url(database)
    }

    #[track_caller]
    pub(crate) fn sql(&self, sql: &str) -> String {
        query(&self.url("postgres").parse().unwrap(), sql).unwrap()
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        if let Some(postgres) = self.postgres.take() {
            self.runtime.block_on(postgres.stop());
        }
    }
}

/// One for all tests that run at the same time: a static would never be dropped, and leave its folder behind.
struct Shared {
    // In this order: the server ends before its folder goes.
    cluster: Cluster,
    _place: Place,
}

static SHARED: Mutex<Weak<Shared>> = Mutex::new(Weak::new());

fn shared() -> Arc<Shared> {
    let mut slot = SHARED.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(shared) = slot.upgrade() {
        return shared;
    }
    let place = Place::new();
    let cluster = embedded(Settings::new(place.join("d"), Durability::None)).unwrap();
    let shared = Arc::new(Shared { cluster, _place: place });
    *slot = Arc::downgrade(&shared);
    shared
}

/// Starting a server fetches the binaries on a machine without any.
pub(super) fn fetch_if_there_is_none() {
    static DONE: Once = Once::new();
    DONE.call_once(|| drop(shared()));
}

/// A database of a test's own.
pub(crate) struct Database {
    pub(crate) url: String,
    pub(crate) options: PgConnectOptions,
    _shared: Arc<Shared>,
}

impl Database {
    pub(crate) fn empty() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let name = format!("test_{}", NEXT.fetch_add(1, Ordering::Relaxed));
        let shared = shared();
        shared.cluster.sql(&format!("create database {name}"));
        let url = shared.cluster.url(&name);
        let options = url.parse().unwrap();
        Self { url, options, _shared: shared }
    }

    pub(crate) fn migrated() -> Self {
        let database = Self::empty();
        database.migrate();
        database
    }

    /// Applies what is pending, in this process; gives the versions.
    pub(crate) fn migrate(&self) -> Vec<i32> {
        block_on(migrate(&self.options)).unwrap()
    }

    #[track_caller]
    pub(crate) fn sql(&self, sql: &str) -> String {
        query(&self.options, sql).unwrap_or_else(|error| panic!("{sql}: {error}"))
    }
}
