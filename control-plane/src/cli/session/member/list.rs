//! `rollcall session member list`.

use std::time::Instant;

use contracts::{
    SessionId,
    wire::v1::{
        ListMembersRequest, Member, MemberRole, MemberState,
        membership_service_client::MembershipServiceClient,
    },
};

use crate::cli::{
    age::ago,
    clock,
    exit::after_help,
    failure::Failure,
    output::Output,
    pages::{PAGE_SIZE, PageCursor},
    progress::Progress,
    servers::Servers,
    session::member::json,
    table::Table,
    wire_word::word,
};

#[derive(Debug, clap::Args)]
#[command(after_help = after_help!("\
Examples:
  rollcall session member list 0198c5a2-6f1e-7c3a-9b54-2f8e1d0c7a61
  rollcall session member list 0198c5a2-6f1e-7c3a-9b54-2f8e1d0c7a61 --json | jq -r \
'.members[] | select(.role == \"owner\").participant_id'"))]
pub(crate) struct List {
    /// The session
    #[arg(value_name = "SESSION")]
    session: SessionId,

    /// Print {\"members\": [...]}
    #[arg(long)]
    json: bool,
}

impl List {
    pub(crate) async fn run(self, servers: &mut Servers, output: &mut Output) -> Result<(), Failure> {
        let members = self.read(servers, output).await?;
        if self.json {
            let members = members.into_iter().map(json::Member::from).collect();
            return output.json(&json::Members { members });
        }
        let now = clock::now();
        let mut table = Table::with_headings(&["PARTICIPANT", "ROLE", "STATE", "JOINED", "UPDATED"]);
        for member in members {
            table.row([
                member.participant_id,
                word::<MemberRole>(member.role),
                word::<MemberState>(member.state),
                ago(member.joined_at.as_ref(), now),
                ago(member.updated_at.as_ref(), now),
            ]);
        }
        output.table(&table)
    }

    /// All members, all pages. There is always one: a session keeps an owner.
    async fn read(&self, servers: &mut Servers, output: &mut Output) -> Result<Vec<Member>, Failure> {
        let mut progress = Progress::of("members");
        let mut cursor = PageCursor::default();
        let mut members = Vec::new();
        loop {
            let request = ListMembersRequest {
                session_id: self.session.to_string(),
                page_size: PAGE_SIZE,
                page_token: cursor.token(),
            };
            let page = servers
                .call(&request, async |channel, request| {
                    MembershipServiceClient::new(channel).list_members(request).await
                })
                .await?;
            members.extend(page.members);
            if !cursor.advance(page.next_page_token)? {
                return Ok(members);
            }
            progress.tell(members.len(), None, Instant::now(), output);
        }
    }
}
