//! `rollcall serve`: a server of an installation.

use std::{net::SocketAddr, path::PathBuf};

use anyhow::{Context, bail};
use tokio_util::sync::CancellationToken;

use super::{
    flags::{BoundsFlags, CadenceFlags, LeadershipFlags},
    listen,
    migrate::database,
    signals,
};
use crate::{
    auth::tokens::KeyRingFile,
    leadership::check_lock_namespace,
    postgres::migrate::{check, migrate},
    server::{self, ServerSettings},
};

/// Runs a server. One of all that share a database is active, the others stand by.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  rollcall keys create --file keys.json
  DATABASE_URL=postgres://rollcall@db/rollcall rollcall serve --token-keys keys.json --migrate
  DATABASE_URL=postgres://rollcall@db/rollcall rollcall keys bootstrap --file keys.json
  rollcall serve --listen 0.0.0.0:7420 --allow-plaintext       behind a proxy that speaks TLS

Probes, on the same port:
  /health/live     the process runs
  /health/ready    its database answers
  /health/active   this is the server to send clients to (also while it recovers)
  /metrics         Prometheus")]
pub struct Serve {
    /// Postgres that holds everything: postgres://user:password@host/database
    #[arg(long, env = "DATABASE_URL", hide_env_values = true, value_name = "URL")]
    database_url: String,
    /// Address for gRPC, health and metrics
    #[arg(long, env = "ROLLCALL_LISTEN", value_name = "ADDR", default_value = "127.0.0.1:7420")]
    listen: SocketAddr,
    /// File with the keys that tokens are made and judged by; made by `rollcall keys create`, read again when it changes
    #[arg(long, env = "ROLLCALL_TOKEN_KEYS", value_name = "FILE")]
    token_keys: PathBuf,
    /// Bring the schema to this release first
    #[arg(long)]
    migrate: bool,
    /// Serve without TLS on an address that others can reach
    #[arg(long)]
    allow_plaintext: bool,
    #[command(flatten)]
    cadence: CadenceFlags,
    #[command(flatten)]
    bounds: BoundsFlags,
    #[command(flatten)]
    leadership: LeadershipFlags,
}

impl Serve {
    pub(super) async fn run(self) -> anyhow::Result<()> {
        let cadence = self.cadence.check()?;
        let leadership = self.leadership.check()?;
        let key_ring = KeyRingFile::new(self.token_keys);
        key_ring
            .load()
            .context("cannot use the keys of --token-keys; `rollcall keys create` makes a file of them")?;
        if !self.listen.ip().is_loopback() && !self.allow_plaintext {
            bail!(
                "{} can be reached by others, and tokens would travel in clear\n\
                 hint: put a proxy that speaks TLS in front and say --allow-plaintext, or listen on 127.0.0.1",
                self.listen
            );
        }
        let (listener, address) = listen::bind(self.listen).await?;
        let database = database(&self.database_url)?;
        if self.migrate {
            for version in migrate(&database).await? {
                tracing::info!(version, "a migration was applied");
            }
        } else {
            check(&database).await?;
        }
        check_lock_namespace(&database, leadership.lock_namespace).await?;
        let stop = CancellationToken::new();
        signals::stop_on_signal(stop.clone())?;
        tracing::info!(%address, "listening");
        let settings =
            ServerSettings { database, key_ring, cadence, bounds: self.bounds.bounds(), leadership };
        Ok(server::serve(listener, address, settings, stop).await?)
    }
}
