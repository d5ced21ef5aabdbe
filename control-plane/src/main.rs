//! The one binary.

use std::process::ExitCode;

use clap::{CommandFactory, Parser};
use control_plane::{cli, run};

/// Rollcall: a control plane for fleets of runtime daemons
#[derive(Debug, Parser)]
#[command(
    name = "rollcall",
    version,
    after_help = "\
First steps:
  rollcall dev                                 a control plane on a private Postgres; prints what to paste next
  rollcall session create --name demo          a session
  rollcall-daemon --session ID --node-id laptop-1 --capability codex
  rollcall node list                           who is there, and how they are"
)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    #[command(flatten)]
    Server(Box<run::Command>),
    #[command(flatten)]
    Client(Box<cli::Command>),
    /// Print the script by which a shell completes verbs and flags
    Completions(cli::completions::Completions),
}

#[tokio::main]
async fn main() -> ExitCode {
    match Arguments::parse().command {
        Command::Server(command) => command.run().await,
        Command::Client(command) => command.run().await,
        Command::Completions(completions) => completions.run(&mut Arguments::command()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_well_formed() {
        Arguments::command().debug_assert();
    }
}
