//! `rollcall token join ...`: join tokens, made by an admin and exchanged by a machine that has no token.

mod create;
mod exchange;

use crate::cli::{connection::ConnectionArguments, exit::after_help, failure::Failure, output::Output};

/// `rollcall token join`.
#[derive(Debug, clap::Args)]
#[command(after_help = after_help!("\
A join token lives shortly, can be exchanged only so often, and opens nothing by itself.

Examples:
  rollcall token join create --participant 5f0c3a52-93d5-4a26-8f58-0f6a3f2f6f10 --scope node
  rollcall token join exchange"))]
pub(crate) struct Join {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, clap::Subcommand)]
enum Verb {
    /// Make a join token
    Create(create::Create),
    /// Exchange a join token for an access token; needs no token
    Exchange(exchange::Exchange),
}

impl Join {
    pub(crate) async fn run(
        self,
        connection: ConnectionArguments,
        output: &mut Output,
    ) -> Result<(), Failure> {
        match self.verb {
            Verb::Create(create) => create.run(&mut connection.servers()?, output).await,
            Verb::Exchange(exchange) => exchange.run(connection.servers_without_token()?, output).await,
        }
    }
}
