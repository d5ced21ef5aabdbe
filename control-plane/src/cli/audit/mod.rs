//! `rollcall audit ...`: what admins and owners did.

mod json;
mod list;

use std::process::ExitCode;

use crate::cli::{
    connection::ConnectionArguments,
    exit::after_help,
    failure::{self, Failure},
    output::Output,
};

/// `rollcall audit`.
#[derive(Debug, clap::Args)]
#[command(after_help = after_help!("\
Examples:
  rollcall audit list
  rollcall audit list --node laptop-1"))]
pub struct Command {
    #[command(subcommand)]
    verb: Verb,

    #[command(flatten)]
    connection: ConnectionArguments,
}

#[derive(Debug, clap::Subcommand)]
enum Verb {
    /// List what was done, newest first
    List(list::List),
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
            Verb::List(list) => list.run(&mut servers, output).await,
        }
    }
}
