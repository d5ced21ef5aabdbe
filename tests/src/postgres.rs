//! One Postgres for the whole test process, one database for each test.

use std::{path::PathBuf, sync::OnceLock};

use control_plane::postgres::{
    by_hand,
    embedded::{Durability, EmbeddedPostgres, Settings},
    migrate::migrate,
};
use sqlx::{
    AssertSqlSafe, Connection, PgConnection, PgPool,
    postgres::{PgConnectOptions, PgPoolOptions},
};
use uuid::Uuid;

use crate::{Proxy, wait::eventually};

const TEMPLATE: &str = "rollcall_template";
/// Of the folder of a test process, followed by its number.
pub(crate) const FOLDER_PREFIX: &str = "rollcall-tests-";

/// A migrated database that belongs to one test; removed with the next run of the tests.
#[derive(Clone, Debug)]
pub struct Database {
    /// For `DATABASE_URL`.
    pub url: String,
    /// For looking at rows.
    pub pool: PgPool,
}

impl Database {
    /// A new migrated database.
    pub async fn new() -> Self {
        let name = format!("test_{}", Uuid::new_v4().simple());
        let mut admin = connect("postgres").await;
        let create = format!("create database {name} template {TEMPLATE} strategy file_copy");
        sqlx::query(AssertSqlSafe(create)).execute(&mut admin).await.expect("the template can be copied");
        admin.close().await.expect("the connection closes");
        let url = cluster_url(&name);
        Self::at(url).await
    }

    /// The database of this URL. What a test writes passes the fence, as repair by hand does.
    pub async fn at(url: String) -> Self {
        let options = by_hand(url.parse().expect("the URL is one"));
        let pool = PgPoolOptions::new()
            .max_connections(4)
            .connect_with(options)
            .await
            .expect("the database can be used");
        Self { url, pool }
    }

    /// The socket of its Postgres.
    pub fn socket(&self) -> PathBuf {
        let options = self.options();
        let folder = options.get_socket().expect("the private Postgres listens on a socket");
        folder.join(format!(".s.PGSQL.{}", options.get_port()))
    }

    /// A proxy before its Postgres.
    pub async fn proxy(&self) -> Proxy {
        Proxy::before_socket(self.socket()).await
    }

    /// The same database, for who reaches it through this proxy.
    #[must_use]
    pub fn through(&self, proxy: &Proxy) -> Self {
        let options = self.options();
        let (user, name) = (options.get_username(), options.get_database().expect("it has a name"));
        let url = format!("postgres://{user}@{}/{name}?sslmode=disable", proxy.address);
        Self { url, pool: self.pool.clone() }
    }

    fn options(&self) -> PgConnectOptions {
        self.url.parse().expect("the URL is one")
    }

    /// Waits until so many statements of the server wait for a lock that a test holds.
    pub async fn has_blocked(&self, count: i64) {
        let look = async || {
            let waiting = sqlx::query_scalar::<_, i64>(
                "select count(*) from pg_stat_activity
                 where datname = current_database() and wait_event_type = 'Lock'",
            );
            waiting.fetch_one(&self.pool).await.expect("the activity can be read")
        };
        eventually("the server waits for a lock", look, |waiting| *waiting == count).await;
    }
}

/// Lives as long as the process: when it ends, however it ends, the module's watchdog stops the server.
struct Cluster {
    postgres: EmbeddedPostgres,
    _runtime: tokio::runtime::Runtime,
}

fn cluster_url(database: &str) -> String {
    static CLUSTER: OnceLock<Cluster> = OnceLock::new();
    CLUSTER.get_or_init(start_cluster).postgres.url(database)
}

async fn connect(database: &'static str) -> PgConnection {
    // Off this runtime, for the first caller starts the cluster on one of its own.
    let url = tokio::task::spawn_blocking(move || cluster_url(database)).await.expect("the cluster starts");
    PgConnection::connect(&url).await.expect("the cluster answers")
}

fn start_cluster() -> Cluster {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime starts");
    let postgres = runtime.block_on(async {
        remove_leftovers();
        let folder = std::env::temp_dir().join(format!("{FOLDER_PREFIX}{}", std::process::id()));
        let settings = Settings::new(folder, Durability::None);
        let postgres = EmbeddedPostgres::start(settings, |_| {}).await.expect("Postgres starts");
        prepare_template(&postgres).await;
        postgres
    });
    Cluster { postgres, _runtime: runtime }
}

/// Folders and key rings of test processes that are gone. A process cannot remove its own: its servers end after it.
fn remove_leftovers() {
    for entry in std::fs::read_dir(std::env::temp_dir()).expect("the temporary folder can be read").flatten()
    {
        let name = entry.file_name();
        let Some(rest) = name.to_str().and_then(|name| name.strip_prefix(FOLDER_PREFIX)) else { continue };
        let pid = rest.split('.').next().unwrap_or(rest);
        if !std::path::Path::new("/proc").join(pid).exists() {
            // Perhaps another user's, or removed by somebody else at this moment.
            drop(if entry.path().is_dir() {
                std::fs::remove_dir_all(entry.path())
            } else {
                std::fs::remove_file(entry.path())
            });
        }
    }
}

async fn prepare_template(postgres: &EmbeddedPostgres) {
    let mut admin = PgConnection::connect(&postgres.url("postgres")).await.expect("Postgres answers");
    let create = format!("create database {TEMPLATE}");
    sqlx::query(AssertSqlSafe(create)).execute(&mut admin).await.expect("the template can be made");
    let options = postgres.url(TEMPLATE).parse().expect("the URL is one");
    migrate(&options).await.expect("the migrations apply");
    admin.close().await.expect("the connection closes");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_process_that_is_gone_left_is_removed_and_what_a_living_one_uses_is_not() {
        let place = |name: &str| std::env::temp_dir().join(format!("{FOLDER_PREFIX}{name}"));
        // Above any number that a process may have.
        let gone = u32::MAX - std::process::id();
        let (folder, ring) = (place(&gone.to_string()), place(&format!("{gone}.keys.json")));
        let ours = place(&format!("{}.leftover-test", std::process::id()));
        std::fs::create_dir_all(folder.join("data")).unwrap();
        std::fs::write(&ring, "{}").unwrap();
        std::fs::write(&ours, "{}").unwrap();
        remove_leftovers();
        assert!(!folder.exists() && !ring.exists() && ours.exists());
        std::fs::remove_file(ours).unwrap();
    }
}
