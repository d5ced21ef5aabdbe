//! `rollcall migrate`.

use anyhow::{Context, bail};
use sqlx::postgres::PgConnectOptions;

use crate::postgres::migrate::migrate;

/// Brings the schema to this release. Safe to run at any time and by several at once; what is applied stays applied.
#[derive(Debug, clap::Args)]
pub struct Migrate {
    /// Postgres to migrate: postgres://user:password@host/database
    #[arg(long, env = "DATABASE_URL", hide_env_values = true, value_name = "URL")]
    database_url: String,
}

impl Migrate {
    pub(super) async fn run(self) -> anyhow::Result<()> {
        let applied = migrate(&database(&self.database_url)?).await?;
        if applied.is_empty() {
            println!("the schema is up to date");
        }
        for version in applied {
            println!("applied V{version}");
        }
        Ok(())
    }
}

/// Parses a database URL, without repeating it in an error: it may hold a password.
pub(super) fn database(url: &str) -> anyhow::Result<PgConnectOptions> {
    const FORM: &str = "DATABASE_URL must be postgres://user:password@host/database";
    // The driver itself takes any scheme for its own.
    if !["postgres://", "postgresql://"].iter().any(|scheme| url.starts_with(scheme)) {
        bail!(FORM);
    }
    let options: PgConnectOptions = url.parse().context(FORM)?;
    Ok(options.application_name("rollcall"))
}
