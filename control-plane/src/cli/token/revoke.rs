//! `rollcall token revoke`.

use contracts::{
    refusal::FieldViolation,
    wire::v1::{RevokeTokenRequest, token_service_client::TokenServiceClient},
};
use uuid::Uuid;

use super::json;
use crate::cli::{
    change::{self, ChangeArguments},
    confirmation::{self, Confirmation},
    exit::after_help,
    failure::Failure,
    output::Output,
    servers::Servers,
};

#[derive(Debug, clap::Args)]
#[command(after_help = after_help!("\
The token is refused from then on, and streams that were opened with it end; so are all of its family: those \
it was renewed from, and those renewed from it. Whoever has one needs a new one. Revoking it again changes nothing. Admins, and everyone for a token of their own.

Examples:
  rollcall token revoke 0198c5a2-6f1e-7c3a-9b54-2f8e1d0c7a61 --dry-run
  rollcall token revoke 0198c5a2-6f1e-7c3a-9b54-2f8e1d0c7a61 --reason leaked --yes"))]
pub(crate) struct Revoke {
    /// Id of the token, as it was shown when the token was made; not the token itself
    #[arg(value_name = "TOKEN_ID", value_parser = token_id)]
    token_id: Uuid,

    /// Why, for the audit
    #[arg(long, value_name = "TEXT", value_parser = change::reason)]
    reason: Option<String>,

    #[command(flatten)]
    change: ChangeArguments,

    /// Do not ask; required when stdin is no terminal, except for a dry run
    #[arg(long)]
    yes: bool,

    /// Print the id as JSON
    #[arg(long)]
    json: bool,
}

impl Revoke {
    pub(crate) async fn run(self, servers: &mut Servers, output: &mut Output) -> Result<(), Failure> {
        let Self { token_id, reason, change, yes, json } = self;
        let dry_run = change.dry_run;
        let consequence = format!(
            "this ends token {token_id} and those renewed from it for ever, on every server and every open stream"
        );
        let confirmation = Confirmation::of_process(yes || dry_run);
        confirmation::confirm(confirmation, &consequence, "revoke", output).await?;
        let request_id = change.request_id();
        let request = RevokeTokenRequest {
            token_id: token_id.to_string(),
            reason: reason.unwrap_or_default(),
            validate_only: dry_run,
            request_id: request_id.clone(),
        };
        let answer = servers
            .call(&request, async |channel, request| {
                TokenServiceClient::new(channel).revoke_token(request).await
            })
            .await?;
        if json {
            return output.json(&json::RevokedToken {
                token_id: request.token_id,
                token_ids: answer.token_ids,
                dry_run,
                request_id,
            });
        }
        let others = answer.token_ids.iter().filter(|ended| **ended != request.token_id).count();
        let family = match others {
            0 => String::new(),
            1 => ", with 1 more of its family".to_owned(),
            others => format!(", with {others} more of its family"),
        };
        output.note(&if dry_run {
            format!("dry run: token {token_id} would be revoked{family}")
        } else {
            format!("token {token_id} is revoked{family}")
        });
        Ok(())
    }
}

fn token_id(value: &str) -> Result<Uuid, FieldViolation> {
    Uuid::try_parse(value)
        .ok()
        .filter(|id| value.len() == uuid::fmt::Hyphenated::LENGTH && !id.is_nil())
        .ok_or_else(|| FieldViolation::new("token_id", "must be a hyphenated UUID"))
}
