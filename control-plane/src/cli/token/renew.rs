//! `rollcall token renew`.

use contracts::wire::v1::{RenewTokenRequest, token_service_client::TokenServiceClient};

use super::{lifetime::lifetime, show};
use crate::cli::{exit::after_help, failure::Failure, output::Output, servers::Servers};

#[derive(Debug, clap::Args)]
#[command(after_help = after_help!("\
The new token is for the same participant and allows the same. The old one stays valid until it expires; \
to revoke either revokes both.

A file is replaced in one step, for the old token is read from it:
  (umask 077; rollcall token renew --token-file token > token.new) && mv token.new token

Examples:
  rollcall token renew
  rollcall token renew --token-file /run/rollcall/token --lifetime 12h"))]
pub(crate) struct Renew {
    /// How long the new one is valid, at most as long as the old one was; just as long unless given
    #[arg(long, value_name = "DURATION", value_parser = lifetime)]
    lifetime: Option<prost_types::Duration>,

    /// Print the token, its id, participant, scopes and end as JSON
    #[arg(long)]
    json: bool,
}

impl Renew {
    pub(crate) async fn run(self, servers: &mut Servers, output: &mut Output) -> Result<(), Failure> {
        let request = RenewTokenRequest { lifetime: self.lifetime };
        let answer = servers
            .call(&request, async |channel, request| {
                TokenServiceClient::new(channel).renew_token(request).await
            })
            .await?;
        show(answer.token, self.json, output)
    }
}
