//! Logs on stderr: for people on a terminal, JSON anywhere else.

use std::io::{self, IsTerminal};

use tracing_subscriber::{EnvFilter, filter::LevelFilter};

/// Starts the logs; tells whether they are JSON.
pub(super) fn start() -> bool {
    // What cannot be read in `RUST_LOG` is told on stderr and left out. The migrator is told about by our own lines.
    let filter = EnvFilter::builder()
        .with_default_directive(LevelFilter::INFO.into())
        .from_env_lossy()
        .add_directive("refinery_core=warn".parse().unwrap_or_else(|_| LevelFilter::INFO.into()));
    let logs = tracing_subscriber::fmt().with_env_filter(filter).with_writer(io::stderr);
    let for_people = io::stderr().is_terminal();
    if for_people {
        logs.with_target(false).init();
    } else {
        logs.json().flatten_event(true).init();
    }
    !for_people
}
