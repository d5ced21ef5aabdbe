//! The command line and the environment.

use std::path::{Path, PathBuf};

use clap::{Parser, ValueEnum};
use contracts::{EventEnvelopeVersion, NodeId, SessionId};
use daemon_client::{
    Config, Health, JoinToken, TokenSource,
    replica::{self, OnForeignHistory},
};

use crate::{
    capability::{CapabilityFlag, declaration},
    exit::Exit,
    replica_flags::Command,
    server_flags::{ServerFlags, missing, wrong},
};

/// Name of the file in the state folder.
const TOKEN_FILE: &str = "token";

const EXAMPLES: &str = "\
Examples:
  Attach this machine to a session, with what `rollcall dev` printed:
    export ROLLCALL_ADDR=http://127.0.0.1:7420
    export ROLLCALL_TOKEN=...
    rollcall-daemon --session 01890a5d-ac96-774b-bcce-b302099a8057 --capability codex

  A new machine, with a join token from an admin, over TLS:
    export ROLLCALL_JOIN_TOKEN=...
    rollcall-daemon --session ... --addr https://rollcall.example:7420 --ca-cert ca.pem \\
        --token-file /var/lib/rollcall/token

  A second node on one machine, with an active server and a standby:
    rollcall-daemon --session ... --node-id build-2 --capability builder@1.0 \\
        --addr http://10.0.0.1:7420,http://10.0.0.2:7420

  Keep a replica of the session's log, and look at it:
    rollcall-daemon --session ... --replica /var/lib/rollcall/replica
    rollcall-daemon replica show /var/lib/rollcall/replica

The daemon beats at the server's pace until it is stopped. It outlives any outage of
the control plane without attaching anew. It renews its token before that ends, and puts
the new one into the token file, which it reads again whenever that changes. Logs go to stderr, as JSON when that is not a
terminal; RUST_LOG sets how much.";

/// Keeps this machine attached to a Rollcall session as a runtime node.
// There is no `Debug`: it would show the token.
#[derive(Parser)]
#[command(name = "rollcall-daemon", version, subcommand_negates_reqs = true, args_conflicts_with_subcommands = true, max_term_width = 100, after_help = format!("{EXAMPLES}\n\n{}", Exit::table()))]
pub(crate) struct Flags {
    #[command(subcommand)]
    pub(crate) command: Option<Command>,

    #[command(flatten)]
    servers: ServerFlags,

    /// Join token, exchanged once for a token when there is none in the token file, which is `token` in the state folder
    /// unless --token-file says otherwise. Better set in the environment.
    #[arg(
        long,
        value_name = "TOKEN",
        env = "ROLLCALL_JOIN_TOKEN",
        hide_env_values = true,
        conflicts_with = "token"
    )]
    join_token: Option<String>,

    /// Session to attach to.
    #[arg(long, value_name = "UUID", env = "ROLLCALL_SESSION", required = true)]
    session: Option<SessionId>,

    /// Name of this node, the same at each start. Made once and kept in the state folder unless it is given. A second
    /// daemon with the same name supersedes the first.
    #[arg(long, value_name = "NAME", env = "ROLLCALL_NODE_ID")]
    pub(crate) node_id: Option<NodeId>,

    /// Folder that keeps the node id, and the token of a join token [default: $XDG_STATE_HOME/rollcall or ~/.local/state/rollcall].
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

    /// Folder of a replica of the session's log, made if it is not there. One daemon has it at a time.
    #[arg(long, value_name = "FOLDER", env = "ROLLCALL_REPLICA")]
    replica: Option<PathBuf>,

    /// When the server follows another history than the replica, put the replica's file aside and begin anew. Without
    /// this the replica halts, and the node stays attached.
    #[arg(long, requires = "replica")]
    adopt_foreign_history: bool,
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
    /// What the client needs. `state` is the state folder, if there is a place for one.
    ///
    /// # Errors
    ///
    /// Faults that clap cannot see, told as clap tells its own.
    pub(crate) fn config(self, node_id: NodeId, state: Option<&Path>) -> Result<Config, clap::Error> {
        let token = self.token_source(state)?;
        let trust = self.servers.trust()?;
        let session_id = self.session.ok_or_else(|| missing("a session is required: pass --session"))?;
        let on_foreign_history =
            if self.adopt_foreign_history { OnForeignHistory::Adopt } else { OnForeignHistory::Halt };
        let replica =
            self.replica.map(|folder| replica::Config { on_foreign_history, ..replica::Config::new(folder) });
        Ok(Config {
            addresses: self.servers.addr,
            token,
            trust,
            session_id,
            node_id,
            client_version: self.client_version,
            health: self.health.into(),
            replica,
            declaration: declaration(&self.capabilities).map_err(|error| wrong("--capability", &error))?,
        })
    }

    fn token_source(&self, state: Option<&Path>) -> Result<TokenSource, clap::Error> {
        if let Some(token) = self.servers.token()? {
            return Ok(token.into());
        }
        let join = self.join_token.as_deref().map(JoinToken::parse).transpose();
        let join = join.map_err(|error| wrong("--join-token", &error))?;
        let kept = || {
            let path = state?.join(TOKEN_FILE);
            (join.is_some() || path.exists()).then_some(path)
        };
        match self.servers.token_file.clone().or_else(kept) {
            Some(path) => Ok(TokenSource::File { path, join }),
            None if join.is_some() => {
                Err(missing("there is no place to keep a token in: pass --token-file or --state-dir"))
            }
            None => {
                Err(missing("a token is required: set ROLLCALL_TOKEN, or pass --token-file or --join-token"))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

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
        let config = flags.config("laptop-1".parse().unwrap(), None).unwrap();
        assert_eq!(config.session_id.to_string(), SESSION);
        assert_eq!(config.health, Health::Online);
        assert_eq!(config.declaration.unwrap().keys().collect::<Vec<_>>(), ["codex"]);
    }

    #[test]
    fn a_wrong_token_is_never_shown() {
        let flags =
            Flags::try_parse_from(["rollcall-daemon", "--token", "s3cret word", "--session", SESSION]);
        let error =
            flags.unwrap_or_else(|error| panic!("{error}")).config("n".parse().unwrap(), None).unwrap_err();
        assert!(!error.to_string().contains("s3cret"), "{error}");
        assert_eq!(error.exit_code(), 2);
    }

    #[test]
    fn a_capability_given_twice_is_a_usage_error() {
        let flags =
            parse(&["--capability", "a", "--capability", "a@1.1"]).unwrap_or_else(|error| panic!("{error}"));
        assert_eq!(flags.config("n".parse().unwrap(), None).unwrap_err().exit_code(), 2);
    }

    fn without_token(more: &[&str]) -> Result<Config, clap::Error> {
        let base = ["rollcall-daemon", "--session", SESSION];
        Flags::try_parse_from(base.iter().chain(more))?
            .config("n".parse().unwrap(), Some(Path::new("/nowhere")))
    }

    #[test]
    fn a_token_comes_from_one_place() {
        let source = |more: &[&str]| without_token(more).unwrap().token;
        assert!(matches!(source(&["--token", "t"]), TokenSource::Given(_)));
        assert!(
            matches!(source(&["--token-file", "f"]), TokenSource::File { path, join: None } if path == Path::new("f"))
        );
        assert!(matches!(source(&["--token-file", "f", "--join-token", "j"]),
            TokenSource::File { path, join: Some(_) } if path == Path::new("f")));
        assert!(matches!(source(&["--join-token", "j"]),
            TokenSource::File { path, join: Some(_) } if path == Path::new("/nowhere/token")));
        for more in [&["--token", "t", "--token-file", "f"][..], &["--token", "t", "--join-token", "j"], &[]]
        {
            assert_eq!(without_token(more).unwrap_err().exit_code(), 2, "{more:?}");
        }
    }

    #[test]
    fn faults_of_tls_are_usage_errors_that_say_why() {
        let error = without_token(&["--token", "t", "--ca-cert", "/nowhere/ca.pem"]).unwrap_err().to_string();
        assert!(error.contains("--ca-cert: cannot read /nowhere/ca.pem: "), "{error}");
        assert!(without_token(&["--token", "t", "--tls-server-name", "no name"]).is_err());
        for mixed in ["https://a,http://b", "https://a,b"] {
            assert!(without_token(&["--token", "t", "--addr", mixed]).is_err(), "{mixed}");
        }
    }

    #[test]
    fn help_lists_examples_and_exit_codes_and_no_secret() {
        let help = Flags::command().render_long_help().to_string();
        assert!(help.contains("Examples:") && help.contains("  10  another daemon took over"), "{help}");
    }
}
