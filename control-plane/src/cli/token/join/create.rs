//! `rollcall token join create`.

use contracts::{
    ParticipantId,
    wire::v1::{CreateJoinTokenRequest, token_service_client::TokenServiceClient},
};

use crate::cli::{
    age::rfc3339,
    change::{self, ChangeArguments},
    exit::after_help,
    failure::Failure,
    output::Output,
    servers::Servers,
    token::{
        json,
        lifetime::lifetime,
        scope::{self, Scope},
        until,
    },
};

#[derive(Debug, clap::Args)]
#[command(after_help = after_help!("\
The join token goes to stdout and what is said about it to stderr. A join token never allows admin. Admins \
only.

Examples:
  rollcall token join create --participant 5f0c3a52-93d5-4a26-8f58-0f6a3f2f6f10 --scope node
  rollcall token join create --participant 5f0c3a52-93d5-4a26-8f58-0f6a3f2f6f10 --scope node --uses 50 \
--lifetime 2h --token-lifetime 30d --reason rack-7"))]
pub(crate) struct Create {
    /// Participant that the exchanged tokens stand for
    #[arg(long, value_name = "UUID")]
    participant: ParticipantId,

    /// What the exchanged tokens allow; several, separated by commas or each with a flag of its own
    #[arg(long = "scope", value_enum, value_name = "SCOPE", required = true, value_delimiter = ',')]
    scopes: Vec<Scope>,

    /// How often it can be exchanged
    #[arg(long, value_name = "COUNT", default_value_t = 1, value_parser = clap::value_parser!(i32).range(1..))]
    uses: i32,

    /// How long it can be exchanged, 1 minute to 7 days; 1h unless given
    #[arg(long, value_name = "DURATION", value_parser = lifetime)]
    lifetime: Option<prost_types::Duration>,

    /// How long each exchanged token is valid, 1 minute to 365 days; 24h unless given
    #[arg(long, value_name = "DURATION", value_parser = lifetime)]
    token_lifetime: Option<prost_types::Duration>,

    /// Why, for the audit
    #[arg(long, value_name = "TEXT", value_parser = change::reason)]
    reason: Option<String>,

    #[command(flatten)]
    change: ChangeArguments,

    /// Print the join token, its id and its end as JSON
    #[arg(long)]
    json: bool,
}

impl Create {
    pub(crate) async fn run(self, servers: &mut Servers, output: &mut Output) -> Result<(), Failure> {
        let (dry_run, request_id) = (self.change.dry_run, self.change.request_id());
        let request = CreateJoinTokenRequest {
            participant_id: self.participant.to_string(),
            scopes: scope::to_wire(&self.scopes),
            uses: self.uses,
            lifetime: self.lifetime,
            token_lifetime: self.token_lifetime,
            reason: self.reason.unwrap_or_default(),
            validate_only: dry_run,
            request_id: request_id.clone(),
        };
        let answer = servers
            .call(&request, async |channel, request| {
                TokenServiceClient::new(channel).create_join_token(request).await
            })
            .await?;
        if self.json {
            return output.json(&json::JoinToken {
                join_token: answer.join_token,
                join_token_id: answer.join_token_id,
                expires_at: rfc3339(answer.expires_at.as_ref()),
                dry_run,
                request_id,
            });
        }
        let exchanges = match self.uses {
            1 => "1 exchange".to_owned(),
            uses => format!("{uses} exchanges"),
        };
        let until = until(answer.expires_at.as_ref());
        if dry_run {
            output.note(&format!("dry run: a join token would be made, good for {exchanges} until {until}"));
            return Ok(());
        }
        output.line(&answer.join_token)?;
        output.note(&format!("join token {} of participant {}", answer.join_token_id, self.participant));
        output.note(&format!("good for {exchanges} until {until}; shown once"));
        output.note("next, on the new machine, with the join token in ROLLCALL_JOIN_TOKEN:");
        output.note("  rollcall token join exchange > token");
        Ok(())
    }
}
