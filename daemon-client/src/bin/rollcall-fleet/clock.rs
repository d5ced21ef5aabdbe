//! The time since the start of the run, which everything here counts in.

use std::time::{Duration, SystemTime};

use tokio::time::Instant;

/// Began with the run.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Clock {
    started: Instant,
    unix_started: Duration,
}

impl Clock {
    #[expect(
        clippy::disallowed_methods,
        reason = "events are compared with what other programs write; nothing is decided by this clock"
    )]
    pub(crate) fn start() -> Self {
        let unix_started = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        Self { started: Instant::now(), unix_started }
    }

    /// Since the start.
    pub(crate) fn now(&self) -> Duration {
        self.started.elapsed()
    }

    /// The instant of a time since the start.
    pub(crate) fn instant(&self, at: Duration) -> Instant {
        self.started + at
    }

    /// A time since the start as one since 1970, by the clock of this machine at the start.
    pub(crate) fn unix(&self, at: Duration) -> Duration {
        self.unix_started + at
    }
}
