//! `rollcall log ...`: the logs of sessions.

mod append;
mod json;
mod pages;
mod payload;
mod read;
mod status;
mod status_json;
mod verify;

use std::process::ExitCode;

use crate::cli::{
    connection::ConnectionArguments,
    exit::after_help,
    failure::{self, Failure},
    output::Output,
};

/// `rollcall log`.
#[derive(Debug, clap::Args)]
#[command(after_help = after_help!("\
The events of a session are numbered 1, 2, 3 and so on, and each carries the hash of the one before it. What the \
control plane tells of nodes is among them.

Examples:
  rollcall log append 0198c5a2-6f1e-7c3a-9b54-2f8e1d0c7a61 --type task.begun --key task/7
  rollcall log read 0198c5a2-6f1e-7c3a-9b54-2f8e1d0c7a61
  rollcall log verify 0198c5a2-6f1e-7c3a-9b54-2f8e1d0c7a61
  rollcall log status 0198c5a2-6f1e-7c3a-9b54-2f8e1d0c7a61"))]
pub struct Command {
    #[command(subcommand)]
    verb: Verb,

    #[command(flatten)]
    connection: ConnectionArguments,
}

#[derive(Debug, clap::Subcommand)]
enum Verb {
    /// Append an event, as an owner or collaborator of the session
    Append(append::Append),
    /// Show the events after a place
    Read(read::Read),
    /// Say where the log and its replicas stand
    Status(status::Status),
    /// Prove that all events that are there are whole, in order, and continue each other
    Verify(verify::Verify),
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
            Verb::Append(append) => append.run(&mut servers, output).await,
            Verb::Read(read) => read.run(&mut servers, output).await,
            Verb::Status(status) => status.run(&mut servers, output).await,
            Verb::Verify(verify) => verify.run(&mut servers, output).await,
        }
    }
}
