//! `rollcall token join exchange`.

use std::io::{self, BufRead, IsTerminal};

use contracts::{
    Code, limits,
    wire::v1::{ExchangeJoinTokenRequest, token_service_client::TokenServiceClient},
};

use uuid::Uuid;

use crate::cli::{
    change, credential::Token, exit::after_help, failure::Failure, output::Output, servers::Servers,
    token::show,
};

#[derive(Debug, clap::Args)]
#[command(after_help = after_help!("\
The join token comes from --join-token, from ROLLCALL_JOIN_TOKEN, or else as one line from stdin. Flags can be \
read by others on this machine, so the latter two are better. A token of ROLLCALL_TOKEN is neither needed nor \
shown to the server.

For a daemon, with the token in a file that only its user can read:
  (umask 077; rollcall token join exchange < join-token > token)

Examples:
  rollcall token join exchange
  rollcall token join exchange --addr control-1:7420,control-2:7420 --json"))]
pub(crate) struct Exchange {
    /// The join token; from stdin unless given
    #[arg(long, value_name = "TOKEN", env = "ROLLCALL_JOIN_TOKEN", hide_env_values = true)]
    join_token: Option<Token>,

    /// Id of the request, for repeating this very command: the same id gets the same token and takes no further use; made
    /// anew unless given
    #[arg(long, value_name = "UUID", value_parser = change::request_id)]
    request_id: Option<Uuid>,

    /// Print the token, its id, participant, scopes and end as JSON
    #[arg(long)]
    json: bool,
}

impl Exchange {
    pub(crate) async fn run(self, mut servers: Servers, output: &mut Output) -> Result<(), Failure> {
        // An empty variable is one that is not set.
        let given = self.join_token.filter(|token| !token.reveal().is_empty());
        let join_token = match given {
            Some(token) => token,
            None => from_stdin(output).await?,
        };
        let request = ExchangeJoinTokenRequest {
            join_token: join_token.reveal().to_owned(),
            request_id: self.request_id.unwrap_or_else(Uuid::new_v4).to_string(),
        };
        let answer = servers
            .call(&request, async |channel, request| {
                TokenServiceClient::new(channel).exchange_join_token(request).await
            })
            .await
            .map_err(about_join_token)?;
        show(answer.token, self.json, output)
    }
}

/// An invalid token can only be the join token: no other was shown.
fn about_join_token(failure: Failure) -> Failure {
    match failure {
        Failure::Refused(refusal) if refusal.known() == Some(Code::AuthTokenInvalid) => {
            Failure::JoinRefused(refusal)
        }
        other @ (Failure::Refused(_)
        | Failure::JoinRefused(_)
        | Failure::Unreachable(_)
        | Failure::InClear(_)
        | Failure::Answer(_)
        | Failure::Usage { .. }
        | Failure::Declined(_)
        | Failure::Output(_)) => other,
    }
}

async fn from_stdin(output: &mut Output) -> Result<Token, Failure> {
    if io::stdin().is_terminal() {
        output.prompt("join token: ");
    }
    // On a thread of its own, for it may take as long as a person does.
    tokio::task::spawn_blocking(|| first_line(io::stdin().lock()))
        .await
        .map_err(io::Error::from)
        .flatten()
        .map_err(|error| Failure::Answer(format!("cannot read the join token from stdin: {error}")))?
        .ok_or_else(|| Failure::Usage {
            message: "there is no join token".to_owned(),
            hint: "set ROLLCALL_JOIN_TOKEN, or send the join token to stdin; an admin makes one with \
                   `rollcall token join create`"
                .to_owned(),
        })
}

/// The first line, which is short if it is a join token; `None` for an empty one.
fn first_line(reader: impl BufRead) -> io::Result<Option<Token>> {
    let mut line = String::new();
    reader.take(limits::TOKEN_CHARS_MAX as u64).read_line(&mut line)?;
    let line = line.trim();
    Ok((!line.is_empty()).then(|| Token::from(line)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_line_of_stdin_is_the_join_token() {
        for (text, expected) in [
            ("join-1\n", Some("join-1")),
            (" join-1 ", Some("join-1")),
            ("join-1\nmore\n", Some("join-1")),
            ("\n", None),
            ("", None),
        ] {
            let token = first_line(text.as_bytes()).unwrap();
            assert_eq!(token.as_ref().map(Token::reveal), expected, "{text:?}");
        }
    }
}
