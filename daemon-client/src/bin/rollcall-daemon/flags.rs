//! The command line and the environment.

use std::{
    error::Error,
    path::{Path, PathBuf},
};

use clap::{CommandFactory, Parser, ValueEnum, error::ErrorKind};
use contracts::{EventEnvelopeVersion, NodeId, SessionId};
use daemon_client::{Addresses, Config, Health, JoinToken, Token, TokenSource, Trust};

use crate::{
    capability::{CapabilityFlag, declaration},
    exit::Exit,
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

The daemon beats at the server's pace until it is stopped. It outlives any outage of
the control plane without attaching anew. It renews its token before that ends, and puts
the new one into the token file, which it reads again whenever that changes. Logs go to stderr, as JSON when that is not a
terminal; RUST_LOG sets how much.";

/// Keeps this machine attached to a Rollcall session as a runtime node.
// There is no `Debug`: it would show the token.
#[derive(Parser)]
#[command(name = "rollcall-daemon", version, max_term_width = 100, after_help = format!("{EXAMPLES}\n\n{}", Exit::table()))]
pub(crate) struct Flags {
    /// Addresses of the control plane, comma-separated: the active server and its standbys, in any order, all http:// or
    /// all https://.
    #[arg(long, value_name = "URL[,URL]", env = "ROLLCALL_ADDR", default_value = "http://127.0.0.1:7420")]
    addr: Addresses,

    /// Token that says who owns the node. Better set in the environment: others on this machine can read flags.
    // Kept as text and parsed later, for clap shows a value that it cannot parse.
    #[arg(long, value_name = "TOKEN", env = "ROLLCALL_TOKEN", hide_env_values = true, conflicts_with_all = ["token_file", "join_token"])]
    token: Option<String>,

    /// File that holds the token, in place of --token. Read again when it changes; a renewed token is put there. While
    /// there is no valid token in it, the daemon waits for one [default: `token` in the state folder, if it is there or
    /// a join token is given].
    #[arg(long, value_name = "FILE", env = "ROLLCALL_TOKEN_FILE")]
    token_file: Option<PathBuf>,

    /// Join token, exchanged once for a token when there is none in the token file. Better set in the environment.
    #[arg(long, value_name = "TOKEN", env = "ROLLCALL_JOIN_TOKEN", hide_env_values = true)]
    join_token: Option<String>,

    /// PEM file of the certificates that https:// servers are checked by, in place of those of the system.
    #[arg(long, value_name = "FILE", env = "ROLLCALL_CA_CERT")]
    ca_cert: Option<PathBuf>,

    /// Name that the certificates of https:// servers must have, in place of the host of the address.
    #[arg(long, value_name = "NAME", env = "ROLLCALL_TLS_SERVER_NAME")]
    tls_server_name: Option<String>,

    /// Session to attach to.
    #[arg(long, value_name = "UUID", env = "ROLLCALL_SESSION")]
    session: SessionId,

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
        let trust = self.trust()?;
        Ok(Config {
            addresses: self.addr,
            token,
            trust,
            session_id: self.session,
            node_id,
            client_version: self.client_version,
            health: self.health.into(),
            declaration: declaration(&self.capabilities).map_err(|error| wrong("--capability", &error))?,
        })
    }

    fn token_source(&self, state: Option<&Path>) -> Result<TokenSource, clap::Error> {
        if let Some(token) = &self.token {
            return Token::parse(token).map(TokenSource::from).map_err(|error| wrong("--token", &error));
        }
        let join = self.join_token.as_deref().map(JoinToken::parse).transpose();
        let join = join.map_err(|error| wrong("--join-token", &error))?;
        let kept = || {
            let path = state?.join(TOKEN_FILE);
            (join.is_some() || path.exists()).then_some(path)
        };
        match self.token_file.clone().or_else(kept) {
            Some(path) => Ok(TokenSource::File { path, join }),
            None if join.is_some() => {
                Err(missing("there is no place to keep a token in: pass --token-file or --state-dir"))
            }
            None => {
                Err(missing("a token is required: set ROLLCALL_TOKEN, or pass --token-file or --join-token"))
            }
        }
    }

    fn trust(&self) -> Result<Trust, clap::Error> {
        let trust = match &self.ca_cert {
            Some(file) => Trust::of_file(file).map_err(|error| wrong("--ca-cert", &error))?,
            None => Trust::of_system(),
        };
        match &self.tls_server_name {
            Some(name) => trust.expecting(name).map_err(|error| wrong("--tls-server-name", &error)),
            None => Ok(trust),
        }
    }
}

fn missing(what: &str) -> clap::Error {
    Flags::command().error(ErrorKind::MissingRequiredArgument, what)
}

/// A value that cannot be used, with the causes: an error about a file leaves why to them.
fn wrong(flag: &str, error: &dyn Error) -> clap::Error {
    let mut text = format!("{flag}: {error}");
    let mut cause = error.source();
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    Flags::command().error(ErrorKind::ValueValidation, text)
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
