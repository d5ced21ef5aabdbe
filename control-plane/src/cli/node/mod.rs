//! `rollcall node ...`: what is attached, why it is in its state, and what an operator does to it.

mod detach;
mod explain;
mod forget;
mod get;
mod json;
mod list;
mod revoke;
mod roster;
mod roster_change;
mod text;
mod transfer;
mod watch;
mod watched_session;

use std::process::ExitCode;

use crate::cli::{
    connection::ConnectionArguments,
    exit::after_help,
    failure::{self, Failure},
    output::Output,
};

/// `rollcall node`.
#[derive(Debug, clap::Args)]
#[command(after_help = after_help!("\
Examples:
  rollcall node list
  rollcall node explain laptop-1
  rollcall node watch"))]
pub struct Command {
    #[command(subcommand)]
    verb: Verb,

    #[command(flatten)]
    connection: ConnectionArguments,
}

#[derive(Debug, clap::Subcommand)]
enum Verb {
    /// List the nodes with their current slots
    List(list::List),
    /// Show one node with all its slots and what it declared
    Get(get::Get),
    /// Say why a node is in its state, with evidence
    Explain(explain::Explain),
    /// Follow the roster of a session as it changes
    Watch(watch::Watch),
    /// Take a node out of its slot; it may attach again
    Detach(detach::Detach),
    /// Bar a node from one session, or from all, for ever
    Revoke(revoke::Revoke),
    /// Give a node to another participant
    Transfer(transfer::Transfer),
    /// Delete a node that is not attached, with its history
    Forget(forget::Forget),
}

impl Command {
    /// Runs the verb and says with which code the process shall end.
    pub async fn run(self) -> ExitCode {
        let mut output = Output::of_process();
        let done = self.execute(&mut output, interrupted()).await;
        failure::end(done, &mut output)
    }

    /// Runs the verb; a watch ends well when `stop` does.
    pub(crate) async fn execute(
        self,
        output: &mut Output,
        stop: impl Future<Output = ()>,
    ) -> Result<(), Failure> {
        let mut servers = self.connection.servers()?;
        match self.verb {
            Verb::List(list) => list.run(&mut servers, output).await,
            Verb::Get(get) => get.run(&mut servers, output).await,
            Verb::Explain(explain) => explain.run(&mut servers, output).await,
            Verb::Detach(detach) => detach.run(&mut servers, output).await,
            Verb::Revoke(revoke) => revoke.run(&mut servers, output).await,
            Verb::Transfer(transfer) => transfer.run(&mut servers, output).await,
            Verb::Forget(forget) => forget.run(&mut servers, output).await,
            Verb::Watch(watch) => tokio::select! {
                done = watch.run(&mut servers, output) => done,
                () = stop => Ok(()),
            },
        }
    }
}

/// Ends at Ctrl-C; never where that cannot be listened for, and the system's own way of ending remains.
async fn interrupted() {
    if tokio::signal::ctrl_c().await.is_err() {
        std::future::pending::<()>().await;
    }
}
