//! Settings that every server has.

use std::time::Duration;

use contracts::limits;

use crate::{
    duties,
    leadership::locks::LockNamespace,
    settings::{
        Bounds, Cadence, CadenceError, Keep, LeadershipSettings, Lease, LeaseError, LogRetention,
        QuotaBounds, Retention,
    },
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
    /// Calls of one participant that may be unanswered at once, streams apart
    #[arg(long, value_name = "N", default_value_t = QuotaBounds::default().calls_in_flight)]
    #[arg(env = "ROLLCALL_PARTICIPANT_CALLS_MAX", value_parser = clap::value_parser!(u32).range(1..))]
    participant_calls_max: u32,
    /// Streams of one participant that may be open at once
    #[arg(long, value_name = "N", default_value_t = QuotaBounds::default().streams)]
    #[arg(env = "ROLLCALL_PARTICIPANT_STREAMS_MAX", value_parser = clap::value_parser!(u32).range(1..))]
    participant_streams_max: u32,
    /// Attaches of one participant a second, for long
    #[arg(long, value_name = "N", default_value_t = QuotaBounds::default().attaches_per_second)]
    #[arg(env = "ROLLCALL_PARTICIPANT_ATTACH_RATE", value_parser = clap::value_parser!(u32).range(1..))]
    participant_attach_rate: u32,
    /// Attaches of one participant at once, after a while of none
    #[arg(long, value_name = "N", default_value_t = QuotaBounds::default().attach_burst)]
    #[arg(env = "ROLLCALL_PARTICIPANT_ATTACH_BURST", value_parser = clap::value_parser!(u32).range(1..))]
    participant_attach_burst: u32,
}

impl BoundsFlags {
    pub(super) fn bounds(&self) -> Bounds {
        Bounds {
            active_nodes_per_session: self.session_nodes_max,
            beat_lanes: self.beat_lanes,
            beats_queued_per_lane: self.beats_queued_max,
            quotas: QuotaBounds {
                calls_in_flight: self.participant_calls_max,
                streams: self.participant_streams_max,
                attaches_per_second: self.participant_attach_rate,
                attach_burst: self.participant_attach_burst,
            },
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

const KEPT_MIN: Duration = Duration::from_secs(24 * 60 * 60);
const KEPT_MAX: Duration = Duration::from_secs(36_500 * 24 * 60 * 60);
const INTERVAL_MIN: Duration = Duration::from_millis(100);
const INTERVAL_MAX: Duration = Duration::from_secs(24 * 60 * 60);

#[derive(Clone, Debug, clap::Args)]
#[command(next_help_heading = "Retention")]
pub(super) struct RetentionFlags {
    /// How long a node that is not heard is kept, in time of service: at least 1day, or forever
    #[arg(long, value_name = "DURATION", default_value = "30days", value_parser = keep)]
    #[arg(env = "ROLLCALL_RETAIN_OFFLINE_NODES")]
    retain_offline_nodes: Keep,
    /// How long the record of who was attached where is kept after its end: at least 1day, or forever
    #[arg(long, value_name = "DURATION", default_value = "400days", value_parser = keep)]
    #[arg(env = "ROLLCALL_RETAIN_SPANS")]
    retain_spans: Keep,
    /// How long the audit is kept: at least 1day, or forever
    #[arg(long, value_name = "DURATION", default_value = "400days", value_parser = keep)]
    #[arg(env = "ROLLCALL_RETAIN_AUDIT")]
    retain_audit: Keep,
    /// How often what is no longer kept is looked for
    #[arg(long, value_name = "DURATION", default_value = "10m", value_parser = retention_interval)]
    #[arg(env = "ROLLCALL_RETENTION_INTERVAL")]
    retention_interval: Duration,
    /// Events that are kept of the log of a session: a number, or forever
    #[arg(long, value_name = "N", default_value = "forever", value_parser = most)]
    #[arg(env = "ROLLCALL_RETAIN_LOG_EVENTS")]
    retain_log_events: Most,
    /// Bytes of payloads that are kept of the log of a session: a number, or forever
    #[arg(long, value_name = "BYTES", default_value = "forever", value_parser = most)]
    #[arg(env = "ROLLCALL_RETAIN_LOG_BYTES")]
    retain_log_bytes: Most,
    /// How long events are kept: at least 1day, or forever
    #[arg(long, value_name = "DURATION", default_value = "forever", value_parser = keep)]
    #[arg(env = "ROLLCALL_RETAIN_LOG_AGE")]
    retain_log_age: Keep,
    /// Bytes of payloads that are kept beyond that for a replica that lacks them; one that lacks more is rebuilt
    #[arg(long, value_name = "BYTES", default_value_t = LogRetention::default().replica_bytes)]
    #[arg(env = "ROLLCALL_REPLICA_HOLD_BYTES")]
    replica_hold_bytes: u64,
    /// How long events are kept beyond that for a replica that lacks them; one that lacks older ones is rebuilt
    #[arg(long, value_name = "DURATION", default_value = "1h", value_parser = humantime::parse_duration)]
    #[arg(env = "ROLLCALL_REPLICA_HOLD_AGE")]
    replica_hold_age: Duration,
    /// How long after a new leader began no log is pruned, so that replicas find their way back first
    #[arg(long, value_name = "DURATION", default_value = "2m", value_parser = humantime::parse_duration)]
    #[arg(env = "ROLLCALL_RECONNECT_GRACE")]
    reconnect_grace: Duration,
    /// Events after which the state of a session is stored as a checkpoint, where rebuilds begin
    #[arg(long, value_name = "N", default_value_t = LogRetention::default().checkpoint_every)]
    #[arg(env = "ROLLCALL_CHECKPOINT_EVERY", value_parser = clap::value_parser!(u64).range(1..))]
    checkpoint_every: u64,
    /// How often logs are looked at for a checkpoint, and for what is no longer kept
    #[arg(long, value_name = "DURATION", default_value = "30s", value_parser = retention_interval)]
    #[arg(env = "ROLLCALL_LOG_INTERVAL")]
    log_interval: Duration,
}

/// How much is kept at most.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Most(Option<u64>);

fn most(text: &str) -> Result<Most, String> {
    if text == "forever" {
        return Ok(Most(None));
    }
    match text.parse() {
        Ok(most) if most > 0 => Ok(Most(Some(most))),
        Ok(_) | Err(_) => Err("must be a whole number above zero, or forever".to_owned()),
    }
}

impl RetentionFlags {
    pub(super) fn retention(&self) -> Retention {
        Retention {
            interval: self.retention_interval,
            offline_nodes: self.retain_offline_nodes,
            spans: self.retain_spans,
            audit: self.retain_audit,
            logs: LogRetention {
                interval: self.log_interval,
                checkpoint_every: self.checkpoint_every,
                events: self.retain_log_events.0,
                bytes: self.retain_log_bytes.0,
                age: self.retain_log_age,
                replica_bytes: self.replica_hold_bytes,
                replica_age: self.replica_hold_age,
                reconnect_grace: self.reconnect_grace,
            },
        }
    }
}

fn keep(text: &str) -> Result<Keep, String> {
    if text == "forever" {
        return Ok(Keep::Forever);
    }
    let duration = humantime::parse_duration(text).map_err(|error| format!("{error}, or forever"))?;
    if !(KEPT_MIN..=KEPT_MAX).contains(&duration) {
        return Err("must be between 1day and 36500days, or forever".to_owned());
    }
    Ok(Keep::For(duration))
}

fn retention_interval(text: &str) -> Result<Duration, String> {
    let interval = humantime::parse_duration(text).map_err(|error| error.to_string())?;
    if !(INTERVAL_MIN..=INTERVAL_MAX).contains(&interval) {
        return Err("must be between 100ms and 1day".to_owned());
    }
    Ok(interval)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_kept_is_kept_for_a_day_or_longer_or_forever() {
        assert_eq!(keep("forever"), Ok(Keep::Forever));
        assert_eq!(keep("1day"), Ok(Keep::For(KEPT_MIN)));
        assert_eq!(keep("30days"), Ok(Keep::For(KEPT_MIN * 30)));
        for bad in ["", "0s", "23h 59m 59s", "36501days", "30", "never", "-1day"] {
            assert!(keep(bad).is_err(), "{bad}");
        }
        for bad in ["99ms", "25h", "off"] {
            assert!(retention_interval(bad).is_err(), "{bad}");
        }
    }
}
