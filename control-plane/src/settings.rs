//! Settings of a server, validated where they are made.

use std::time::Duration;

use contracts::limits;

use crate::{event_log::store::Keeping, leadership::locks::LockNamespace};

/// How often nodes beat and the sweep runs, and how much silence means what.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cadence {
    heartbeat_interval: Duration,
    sweep_interval: Duration,
    degraded_after: Duration,
    offline_after: Duration,
    brake_hold: Duration,
}

/// Why durations do not make a cadence.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CadenceError {
    /// An interval is too short to mean anything.
    #[error("{0} must be at least 100ms")]
    TooShort(&'static str),
    /// A duration is longer than a day.
    #[error("{0} must be at most 1day")]
    TooLong(&'static str),
    /// The sweep would see each silence more than one beat late.
    #[error("--sweep-interval must be at most --heartbeat-interval")]
    SweepSlowerThanBeats,
    /// One lost beat would degrade a node.
    #[error(
        "--degraded-after must be at least twice --heartbeat-interval, so that one lost beat degrades nobody"
    )]
    DegradedTooSoon,
    /// Nodes would skip degraded.
    #[error("--offline-after must be above --degraded-after")]
    OfflineBeforeDegraded,
}

impl Cadence {
    /// Checks the durations against each other.
    ///
    /// # Errors
    ///
    /// Names the flag and the rule.
    pub fn new(
        heartbeat_interval: Duration,
        sweep_interval: Duration,
        degraded_after: Duration,
        offline_after: Duration,
        brake_hold: Duration,
    ) -> Result<Self, CadenceError> {
        for (flag, duration) in [
            ("--heartbeat-interval", heartbeat_interval),
            ("--sweep-interval", sweep_interval),
            ("--degraded-after", degraded_after),
            ("--offline-after", offline_after),
            ("--brake-hold", brake_hold),
        ] {
            if duration < Duration::from_millis(100) {
                return Err(CadenceError::TooShort(flag));
            }
            if duration > Duration::from_secs(24 * 60 * 60) {
                return Err(CadenceError::TooLong(flag));
            }
        }
        if sweep_interval > heartbeat_interval {
            return Err(CadenceError::SweepSlowerThanBeats);
        }
        if degraded_after < heartbeat_interval * 2 {
            return Err(CadenceError::DegradedTooSoon);
        }
        if offline_after <= degraded_after {
            return Err(CadenceError::OfflineBeforeDegraded);
        }
        Ok(Self { heartbeat_interval, sweep_interval, degraded_after, offline_after, brake_hold })
    }

    /// How often a node beats.
    pub fn heartbeat_interval(&self) -> Duration {
        self.heartbeat_interval
    }

    /// How often the sweep runs.
    pub fn sweep_interval(&self) -> Duration {
        self.sweep_interval
    }

    /// Silence, in service time, beyond which a node is degraded.
    pub fn degraded_after(&self) -> Duration {
        self.degraded_after
    }

    /// Silence, in service time, beyond which a node is offline.
    pub fn offline_after(&self) -> Duration {
        self.offline_after
    }

    /// How long the mass-offline brake may hold.
    pub fn brake_hold(&self) -> Duration {
        self.brake_hold
    }
}

/// How long the leader may be out of touch, for all servers of an installation: the holder tells its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lease(Duration);

/// Why a duration is no lease.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("--lease must be between 1s and 1h")]
pub struct LeaseError;

impl Lease {
    /// Checks the duration.
    ///
    /// # Errors
    ///
    /// It is too short to verify anything in, or too long to be of use.
    pub fn new(length: Duration) -> Result<Self, LeaseError> {
        let allowed = Duration::from_secs(1)..=Duration::from_secs(60 * 60);
        if allowed.contains(&length) { Ok(Self(length)) } else { Err(LeaseError) }
    }

    /// A holder that did not renew for as long is evicted by a standby.
    pub fn length(self) -> Duration {
        self.0
    }

    /// A holder stops trusting itself this long after the start of its last good verification: well before anybody
    /// evicts it.
    pub fn trust(self) -> Duration {
        self.0 / 2
    }

    /// How often the holder verifies and renews.
    pub fn verify_interval(self) -> Duration {
        self.0 / 10
    }
}

/// How this server takes part in leadership.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LeadershipSettings {
    /// How long a holder that does not renew keeps the lock.
    pub lease: Lease,
    /// The number of the leader's lock.
    pub lock_namespace: LockNamespace,
    /// Duties that this server does not run when it leads.
    pub disabled_duties: Vec<&'static str>,
}

/// How long something is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Keep {
    /// For this long.
    For(Duration),
    /// Until somebody deletes it.
    Forever,
}

/// How long dead things are kept, and how often they are looked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Retention {
    /// Time between two passes.
    pub interval: Duration,
    /// Nodes that are not heard, in service time.
    pub offline_nodes: Keep,
    /// Spans that ended.
    pub spans: Keep,
    /// Rows of the audit.
    pub audit: Keep,
    /// Logs of sessions.
    pub logs: LogRetention,
}

/// What is kept of the logs of sessions, and for whom.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LogRetention {
    /// Time between two passes of the duties that make checkpoints and prune.
    pub interval: Duration,
    /// A checkpoint is made after so many events.
    pub checkpoint_every: u64,
    /// Events of a session at most; none for all.
    pub events: Option<u64>,
    /// Bytes of the payloads of a session at most; none for all.
    pub bytes: Option<u64>,
    /// How long an event is kept.
    pub age: Keep,
    /// Bytes of payloads that are kept beyond that for a replica that lacks them.
    pub replica_bytes: u64,
    /// How long an event is kept beyond that for a replica that lacks it.
    pub replica_age: Duration,
    /// How long after a promotion nothing is pruned, so that replicas find their way back first.
    pub reconnect_grace: Duration,
}

impl LogRetention {
    /// What is kept at most.
    pub(crate) fn keeping(&self) -> Keeping {
        let age = match self.age {
            Keep::For(age) => Some(age),
            Keep::Forever => None,
        };
        Keeping { events: self.events, bytes: self.bytes, age }
    }

    /// What is kept for replicas that lack it.
    pub(crate) fn holding(&self) -> Keeping {
        Keeping { events: None, bytes: Some(self.replica_bytes), age: Some(self.replica_age) }
    }
}

impl Default for LogRetention {
    fn default() -> Self {
        Self {
            interval: Duration::from_secs(30),
            checkpoint_every: 1_000,
            events: None,
            bytes: None,
            age: Keep::Forever,
            replica_bytes: 64 * 1024 * 1024,
            replica_age: Duration::from_secs(60 * 60),
            reconnect_grace: Duration::from_secs(2 * 60),
        }
    }
}

/// Bounds that an operator may set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// Active nodes in one session.
    pub active_nodes_per_session: u32,
    /// Lanes that beats are split into, and connections that write them.
    pub beat_lanes: u16,
    /// Beats that may wait in one lane.
    pub beats_queued_per_lane: u32,
    /// What one participant may ask of one server.
    pub quotas: QuotaBounds,
}

/// What one participant may ask of one server at once. Generous: one may own a whole fleet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct QuotaBounds {
    /// Calls that are not answered yet, streams apart.
    pub calls_in_flight: u32,
    /// Streams that are open.
    pub streams: u32,
    /// Attaches a second, for long.
    pub attaches_per_second: u32,
    /// Attaches at once, after a while of none.
    pub attach_burst: u32,
}

impl Default for QuotaBounds {
    fn default() -> Self {
        Self { calls_in_flight: 1_024, streams: 20_000, attaches_per_second: 2_000, attach_burst: 20_000 }
    }
}

impl Default for Bounds {
    fn default() -> Self {
        Self {
            active_nodes_per_session: limits::ACTIVE_NODES_PER_SESSION_DEFAULT,
            beat_lanes: 2,
            beats_queued_per_lane: 65_536,
            quotas: QuotaBounds::default(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(seconds: [f64; 4], expected: Result<(), CadenceError>) {
        let [beat, sweep, degraded, offline] = seconds.map(Duration::from_secs_f64);
        let result = Cadence::new(beat, sweep, degraded, offline, Duration::from_secs(60));
        assert_eq!(result.map(drop), expected, "{seconds:?}");
    }

    #[test]
    fn a_lease_has_room_for_several_verifications() {
        let lease = Lease::new(Duration::from_secs(10)).unwrap();
        assert_eq!(lease.verify_interval(), Duration::from_secs(1));
        assert_eq!(lease.trust(), Duration::from_secs(5));
        for (seconds, is_good) in [(0.999, false), (1.0, true), (3_600.0, true), (3_601.0, false)] {
            assert_eq!(Lease::new(Duration::from_secs_f64(seconds)).is_ok(), is_good, "{seconds}");
        }
    }

    #[test]
    fn durations_are_checked_at_their_edges() {
        check([15.0, 5.0, 30.0, 60.0], Ok(()));
        check([15.0, 15.0, 30.0, 30.001], Ok(()));
        check([15.0, 15.001, 30.0, 60.0], Err(CadenceError::SweepSlowerThanBeats));
        check([15.0, 5.0, 29.999, 60.0], Err(CadenceError::DegradedTooSoon));
        check([15.0, 5.0, 30.0, 30.0], Err(CadenceError::OfflineBeforeDegraded));
        check([0.1, 0.1, 0.2, 0.3], Ok(()));
        check([0.099, 0.1, 0.2, 0.3], Err(CadenceError::TooShort("--heartbeat-interval")));
        check([0.1, 0.0, 0.2, 0.3], Err(CadenceError::TooShort("--sweep-interval")));
        check([15.0, 5.0, 30.0, 86_401.0], Err(CadenceError::TooLong("--offline-after")));
    }
}
