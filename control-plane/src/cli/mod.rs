//! The verbs that talk to a running server: `rollcall session ...`, `rollcall node ...`, `rollcall token ...`,
//! `rollcall log ...`, `rollcall audit ...`, `rollcall leader ...` and `rollcall maintenance ...`.
//!
//! Promises: data goes to stdout and nothing else does, so that a pipe sees only data; a table is for people and may
//! change, the JSON of `--json` is for programs and only grows (the `json.rs` of each noun); what is malformed
//! is refused before a server is asked; a call goes to the next address when a server does not answer, and every call
//! made here may be repeated safely.
//!
//! One folder a noun, one file a verb. Round them: [`connection`] reads the flags, [`servers`] makes the calls,
//! [`failure`] is what can go wrong and with which exit code, [`output`] is the only writer.
//!
//! Deliberately absent: decisions about nodes. Whatever a verb shows, the server has decided; the clock of this machine
//! is read for ages and for the time before a line, and for nothing else.

pub(crate) mod address;
mod age;
pub mod audit;
mod change;
mod clock;
pub mod completions;
mod confirmation;
mod connection;
mod credential;
mod exit;
mod failure;
pub(crate) mod invocation;
pub mod leader;
pub mod log;
pub mod maintenance;
pub mod node;
mod output;
mod pages;
mod progress;
mod refusal_hint;
mod servers;
pub mod session;
pub(crate) mod table;
pub mod token;
mod wire_word;

#[cfg(test)]
mod fake_server;
#[cfg(test)]
mod tests;

use std::process::ExitCode;

/// The nouns of this folder.
#[derive(Debug, clap::Subcommand)]
pub enum Command {
    /// Make, list, end sessions, raise their version floor, and say who may use them
    Session(session::Command),
    /// Look at runtime nodes and take them out: list, get, explain, watch, detach, revoke, transfer, forget
    Node(node::Command),
    /// Read the log of a session, append to it, and prove that it holds
    Log(log::Command),
    /// Make, renew, revoke access tokens, and the join tokens that a new machine exchanges for one
    Token(token::Command),
    /// See which server leads, and hand over
    Leader(leader::Command),
    /// See what admins and owners did
    Audit(audit::Command),
    /// Hold all writes back for a while, and let them pass again
    Maintenance(maintenance::Command),
}

impl Command {
    /// Runs the verb and says with which code the process shall end.
    pub async fn run(self) -> ExitCode {
        match self {
            Self::Session(command) => command.run().await,
            Self::Node(command) => command.run().await,
            Self::Log(command) => command.run().await,
            Self::Token(command) => command.run().await,
            Self::Leader(command) => command.run().await,
            Self::Audit(command) => command.run().await,
            Self::Maintenance(command) => command.run().await,
        }
    }
}
