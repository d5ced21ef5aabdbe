//! The command line and the environment.

use std::path::PathBuf;

use clap::{CommandFactory, Parser, ValueEnum, error::ErrorKind};
use contracts::{EventEnvelopeVersion, NodeId, SessionId};
use daemon_client::{Addresses, Config, Health, Token};

use crate::{
    capability::{CapabilityFlag, declaration},
    exit::Exit,
};

const EXAMPLES: &str = "\
Examples:
  Attach this machine to a session, with what `rollcall dev` printed:
    export ROLLCALL_ADDR=http://127.0.0.1:7420
    export ROLLCALL_TOKEN=...
    rollcall-daemon --session 01890a5d-ac96-774b-bcce-b302099a8057 --capability codex

  A second node on one machine, with an active server and a standby:
    rollcall-daemon --session ... --node-id build-2 --capability builder@1.0 \\
        --addr http://10.0.0.1:7420,http://10.0.0.2:7420

The daemon beats at the server's pace until it is stopped. It outlives any outage of
the control plane without attaching anew. Logs go to stderr, as JSON when that is not a
terminal; RUST_LOG sets how much.";

/// Keeps this machine attached to a Rollcall session as a runtime node.
// There is no `Debug`: it would show the token.
#[derive(Parser)]
#[command(name = "rollcall-daemon", version, max_term_width = 100, after_help = format!("{EXAMPLES}\n\n{}", Exit::table()))]
pub(crate) struct Flags {
    /// Addresses of the control plane, comma-separated: the active server and its standbys, in any order.
    #[arg(long, value_name = "URL[,URL]", env = "ROLLCALL_ADDR", default_value = "http://127.0.0.1:7420")]
    addr: Addresses,

    /// Token that says who owns the node. Better set in the environment: others on this machine can read flags.
    // Kept as text and parsed later, for clap shows a value that it cannot parse.
    #[arg(long, value_name = "TOKEN", env = "ROLLCALL_TOKEN", hide_env_values = true)]
    token: String,

    /// Session to attach to.
    #[arg(long, value_name = "UUID", env = "ROLLCALL_SESSION")]
    session: SessionId,

    /// Name of this node, the same at each start. Made once and kept in the state folder unless it is given. A second
    /// daemon with the same name supersedes the first.
    #[arg(long, value_name = "NAME", env = "ROLLCALL_NODE_ID")]
    pub(crate) node_id: Option<NodeId>,

    /// Folder that keeps the node id [default: $XDG_STATE_HOME/rollcall or ~/.local/state/rollcall].
    #[arg(long, value_name = "FOLDER", env = "ROLLCALL_STATE_DIR")]
    pub(crate) state_dir: Option<PathBuf>,

    /// Something that this node can do, with the version of its contract, 1.0 unless given. May be repeated. Without
    /// any, the node keeps what it declared last.
    #[arg(long = "capability", value_name = "KEY[@MAJOR.MINOR]")]
    capabilities: Vec<CapabilityFlag>,

    /// Version of the event envelope that this node speaks. A session's floor may make older ones read-only.
    #[arg(long, value_name = "MAJOR.MINOR", default_value_t = EventEnvelopeVersion::current())]
    client_version: EventEnvelopeVersion,

    /// Health that this node reports of itself.
    #[arg(long, value_enum, default_value = "online")]
    health: HealthFlag,
}

#[derive(Clone, Copy, ValueEnum)]
enum HealthFlag {
    /// All is well.
    Online,
    /// At work, but not at its best.
    Degraded,
}

impl From<HealthFlag> for Health {
    fn from(flag: HealthFlag) -> Self {
        match flag {
            HealthFlag::Online => Self::Online,
            HealthFlag::Degraded => Self::Degraded,
        }
    }
}

impl Flags {
    /// What the client needs.
    ///
    /// # Errors
    ///
    /// Faults that clap cannot see, told as clap tells its own.
    pub(crate) fn config(self, node_id: NodeId) -> Result<Config, clap::Error> {
        let wrong = |flag: &str, error: &dyn std::error::Error| {
            Self::command().error(ErrorKind::ValueValidation, format!("{flag}: {error}"))
        };
        Ok(Config {
            addresses: self.addr,
            token: Token::parse(&self.token).map_err(|error| wrong("--token", &error))?,
            session_id: self.session,
            node_id,
            client_version: self.client_version,
            health: self.health.into(),
            declaration: declaration(&self.capabilities).map_err(|error| wrong("--capability", &error))?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SESSION: &str = "01890a5d-ac96-774b-bcce-b302099a8057";

    fn parse(more: &[&str]) -> Result<Flags, clap::Error> {
        let base = ["rollcall-daemon", "--token", "t0ken", "--session", SESSION];
        Flags::try_parse_from(base.iter().chain(more))
    }

    #[test]
    fn the_command_line_is_well_formed() {
        Flags::command().debug_assert();
    }

    #[test]
    fn the_tour_parses() {
        let flags =
            parse(&["--node-id", "laptop-1", "--capability", "codex", "--client-version", "1.0"]).unwrap();
        let config = flags.config("laptop-1".parse().unwrap()).unwrap();
        assert_eq!(config.session_id.to_string(), SESSION);
        assert_eq!(config.health, Health::Online);
        assert_eq!(config.declaration.unwrap().keys().collect::<Vec<_>>(), ["codex"]);
    }

    #[test]
    fn a_wrong_token_is_never_shown() {
        let flags =
            Flags::try_parse_from(["rollcall-daemon", "--token", "s3cret word", "--session", SESSION]);
        let error = flags.unwrap_or_else(|error| panic!("{error}")).config("n".parse().unwrap()).unwrap_err();
        assert!(!error.to_string().contains("s3cret"), "{error}");
        assert_eq!(error.exit_code(), 2);
    }

    #[test]
    fn a_capability_given_twice_is_a_usage_error() {
        let flags =
            parse(&["--capability", "a", "--capability", "a@1.1"]).unwrap_or_else(|error| panic!("{error}"));
        assert_eq!(flags.config("n".parse().unwrap()).unwrap_err().exit_code(), 2);
    }

    #[test]
    fn help_lists_examples_and_exit_codes_and_no_secret() {
        let help = Flags::command().render_long_help().to_string();
        assert!(help.contains("Examples:") && help.contains("  10  another daemon took over"), "{help}");
    }
}
