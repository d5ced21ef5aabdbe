//! `MembershipService` over gRPC.

use contracts::{
    Refusal, SessionId,
    refusal::FieldViolation,
    wire::v1::{
        ListMembersRequest, ListMembersResponse, RemoveMemberRequest, RemoveMemberResponse, SetMemberRequest,
        SetMemberResponse, membership_service_server::MembershipService,
    },
};
use sqlx::PgPool;
use tonic::{Request, Response, Status};
use uuid::Uuid;

use super::{
    members::{RemoveMember, SetMember, remove_member, set_member},
    raise_floor::not_found,
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
pub struct Memberships {
    roles: Roles,
    reads: PgPool,
}

impl Memberships {
    /// Writes go through the leader, reads to the pool.
    pub fn new(roles: Roles, reads: PgPool) -> Self {
        Self { roles, reads }
    }
}

#[tonic::async_trait]
impl MembershipService for Memberships {
    async fn set_member(
        &self,
        request: Request<SetMemberRequest>,
    ) -> Result<Response<SetMemberResponse>, Status> {
        let actor = auth::principal(&request)?.actor()?;
        let set = SetMember::parse(request.into_inner())?;
        let leader = self.roles.leader()?;
        let answer = run(&leader, move |leader| async move { set_member(&leader, actor, set).await }).await?;
        Ok(Response::new(answer))
    }

    async fn remove_member(
        &self,
        request: Request<RemoveMemberRequest>,
    ) -> Result<Response<RemoveMemberResponse>, Status> {
        let actor = auth::principal(&request)?.actor()?;
        let remove = RemoveMember::parse(request.into_inner())?;
        let leader = self.roles.leader()?;
        let answer =
            run(&leader, move |leader| async move { remove_member(&leader, actor, remove).await }).await?;
        Ok(Response::new(answer))
    }

    async fn list_members(
        &self,
        request: Request<ListMembersRequest>,
    ) -> Result<Response<ListMembersResponse>, Status> {
        let actor = auth::principal(&request)?.actor()?;
        let ListMembersRequest { session_id, page_size, page_token } = request.into_inner();
        let session_id = SessionId::parse("session_id", &session_id).map_err(Refusal::from)?;
        let page = Page::parse(page_size, &page_token).map_err(Refusal::from)?;
        let after = match page.after.as_str() {
            "" => Uuid::nil(),
            token => token.parse().map_err(|_| {
                Refusal::from(FieldViolation::new(
                    "page_token",
                    "must be the next_page_token of an earlier answer",
                ))
            })?,
        };
        if !store::may_see(&self.reads, session_id, actor).await.map_err(Failure::from)? {
            return Err(not_found().into());
        }
        let rows = store::members(&self.reads, session_id, after, page.rows_wanted()).await;
        let mut members = rows.map_err(Failure::from)?;
        let next_page_token = page.cut(&mut members, |member| member.participant_id.to_string());
        Ok(Response::new(ListMembersResponse {
            members: members.into_iter().map(Into::into).collect(),
            next_page_token,
        }))
    }
}
