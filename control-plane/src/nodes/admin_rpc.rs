//! `NodeAdminService` over gRPC.

use contracts::{
    Code, NodeId, Refusal, SessionId,
    wire::v1::{
        DetachNodeRequest, DetachNodeResponse, ExplainNodeRequest, ExplainNodeResponse, ForgetNodeRequest,
        ForgetNodeResponse, GetNodeRequest, GetNodeResponse, ListNodesRequest, ListNodesResponse,
        RevokeNodeRequest, RevokeNodeResponse, TransferNodeRequest, TransferNodeResponse,
        node_admin_service_server::NodeAdminService,
    },
};
use sqlx::PgPool;
use tonic::{Request, Response, Status};

use super::{
    explain,
    forget::{ForgetNode, forget_node},
    remove::{DetachNode, RevokeNode, detach_node, revoke_node},
    rpc::node_page,
    store::{self, NodeFacts, ShownSlot},
    transfer::{TransferNode, transfer_node},
};
use crate::{
    auth::{self, Actor},
    failure::Failure,
    leadership::{Roles, run},
    sessions,
    settings::Cadence,
    wire::{self, Page},
};

/// The service. Its reads answer in every role.
#[derive(Clone, Debug)]
pub struct NodeAdmin {
    roles: Roles,
    reads: PgPool,
    cadence: Cadence,
}

impl NodeAdmin {
    /// Writes go through the leader, reads to the pool; explains by these thresholds.
    pub fn new(roles: Roles, reads: PgPool, cadence: Cadence) -> Self {
        Self { roles, reads, cadence }
    }

    /// A node with those of its slots that the participant may see.
    async fn node(&self, node_id: &NodeId, actor: Actor) -> Result<(NodeFacts, Vec<ShownSlot>), Failure> {
        let not_found = || {
            let message = format!(
                "no node {node_id} is known here: it never attached, was forgotten, or is not yours to see. See \
                 `rollcall node list`"
            );
            Refusal::new(Code::RuntimeNodeNotFound, message)
        };
        let facts = store::node_facts(&self.reads, node_id).await?.ok_or_else(not_found)?;
        let mut visible = Vec::new();
        for shown in store::slots_of_node(&self.reads, node_id).await? {
            if sessions::store::may_see(&self.reads, shown.slot.session_id, actor).await? {
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
        let actor = auth::principal(&request)?.actor()?;
        let ListNodesRequest { session_id, page_size, page_token } = request.into_inner();
        let session_id = (!session_id.is_empty())
            .then(|| SessionId::parse("session_id", &session_id))
            .transpose()
            .map_err(Refusal::from)?;
        let page = Page::parse(page_size, &page_token).map_err(Refusal::from)?;
        let rows = store::last_slots(&self.reads, actor, session_id, &page.after, page.rows_wanted()).await;
        let (nodes, next_page_token) = node_page(&page, rows.map_err(Failure::from)?);
        Ok(Response::new(ListNodesResponse { nodes, next_page_token }))
    }

    async fn get_node(&self, request: Request<GetNodeRequest>) -> Result<Response<GetNodeResponse>, Status> {
        let actor = auth::principal(&request)?.actor()?;
        let node_id = NodeId::parse("node_id", &request.into_inner().node_id).map_err(Refusal::from)?;
        let (facts, slots) = self.node(&node_id, actor).await?;
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
        let actor = auth::principal(&request)?.actor()?;
        let node_id = NodeId::parse("node_id", &request.into_inner().node_id).map_err(Refusal::from)?;
        let (facts, slots) = self.node(&node_id, actor).await?;
        let evidence = explain::gather(&self.reads, &self.cadence, &node_id, facts, slots)
            .await
            .map_err(Failure::from)?;
        Ok(Response::new(explain::explain(&evidence)))
    }

    async fn detach_node(
        &self,
        request: Request<DetachNodeRequest>,
    ) -> Result<Response<DetachNodeResponse>, Status> {
        let actor = auth::principal(&request)?.actor()?;
        let command = DetachNode::parse(request.into_inner())?;
        let leader = self.roles.leader()?;
        let answer =
            run(&leader, move |leader| async move { detach_node(&leader, actor, command).await }).await?;
        Ok(Response::new(answer))
    }

    async fn revoke_node(
        &self,
        request: Request<RevokeNodeRequest>,
    ) -> Result<Response<RevokeNodeResponse>, Status> {
        let actor = auth::principal(&request)?.actor()?;
        let command = RevokeNode::parse(request.into_inner())?;
        let leader = self.roles.leader()?;
        let answer =
            run(&leader, move |leader| async move { revoke_node(&leader, actor, command).await }).await?;
        Ok(Response::new(answer))
    }

    async fn transfer_node(
        &self,
        request: Request<TransferNodeRequest>,
    ) -> Result<Response<TransferNodeResponse>, Status> {
        let actor = auth::principal(&request)?.actor()?;
        let command = TransferNode::parse(request.into_inner())?;
        let leader = self.roles.leader()?;
        let answer =
            run(&leader, move |leader| async move { transfer_node(&leader, actor, command).await }).await?;
        Ok(Response::new(answer))
    }

    async fn forget_node(
        &self,
        request: Request<ForgetNodeRequest>,
    ) -> Result<Response<ForgetNodeResponse>, Status> {
        let actor = auth::principal(&request)?.actor()?;
        let command = ForgetNode::parse(request.into_inner())?;
        let leader = self.roles.leader()?;
        let answer =
            run(&leader, move |leader| async move { forget_node(&leader, actor, command).await }).await?;
        Ok(Response::new(answer))
    }
}
