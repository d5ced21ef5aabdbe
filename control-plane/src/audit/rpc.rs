//! `AuditService` over gRPC.

use contracts::{
    NodeId, Refusal, SessionId,
    refusal::FieldViolation,
    wire::v1::{
        AuditEntry, ListAuditEntriesRequest, ListAuditEntriesResponse, audit_service_server::AuditService,
    },
};
use sqlx::PgPool;
use tonic::{Request, Response, Status};
use uuid::Uuid;

use super::store::{self, EntryRow};
use crate::{
    failure::Failure,
    wire::{self, Page},
};

/// The service. It only reads, and so answers in every role.
#[derive(Clone, Debug)]
pub struct Audit {
    reads: PgPool,
}

impl Audit {
    /// Reads from the pool.
    pub fn new(reads: PgPool) -> Self {
        Self { reads }
    }
}

#[tonic::async_trait]
impl AuditService for Audit {
    async fn list_audit_entries(
        &self,
        request: Request<ListAuditEntriesRequest>,
    ) -> Result<Response<ListAuditEntriesResponse>, Status> {
        let ListAuditEntriesRequest { session_id, node_id, page_size, page_token } = request.into_inner();
        let parse_session = || SessionId::parse("session_id", &session_id);
        let session_id = (!session_id.is_empty()).then(parse_session).transpose().map_err(Refusal::from)?;
        let parse_node = || NodeId::parse("node_id", &node_id);
        let node_id = (!node_id.is_empty()).then(parse_node).transpose().map_err(Refusal::from)?;
        let page = Page::parse(page_size, &page_token).map_err(Refusal::from)?;
        let before = match page.after.as_str() {
            "" => i64::MAX,
            token => token.parse().map_err(|_| {
                Refusal::from(FieldViolation::new(
                    "page_token",
                    "must be the next_page_token of an earlier answer",
                ))
            })?,
        };
        let target = node_id.as_ref().map(NodeId::as_str);
        let rows =
            store::entries(&self.reads, session_id.map(|id| id.0), target, before, page.rows_wanted()).await;
        let mut rows = rows.map_err(Failure::from)?;
        let next_page_token = page.cut(&mut rows, |row| row.id.to_string());
        Ok(Response::new(ListAuditEntriesResponse {
            entries: rows.into_iter().map(shown).collect(),
            next_page_token,
        }))
    }
}

fn shown(row: EntryRow) -> AuditEntry {
    let text = |id: Option<Uuid>| id.map(|id| id.to_string()).unwrap_or_default();
    AuditEntry {
        entry_id: row.id,
        at: Some(wire::timestamp(row.at)),
        actor_id: row.actor_id.to_string(),
        action: row.action,
        session_id: text(row.session_id),
        target: row.target,
        reason: row.reason.unwrap_or_default(),
        request_id: text(row.request_id),
        epoch: row.epoch,
    }
}
