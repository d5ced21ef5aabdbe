//! `rollcall serve`: a server of an installation.

use std::net::SocketAddr;

use anyhow::{Context, bail};
use tokio_util::sync::CancellationToken;

use super::{
    flags::{BoundsFlags, CadenceFlags},
    listen,
    migrate::database,
    signals,
};
use crate::{
    auth::Token,
    postgres::migrate::{check, migrate},
    server::{self, ServerSettings},
};

/// Runs a server. One of all that share a database is active, the others stand by.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  DATABASE_URL=postgres://rollcall@db/rollcall ROLLCALL_TOKEN=... rollcall serve --migrate
  rollcall serve --listen 0.0.0.0:7420 --allow-plaintext       behind a proxy that speaks TLS

A token is a participant's UUID, a dot, and a secret of at least 32 letters and digits:
  echo \"$(uuidgen).$(openssl rand -hex 32)\"

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
    /// Token that callers present
    #[arg(long, env = "ROLLCALL_TOKEN", hide_env_values = true, value_name = "TOKEN")]
    token: String,
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
}

impl Serve {
    pub(super) async fn run(self) -> anyhow::Result<()> {
        let cadence = self.cadence.check()?;
        let token: Token = self.token.parse().context("ROLLCALL_TOKEN is not a token")?;
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
        let stop = CancellationToken::new();
        signals::stop_on_signal(stop.clone())?;
        tracing::info!(%address, "listening");
        let settings = ServerSettings { database, token, cadence, bounds: self.bounds.bounds() };
        Ok(server::serve(listener, address, settings, stop).await?)
    }
}
