//! `rollcall session member remove`.

use contracts::{
    ParticipantId, SessionId,
    wire::v1::{RemoveMemberRequest, membership_service_client::MembershipServiceClient},
};

use crate::cli::{
    change::{self, ChangeArguments},
    confirmation::{self, Confirmation},
    exit::after_help,
    failure::Failure,
    output::Output,
    servers::Servers,
    session::member::json,
};

#[derive(Debug, clap::Args)]
#[command(after_help = after_help!("\
The last owner cannot be removed. The participant's nodes stay where they are; to end their slots, detach \
or revoke them. Removing a member that is gone changes nothing.

Examples:
  rollcall session member remove 0198c5a2-6f1e-7c3a-9b54-2f8e1d0c7a61 \
5f0c3a52-93d5-4a26-8f58-0f6a3f2f6f10 --dry-run
  rollcall session member remove 0198c5a2-6f1e-7c3a-9b54-2f8e1d0c7a61 \
5f0c3a52-93d5-4a26-8f58-0f6a3f2f6f10 --reason left --yes"))]
pub(crate) struct Remove {
    /// The session
    #[arg(value_name = "SESSION")]
    session: SessionId,

    /// The participant
    #[arg(value_name = "PARTICIPANT")]
    participant: ParticipantId,

    /// Why, for the audit
    #[arg(long, value_name = "TEXT", value_parser = change::reason)]
    reason: Option<String>,

    #[command(flatten)]
    change: ChangeArguments,

    /// Do not ask; required when stdin is no terminal, except for a dry run
    #[arg(long)]
    yes: bool,

    /// Print what was removed as JSON
    #[arg(long)]
    json: bool,
}

impl Remove {
    pub(crate) async fn run(self, servers: &mut Servers, output: &mut Output) -> Result<(), Failure> {
        let Self { session, participant, reason, change, yes, json } = self;
        let dry_run = change.dry_run;
        let consequence =
            format!("this ends the membership of participant {participant} in session {session}");
        let confirmation = Confirmation::of_process(yes || dry_run);
        confirmation::confirm(confirmation, &consequence, "remove", output).await?;
        let request_id = change.request_id();
        let request = RemoveMemberRequest {
            session_id: session.to_string(),
            participant_id: participant.to_string(),
            reason: reason.unwrap_or_default(),
            validate_only: dry_run,
            request_id: request_id.clone(),
        };
        servers
            .call(&request, async |channel, request| {
                MembershipServiceClient::new(channel).remove_member(request).await
            })
            .await?;
        if json {
            return output.json(&json::RemovedMember {
                session_id: request.session_id,
                participant_id: request.participant_id,
                dry_run,
                request_id,
            });
        }
        output.note(&if dry_run {
            format!("dry run: participant {participant} would be no member of session {session} any more")
        } else {
            format!("participant {participant} is no member of session {session} any more")
        });
        Ok(())
    }
}
