//! `rollcall maintenance ...`: holds all writes back for a while.

mod json;
mod status;
mod turn;

use std::process::ExitCode;

use crate::cli::{
    connection::ConnectionArguments,
    exit::after_help,
    failure::{self, Failure},
    output::Output,
};

/// `rollcall maintenance`.
#[derive(Debug, clap::Args)]
#[command(after_help = after_help!("\
While it is on, every server refuses what writes, beats among them, with the reason, and serves what reads. It \
survives restarts and takeovers. No node is called silent for it, and daemons keep their slots. Admins only.

Examples:
  rollcall maintenance on --reason upgrade
  rollcall maintenance status
  rollcall maintenance off"))]
pub struct Command {
    #[command(subcommand)]
    verb: Verb,

    #[command(flatten)]
    connection: ConnectionArguments,
}

#[derive(Debug, clap::Subcommand)]
enum Verb {
    /// Refuse all writes from now on; done once no write is under way
    On(turn::On),
    /// Let writes pass again
    Off(turn::Off),
    /// Say whether it is on, since when and why
    Status(status::Status),
}

impl Command {
    /// Runs the verb and says with which code the process shall end.
    pub async fn run(self) -> ExitCode {
        let mut output = Output::of_process();
        let done = self.execute(&mut output).await;
        failure::end(done, &mut output)
    }

    pub(crate) async fn execute(self, output: &mut Output) -> Result<(), Failure> {
        let mut servers = self.connection.servers()?;
        match self.verb {
            Verb::On(on) => on.run(&mut servers, output).await,
            Verb::Off(off) => off.run(&mut servers, output).await,
            Verb::Status(status) => status.run(&mut servers, output).await,
        }
    }
}
