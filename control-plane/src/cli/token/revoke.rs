//! `rollcall token revoke`.

use contracts::{
    refusal::FieldViolation,
    wire::v1::{RevokeTokenRequest, token_service_client::TokenServiceClient},
};
use uuid::Uuid;

use super::json;
use crate::cli::{
    change,
    confirmation::{self, Confirmation},
    exit::after_help,
    failure::Failure,
    output::Output,
    servers::Servers,
};

#[derive(Debug, clap::Args)]
#[command(after_help = after_help!("\
The token is refused from then on, and streams that were opened with it end. Whoever has it needs a new one. \
Revoking it again changes nothing. Admins, and everyone for a token of their own.

Examples:
  rollcall token revoke 0198c5a2-6f1e-7c3a-9b54-2f8e1d0c7a61
  rollcall token revoke 0198c5a2-6f1e-7c3a-9b54-2f8e1d0c7a61 --reason leaked --yes"))]
pub(crate) struct Revoke {
    /// Id of the token, as it was shown when the token was made; not the token itself
    #[arg(value_name = "TOKEN_ID", value_parser = token_id)]
    token_id: Uuid,

    /// Why, for the audit
    #[arg(long, value_name = "TEXT", value_parser = change::reason)]
    reason: Option<String>,

    /// Do not ask; required when stdin is no terminal
    #[arg(long)]
    yes: bool,

    /// Print the id as JSON
    #[arg(long)]
    json: bool,
}

impl Revoke {
    pub(crate) async fn run(self, servers: &mut Servers, output: &mut Output) -> Result<(), Failure> {
        let Self { token_id, reason, yes, json } = self;
        let consequence =
            format!("this ends token {token_id} for ever, on every server and every open stream");
        confirmation::confirm(Confirmation::of_process(yes), &consequence, "revoke", output).await?;
        let request =
            RevokeTokenRequest { token_id: token_id.to_string(), reason: reason.unwrap_or_default() };
        servers
            .call(&request, async |channel, request| {
                TokenServiceClient::new(channel).revoke_token(request).await
            })
            .await?;
        if json {
            return output.json(&json::RevokedToken { token_id: request.token_id });
        }
        output.note(&format!("token {token_id} is revoked"));
        Ok(())
    }
}

fn token_id(value: &str) -> Result<Uuid, FieldViolation> {
    Uuid::try_parse(value)
        .ok()
        .filter(|id| value.len() == uuid::fmt::Hyphenated::LENGTH && !id.is_nil())
        .ok_or_else(|| FieldViolation::new("token_id", "must be a hyphenated UUID"))
}
