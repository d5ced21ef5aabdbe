//! `rollcall session member ...`: who may use a session, and as what.

mod json;
mod list;
mod remove;
mod set;
mod standing;

use crate::cli::{exit::after_help, failure::Failure, output::Output, servers::Servers};

/// `rollcall session member`.
#[derive(Debug, clap::Args)]
#[command(after_help = after_help!("\
A membership decides who may use a session; it never moves a node in or out of its slot.

Examples:
  rollcall session member list 0198c5a2-6f1e-7c3a-9b54-2f8e1d0c7a61
  rollcall session member set 0198c5a2-6f1e-7c3a-9b54-2f8e1d0c7a61 \
5f0c3a52-93d5-4a26-8f58-0f6a3f2f6f10 --role collaborator --state active"))]
pub(crate) struct Member {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, clap::Subcommand)]
enum Verb {
    /// List the members of a session
    List(list::List),
    /// Make a participant a member, or change role or state of one
    Set(set::Set),
    /// End a membership; the last owner stays
    Remove(remove::Remove),
}

impl Member {
    pub(crate) async fn run(self, servers: &mut Servers, output: &mut Output) -> Result<(), Failure> {
        match self.verb {
            Verb::List(list) => list.run(servers, output).await,
            Verb::Set(set) => set.run(servers, output).await,
            Verb::Remove(remove) => remove.run(servers, output).await,
        }
    }
}
