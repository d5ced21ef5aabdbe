//! `rollcall doctor`: looks at everything that a server needs, and changes nothing.
//!
//! - [`settings`] and [`database`] look; [`access`], [`postgres`] and the rest of `settings` judge, without I/O;
//! - [`finding`] is what is told, [`store`] has every query.
//!
//! The word of a check does not change, for programs watch for it. Each finding that is not ok says what to do.

mod access;
mod database;
mod finding;
mod postgres;
mod settings;
mod store;

use std::{path::PathBuf, process::ExitCode};

use self::finding::{Finding, Report, Verdict};
use super::{
    flags::{BoundsFlags, CadenceFlags, LeadershipFlags, RetentionFlags},
    migrate,
    reach::ReachFlags,
};

/// Looks whether a server would work here: settings, certificate, keys, database. Takes the flags and variables of
/// `rollcall serve`, and changes nothing.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  rollcall doctor                    with the variables of the environment, as `rollcall serve` takes them
  rollcall doctor --json | jq -r '.findings[] | select(.verdict != \"ok\") | .check'

Exit codes:
  0  nothing failed; there may be warnings
  1  something failed
  2  wrong usage")]
pub struct Doctor {
    /// Postgres that holds everything: postgres://user:password@host/database
    #[arg(long, env = "DATABASE_URL", hide_env_values = true, value_name = "URL")]
    database_url: Option<String>,
    /// File with the keys that tokens are made and judged by
    #[arg(long, env = "ROLLCALL_TOKEN_KEYS", value_name = "FILE")]
    token_keys: Option<PathBuf>,
    /// Print JSON instead of lines
    #[arg(long)]
    json: bool,
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

impl Doctor {
    pub(super) async fn run(self) -> anyhow::Result<ExitCode> {
        let mut findings = vec![settings::cadence(&self.cadence), settings::retention(&self.retention)];
        findings.extend(settings::reach(&self.reach).await);
        findings.push(settings::keys(self.token_keys));
        findings.extend(match self.database_url.as_deref().map(migrate::database) {
            // Servers are told by their name, and this is none.
            Some(Ok(options)) => {
                let options = options.application_name("rollcall-doctor");
                database::check(&options, &self.bounds.bounds(), self.leadership.lock_namespace).await
            }
            Some(Err(error)) => vec![no_database(&error.to_string())],
            None => vec![no_database("no database is named")],
        });
        let report = Report::new(findings);
        if self.json {
            println!("{}", serde_json::to_string_pretty(&report)?);
        } else {
            print!("{}", report.to_table());
        }
        Ok(match report.verdict {
            Verdict::Ok | Verdict::Warning => ExitCode::SUCCESS,
            Verdict::Failed => ExitCode::FAILURE,
        })
    }
}

fn no_database(detail: &str) -> Finding {
    Finding::failed(
        "database",
        detail,
        "Set DATABASE_URL to postgres://user:password@host/database; the checks of it were left out",
    )
}
