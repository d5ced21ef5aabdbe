//! `rollcall node list`.

use std::time::Instant;

use contracts::{
    SessionId,
    wire::v1::{ListNodesRequest, RuntimeNode, node_admin_service_client::NodeAdminServiceClient},
};

use crate::cli::{
    clock,
    exit::after_help,
    failure::Failure,
    invocation,
    node::{json, text},
    output::Output,
    pages::{PAGE_SIZE, PageCursor},
    progress::Progress,
    servers::{ANSWER_BYTES_MAX, Servers},
};

#[derive(Debug, clap::Args)]
#[command(after_help = after_help!("\
SLOT says what the node declared, HEALTH whether it is heard. The two are apart: an online slot may be \
unheard.

Examples:
  rollcall node list
  rollcall node list --session 0198c5a2-6f1e-7c3a-9b54-2f8e1d0c7a61
  rollcall node list --json | jq -r '.nodes[] | select(.read_only).node_id'"))]
pub(crate) struct List {
    /// Only nodes with a slot in this session
    #[arg(long, value_name = "ID")]
    session: Option<SessionId>,

    /// Print {\"nodes\": [...]}
    #[arg(long)]
    json: bool,
}

impl List {
    pub(crate) async fn run(self, servers: &mut Servers, output: &mut Output) -> Result<(), Failure> {
        if self.json {
            let mut nodes = Vec::new();
            self.read(servers, output, |node| nodes.push(node.into())).await?;
            return output.json(&json::Nodes { nodes });
        }
        let mut table = text::table();
        let count = self.read(servers, output, |node| table.row(text::row(&node, clock::now()))).await?;
        if count == 0 {
            self.tell_none(output);
            return Ok(());
        }
        output.table(&table)
    }

    /// Gives all nodes, all pages, to `take`, which keeps of each only what is shown: declarations may be large and the
    /// fleet too.
    async fn read(
        &self,
        servers: &mut Servers,
        output: &mut Output,
        mut take: impl FnMut(RuntimeNode),
    ) -> Result<usize, Failure> {
        let mut progress = Progress::of("nodes");
        let mut cursor = PageCursor::default();
        let mut count = 0;
        loop {
            let request = ListNodesRequest {
                session_id: self.session.map(|session| session.to_string()).unwrap_or_default(),
                page_size: PAGE_SIZE,
                page_token: cursor.token(),
            };
            let page = servers
                .call(&request, async |channel, request| {
                    NodeAdminServiceClient::new(channel)
                        .max_decoding_message_size(ANSWER_BYTES_MAX)
                        .list_nodes(request)
                        .await
                })
                .await?;
            count += page.nodes.len();
            page.nodes.into_iter().for_each(&mut take);
            if !cursor.advance(page.next_page_token)? {
                return Ok(count);
            }
            progress.tell(count, None, Instant::now(), output);
        }
    }

    fn tell_none(&self, output: &mut Output) {
        match self.session {
            Some(session) => {
                output.note("no node was ever attached to this session");
                output.hint(&format!(
                    "attach one with `{} --session {session} --node-id laptop-1 --capability codex`",
                    invocation::daemon()
                ));
            }
            None => {
                output.note("no nodes yet");
                output.hint(&format!(
                    "make a session with `{} session create --name demo`; it says how to attach a node",
                    invocation::rollcall()
                ));
            }
        }
    }
}
