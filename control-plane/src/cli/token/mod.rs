//! `rollcall token ...`: access tokens, and the join tokens by which a new machine obtains its first one.
//!
//! Promise: a token goes to stdout alone, so that a pipe or a variable takes it, and is told nowhere else.

mod issue;
mod join;
mod json;
mod lifetime;
mod renew;
mod revoke;
mod scope;

use std::process::ExitCode;

use contracts::wire::v1::AccessToken;

use crate::cli::{
    age::rfc3339,
    connection::ConnectionArguments,
    exit::after_help,
    failure::{self, Failure},
    output::Output,
};

/// `rollcall token`.
#[derive(Debug, clap::Args)]
#[command(after_help = after_help!("\
A token goes to stdout and what is said about it to stderr, so that a script reads only the token.

A new machine, without a token passing through anybody's hands:
  JOIN=$(rollcall token join create --participant ID --scope node)   here
  ROLLCALL_JOIN_TOKEN=$JOIN rollcall token join exchange > token     there

Examples:
  rollcall token issue --scope session:read --lifetime 8h
  rollcall token renew
  rollcall token revoke 0198c5a2-6f1e-7c3a-9b54-2f8e1d0c7a61"))]
pub struct Command {
    #[command(subcommand)]
    verb: Verb,

    #[command(flatten)]
    connection: ConnectionArguments,
}

#[derive(Debug, clap::Subcommand)]
enum Verb {
    /// Make a token for a participant
    Issue(issue::Issue),
    /// Make a new token like the one that is shown to the server
    Renew(renew::Renew),
    /// End a token before it expires
    Revoke(revoke::Revoke),
    /// Join tokens: create one here, exchange it on a new machine
    Join(join::Join),
}

impl Command {
    /// Runs the verb and says with which code the process shall end.
    pub async fn run(self) -> ExitCode {
        let mut output = Output::of_process();
        let done = self.execute(&mut output).await;
        failure::end(done, &mut output)
    }

    pub(crate) async fn execute(self, output: &mut Output) -> Result<(), Failure> {
        let Self { verb, connection } = self;
        match verb {
            Verb::Issue(issue) => issue.run(&mut connection.servers()?, output).await,
            Verb::Renew(renew) => renew.run(&mut connection.servers()?, output).await,
            Verb::Revoke(revoke) => revoke.run(&mut connection.servers()?, output).await,
            Verb::Join(join) => join.run(connection, output).await,
        }
    }
}

/// Shows a token: alone on stdout, or as JSON.
fn show(token: Option<AccessToken>, is_json: bool, output: &mut Output) -> Result<(), Failure> {
    let token = token.ok_or_else(|| Failure::missing("token"))?;
    if is_json {
        return output.json(&json::AccessToken::from(token));
    }
    output.line(&token.token)?;
    let scopes: Vec<_> = token.scopes.iter().map(|scope| scope::word(*scope)).collect();
    output.note(&format!("token {} of participant {}", token.token_id, token.participant_id));
    output.note(&format!(
        "allows {} until {}; shown once",
        scopes.join(", "),
        until(token.expires_at.as_ref())
    ));
    Ok(())
}

fn until(expires_at: Option<&prost_types::Timestamp>) -> String {
    rfc3339(expires_at).unwrap_or_else(|| "an unknown time".to_owned())
}
