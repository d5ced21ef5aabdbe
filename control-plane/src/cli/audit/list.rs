//! `rollcall audit list`.

use std::time::Instant;

use contracts::{
    NodeId, SessionId,
    wire::v1::{AuditEntry, ListAuditEntriesRequest, audit_service_client::AuditServiceClient},
};

use super::json;
use crate::cli::{
    age::rfc3339,
    exit::after_help,
    failure::Failure,
    output::Output,
    pages::{PAGE_SIZE, PageCursor},
    progress::Progress,
    servers::Servers,
    table::Table,
};

#[derive(Debug, clap::Args)]
#[command(after_help = after_help!("\
What a verb did is written in the very transaction that did it, with who, why and when. Admins only.

Examples:
  rollcall audit list
  rollcall audit list --session 0198c5a2-6f1e-7c3a-9b54-2f8e1d0c7a61 --limit 1000
  rollcall audit list --node laptop-1 --json | jq -r '.entries[] | [.at, .action, .reason] | @tsv'"))]
pub(crate) struct List {
    /// Only what was done in this session
    #[arg(long, value_name = "ID")]
    session: Option<SessionId>,

    /// Only what was done to this node
    #[arg(long, value_name = "NODE")]
    node: Option<NodeId>,

    /// At most this many entries, the newest
    #[arg(long, value_name = "COUNT", default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..))]
    limit: u32,

    /// Print {\"entries\": [...]}
    #[arg(long)]
    json: bool,
}

/// The newest entries.
struct Newest {
    entries: Vec<AuditEntry>,
    /// Whether older ones were left out.
    has_more: bool,
}

impl List {
    pub(crate) async fn run(self, servers: &mut Servers, output: &mut Output) -> Result<(), Failure> {
        let Newest { entries, has_more } = self.read(servers, output).await?;
        if self.json {
            let entries = entries.into_iter().map(json::Entry::from).collect();
            return output.json(&json::Entries { entries, has_more });
        }
        if entries.is_empty() {
            output.note("nothing was done yet, of what is asked for");
            return Ok(());
        }
        // The reason comes last: it is the only long one, and is never padded.
        let mut table = Table::with_headings(&["AT", "ACTION", "TARGET", "SESSION", "ACTOR", "REASON"]);
        for entry in entries {
            table.row([
                rfc3339(entry.at.as_ref()).unwrap_or_else(absent),
                entry.action,
                entry.target,
                if entry.session_id.is_empty() { absent() } else { entry.session_id },
                entry.actor_id,
                entry.reason,
            ]);
        }
        output.table(&table)?;
        if has_more {
            output.note("there are older ones");
            output.hint("see more with --limit");
        }
        Ok(())
    }

    async fn read(&self, servers: &mut Servers, output: &mut Output) -> Result<Newest, Failure> {
        let limit = usize::try_from(self.limit).unwrap_or(usize::MAX);
        let mut progress = Progress::of("entries");
        let mut cursor = PageCursor::default();
        let mut entries = Vec::new();
        loop {
            let wanted = i32::try_from(limit - entries.len()).unwrap_or(PAGE_SIZE).min(PAGE_SIZE);
            let request = ListAuditEntriesRequest {
                session_id: self.session.map(|session| session.to_string()).unwrap_or_default(),
                node_id: self.node.as_ref().map(NodeId::to_string).unwrap_or_default(),
                page_size: wanted,
                page_token: cursor.token(),
            };
            let page = servers
                .call(&request, async |channel, request| {
                    AuditServiceClient::new(channel).list_audit_entries(request).await
                })
                .await?;
            entries.extend(page.entries);
            let has_next = cursor.advance(page.next_page_token)?;
            if entries.len() >= limit || !has_next {
                let has_more = has_next || entries.len() > limit;
                entries.truncate(limit);
                return Ok(Newest { entries, has_more });
            }
            progress.tell(entries.len(), None, Instant::now(), output);
        }
    }
}

fn absent() -> String {
    "-".to_owned()
}
