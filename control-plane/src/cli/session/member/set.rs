//! `rollcall session member set`.

use contracts::{
    ParticipantId, SessionId,
    wire::v1::{
        MemberRole, MemberState, SetMemberRequest, membership_service_client::MembershipServiceClient,
    },
};

use crate::cli::{
    change::{self, ChangeArguments},
    exit::after_help,
    failure::Failure,
    output::Output,
    servers::Servers,
    session::member::{
        json,
        standing::{Role, State},
    },
    wire_word::word,
};

#[derive(Debug, clap::Args)]
#[command(after_help = after_help!("\
A participant that is new is made. Role and state are both named, so that a change of one never brings \
back the other by surprise.

Examples:
  rollcall session member set 0198c5a2-6f1e-7c3a-9b54-2f8e1d0c7a61 \
5f0c3a52-93d5-4a26-8f58-0f6a3f2f6f10 --role runtime-contributor --state active
  rollcall session member set 0198c5a2-6f1e-7c3a-9b54-2f8e1d0c7a61 \
5f0c3a52-93d5-4a26-8f58-0f6a3f2f6f10 --role viewer --state suspended --reason vacation --dry-run"))]
pub(crate) struct Set {
    /// The session
    #[arg(value_name = "SESSION")]
    session: SessionId,

    /// The participant
    #[arg(value_name = "PARTICIPANT")]
    participant: ParticipantId,

    /// What the member may do
    #[arg(long, value_enum)]
    role: Role,

    /// Whether that counts
    #[arg(long, value_enum)]
    state: State,

    /// Why, for the audit
    #[arg(long, value_name = "TEXT", value_parser = change::reason)]
    reason: Option<String>,

    #[command(flatten)]
    change: ChangeArguments,

    /// Print the membership as JSON
    #[arg(long)]
    json: bool,
}

impl Set {
    pub(crate) async fn run(self, servers: &mut Servers, output: &mut Output) -> Result<(), Failure> {
        let dry_run = self.change.dry_run;
        let request_id = self.change.request_id();
        let request = SetMemberRequest {
            session_id: self.session.to_string(),
            participant_id: self.participant.to_string(),
            role: MemberRole::from(self.role).into(),
            state: MemberState::from(self.state).into(),
            reason: self.reason.unwrap_or_default(),
            validate_only: dry_run,
            request_id: request_id.clone(),
        };
        let answer = servers
            .call(&request, async |channel, request| {
                MembershipServiceClient::new(channel).set_member(request).await
            })
            .await?;
        let member = answer.member.ok_or_else(|| Failure::missing("member"))?;
        if self.json {
            return output.json(&json::SetMember { member: member.into(), dry_run, request_id });
        }
        let (role, state) = (word::<MemberRole>(member.role), word::<MemberState>(member.state));
        let (participant, session) = (member.participant_id, self.session);
        let is = if dry_run { "would be" } else { "is" };
        let prefix = if dry_run { "dry run: " } else { "" };
        output.note(&format!("{prefix}participant {participant} {is} {role} ({state}) of session {session}"));
        Ok(())
    }
}
