//! `EventLogService` over gRPC.

use contracts::{
    Code, NodeId, Refusal, SessionId,
    refusal::FieldViolation,
    wire::v1::{
        AppendEventsRequest, AppendEventsResponse, GetReplicationStatusRequest, GetReplicationStatusResponse,
        ReadEventsRequest, ReadEventsResponse, ReplicateRequest, ReplicateResponse,
        event_log_service_server::EventLogService, replicate_request::Message,
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
    sessions, wire,
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
        let introduction = match request.into_inner().message().await?.and_then(|first| first.message) {
            Some(Message::Introduction(introduction)) => introduction,
            Some(
                Message::ProbeAnswer(_)
                | Message::Truncated(_)
                | Message::Acknowledgement(_)
                | Message::BaseReceived(_),
            ) => {
                let message = "a stream begins with the introduction. Open it anew";
                return Err(Refusal::new(Code::ReplicationOutOfStep, message).into());
            }
            None => {
                let rule = "is required in the first message";
                return Err(Refusal::from(FieldViolation::new("introduction", rule)).into());
            }
        };
        let within = |violation: FieldViolation| Refusal::from(violation.within("introduction"));
        SessionId::parse("session_id", &introduction.session_id).map_err(within)?;
        NodeId::parse("node_id", &introduction.node_id).map_err(within)?;
        wire::generation("generation", introduction.generation).map_err(within)?;
        Err(not_served().into())
    }

    async fn get_replication_status(
        &self,
        request: Request<GetReplicationStatusRequest>,
    ) -> Result<Response<GetReplicationStatusResponse>, Status> {
        let actor = auth::principal(&request)?.actor()?;
        let GetReplicationStatusRequest { session_id, recent_max } = request.into_inner();
        let session_id = SessionId::parse("session_id", &session_id).map_err(Refusal::from)?;
        if recent_max < 0 {
            return Err(Refusal::from(FieldViolation::new("recent_max", "must not be negative")).into());
        }
        self.check_may_see(session_id, actor).await?;
        Err(not_served().into())
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

fn not_served() -> Refusal {
    Refusal::new(
        Code::SystemUnavailable,
        "replication is not served by this release. Read the log by ReadEvents",
    )
}
