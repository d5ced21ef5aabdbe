//! `rollcall session raise-floor`.

use std::time::Instant;

use contracts::{
    EventEnvelopeVersion, SessionId, limits,
    wire::v1::{
        AffectedNode, RaiseVersionFloorRequest, RaiseVersionFloorResponse, Session,
        session_service_client::SessionServiceClient,
    },
};

use crate::cli::{
    change::{self, ChangeArguments},
    exit::after_help,
    failure::Failure,
    output::Output,
    pages::PageCursor,
    progress::Progress,
    servers::Servers,
    session::{arguments, json, text},
    table::Table,
};

/// As many as a page may hold: an affected node is small, and a raise that is not a dry run names one page only.
const AFFECTED_NODES_PER_PAGE: i32 = limits::PAGE_SIZE_MAX as i32;

#[derive(Debug, clap::Args)]
#[command(after_help = after_help!("\
Nodes below the floor stay attached and become read-only at once. A floor only rises. See first who would \
be affected, with --dry-run.

Examples:
  rollcall session raise-floor 0198c5a2-6f1e-7c3a-9b54-2f8e1d0c7a61 1.2 --dry-run
  rollcall session raise-floor 0198c5a2-6f1e-7c3a-9b54-2f8e1d0c7a61 1.2"))]
pub(crate) struct RaiseFloor {
    /// The session
    #[arg(value_name = "ID")]
    session: SessionId,

    /// The new floor
    #[arg(value_name = "MAJOR.MINOR", value_parser = arguments::floor)]
    version: EventEnvelopeVersion,

    /// Why, for the audit
    #[arg(long, value_name = "TEXT", value_parser = change::reason)]
    reason: Option<String>,

    /// With --dry-run, the nodes that would become read-only are listed
    #[command(flatten)]
    change: ChangeArguments,

    /// Print the session and the affected nodes as JSON
    #[arg(long)]
    json: bool,
}

/// What the raise does, or would do.
struct Raised {
    session: Session,
    affected_nodes_count: i64,
    affected_nodes: Vec<AffectedNode>,
}

impl RaiseFloor {
    pub(crate) async fn run(self, servers: &mut Servers, output: &mut Output) -> Result<(), Failure> {
        let request_id = self.change.request_id();
        let raised = if self.change.dry_run {
            self.all_affected(servers, output).await?
        } else {
            self.raise(servers, request_id).await?
        };
        if self.json {
            return output.json(&json::RaisedFloor {
                session: raised.session.into(),
                dry_run: self.change.dry_run,
                affected_nodes_count: raised.affected_nodes_count,
                affected_nodes: raised.affected_nodes.into_iter().map(Into::into).collect(),
            });
        }
        self.tell(&raised, output)
    }

    async fn raise(&self, servers: &mut Servers, request_id: String) -> Result<Raised, Failure> {
        let answer = self.call(servers, String::new(), request_id).await?;
        Ok(Raised {
            session: answer.session.ok_or_else(|| Failure::missing("session"))?,
            affected_nodes_count: answer.affected_nodes_count,
            affected_nodes: answer.affected_nodes,
        })
    }

    /// All pages of a dry run. Count and session are those of the first page: nodes come and go meanwhile.
    async fn all_affected(&self, servers: &mut Servers, output: &mut Output) -> Result<Raised, Failure> {
        let mut progress = Progress::of("affected nodes");
        let mut cursor = PageCursor::default();
        let first = self.call(servers, cursor.token(), String::new()).await?;
        let mut raised = Raised {
            session: first.session.ok_or_else(|| Failure::missing("session"))?,
            affected_nodes_count: first.affected_nodes_count,
            affected_nodes: first.affected_nodes,
        };
        let mut next = first.next_page_token;
        while cursor.advance(next)? {
            let total = Some(raised.affected_nodes_count);
            progress.tell(raised.affected_nodes.len(), total, Instant::now(), output);
            let page = self.call(servers, cursor.token(), String::new()).await?;
            raised.affected_nodes.extend(page.affected_nodes);
            next = page.next_page_token;
        }
        Ok(raised)
    }

    async fn call(
        &self,
        servers: &mut Servers,
        page_token: String,
        request_id: String,
    ) -> Result<RaiseVersionFloorResponse, Failure> {
        let request = RaiseVersionFloorRequest {
            session_id: self.session.to_string(),
            min_client_version: self.version.to_string(),
            validate_only: self.change.dry_run,
            page_size: AFFECTED_NODES_PER_PAGE,
            page_token,
            reason: self.reason.clone().unwrap_or_default(),
            request_id,
        };
        servers
            .call(&request, async |channel, request| {
                SessionServiceClient::new(channel).raise_version_floor(request).await
            })
            .await
    }

    fn tell(&self, raised: &Raised, output: &mut Output) -> Result<(), Failure> {
        let count = raised.affected_nodes_count;
        let (title, nodes, version) = (text::title(&raised.session), text::nodes(count), &self.version);
        if self.change.dry_run {
            output.note(&format!("dry run: floor {version} would make {nodes} of {title} read-only"));
        } else {
            output.note(&format!("the floor of {title} is {version}; {nodes} became read-only"));
        }
        if raised.affected_nodes.is_empty() {
            return Ok(());
        }
        let mut table = Table::with_headings(&["NODE", "VERSION"]);
        for node in &raised.affected_nodes {
            table.row([node.node_id.clone(), node.client_version.clone()]);
        }
        output.table(&table)?;
        let named = i64::try_from(raised.affected_nodes.len()).unwrap_or(i64::MAX);
        if !self.change.dry_run && named < count {
            output.note(&format!("and {} more", count - named));
            output.hint(&format!("see them all with `rollcall node list --session {}`", self.session));
        }
        Ok(())
    }
}
