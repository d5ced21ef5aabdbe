//! Exit codes: a contract with whatever starts the daemon. Numbers never change their meaning.

use std::process::ExitCode;

use daemon_client::Outcome;

/// How the process ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Exit {
    /// Stopped on request.
    Stopped,
    /// A fault of the daemon or its machine.
    Fault,
    /// The command line or a setting is wrong.
    Usage,
    /// Another daemon took over the node id.
    Superseded,
    /// The node was revoked.
    Revoked,
    /// The session is archived or closed.
    SessionNotActive,
    /// The session or node is not there, or not ours to use.
    PermissionDenied,
    /// The token is not valid, expired or revoked.
    TokenInvalid,
    /// Only a newer client can attach.
    UpgradeRequired,
    /// Refused for ever for another reason.
    Refused,
    /// A second signal came before the detach was through.
    Interrupted,
}

impl Exit {
    const ALL: [Self; 11] = [
        Self::Stopped,
        Self::Fault,
        Self::Usage,
        Self::Superseded,
        Self::Revoked,
        Self::SessionNotActive,
        Self::PermissionDenied,
        Self::TokenInvalid,
        Self::UpgradeRequired,
        Self::Refused,
        Self::Interrupted,
    ];

    pub(crate) fn of(outcome: &Outcome) -> Self {
        match outcome {
            // Also when the server did not acknowledge it: what was asked for is a stop, and an outage must not make
            // each of them a failure. The log warns.
            Outcome::Detached(_) => Self::Stopped,
            Outcome::Superseded(_) => Self::Superseded,
            Outcome::Revoked(_) => Self::Revoked,
            Outcome::SessionNotActive(_) => Self::SessionNotActive,
            Outcome::PermissionDenied(_) => Self::PermissionDenied,
            Outcome::TokenInvalid(_) => Self::TokenInvalid,
            Outcome::UpgradeRequired(_) => Self::UpgradeRequired,
            Outcome::Refused(_) => Self::Refused,
            Outcome::TaskDied => Self::Fault,
        }
    }

    fn number(self) -> u8 {
        match self {
            Self::Stopped => 0,
            Self::Fault => 1,
            Self::Usage => 2,
            Self::Superseded => 10,
            Self::Revoked => 11,
            Self::SessionNotActive => 12,
            Self::PermissionDenied => 13,
            Self::TokenInvalid => 14,
            Self::UpgradeRequired => 15,
            Self::Refused => 16,
            // As a shell reports a process that SIGINT ended.
            Self::Interrupted => 130,
        }
    }

    fn meaning(self) -> &'static str {
        match self {
            Self::Stopped => "stopped on request (SIGTERM or Ctrl-C) and detached, or warned why not",
            Self::Fault => "a fault of the daemon or its machine",
            Self::Usage => "the command line or a setting is wrong",
            Self::Superseded => "another daemon took over this node id",
            Self::Revoked => "the node was revoked",
            Self::SessionNotActive => "the session is archived or closed",
            Self::PermissionDenied => "the session or node does not exist, or is not yours to use",
            Self::TokenInvalid => {
                "the token or join token is not valid, expired or revoked (a token file is waited for)"
            }
            Self::UpgradeRequired => "only a newer client can attach",
            Self::Refused => "refused for ever for another reason, which the log tells",
            Self::Interrupted => "a second signal: stopped at once, perhaps without detaching",
        }
    }

    /// The codes as the help lists them.
    pub(crate) fn table() -> String {
        let rows = Self::ALL.map(|exit| format!("  {:>3}  {}", exit.number(), exit.meaning()));
        format!(
            "Exit codes:\n{}\n\nA supervisor should not restart after 10 to 16: the same will happen again.",
            rows.join("\n")
        )
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        exit.number().into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_pinned() {
        assert_eq!(Exit::ALL.map(Exit::number), [0, 1, 2, 10, 11, 12, 13, 14, 15, 16, 130]);
    }

    #[test]
    fn the_table_has_each_code_once() {
        let table = Exit::table();
        for exit in Exit::ALL {
            assert_eq!(table.matches(exit.meaning()).count(), 1, "{exit:?}");
        }
    }
}
