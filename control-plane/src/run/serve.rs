//! `rollcall serve`: a server of an installation.

use std::path::PathBuf;

use anyhow::{Context, bail};
use tokio_util::sync::CancellationToken;

use super::{
    flags::{BoundsFlags, CadenceFlags, LeadershipFlags, RetentionFlags},
    listen,
    migrate::database,
    reach::{ReachFlags, doubt},
    signals,
};
use crate::{
    auth::tokens::KeyRingFile,
    leadership::check_lock_namespace,
    postgres::{
        migrate::{check, migrate},
        pooler,
    },
    server::{self, ServerSettings},
};

/// Runs a server. One of all that share a database is active, the others stand by.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  rollcall keys create --file keys.json
  DATABASE_URL=postgres://rollcall@db/rollcall rollcall serve --token-keys keys.json --migrate
  DATABASE_URL=postgres://rollcall@db/rollcall rollcall keys bootstrap --file keys.json
  rollcall serve --listen 0.0.0.0:7420 --advertise a.example:7420 --tls-cert a.pem --tls-key a.key
  rollcall serve --listen 0.0.0.0:7420 --advertise https://a.example:443 --allow-plaintext    behind a proxy with TLS

Probes, on the same port:
  /health/live     the process runs
  /health/ready    its database answers
  /health/active   this is the server to send clients to (also while it recovers)
  /metrics         Prometheus")]
pub struct Serve {
    /// Postgres that holds everything: postgres://user:password@host/database
    #[arg(long, env = "DATABASE_URL", hide_env_values = true, value_name = "URL")]
    database_url: String,
    /// File with the keys that tokens are made and judged by; made by `rollcall keys create`, read again when it changes
    #[arg(long, env = "ROLLCALL_TOKEN_KEYS", value_name = "FILE")]
    token_keys: PathBuf,
    /// Bring the schema to this release first
    #[arg(long)]
    migrate: bool,
    #[command(flatten)]
    reach: ReachFlags,
    #[command(flatten)]
    cadence: CadenceFlags,
    #[command(flatten)]
    bounds: BoundsFlags,
    #[command(flatten)]
    leadership: LeadershipFlags,
    #[command(flatten)]
    retention: RetentionFlags,
}

impl Serve {
    pub(super) async fn run(self) -> anyhow::Result<()> {
        let cadence = self.cadence.check()?;
        let leadership = self.leadership.check()?;
        let key_ring = KeyRingFile::new(self.token_keys);
        key_ring
            .load()
            .context("cannot use the keys of --token-keys; `rollcall keys create` makes a file of them")?;
        let transport = self.reach.transport().await?;
        let (listener, address) = listen::bind(self.reach.listen).await?;
        let database = database(&self.database_url)?;
        if self.migrate {
            for version in migrate(&database).await? {
                tracing::info!(version, "a migration was applied");
            }
        } else {
            check(&database).await?;
        }
        if let Some(sign) = pooler::detect(&database).await? {
            bail!(
                "something between this server and Postgres hands sessions about: {sign}\n\
                 hint: the leader's lock belongs to a session; connect to Postgres itself"
            );
        }
        check_lock_namespace(&database, leadership.lock_namespace).await?;
        let stop = CancellationToken::new();
        signals::stop_on_signal(stop.clone())?;
        let advertised = self.reach.advertised(&transport, address)?;
        if let Some(doubt) = doubt(&transport, advertised.as_ref()) {
            tracing::warn!("{doubt}");
        }
        let advertised = advertised.map(|address| address.to_string());
        tracing::info!(%address, advertised, "listening");
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
        Ok(server::serve(listener, address, settings, stop).await?)
    }
}
