//! `rollcall leader ...`: which server leads, and handing over.

mod json;
mod show;
mod step_down;

use std::process::ExitCode;

use crate::cli::{
    connection::ConnectionArguments,
    exit::after_help,
    failure::{self, Failure},
    output::Output,
};

/// `rollcall leader`.
#[derive(Debug, clap::Args)]
#[command(after_help = after_help!("\
Examples:
  rollcall leader show
  rollcall leader step-down --reason kernel-update"))]
pub struct Command {
    #[command(subcommand)]
    verb: Verb,

    #[command(flatten)]
    connection: ConnectionArguments,
}

#[derive(Debug, clap::Subcommand)]
enum Verb {
    /// Show which server leads, and who waits
    Show(show::Show),
    /// Make the leader give its place to a standby
    StepDown(step_down::StepDown),
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
            Verb::Show(show) => show.run(&mut servers, output).await,
            Verb::StepDown(step_down) => step_down.run(&mut servers, output).await,
        }
    }
}
