//! The bounds that the engine keeps.

use std::time::Duration;

use super::Budget;

/// The bounds that the engine keeps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settings {
    /// From an introduction to what the replica needs.
    pub handshake_max: Duration,
    /// Of a catch-up.
    pub catch_up: Budget,
    /// Of a rebuild.
    pub rebuild: Budget,
    /// How long what a recovery holds stays held without a step forward, budget or not.
    pub pin_lease: Duration,
    /// Events on their way to one replica.
    pub window: usize,
    /// Recoveries under way at once.
    pub recoveries_max: usize,
    /// Events that a replica in sync may lack before it is called degraded.
    pub lag_max: u64,
    /// How long it may lack events and acknowledge none before it is.
    pub silence_max: Duration,
    /// After how long without anything else to send a replica is told where the log ends.
    pub bookmark_interval: Duration,
    /// How long after a promotion nothing is pruned, so that replicas find their way back first.
    pub reconnect_grace: Duration,
}

impl Settings {
    /// What a server runs with unless it is told otherwise.
    pub const DEFAULT: Self = Self {
        handshake_max: Duration::from_secs(30),
        catch_up: Budget {
            duration_max: Some(Duration::from_secs(15 * 60)),
            entries_max: None,
            stall_max: Some(Duration::from_secs(60)),
        },
        rebuild: Budget {
            duration_max: Some(Duration::from_secs(60 * 60)),
            entries_max: None,
            stall_max: Some(Duration::from_secs(2 * 60)),
        },
        pin_lease: Duration::from_secs(5 * 60),
        window: 1_024,
        recoveries_max: 16,
        lag_max: 10_000,
        silence_max: Duration::from_secs(30),
        bookmark_interval: Duration::from_secs(10),
        reconnect_grace: Duration::from_secs(2 * 60),
    };
}
