//! `RuntimeNodeService` over gRPC.

use contracts::{
    Refusal, SessionId,
    refusal::FieldViolation,
    wire::v1::{
        AttachRequest, AttachResponse, DetachRequest, DetachResponse, GetRosterRequest, GetRosterResponse,
        HeartbeatRequest, HeartbeatResponse, StreamHeartbeatsRequest, StreamHeartbeatsResponse,
        UpdateCapabilitiesRequest, UpdateCapabilitiesResponse, WatchRosterRequest, WatchRosterResponse,
        runtime_node_service_server::RuntimeNodeService,
    },
};
use sqlx::PgPool;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status, Streaming};

use super::{
    attach::{Attach, attach},
    detach::{Detach, detach},
    store::{self, ShownSlot},
    update_capabilities::{UpdateCapabilities, update_capabilities},
};
use crate::{
    auth::{self, Actor},
    failure::Failure,
    leadership::{self, Roles, run},
    presence::beat,
    roster::watch::{Revision, watch},
    sessions,
    wire::{self, Page},
};

/// The service.
#[derive(Clone, Debug)]
pub struct RuntimeNodes {
    roles: Roles,
    reads: PgPool,
}

impl RuntimeNodes {
    /// Writes go through the leader, reads to the pool.
    pub fn new(roles: Roles, reads: PgPool) -> Self {
        Self { roles, reads }
    }
}

#[tonic::async_trait]
impl RuntimeNodeService for RuntimeNodes {
    type StreamHeartbeatsStream = ReceiverStream<Result<StreamHeartbeatsResponse, Status>>;
    type WatchRosterStream = ReceiverStream<Result<WatchRosterResponse, Status>>;

    async fn attach(&self, request: Request<AttachRequest>) -> Result<Response<AttachResponse>, Status> {
        let participant = auth::principal(&request)?.participant()?;
        let command = Attach::parse(request.into_inner(), participant)?;
        let leader = self.roles.leader()?;
        let attached =
            run(&leader, move |leader| async move { attach(&leader, participant, command).await }).await?;
        let (slot, floor) = (attached.slot, attached.floor);
        Ok(Response::new(AttachResponse {
            attachment_id: slot.attachment_id.to_string(),
            generation: wire::generation_out(slot.generation),
            state: slot.state.to_wire().into(),
            state_reasons: slot.state.reasons_to_wire(),
            read_only: floor.is_above(&slot.client_version),
            min_client_version: floor.to_wire(),
            attached_at: Some(wire::timestamp(slot.attached_at)),
            declaration_outcome: attached.outcome.into(),
            next_heartbeat_in: Some(wire::duration(leader.cadence().heartbeat_interval())),
            offline_after: Some(wire::duration(leader.cadence().offline_after())),
        }))
    }

    async fn heartbeat(
        &self,
        request: Request<HeartbeatRequest>,
    ) -> Result<Response<HeartbeatResponse>, Status> {
        let principal = auth::principal(&request)?;
        let beat = request.into_inner().beat;
        let beat = beat.ok_or_else(|| Refusal::from(FieldViolation::new("beat", "is required")))?;
        let leader = self.roles.leader()?;
        let result = beat::beat(&leader, &principal, vec![beat]).await.into_iter().next();
        let ack = result.unwrap_or_else(|| Err(leadership::ended()))?;
        Ok(Response::new(HeartbeatResponse { ack: Some(ack) }))
    }

    async fn stream_heartbeats(
        &self,
        request: Request<Streaming<StreamHeartbeatsRequest>>,
    ) -> Result<Response<Self::StreamHeartbeatsStream>, Status> {
        let principal = auth::principal(&request)?;
        let leader = self.roles.leader()?;
        let answers = beat::stream(&leader, principal, request.into_inner());
        Ok(Response::new(ReceiverStream::new(answers)))
    }

    async fn update_capabilities(
        &self,
        request: Request<UpdateCapabilitiesRequest>,
    ) -> Result<Response<UpdateCapabilitiesResponse>, Status> {
        let participant = auth::principal(&request)?.participant()?;
        let update = UpdateCapabilities::parse(request.into_inner())?;
        let leader = self.roles.leader()?;
        let (slot, updated_at) =
            run(
                &leader,
                move |leader| async move { update_capabilities(&leader, participant, update).await },
            )
            .await?;
        Ok(Response::new(UpdateCapabilitiesResponse {
            state: slot.state.to_wire().into(),
            state_reasons: slot.state.reasons_to_wire(),
            updated_at: Some(wire::timestamp(updated_at)),
        }))
    }

    async fn detach(&self, request: Request<DetachRequest>) -> Result<Response<DetachResponse>, Status> {
        let participant = auth::principal(&request)?.participant()?;
        let command = Detach::parse(request.into_inner())?;
        let leader = self.roles.leader()?;
        run(&leader, move |leader| async move { detach(&leader, participant, command).await }).await?;
        Ok(Response::new(DetachResponse {}))
    }

    async fn get_roster(
        &self,
        request: Request<GetRosterRequest>,
    ) -> Result<Response<GetRosterResponse>, Status> {
        let principal = auth::principal(&request)?;
        let GetRosterRequest { session_id, page_size, page_token } = request.into_inner();
        let session_id = SessionId::parse("session_id", &session_id).map_err(Refusal::from)?;
        let page = Page::parse(page_size, &page_token).map_err(Refusal::from)?;
        self.check_may_see(session_id, principal.actor()?).await?;
        let rows = store::slots_of_session(&self.reads, session_id, &page.after, page.rows_wanted()).await;
        let nodes = rows.map_err(Failure::from)?;
        let (nodes, next_page_token) = node_page(&page, nodes);
        Ok(Response::new(GetRosterResponse { nodes, next_page_token }))
    }

    async fn watch_roster(
        &self,
        request: Request<WatchRosterRequest>,
    ) -> Result<Response<Self::WatchRosterStream>, Status> {
        let principal = auth::principal(&request)?;
        let WatchRosterRequest { session_id, revision } = request.into_inner();
        let session_id = SessionId::parse("session_id", &session_id).map_err(Refusal::from)?;
        let from = Revision::parse(&revision).map_err(Refusal::from)?;
        let leader = self.roles.leader()?;
        self.check_may_see(session_id, principal.actor()?).await?;
        Ok(Response::new(ReceiverStream::new(watch(&leader, principal, session_id, from))))
    }
}

impl RuntimeNodes {
    async fn check_may_see(&self, session_id: SessionId, actor: Actor) -> Result<(), Refusal> {
        match sessions::store::may_see(&self.reads, session_id, actor).await {
            Ok(true) => Ok(()),
            Ok(false) => Err(Refusal::permission_denied()),
            Err(fault) => Err(fault.into()),
        }
    }
}

/// Cuts slots to a page, in number and in bytes, and gives the token of the next one.
pub(super) fn node_page(
    page: &Page,
    slots: Vec<ShownSlot>,
) -> (Vec<contracts::wire::v1::RuntimeNode>, String) {
    let mut nodes = slots.iter().map(|shown| shown.slot.to_wire(&shown.floor)).collect();
    let next_page_token = page.cut_messages(&mut nodes, |node| node.node_id.clone());
    (nodes, next_page_token)
}
