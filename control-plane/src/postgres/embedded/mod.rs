//! A private Postgres, run as a child process for `rollcall dev` and for tests.
//!
//! What holds, and where it is kept true:
//!
//! - Nobody else gets in: one unix socket in a folder that only the server's account may enter, no TCP
//!   (`data_dir`, `server`). As root the server runs as `postgres` or `nobody`, for Postgres refuses root
//!   (`account`).
//! - One server per data folder: everything that creates or starts one holds the folder's file lock (`lock`).
//!   A server that is already there is reused, and whoever notices its end starts the next one.
//! - A server never outlives the process that started it: a watchdog stops it however that process dies
//!   (`watchdog`). Dropping an [`EmbeddedPostgres`] has the same effect; [`EmbeddedPostgres::stop`] also waits.
//! - Nothing is overwritten: a folder that is not ours is refused, a cluster appears by rename (`data_dir`,
//!   `cluster`).
//!
//! There is no database driver here, so readiness is read from `postmaster.pid`, as `pg_ctl` does. Upgrading a
//! cluster from one major version to the next is deliberately absent: a mismatch is an error that names the fix.

mod account;
mod binaries;
mod cluster;
mod data_dir;
mod error;
mod fetch;
mod lock;
mod log;
mod paths;
mod pins;
mod postmaster;
mod server;
mod url;
mod watchdog;

use std::path::PathBuf;
use std::time::Duration;

use tokio::sync::Mutex;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use self::account::Account;
use self::data_dir::DataDir;
use self::server::Server;

pub use self::error::Error;
pub use self::fetch::Tool;
pub use self::paths::default_data_dir;

/// The pauses before the attempts to bring a dead server back. Recovery after a crash takes milliseconds, a full
/// disk takes a person: the sum (about 15 s) covers the first and does not hide the second.
const REVIVAL_PAUSES: [Duration; 6] = [
    Duration::ZERO,
    Duration::from_millis(250),
    Duration::from_secs(1),
    Duration::from_secs(2),
    Duration::from_secs(4),
    Duration::from_secs(8),
];

/// A server that lived this long has earned a full set of attempts; one that dies sooner uses up the old set.
const STEADY_AFTER: Duration = Duration::from_mins(1);

#[derive(Clone, Debug)]
pub struct Settings {
    /// A folder of its own: the cluster, its log, the lock and (where the path is short enough) the socket.
    pub data_dir: PathBuf,
    pub durability: Durability,
    /// Further server parameters, as in `postgres -c name=value`; they win over the defaults of this module,
    /// except for those that keep the server private. A server that is reused keeps the ones it has.
    pub parameters: Vec<(String, String)>,
}

impl Settings {
    pub fn new(data_dir: impl Into<PathBuf>, durability: Durability) -> Self {
        Self { data_dir: data_dir.into(), durability, parameters: Vec::new() }
    }

    #[must_use]
    pub fn parameter(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.parameters.push((name.into(), value.into()));
        self
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Durability {
    /// What is committed survives a crash of the machine.
    Full,
    /// A crash, even of the server alone, may lose what was committed just before it. For tests.
    None,
}

/// What a caller may want to tell its user while [`EmbeddedPostgres::start`] runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Progress {
    /// No usable Postgres was found; `tool` now fetches one. Happens once per machine, takes seconds to minutes.
    Fetching {
        tool: Tool,
    },
    /// The data folder is new and gets a cluster.
    Initialising {
        major: u32,
    },
    Starting {
        major: u32,
    },
    /// Another process already runs a server on this data folder.
    Reused {
        pid: u32,
    },
}

/// A running server. Dropping it shuts the server down if this process started it.
#[derive(Debug)]
pub struct EmbeddedPostgres {
    data_dir: DataDir,
    settings: Settings,
    server: Mutex<Server>,
}

impl EmbeddedPostgres {
    pub async fn start(settings: Settings, progress: impl Fn(Progress) + Send + Sync) -> Result<Self, Error> {
        let account = Account::for_the_server()?;
        let data_dir = DataDir::open(&settings.data_dir, account)?;
        let lock = data_dir.lock().await?;
        let server = match server::running(&data_dir).await? {
            Some(pid) => {
                progress(Progress::Reused { pid });
                Server::Reused
            }
            None => {
                let major = cluster::major(&data_dir)?;
                let binaries = binaries::find(&data_dir, major, &progress).await?;
                if major.is_none() {
                    progress(Progress::Initialising { major: binaries.major });
                    cluster::create(&data_dir, &binaries, settings.durability, &lock).await?;
                }
                progress(Progress::Starting { major: binaries.major });
                server::start(&data_dir, &binaries, &settings, &lock).await?
            }
        };
        Ok(Self { data_dir, settings, server: Mutex::new(server) })
    }

    /// For sqlx and everything else that reads libpq's URLs. The port is spelled out because it is part of the
    /// socket's file name and clients would otherwise take it from `PGPORT`.
    pub fn url(&self, database: &str) -> String {
        url::of(&self.data_dir.socket_dir(), database)
    }

    /// Returns `Ok` when `stop` is cancelled, and an error only when the server died and cannot be brought back.
    /// It does not stop the server: call [`Self::stop`] once its last client is done.
    pub async fn supervise(&self, stop: CancellationToken) -> Result<(), Error> {
        stop.run_until_cancelled(self.keep_alive()).await.unwrap_or(Ok(()))
    }

    /// Ends the server if this process started it, and returns when it is gone. Connections still open are cut.
    pub async fn stop(self) {
        self.server.into_inner().stop(&self.data_dir).await;
    }

    async fn keep_alive(&self) -> Result<(), Error> {
        let mut server = self.server.lock().await;
        let mut pauses = REVIVAL_PAUSES.iter();
        let mut alive_since = Instant::now();
        let mut last_error = None;
        loop {
            let end = server.ended(&self.data_dir).await;
            if alive_since.elapsed() >= STEADY_AFTER {
                pauses = REVIVAL_PAUSES.iter();
                last_error = None;
            }
            tracing::warn!(data_dir = %self.data_dir.path().display(), "Postgres is gone ({end}), starting it again");
            *server = loop {
                let Some(pause) = pauses.next() else {
                    let attempts = REVIVAL_PAUSES.len();
                    return Err(Error::KeepsDying { attempts, end, last_error: last_error.map(Box::new) });
                };
                tokio::time::sleep(*pause).await;
                match self.revive().await {
                    Ok(revived) => break revived,
                    Err(error) => {
                        tracing::warn!(%error, "Postgres did not start");
                        last_error = Some(error);
                    }
                }
            };
            alive_since = Instant::now();
            tracing::info!(data_dir = %self.data_dir.path().display(), "Postgres is back");
        }
    }

    /// Never creates a cluster: a data folder that vanished is an error, not an empty database.
    async fn revive(&self) -> Result<Server, Error> {
        let lock = self.data_dir.lock().await?;
        if server::running(&self.data_dir).await?.is_some() {
            return Ok(Server::Reused);
        }
        let major = cluster::major(&self.data_dir)?;
        if major.is_none() {
            return Err(Error::NotACluster { path: self.data_dir.cluster() });
        }
        let announce = |step| tracing::info!(?step, "finding Postgres again");
        let binaries = binaries::find(&self.data_dir, major, &announce).await?;
        server::start(&self.data_dir, &binaries, &self.settings, &lock).await
    }
}
