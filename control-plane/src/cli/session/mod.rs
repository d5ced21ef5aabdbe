//! `rollcall session ...`: what nodes attach to.

mod archive;
mod arguments;
mod close;
mod create;
mod get;
pub(crate) mod json;
mod list;
mod member;
mod raise_floor;
mod text;

use std::process::ExitCode;

pub(crate) use list::all_sessions;

use crate::cli::{
    connection::ConnectionArguments,
    exit::after_help,
    failure::{self, Failure},
    output::Output,
};

/// `rollcall session`.
#[derive(Debug, clap::Args)]
#[command(after_help = after_help!("\
Examples:
  rollcall session create --name demo
  rollcall session list
  rollcall session raise-floor 0198c5a2-6f1e-7c3a-9b54-2f8e1d0c7a61 1.2 --dry-run"))]
pub struct Command {
    #[command(subcommand)]
    verb: Verb,

    #[command(flatten)]
    connection: ConnectionArguments,
}

#[derive(Debug, clap::Subcommand)]
enum Verb {
    /// Make a session and print its id
    Create(create::Create),
    /// List the sessions that you are a member of
    List(list::List),
    /// Show one session
    Get(get::Get),
    /// Take no new nodes from now on; those attached stay
    Archive(archive::Archive),
    /// End a session for ever and detach its nodes
    Close(close::Close),
    /// Raise the version floor; nodes below it become read-only
    RaiseFloor(raise_floor::RaiseFloor),
    /// Who may use a session: list, set, remove
    Member(member::Member),
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
            Verb::Create(create) => create.run(&mut servers, output).await,
            Verb::List(list) => list.run(&mut servers, output).await,
            Verb::Get(get) => get.run(&mut servers, output).await,
            Verb::Archive(archive) => archive.run(&mut servers, output).await,
            Verb::Close(close) => close.run(&mut servers, output).await,
            Verb::RaiseFloor(raise) => raise.run(&mut servers, output).await,
            Verb::Member(member) => member.run(&mut servers, output).await,
        }
    }
}
