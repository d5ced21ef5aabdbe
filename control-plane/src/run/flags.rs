//! Settings that every server has.

use std::time::Duration;

use contracts::limits;

use crate::{
    duties,
    leadership::locks::LockNamespace,
    settings::{Bounds, Cadence, CadenceError, LeadershipSettings, Lease, LeaseError},
};

#[derive(Clone, Debug, clap::Args)]
#[command(next_help_heading = "Liveness")]
pub(super) struct CadenceFlags {
    /// How often a node is to beat
    #[arg(long, value_name = "DURATION", default_value = "15s", value_parser = humantime::parse_duration)]
    #[arg(env = "ROLLCALL_HEARTBEAT_INTERVAL")]
    heartbeat_interval: Duration,
    /// How often the sweep looks for silent nodes; at most the heartbeat interval
    #[arg(long, value_name = "DURATION", default_value = "5s", value_parser = humantime::parse_duration)]
    #[arg(env = "ROLLCALL_SWEEP_INTERVAL")]
    sweep_interval: Duration,
    /// Silence after which a node is degraded; at least twice the heartbeat interval
    #[arg(long, value_name = "DURATION", default_value = "30s", value_parser = humantime::parse_duration)]
    #[arg(env = "ROLLCALL_DEGRADED_AFTER")]
    degraded_after: Duration,
    /// Silence after which a node is offline; above --degraded-after
    #[arg(long, value_name = "DURATION", default_value = "60s", value_parser = humantime::parse_duration)]
    #[arg(env = "ROLLCALL_OFFLINE_AFTER")]
    offline_after: Duration,
    /// How long offline is held back when most of the fleet falls silent at once
    #[arg(long, value_name = "DURATION", default_value = "60s", value_parser = humantime::parse_duration)]
    #[arg(env = "ROLLCALL_BRAKE_HOLD")]
    brake_hold: Duration,
}

impl CadenceFlags {
    pub(super) fn check(&self) -> Result<Cadence, CadenceError> {
        Cadence::new(
            self.heartbeat_interval,
            self.sweep_interval,
            self.degraded_after,
            self.offline_after,
            self.brake_hold,
        )
    }
}

#[derive(Clone, Debug, clap::Args)]
#[command(next_help_heading = "Bounds")]
pub(super) struct BoundsFlags {
    /// Active nodes that one session may hold
    #[arg(long, value_name = "N", default_value_t = limits::ACTIVE_NODES_PER_SESSION_DEFAULT)]
    #[arg(env = "ROLLCALL_SESSION_NODES_MAX", value_parser = clap::value_parser!(u32).range(1..))]
    session_nodes_max: u32,
    /// Lanes that beats are written in, each with a connection of its own
    #[arg(long, value_name = "N", default_value_t = Bounds::default().beat_lanes)]
    #[arg(env = "ROLLCALL_BEAT_LANES", value_parser = clap::value_parser!(u16).range(1..=64))]
    beat_lanes: u16,
    /// Beats that may wait in one lane; one more is refused with a delay
    #[arg(long, value_name = "N", default_value_t = Bounds::default().beats_queued_per_lane)]
    #[arg(env = "ROLLCALL_BEATS_QUEUED_MAX")]
    #[arg(value_parser = clap::value_parser!(u32).range(limits::BEATS_PER_BATCH_MAX as i64..=16_777_216))]
    beats_queued_max: u32,
}

impl BoundsFlags {
    pub(super) fn bounds(&self) -> Bounds {
        Bounds {
            active_nodes_per_session: self.session_nodes_max,
            beat_lanes: self.beat_lanes,
            beats_queued_per_lane: self.beats_queued_max,
        }
    }
}

#[derive(Clone, Debug, clap::Args)]
#[command(next_help_heading = "Leadership")]
pub(super) struct LeadershipFlags {
    /// How long a leader that does not answer keeps its place: it verifies ten times in this time, stops by itself after
    /// half of it, and is evicted after all of it
    #[arg(long, value_name = "DURATION", default_value = "10s", value_parser = humantime::parse_duration)]
    #[arg(env = "ROLLCALL_LEASE")]
    lease: Duration,
    /// Number of the leader's advisory lock, the same on every server: another one only for a second installation in the
    /// same database
    #[arg(long, value_name = "N", default_value_t = LockNamespace::default(), env = "ROLLCALL_LOCK_NAMESPACE")]
    pub(super) lock_namespace: LockNamespace,
    /// Do not run this duty when leading; may be given several times
    #[arg(long = "disable-duty", value_name = "NAME", value_delimiter = ',', env = "ROLLCALL_DISABLE_DUTY")]
    #[arg(value_parser = clap::builder::PossibleValuesParser::new(duties::NAMES))]
    disabled_duties: Vec<String>,
}

impl LeadershipFlags {
    pub(super) fn check(&self) -> Result<LeadershipSettings, LeaseError> {
        let is_disabled = |name: &&&str| self.disabled_duties.iter().any(|disabled| disabled == **name);
        Ok(LeadershipSettings {
            lease: Lease::new(self.lease)?,
            lock_namespace: self.lock_namespace,
            disabled_duties: duties::NAMES.iter().filter(is_disabled).copied().collect(),
        })
    }
}
