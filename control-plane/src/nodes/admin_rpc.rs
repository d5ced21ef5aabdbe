//! `NodeAdminService` over gRPC.

use contracts::{
    Code, NodeId, ParticipantId, Refusal, SessionId,
    wire::v1::{
        ExplainNodeRequest, ExplainNodeResponse, GetNodeRequest, GetNodeResponse, ListNodesRequest,
        ListNodesResponse, node_admin_service_server::NodeAdminService,
    },
};
use sqlx::PgPool;
use tonic::{Request, Response, Status};

use super::{
    explain,
    rpc::node_page,
    store::{self, NodeFacts, ShownSlot},
};
use crate::{
    auth,
    failure::Failure,
    sessions,
    settings::Cadence,
    wire::{self, Page},
};

/// The service. It only reads, and so answers in every role.
#[derive(Clone, Debug)]
pub struct NodeAdmin {
    reads: PgPool,
    cadence: Cadence,
}

impl NodeAdmin {
    /// Reads from the pool; explains by these thresholds.
    pub fn new(reads: PgPool, cadence: Cadence) -> Self {
        Self { reads, cadence }
    }

    /// A node with those of its slots that the participant may see.
    async fn node(
        &self,
        node_id: &NodeId,
        participant: ParticipantId,
    ) -> Result<(NodeFacts, Vec<ShownSlot>), Failure> {
        let not_found = || {
            let message = format!("no node {node_id} was ever seen. See `rollcall node list`");
            Refusal::new(Code::RuntimeNodeNotFound, message)
        };
        let facts = store::node_facts(&self.reads, node_id).await?.ok_or_else(not_found)?;
        let mut visible = Vec::new();
        for shown in store::slots_of_node(&self.reads, node_id).await? {
            if sessions::store::is_member(&self.reads, shown.slot.session_id, participant).await? {
                visible.push(shown);
            }
        }
        if visible.is_empty() {
            return Err(not_found().into());
        }
        Ok((facts, visible))
    }
}

#[tonic::async_trait]
impl NodeAdminService for NodeAdmin {
    async fn list_nodes(
        &self,
        request: Request<ListNodesRequest>,
    ) -> Result<Response<ListNodesResponse>, Status> {
        let participant = auth::principal(&request)?.participant()?;
        let ListNodesRequest { session_id, page_size, page_token } = request.into_inner();
        let session_id = (!session_id.is_empty())
            .then(|| SessionId::parse("session_id", &session_id))
            .transpose()
            .map_err(Refusal::from)?;
        let page = Page::parse(page_size, &page_token).map_err(Refusal::from)?;
        let rows =
            store::last_slots(&self.reads, participant, session_id, &page.after, page.rows_wanted()).await;
        let (nodes, next_page_token) = node_page(&page, rows.map_err(Failure::from)?);
        Ok(Response::new(ListNodesResponse { nodes, next_page_token }))
    }

    async fn get_node(&self, request: Request<GetNodeRequest>) -> Result<Response<GetNodeResponse>, Status> {
        let participant = auth::principal(&request)?.participant()?;
        let node_id = NodeId::parse("node_id", &request.into_inner().node_id).map_err(Refusal::from)?;
        let (facts, slots) = self.node(&node_id, participant).await?;
        Ok(Response::new(GetNodeResponse {
            slots: slots.iter().map(|shown| shown.slot.to_wire(&shown.floor)).collect(),
            first_seen_at: Some(wire::timestamp(facts.first_seen_at)),
            generation: wire::generation_out(facts.generation),
        }))
    }

    async fn explain_node(
        &self,
        request: Request<ExplainNodeRequest>,
    ) -> Result<Response<ExplainNodeResponse>, Status> {
        let participant = auth::principal(&request)?.participant()?;
        let node_id = NodeId::parse("node_id", &request.into_inner().node_id).map_err(Refusal::from)?;
        let (facts, slots) = self.node(&node_id, participant).await?;
        let evidence =
            explain::gather(&self.reads, &self.cadence, facts, slots).await.map_err(Failure::from)?;
        Ok(Response::new(explain::explain(&evidence)))
    }
}
