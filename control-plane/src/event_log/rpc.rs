//! `EventLogService` over gRPC.

use contracts::{
    Refusal, SessionId,
    wire::v1::{
        AppendEventsRequest, AppendEventsResponse, GetReplicationStatusRequest, GetReplicationStatusResponse,
        ReadEventsRequest, ReadEventsResponse, ReplicateRequest, ReplicateResponse,
        event_log_service_server::EventLogService,
    },
};
use sqlx::PgPool;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status, Streaming};

use super::{
    append::Append,
    author::Author,
    read::{self, Read},
};
use crate::{
    auth::{self, Actor, tokens::Scope},
    failure::Failure,
    leadership::Roles,
    replication::{self, status::Question},
    sessions,
};

/// The service.
#[derive(Clone, Debug)]
pub struct EventLogs {
    roles: Roles,
    reads: PgPool,
}

impl EventLogs {
    /// Appends go through the leader, reads to the pool.
    pub fn new(roles: Roles, reads: PgPool) -> Self {
        Self { roles, reads }
    }
}

#[tonic::async_trait]
impl EventLogService for EventLogs {
    type ReplicateStream = ReceiverStream<Result<ReplicateResponse, Status>>;

    async fn append_events(
        &self,
        request: Request<AppendEventsRequest>,
    ) -> Result<Response<AppendEventsResponse>, Status> {
        let principal = auth::principal(&request)?;
        let append = Append::parse(request.into_inner(), principal.participant()?)?;
        principal.caller()?.check_scope(match append.author {
            Author::Participant(_) => Scope::SessionWrite,
            Author::Node { .. } => Scope::Node,
        })?;
        let leader = self.roles.leader()?;
        Ok(Response::new(leader.log().append(append).await?.into()))
    }

    async fn read_events(
        &self,
        request: Request<ReadEventsRequest>,
    ) -> Result<Response<ReadEventsResponse>, Status> {
        let actor = auth::principal(&request)?.actor()?;
        let read = Read::parse(&request.into_inner())?;
        self.check_may_see(read.session_id, actor).await?;
        Ok(Response::new(read::read(&self.reads, read).await?))
    }

    async fn replicate(
        &self,
        request: Request<Streaming<ReplicateRequest>>,
    ) -> Result<Response<Self::ReplicateStream>, Status> {
        let principal = auth::principal(&request)?;
        let leader = self.roles.leader()?;
        let messages = replication::stream::replicate(&leader, principal, request.into_inner());
        Ok(Response::new(ReceiverStream::new(messages)))
    }

    async fn get_replication_status(
        &self,
        request: Request<GetReplicationStatusRequest>,
    ) -> Result<Response<GetReplicationStatusResponse>, Status> {
        let actor = auth::principal(&request)?.actor()?;
        let question = Question::parse(&request.into_inner())?;
        self.check_may_see(question.session_id, actor).await?;
        let leader = self.roles.leader().ok();
        let status = replication::status::status(&self.reads, leader.as_deref(), question).await;
        Ok(Response::new(status.map_err(Failure::from)?))
    }
}

impl EventLogs {
    async fn check_may_see(&self, session_id: SessionId, actor: Actor) -> Result<(), Failure> {
        match sessions::store::may_see(&self.reads, session_id, actor).await? {
            true => Ok(()),
            false => Err(Refusal::permission_denied().into()),
        }
    }
}
