//! A Postgres that belongs to one test, which may kill it, and a streaming standby of it.

use std::{
    fs,
    os::unix::fs::{MetadataExt, chown},
    path::PathBuf,
    process::Command,
    sync::Arc,
};

use control_plane::postgres::{
    embedded::{Durability, EmbeddedPostgres, Settings},
    migrate::migrate,
};
use sqlx::{Connection, Executor, PgConnection};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::{Database, Proxy, eventually};

/// A cluster of its own. What it acknowledged survives the death of its processes.
#[derive(Debug)]
pub struct PrivatePostgres {
    folder: PathBuf,
    postgres: Arc<EmbeddedPostgres>,
}

impl PrivatePostgres {
    /// Starts one.
    pub async fn start() -> Self {
        // Only the death of the machine would tell the difference.
        Self::start_with(&[("fsync", "off")]).await
    }

    /// Starts one with these parameters.
    pub async fn start_with(parameters: &[(&str, &str)]) -> Self {
        Self::start_in(new_folder(), parameters).await
    }

    async fn start_in(folder: PathBuf, parameters: &[(&str, &str)]) -> Self {
        let settings =
            parameters.iter().fold(Settings::new(&folder, Durability::Full), |all, (name, value)| {
                all.parameter(*name, *value)
            });
        let postgres = EmbeddedPostgres::start(settings, |_| {}).await.expect("Postgres starts");
        Self { folder, postgres: Arc::new(postgres) }
    }

    /// A migrated database in it.
    pub async fn database(&self) -> Database {
        let mut admin =
            PgConnection::connect(&self.postgres.url("postgres")).await.expect("Postgres answers");
        admin.execute("create database rollcall").await.expect("a database can be made");
        let url = self.postgres.url("rollcall");
        migrate(&url.parse().expect("the URL is one")).await.expect("the migrations apply");
        Database::at(url).await
    }

    /// A streaming standby of the Postgres of this database, which it receives from through this proxy; it can be read
    /// from when this returns. Its base is a copy of the files between two calls of Postgres' own interface for backups:
    /// `pg_basebackup` is not everywhere where Postgres is.
    pub async fn standby(&self, of: &Database, through: &Proxy) -> Self {
        let folder = new_folder();
        let (source, target) = (self.folder.join("data"), folder.join("data"));
        fs::create_dir(&folder).expect("a folder can be made");
        // The sign that the folder is ours.
        fs::write(folder.join("embedded-postgres.lock"), "").expect("a file can be written");
        let mut backup = PgConnection::connect(&of.url).await.expect("Postgres answers");
        backup.execute("select pg_backup_start('standby', true)").await.expect("a backup can begin");
        let copied = Command::new("cp").arg("-a").arg(&source).arg(&target).status();
        assert!(copied.expect("cp runs").success(), "the files can be copied");
        let label: String = sqlx::query_scalar("select labelfile from pg_backup_stop()")
            .fetch_one(&mut backup)
            .await
            .expect("a backup can end");
        fs::remove_file(target.join("postmaster.pid")).expect("what says that it runs can be removed");
        let owner = fs::metadata(&target).expect("the copy is there");
        for (name, text) in [("backup_label", label.as_str()), ("standby.signal", "")] {
            let file = target.join(name);
            fs::write(&file, text).expect("a file can be written");
            chown(&file, Some(owner.uid()), Some(owner.gid()))
                .expect("it can be given to the server's account");
        }
        let (host, port) = through.address.rsplit_once(':').expect("an address has a port");
        let primary = format!("host={host} port={port} user=postgres sslmode=disable");
        Self::start_in(folder, &[("fsync", "off"), ("primary_conninfo", &primary)]).await
    }

    /// The database that a standby received.
    pub async fn received(&self) -> Database {
        Database::at(self.postgres.url("rollcall")).await
    }

    /// Makes a standby a primary.
    pub async fn promote(&self) {
        let mut admin =
            PgConnection::connect(&self.postgres.url("postgres")).await.expect("Postgres answers");
        let promoted: bool = sqlx::query_scalar("select pg_promote(true, 60)")
            .fetch_one(&mut admin)
            .await
            .expect("it can be asked");
        assert!(promoted, "it is a primary");
    }

    /// Ends its postmaster by this signal: KILL as a crash would, INT in order, QUIT in between. It stays away until
    /// it is revived.
    pub fn signal(&self, signal: &str) {
        let file = fs::read_to_string(self.folder.join("data/postmaster.pid")).expect("it runs");
        let pid = file.lines().next().expect("the first line is the process");
        let sent = Command::new("kill").args([&format!("-{signal}"), pid]).status();
        assert!(sent.expect("kill runs").success(), "the postmaster takes SIG{signal}");
    }

    /// What it wrote to its log since it was started last.
    pub fn log(&self) -> String {
        let text = fs::read(self.folder.join("postgres.log")).expect("the log can be read");
        String::from_utf8_lossy(&text).into_owned()
    }

    /// Starts it again, and waits until it answers.
    pub async fn revive(&self) -> Revived {
        let (postgres, stop) = (Arc::clone(&self.postgres), CancellationToken::new());
        let supervised = tokio::spawn({
            let stop = stop.clone();
            async move { postgres.supervise(stop).await.expect("Postgres comes back") }
        });
        let connect = async || PgConnection::connect(&self.postgres.url("postgres")).await.map(drop);
        eventually("Postgres answers again", connect, Result::is_ok).await.expect("it answered");
        Revived { stop, supervised }
    }

    /// Stops it and removes its folder.
    pub async fn end(self) {
        let postgres = Arc::into_inner(self.postgres).expect("nobody else holds it");
        postgres.stop().await;
        fs::remove_dir_all(&self.folder).expect("its folder can be removed");
    }
}

fn new_folder() -> PathBuf {
    std::env::temp_dir().join(format!("rollcall-private-{}", Uuid::new_v4().simple()))
}

/// A cluster that came back and is looked after: until this is let go, it would come back again.
#[derive(Debug)]
pub struct Revived {
    stop: CancellationToken,
    supervised: JoinHandle<()>,
}

impl Revived {
    /// Looks after it no longer.
    pub async fn let_go(self) {
        self.stop.cancel();
        self.supervised.await.expect("the supervisor ends in order");
    }
}
