//! `rollcall migrate`.

use anyhow::Context;
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
    let options: PgConnectOptions =
        url.parse().context("DATABASE_URL must be postgres://user:password@host/database")?;
    Ok(options.application_name("rollcall"))
}
