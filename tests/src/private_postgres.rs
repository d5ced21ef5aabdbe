//! A Postgres that belongs to one test, which may kill it.

use std::{path::PathBuf, process::Command, sync::Arc};

use control_plane::postgres::{
    embedded::{Durability, EmbeddedPostgres, Settings},
    migrate::migrate,
};
use sqlx::{Connection, Executor, PgConnection};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::{Database, eventually};

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
        let folder = std::env::temp_dir().join(format!("rollcall-private-{}", Uuid::new_v4().simple()));
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

    /// Ends its postmaster by this signal: KILL as a crash would, INT in order, QUIT in between. It stays away until
    /// it is revived.
    pub fn signal(&self, signal: &str) {
        let file = std::fs::read_to_string(self.folder.join("data/postmaster.pid")).expect("it runs");
        let pid = file.lines().next().expect("the first line is the process");
        let sent = Command::new("kill").args([&format!("-{signal}"), pid]).status();
        assert!(sent.expect("kill runs").success(), "the postmaster takes SIG{signal}");
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
        std::fs::remove_dir_all(&self.folder).expect("its folder can be removed");
    }
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
