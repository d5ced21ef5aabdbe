//! The verbs that are a server or prepare one: `rollcall dev`, `rollcall serve`, `rollcall migrate`;
//! and `rollcall doctor`, which looks whether one would work.
//!
//! `dev` brings its own Postgres, its own token and its own defaults; `serve` brings nothing and is told everything.
//! Both end in the same server.

mod dev;
mod dev_token;
mod doctor;
mod flags;
mod listen;
mod logging;
mod migrate;
mod reach;
mod serve;
mod signals;
mod token;

use std::process::ExitCode;

/// The verbs of this folder.
#[derive(Debug, clap::Subcommand)]
pub enum Command {
    /// Run a control plane on a private Postgres, for trying things out
    Dev(dev::Dev),
    /// Run a server of an installation, on the Postgres of DATABASE_URL
    Serve(serve::Serve),
    /// The keys that tokens are made with, and the first admin's token
    Keys(token::Keys),
    /// Bring the schema of DATABASE_URL to this release
    Migrate(migrate::Migrate),
    /// Look whether a server would work here, and say what to do where it would not
    Doctor(doctor::Doctor),
}

impl Command {
    /// Runs the verb and says with which code the process shall end.
    pub async fn run(self) -> ExitCode {
        let is_server = matches!(self, Self::Serve(_));
        let are_logs_json = logging::start();
        let result = match self {
            Self::Dev(dev) => dev.run().await,
            Self::Serve(serve) => serve.run().await,
            Self::Keys(keys) => keys.run().await,
            Self::Migrate(migrate) => migrate.run().await,
            Self::Doctor(doctor) => match doctor.run().await {
                Ok(code) => return code,
                Err(error) => Err(error),
            },
        };
        match result {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => {
                if is_server && are_logs_json {
                    log_end(&format!("{error:#}"));
                } else {
                    eprintln!("error: {error:#}");
                }
                ExitCode::FAILURE
            }
        }
    }
}

/// Says why a server ended to whoever reads its logs, which are nothing but JSON.
fn log_end(error: &str) {
    match error.split_once("\nhint: ") {
        Some((error, hint)) => tracing::error!(error, hint, "the server ended"),
        None => tracing::error!(error, "the server ended"),
    }
}
