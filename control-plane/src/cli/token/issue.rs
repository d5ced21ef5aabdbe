//! `rollcall token issue`.

use contracts::{
    ParticipantId,
    wire::v1::{IssueTokenRequest, token_service_client::TokenServiceClient},
};

use super::{
    json,
    lifetime::lifetime,
    scope::{self, Scope},
    show, until,
};
use crate::cli::{
    change::{self, ChangeArguments},
    exit::after_help,
    failure::Failure,
    output::Output,
    servers::Servers,
};

#[derive(Debug, clap::Args)]
#[command(after_help = after_help!("\
The token goes to stdout and what is said about it to stderr:
  TOKEN=$(rollcall token issue --scope node)

To put a token on a new machine, make a join token instead: `rollcall token join create`. Admins only.

Examples:
  rollcall token issue --participant 5f0c3a52-93d5-4a26-8f58-0f6a3f2f6f10 --scope node --lifetime 30d
  rollcall token issue --scope session:read,session:write --reason dashboard --json"))]
pub(crate) struct Issue {
    /// Participant that the token stands for; a new one unless given
    #[arg(long, value_name = "UUID")]
    participant: Option<ParticipantId>,

    /// What it allows; several, separated by commas or each with a flag of its own
    #[arg(long = "scope", value_enum, value_name = "SCOPE", required = true, value_delimiter = ',')]
    scopes: Vec<Scope>,

    /// How long it is valid, 1 minute to 365 days; 24h unless given
    #[arg(long, value_name = "DURATION", value_parser = lifetime)]
    lifetime: Option<prost_types::Duration>,

    /// Why, for the audit
    #[arg(long, value_name = "TEXT", value_parser = change::reason)]
    reason: Option<String>,

    #[command(flatten)]
    change: ChangeArguments,

    /// Print the token, its id, participant, scopes and end as JSON
    #[arg(long)]
    json: bool,
}

impl Issue {
    pub(crate) async fn run(self, servers: &mut Servers, output: &mut Output) -> Result<(), Failure> {
        let (dry_run, request_id) = (self.change.dry_run, self.change.request_id());
        let request = IssueTokenRequest {
            participant_id: self.participant.map(|participant| participant.to_string()).unwrap_or_default(),
            scopes: scope::to_wire(&self.scopes),
            lifetime: self.lifetime,
            reason: self.reason.unwrap_or_default(),
            validate_only: dry_run,
            request_id: request_id.clone(),
        };
        let answer = servers
            .call(&request, async |channel, request| {
                TokenServiceClient::new(channel).issue_token(request).await
            })
            .await?;
        if self.json {
            let token = answer.token.ok_or_else(|| Failure::missing("token"))?.into();
            return output.json(&json::Issued { token, dry_run, request_id });
        }
        if dry_run {
            let token = answer.token.ok_or_else(|| Failure::missing("token"))?;
            let scopes: Vec<_> = token.scopes.iter().map(|scope| scope::word(*scope)).collect();
            let (scopes, until) = (scopes.join(", "), until(token.expires_at.as_ref()));
            output.note(&format!("dry run: a token would be made that allows {scopes} until {until}"));
            return Ok(());
        }
        show(answer.token, false, output)
    }
}
