//! The command line and the environment.

use std::{path::PathBuf, time::Duration};

use clap::Parser;
use contracts::{SessionId, limits};
use daemon_client::{TokenSource, Way};

use crate::{
    judgement::Expectation,
    plan::Plan,
    server_flags::{ServerFlags, missing, wrong},
};

/// Nodes at most: a number of milliseconds since the start and a place in memory for each.
const NODES_MAX: i64 = 10_000_000;
/// Characters of a prefix: a batch of the longest names still fits in a request.
const PREFIX_CHARS_MAX: usize = 64;
/// Streams of beats over one connection, well below what a server takes.
const STREAMS_PER_CONNECTION_MAX: u32 = 100;

const EXAMPLES: &str = "\
Examples:
  A thousand nodes on what `rollcall dev` started, for a minute:
    export ROLLCALL_ADDR=http://127.0.0.1:7420
    export ROLLCALL_TOKEN=...
    rollcall-fleet --nodes 1000 --duration 1m --detach

  Silence a tenth of them after 20 s, and see that just these are found:
    rollcall-fleet --nodes 1000 --silence 0.1 --silence-after 20s --duration 2m --detach

  A drill: beat until Ctrl-C at an active server and its standby, while you kill the active one:
    rollcall-fleet --nodes 10000 --connections 8 --streams 8 --events drill.jsonl --json \\
        --addr http://10.0.0.1:7420,http://10.0.0.2:7420 > drill.json

  Drop all connections every 10 s:
    rollcall-fleet --nodes 10000 --connections 50 --streams 50 --reconnect-every 10s --duration 2m

The fleet makes sessions of its own and names its nodes after --prefix, so it can be aimed at a real
installation; --detach gives all slots back and closes these sessions at the end. It beats at the server's pace.

Progress goes to stderr, the report to stdout. Exit codes:
    0  nothing wrong was seen
    1  something wrong was seen: a living node shown silent, a silent one not found, a node that
       had to attach again, was refused for ever, or was not acknowledged at the end
    2  it could not run";

/// Simulates a fleet of daemons, beats, and tells what it saw that should not be.
// There is no `Debug`: it would show the token.
#[derive(Parser)]
#[command(name = "rollcall-fleet", version, max_term_width = 100, after_help = EXAMPLES)]
pub(crate) struct Flags {
    #[command(flatten)]
    servers: ServerFlags,

    /// Nodes of the fleet.
    #[arg(long, value_name = "N", default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=NODES_MAX))]
    nodes: u32,

    /// Sessions to make for them [default: one for each 1,000 nodes].
    #[arg(long, value_name = "K", value_parser = clap::value_parser!(u32).range(1..))]
    sessions: Option<u32>,

    /// Session to attach all of them to, in place of new ones.
    #[arg(long, value_name = "UUID", conflicts_with = "sessions")]
    session: Option<SessionId>,

    /// Connections that carry beats and attaches.
    #[arg(long, value_name = "C", default_value_t = 4, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    connections: u32,

    /// Streams of beats over them, at least one each [default: one each].
    #[arg(long, value_name = "S", value_parser = clap::value_parser!(u32).range(1..=100_000))]
    streams: Option<u32>,

    /// Interval between the beats of a node [default: as the server asks].
    #[arg(long, value_name = "DURATION", value_parser = interval)]
    cadence: Option<Duration>,

    /// Part of the interval that a beat may be early, from 0 to 1.
    #[arg(long, value_name = "FRACTION", default_value_t = 0.1, value_parser = fraction)]
    jitter: f64,

    /// What node ids begin with; a number follows. Two fleets with one prefix take each other's nodes away [default:
    /// `fleet-` and something new].
    #[arg(long, value_name = "TEXT", value_parser = prefix)]
    prefix: Option<String>,

    /// How long to beat once all are attached [default: until Ctrl-C].
    #[arg(long, value_name = "DURATION", value_parser = humantime::parse_duration)]
    pub(crate) duration: Option<Duration>,

    /// Attaches a second at most [default: as many as the server takes].
    #[arg(long, value_name = "N", value_parser = rate)]
    pub(crate) attach_rate: Option<f64>,

    /// Part of the nodes to silence, from 0 to 1. More than half of a fleet makes the server's brake hold offline back.
    #[arg(long, value_name = "FRACTION", requires = "silence_after", value_parser = fraction)]
    silence: Option<f64>,

    /// When to silence them, from when all are attached.
    #[arg(long, value_name = "DURATION", requires = "silence", value_parser = humantime::parse_duration)]
    pub(crate) silence_after: Option<Duration>,

    /// How long they keep silent [default: to the end].
    #[arg(long, value_name = "DURATION", requires = "silence", value_parser = humantime::parse_duration)]
    pub(crate) silence_for: Option<Duration>,

    /// Silence after which the server calls a node degraded: its --degraded-after.
    #[arg(long, value_name = "DURATION", default_value = "30s", value_parser = humantime::parse_duration)]
    expect_degraded: Duration,

    /// Silence after which the server calls a node offline: its --offline-after.
    #[arg(long, value_name = "DURATION", default_value = "60s", value_parser = humantime::parse_duration)]
    expect_offline: Duration,

    /// How much later than that a verdict may come: the server's --sweep-interval and some more. Gaps over the threshold
    /// are added, each with one interval, for they are no service time.
    #[arg(long, value_name = "DURATION", default_value = "10s", value_parser = humantime::parse_duration)]
    pub(crate) grace: Duration,

    /// Drop all connections at once, this often.
    #[arg(long, value_name = "DURATION", value_parser = interval)]
    pub(crate) reconnect_every: Option<Duration>,

    /// Detach all nodes at the end, and close the sessions that were made.
    #[arg(long)]
    pub(crate) detach: bool,

    /// Follow the rosters of the sessions and judge what they show.
    #[arg(long, value_name = "BOOL", default_value_t = true, num_args = 0..=1, default_missing_value = "true",
        action = clap::ArgAction::Set)]
    pub(crate) watch: bool,

    /// How long no beat of any node may be acknowledged before it counts as a gap. A fleet of N nodes cannot see gaps
    /// shorter than its interval divided by N.
    #[arg(long, value_name = "DURATION", default_value = "1s", value_parser = humantime::parse_duration)]
    pub(crate) gap_threshold: Duration,

    /// How long to look for a server at the start.
    #[arg(long, value_name = "DURATION", default_value = "30s", value_parser = humantime::parse_duration)]
    pub(crate) patience: Duration,

    /// Print the report as JSON.
    #[arg(long)]
    pub(crate) json: bool,

    /// File for what happens, one JSON object a line.
    #[arg(long, value_name = "FILE")]
    pub(crate) events: Option<PathBuf>,
}

impl Flags {
    /// The way to the servers.
    ///
    /// # Errors
    ///
    /// Faults that clap cannot see, told as clap tells its own.
    pub(crate) fn way(&self) -> Result<Way, clap::Error> {
        let source = match (self.servers.token()?, &self.servers.token_file) {
            (Some(token), _) => TokenSource::from(token),
            (None, Some(path)) => TokenSource::File { path: path.clone(), join: None },
            (None, None) => {
                return Err(missing("a token is required: set ROLLCALL_TOKEN, or pass --token-file"));
            }
        };
        Ok(Way::new(self.servers.addr.clone(), source, self.servers.trust()?))
    }

    /// The layout of the fleet. `fresh` makes the default prefix one of its own.
    pub(crate) fn plan(&self, fresh: &str) -> Plan {
        let sessions = match self.session {
            Some(_) => 1,
            None => self.sessions.unwrap_or(self.nodes.div_ceil(limits::ACTIVE_NODES_PER_SESSION_DEFAULT)),
        };
        Plan {
            prefix: self.prefix.clone().unwrap_or_else(|| format!("fleet-{fresh}")),
            nodes: self.nodes,
            sessions,
            streams: self.streams.unwrap_or(self.connections),
            silenced: self.silence.unwrap_or(0.0),
        }
    }

    /// Checks flags against each other.
    ///
    /// # Errors
    ///
    /// As clap tells its own.
    pub(crate) fn check(&self) -> Result<(), clap::Error> {
        let streams = self.streams.unwrap_or(self.connections);
        let fault = if streams < self.connections {
            "--streams: at least one for each of --connections"
        } else if streams > self.connections.saturating_mul(STREAMS_PER_CONNECTION_MAX) {
            "--streams: at most 100 for each of --connections"
        } else if self.expect_offline <= self.expect_degraded {
            "--expect-offline: must be above --expect-degraded"
        } else {
            return Ok(());
        };
        Err(wrong(fault, &OutOfRange))
    }

    pub(crate) fn given_session(&self) -> Option<String> {
        self.session.map(|session| session.to_string())
    }

    pub(crate) fn connections(&self) -> usize {
        self.connections as usize
    }

    pub(crate) fn beats(&self) -> (Option<Duration>, f64) {
        (self.cadence, self.jitter)
    }

    pub(crate) fn expectation(&self) -> Expectation {
        Expectation { degraded_after: self.expect_degraded, offline_after: self.expect_offline }
    }
}

/// Why a combination of flags is refused, after the flag and its rule.
#[derive(Debug, thiserror::Error)]
#[error("out of range")]
struct OutOfRange;

fn fraction(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(fraction) if (0.0..=1.0).contains(&fraction) => Ok(fraction),
        Ok(_) | Err(_) => Err("expected a number from 0 to 1".to_owned()),
    }
}

fn rate(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(rate) if rate >= 0.001 && rate.is_finite() => Ok(rate),
        Ok(_) | Err(_) => Err("expected a number of attaches a second, above 0".to_owned()),
    }
}

fn interval(text: &str) -> Result<Duration, String> {
    match humantime::parse_duration(text) {
        Ok(interval) if interval >= Duration::from_millis(10) => Ok(interval),
        Ok(_) => Err("expected 10ms or more".to_owned()),
        Err(error) => Err(error.to_string()),
    }
}

fn prefix(text: &str) -> Result<String, String> {
    let is_short = (1..=PREFIX_CHARS_MAX).contains(&text.chars().count());
    let is_plain = text.chars().all(|character| character.is_ascii_graphic());
    if is_short && is_plain {
        Ok(text.to_owned())
    } else {
        Err(format!("expected 1 to {PREFIX_CHARS_MAX} letters, digits or signs, no spaces"))
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    fn parse(more: &[&str]) -> Result<Flags, clap::Error> {
        Flags::try_parse_from(["rollcall-fleet", "--token", "t0ken"].iter().chain(more))
    }

    #[test]
    fn the_command_line_is_well_formed_and_its_help_has_examples() {
        Flags::command().debug_assert();
        let help = Flags::command().render_long_help().to_string();
        assert!(help.contains("Examples:") && help.contains("    2  it could not run"), "{help}");
    }

    #[test]
    fn sessions_are_as_many_as_the_nodes_need() {
        for (nodes, sessions) in [("1", 1), ("1000", 1), ("1001", 2), ("1000000", 1_000)] {
            let flags = parse(&["--nodes", nodes]).unwrap_or_else(|error| panic!("{error}"));
            assert_eq!(flags.plan("x").sessions, sessions, "{nodes}");
        }
        let given = ["--nodes", "5000", "--session", "01890a5d-ac96-774b-bcce-b302099a8057"];
        assert_eq!(parse(&given).unwrap_or_else(|error| panic!("{error}")).plan("x").sessions, 1);
    }

    #[test]
    fn what_makes_no_sense_is_refused() {
        for more in [
            &["--silence", "0.1"][..],
            &["--silence", "1.1", "--silence-after", "1s"],
            &["--silence-for", "1s"],
            &["--nodes", "0"],
            &["--cadence", "1ms"],
            &["--attach-rate", "0"],
            &["--prefix", "two words"],
            &["--prefix", ""],
            &["--connections", "2", "--streams", "1"],
            &["--connections", "1", "--streams", "101"],
            &["--expect-degraded", "60s"],
        ] {
            let error = parse(more).and_then(|flags| flags.check());
            assert_eq!(error.unwrap_err().exit_code(), 2, "{more:?}");
        }
    }

    #[test]
    fn the_watch_is_on_unless_it_is_turned_off() {
        for (more, watch) in [(&[][..], true), (&["--watch"], true), (&["--watch", "false"], false)] {
            assert_eq!(parse(more).unwrap_or_else(|error| panic!("{error}")).watch, watch);
        }
    }
}
