//! Members, tokens and the audit of the fake server.

use contracts::wire::v1::{
    self, audit_service_server::AuditService, membership_service_server::MembershipService,
    token_service_server::TokenService,
};
use prost_types::Timestamp;
use tonic::{Request, Response, Status};

use super::{PARTICIPANT, SESSION, Service, THEN};

/// The id of every token.
pub(crate) const TOKEN_ID: &str = "0198c5a2-6f1e-7c3a-9b54-2f8e1d0c7a70";
/// The id of every join token.
pub(crate) const JOIN_TOKEN_ID: &str = "0198c5a2-6f1e-7c3a-9b54-2f8e1d0c7a71";

/// An active member.
pub(crate) fn member(participant: &str, role: v1::MemberRole) -> v1::Member {
    v1::Member {
        participant_id: participant.to_owned(),
        role: role.into(),
        state: v1::MemberState::Active.into(),
        joined_at: then(),
        updated_at: then(),
    }
}

/// A revocation of `laptop-1`.
pub(crate) fn audit_entry(entry_id: i64) -> v1::AuditEntry {
    v1::AuditEntry {
        entry_id,
        at: then(),
        actor_id: PARTICIPANT.to_owned(),
        action: "node.revoke".to_owned(),
        session_id: SESSION.to_owned(),
        target: "laptop-1".to_owned(),
        reason: "stolen".to_owned(),
        request_id: "7d1b9b8e-2c1c-4a43-9a35-5b8f3f0f4c11".to_owned(),
        epoch: 2,
    }
}

fn then() -> Option<Timestamp> {
    Some(Timestamp { seconds: THEN, nanos: 0 })
}

fn token(token: &str, scopes: Vec<i32>) -> Option<v1::AccessToken> {
    Some(v1::AccessToken {
        token: token.to_owned(),
        token_id: TOKEN_ID.to_owned(),
        participant_id: PARTICIPANT.to_owned(),
        scopes,
        expires_at: then(),
    })
}

#[tonic::async_trait]
impl MembershipService for Service {
    async fn set_member(
        &self,
        request: Request<v1::SetMemberRequest>,
    ) -> Result<Response<v1::SetMemberResponse>, Status> {
        let request = self.called("set_member", request);
        self.refuse_if_prepared()?;
        let member = v1::Member {
            role: request.role,
            state: request.state,
            ..member(&request.participant_id, v1::MemberRole::Unspecified)
        };
        Ok(Response::new(v1::SetMemberResponse { member: Some(member) }))
    }

    async fn remove_member(
        &self,
        request: Request<v1::RemoveMemberRequest>,
    ) -> Result<Response<v1::RemoveMemberResponse>, Status> {
        self.called("remove_member", request);
        self.refuse_if_prepared()?;
        Ok(Response::new(v1::RemoveMemberResponse {}))
    }

    async fn list_members(
        &self,
        request: Request<v1::ListMembersRequest>,
    ) -> Result<Response<v1::ListMembersResponse>, Status> {
        let request = self.called("list_members", request);
        let (members, next_page_token) = self.page(&self.0.members, &request.page_token);
        Ok(Response::new(v1::ListMembersResponse { members, next_page_token }))
    }
}

#[tonic::async_trait]
impl TokenService for Service {
    async fn issue_token(
        &self,
        request: Request<v1::IssueTokenRequest>,
    ) -> Result<Response<v1::IssueTokenResponse>, Status> {
        let request = self.called("issue_token", request);
        self.refuse_if_prepared()?;
        Ok(Response::new(v1::IssueTokenResponse { token: token("issued", request.scopes) }))
    }

    async fn renew_token(
        &self,
        request: Request<v1::RenewTokenRequest>,
    ) -> Result<Response<v1::RenewTokenResponse>, Status> {
        self.called("renew_token", request);
        self.refuse_if_prepared()?;
        let scopes = vec![v1::TokenScope::Node.into()];
        Ok(Response::new(v1::RenewTokenResponse { token: token("renewed", scopes) }))
    }

    async fn revoke_token(
        &self,
        request: Request<v1::RevokeTokenRequest>,
    ) -> Result<Response<v1::RevokeTokenResponse>, Status> {
        let request = self.called("revoke_token", request);
        self.refuse_if_prepared()?;
        let token_ids = vec![request.token_id, JOIN_TOKEN_ID.to_owned()];
        Ok(Response::new(v1::RevokeTokenResponse { token_ids }))
    }

    async fn create_join_token(
        &self,
        request: Request<v1::CreateJoinTokenRequest>,
    ) -> Result<Response<v1::CreateJoinTokenResponse>, Status> {
        self.called("create_join_token", request);
        self.refuse_if_prepared()?;
        Ok(Response::new(v1::CreateJoinTokenResponse {
            join_token: "join-1".to_owned(),
            join_token_id: JOIN_TOKEN_ID.to_owned(),
            expires_at: then(),
        }))
    }

    async fn exchange_join_token(
        &self,
        request: Request<v1::ExchangeJoinTokenRequest>,
    ) -> Result<Response<v1::ExchangeJoinTokenResponse>, Status> {
        self.called("exchange_join_token", request);
        self.refuse_if_prepared()?;
        let scopes = vec![v1::TokenScope::Node.into()];
        Ok(Response::new(v1::ExchangeJoinTokenResponse { token: token("exchanged", scopes) }))
    }
}

#[tonic::async_trait]
impl AuditService for Service {
    async fn list_audit_entries(
        &self,
        request: Request<v1::ListAuditEntriesRequest>,
    ) -> Result<Response<v1::ListAuditEntriesResponse>, Status> {
        let request = self.called("list_audit_entries", request);
        let (entries, next_page_token) = self.page(&self.0.audit_entries, &request.page_token);
        Ok(Response::new(v1::ListAuditEntriesResponse { entries, next_page_token }))
    }
}
