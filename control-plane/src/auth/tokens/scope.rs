//! What a token may be used for.

use std::{fmt, str::FromStr};

/// One thing that a token may be used for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Scope {
    /// Run nodes: attach, declare, beat, detach.
    Node,
    /// Read sessions, their logs and rosters.
    SessionRead,
    /// Create and change sessions, append to their logs.
    SessionWrite,
    /// Everything.
    Admin,
}

/// A text that names no scopes.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ScopesError {
    /// No scope at all.
    #[error("no scope is given; name at least one of node, session:read, session:write, admin")]
    None,
    /// Not one of ours.
    #[error("{name:?} is not a scope; the scopes are node, session:read, session:write, admin")]
    Unknown {
        /// What stands there.
        name: String,
    },
    /// One scope is named more than once.
    #[error("the scope {scope} is named twice; name each one once")]
    Twice {
        /// Which one.
        scope: Scope,
    },
}

impl Scope {
    /// All of them, in the order in which sets are written.
    pub const ALL: [Self; 4] = [Self::Node, Self::SessionRead, Self::SessionWrite, Self::Admin];

    /// The name in tokens and on the command line.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Node => "node",
            Self::SessionRead => "session:read",
            Self::SessionWrite => "session:write",
            Self::Admin => "admin",
        }
    }

    /// Whether a holder of this scope may do what needs `wanted`. Writing does not imply reading: an appender need
    /// not see what others wrote.
    pub fn implies(self, wanted: Self) -> bool {
        match (self, wanted) {
            (Self::Admin, Self::Node | Self::SessionRead | Self::SessionWrite | Self::Admin)
            | (Self::Node, Self::Node)
            | (Self::SessionRead, Self::SessionRead)
            | (Self::SessionWrite, Self::SessionWrite) => true,
            (Self::Node, Self::SessionRead | Self::SessionWrite | Self::Admin)
            | (Self::SessionRead, Self::Node | Self::SessionWrite | Self::Admin)
            | (Self::SessionWrite, Self::Node | Self::SessionRead | Self::Admin) => false,
        }
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Scope {
    type Err = ScopesError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::ALL
            .into_iter()
            .find(|scope| scope.as_str() == text)
            .ok_or_else(|| ScopesError::Unknown { name: text.to_owned() })
    }
}
