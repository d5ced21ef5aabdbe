//! `SessionService` over gRPC.

use contracts::{
    Refusal, SessionId,
    refusal::FieldViolation,
    wire::v1::{
        ArchiveSessionRequest, ArchiveSessionResponse, CloseSessionRequest, CloseSessionResponse,
        CreateSessionRequest, CreateSessionResponse, GetSessionRequest, GetSessionResponse,
        ListSessionsRequest, ListSessionsResponse, RaiseVersionFloorRequest, RaiseVersionFloorResponse,
        session_service_server::SessionService,
    },
};
use sqlx::PgPool;
use tonic::{Request, Response, Status};
use uuid::Uuid;

use super::{
    close::{End, archive_session, close_session},
    create::{CreateSession, create_session},
    raise_floor::{RaiseFloor, not_found, raise_floor},
    store,
};
use crate::{
    auth,
    failure::Failure,
    leadership::{Roles, run},
    wire::Page,
};

/// The service.
#[derive(Clone, Debug)]
pub struct Sessions {
    roles: Roles,
    reads: PgPool,
}

impl Sessions {
    /// Writes go through the leader, reads to the pool.
    pub fn new(roles: Roles, reads: PgPool) -> Self {
        Self { roles, reads }
    }
}

#[tonic::async_trait]
impl SessionService for Sessions {
    async fn create_session(
        &self,
        request: Request<CreateSessionRequest>,
    ) -> Result<Response<CreateSessionResponse>, Status> {
        let actor = auth::principal(&request)?.actor()?;
        let create = CreateSession::parse(request.into_inner())?;
        let leader = self.roles.leader()?;
        let answer =
            run(&leader, move |leader| async move { create_session(&leader, actor, create).await }).await?;
        Ok(Response::new(answer))
    }

    async fn get_session(
        &self,
        request: Request<GetSessionRequest>,
    ) -> Result<Response<GetSessionResponse>, Status> {
        let actor = auth::principal(&request)?.actor()?;
        let id = SessionId::parse("session_id", &request.into_inner().session_id).map_err(Refusal::from)?;
        let session = store::session(&self.reads, id, actor).await.map_err(Failure::from)?;
        let session = session.ok_or_else(not_found)?;
        Ok(Response::new(GetSessionResponse { session: Some(session.into()) }))
    }

    async fn list_sessions(
        &self,
        request: Request<ListSessionsRequest>,
    ) -> Result<Response<ListSessionsResponse>, Status> {
        let actor = auth::principal(&request)?.actor()?;
        let ListSessionsRequest { page_size, page_token } = request.into_inner();
        let page = Page::parse(page_size, &page_token).map_err(Refusal::from)?;
        let after = match page.after.as_str() {
            "" => Uuid::nil(),
            token => {
                let rule = "must be the next_page_token of an earlier answer";
                token.parse().map_err(|_| Refusal::from(FieldViolation::new("page_token", rule)))?
            }
        };
        let rows = store::sessions(&self.reads, actor, after, page.rows_wanted()).await;
        let mut sessions = rows.map_err(Failure::from)?;
        let next_page_token = page.cut(&mut sessions, |session| session.id.to_string());
        let sessions = sessions.into_iter().map(Into::into).collect();
        Ok(Response::new(ListSessionsResponse { sessions, next_page_token }))
    }

    async fn archive_session(
        &self,
        request: Request<ArchiveSessionRequest>,
    ) -> Result<Response<ArchiveSessionResponse>, Status> {
        let actor = auth::principal(&request)?.actor()?;
        let archive = End::parse_archive(request.into_inner())?;
        let leader = self.roles.leader()?;
        let answer =
            run(&leader, move |leader| async move { archive_session(&leader, actor, archive).await }).await?;
        Ok(Response::new(answer))
    }

    async fn close_session(
        &self,
        request: Request<CloseSessionRequest>,
    ) -> Result<Response<CloseSessionResponse>, Status> {
        let actor = auth::principal(&request)?.actor()?;
        let close = End::parse_close(request.into_inner())?;
        let leader = self.roles.leader()?;
        let answer =
            run(&leader, move |leader| async move { close_session(&leader, actor, close).await }).await?;
        Ok(Response::new(answer))
    }

    async fn raise_version_floor(
        &self,
        request: Request<RaiseVersionFloorRequest>,
    ) -> Result<Response<RaiseVersionFloorResponse>, Status> {
        let actor = auth::principal(&request)?.actor()?;
        let raise = RaiseFloor::parse(request.into_inner())?;
        let leader = self.roles.leader()?;
        let raised =
            run(&leader, move |leader| async move { raise_floor(&leader, actor, raise).await }).await?;
        Ok(Response::new(raised))
    }
}
