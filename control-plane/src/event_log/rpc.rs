//! `EventLogService` over gRPC.

use contracts::{
    Code, Refusal,
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
    auth::{self, tokens::Scope},
    failure::Failure,
    leadership::Roles,
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
        match sessions::store::may_see(&self.reads, read.session_id, actor).await {
            Ok(true) => Ok(Response::new(read::read(&self.reads, read).await?)),
            Ok(false) => Err(Refusal::permission_denied().into()),
            Err(fault) => Err(Failure::from(fault).into()),
        }
    }

    async fn replicate(
        &self,
        _: Request<Streaming<ReplicateRequest>>,
    ) -> Result<Response<Self::ReplicateStream>, Status> {
        Err(not_served().into())
    }

    async fn get_replication_status(
        &self,
        _: Request<GetReplicationStatusRequest>,
    ) -> Result<Response<GetReplicationStatusResponse>, Status> {
        Err(not_served().into())
    }
}

fn not_served() -> Refusal {
    Refusal::new(
        Code::SystemUnavailable,
        "replication is not served by this release. Read the log by ReadEvents",
    )
}
