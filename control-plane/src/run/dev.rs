//! `rollcall dev`: a control plane on a private Postgres, with a token ready to paste.

use std::{
    fs, io,
    net::SocketAddr,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use anyhow::{Context, bail};
use sqlx::{Connection, PgConnection, postgres::PgConnectOptions};
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use super::{
    dev_token::{kept_key_ring, kept_token},
    flags::{BoundsFlags, CadenceFlags, LeadershipFlags, RetentionFlags},
    listen,
    migrate::database,
    reach::address_of,
    signals,
};
use crate::{
    cli::invocation,
    failure,
    postgres::{
        embedded::{self, Durability, EmbeddedPostgres, Progress},
        migrate::migrate,
    },
    server::{self, ServerSettings, tls::Transport},
};

/// How long a Postgres that was found running may be gone while the start waits for it.
const OUTAGE_LIMIT: Duration = Duration::from_secs(30);
const OUTAGE_RETRY_DELAY: Duration = Duration::from_millis(50);
/// Database inside the private Postgres.
const DATABASE: &str = "rollcall";

/// Runs a control plane for trying things out: a private Postgres below the data folder, a token that works when
/// pasted, everything kept for the next time.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
It prints two lines to paste into other terminals. Then:
  rollcall session create --name demo
  rollcall-daemon --session ID --node-id laptop-1 --capability codex
  rollcall node watch

Postgres is looked for in $PG_BIN, in PATH and in the usual folders, and is fetched once if there is none.
With DATABASE_URL set, that database is used and no Postgres is started.")]
pub struct Dev {
    /// Folder for the database and the token; made if need be
    #[arg(long, env = "ROLLCALL_DATA_DIR", value_name = "DIR")]
    data_dir: Option<PathBuf>,
    /// Address for gRPC, health and metrics
    #[arg(long, env = "ROLLCALL_LISTEN", value_name = "ADDR", default_value = "127.0.0.1:7420")]
    listen: SocketAddr,
    /// Use this Postgres instead of a private one
    #[arg(long, env = "DATABASE_URL", hide_env_values = true, value_name = "URL")]
    database_url: Option<String>,
    #[command(flatten)]
    cadence: CadenceFlags,
    #[command(flatten)]
    bounds: BoundsFlags,
    #[command(flatten)]
    leadership: LeadershipFlags,
    #[command(flatten)]
    retention: RetentionFlags,
}

impl Dev {
    pub(super) async fn run(self) -> anyhow::Result<()> {
        let cadence = self.cadence.check()?;
        let leadership = self.leadership.check()?;
        let (listener, address) = listen::bind(self.listen).await?;
        let data_dir = self.data_dir.map_or_else(embedded::default_data_dir, Ok)?;
        refuse_foreign(&data_dir)?;
        let stop = CancellationToken::new();
        signals::stop_on_signal(stop.clone())?;

        // A first start may fetch for minutes. What it had begun when it is told to stop goes with it.
        let Some(started) = stop.run_until_cancelled(start(self.database_url.as_deref(), &data_dir)).await
        else {
            return Ok(());
        };
        let (database, postgres) = started?;
        let (key_ring, ring) = kept_key_ring(&data_dir)?;
        let token = kept_token(&data_dir, &ring, &database).await?;
        welcome(&data_dir, address, &token);

        // In clear: it listens on this machine unless told otherwise, and is for trying things out.
        let transport = Transport::Plaintext;
        let advertised = address_of(&transport, address).map(|address| address.to_string());
        let bounds = self.bounds.bounds();
        let retention = self.retention.retention();
        let settings = ServerSettings {
            database,
            transport,
            advertised,
            key_ring,
            cadence,
            bounds,
            leadership,
            retention,
        };
        let Some(postgres) = postgres else {
            return Ok(server::serve(listener, address, settings, stop).await?);
        };
        let result = tokio::select! {
            served = server::serve(listener, address, settings, stop.clone()) => served.map_err(Into::into),
            // It only ends by an error: the server is told to stop, not Postgres.
            lost = postgres.supervise(CancellationToken::new()) => lost.map_err(Into::into),
        };
        postgres.stop().await;
        result
    }
}

/// A migrated database: the one of the URL, else one of a private Postgres, which comes along.
async fn start(
    database_url: Option<&str>,
    data_dir: &Path,
) -> anyhow::Result<(PgConnectOptions, Option<EmbeddedPostgres>)> {
    if let Some(url) = database_url {
        let database = database(url)?;
        migrate(&database).await?;
        return Ok((database, None));
    }
    let settings = embedded::Settings::new(data_dir.join("postgres"), Durability::Full);
    let postgres = EmbeddedPostgres::start(settings, tell).await?;
    let database = tokio::select! {
        prepared = prepare(&postgres) => prepared?,
        lost = postgres.supervise(CancellationToken::new()) => {
            lost?;
            bail!("nobody looks after Postgres any more");
        }
    };
    Ok((database, Some(postgres)))
}

/// Makes and migrates our database. A Postgres that was found running may just be ending with the process that had
/// started it, and is brought back while this tries again.
async fn prepare(postgres: &EmbeddedPostgres) -> anyhow::Result<PgConnectOptions> {
    let began = Instant::now();
    loop {
        let attempt = async {
            create_database(&postgres.url("postgres")).await?;
            let database = database(&postgres.url(DATABASE))?;
            migrate(&database).await?;
            Ok(database)
        };
        match attempt.await {
            Err(error) if is_outage(&error) && began.elapsed() < OUTAGE_LIMIT => {
                sleep(OUTAGE_RETRY_DELAY).await
            }
            outcome => return outcome,
        }
    }
}

fn is_outage(error: &anyhow::Error) -> bool {
    error.chain().any(|cause| cause.downcast_ref().is_some_and(failure::is_outage))
}

/// Refuses a folder with nothing but other things in it, such as a home folder, before anything is put there.
fn refuse_foreign(data_dir: &Path) -> anyhow::Result<()> {
    let folder = data_dir.display();
    let entries = match fs::read_dir(data_dir) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => {
            bail!("cannot use the data folder {folder}: {error}\nhint: choose another one with --data-dir")
        }
    };
    let mut is_empty = true;
    for entry in entries {
        let name = entry.with_context(|| format!("cannot read the data folder {folder}"))?.file_name();
        let is_ours = |ours: &str| name.as_encoded_bytes().starts_with(ours.as_bytes());
        if is_ours("postgres") || is_ours("token") {
            return Ok(());
        }
        // A volume of its own has this from the start.
        is_empty &= name == "lost+found";
    }
    if !is_empty {
        bail!(
            "the data folder {folder} holds files that are not ours; nothing was changed\n\
             hint: choose an empty or a new folder with --data-dir"
        );
    }
    Ok(())
}

fn tell(progress: Progress) {
    match progress {
        Progress::Fetching { tool } => {
            eprintln!("no Postgres on this machine: fetching one with {tool}, once")
        }
        Progress::Initialising { major } => eprintln!("making a database with Postgres {major}"),
        Progress::Starting { major } => eprintln!("starting Postgres {major}"),
        Progress::Reused { pid } => eprintln!("using the Postgres that runs there already (pid {pid})"),
    }
}

/// Makes our database in the private Postgres, unless it is there; two may try at once.
async fn create_database(url: &str) -> anyhow::Result<()> {
    let options: PgConnectOptions = url.parse()?;
    let mut connection = PgConnection::connect_with(&options).await?;
    let created = sqlx::query("create database rollcall").execute(&mut connection).await;
    match created {
        Ok(_) => {}
        // Duplicate database; unique violation when another process is just making it.
        Err(sqlx::Error::Database(error)) if matches!(error.code().as_deref(), Some("42P04" | "23505")) => {}
        Err(error) => return Err(error).context("cannot make the database"),
    }
    connection.close().await?;
    Ok(())
}

/// The two lines to paste go to stdout, so that a script can take them; the rest is for people.
fn welcome(data_dir: &Path, address: SocketAddr, token: &str) {
    eprintln!("rollcall listens on {address}, its data is in {}", data_dir.display());
    eprintln!("\npaste into other terminals:\n");
    println!("export ROLLCALL_ADDR=http://{address}");
    println!("export ROLLCALL_TOKEN={token}");
    eprintln!("\nthen try:\n");
    eprintln!("{} session create --name demo", invocation::rollcall());
    eprintln!("{} node watch\n", invocation::rollcall());
}
