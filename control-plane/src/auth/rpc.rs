//! `TokenService` over gRPC.

use std::sync::Arc;

use contracts::wire::v1::{
    CreateJoinTokenRequest, CreateJoinTokenResponse, ExchangeJoinTokenRequest, ExchangeJoinTokenResponse,
    IssueTokenRequest, IssueTokenResponse, RenewTokenRequest, RenewTokenResponse, RevokeTokenRequest,
    RevokeTokenResponse, token_service_server::TokenService,
};
use tonic::{Request, Response, Status};

use super::{
    Revocations,
    grant::Mint,
    issue::{IssueToken, issue_token, renew_token},
    join::{CreateJoinToken, ExchangeJoinToken, create_join_token, exchange_join_token},
    principal,
    revoke::{RevokeToken, revoke_token},
};
use crate::leadership::{Roles, run};

/// The service.
#[derive(Clone, Debug)]
pub struct Tokens {
    roles: Roles,
    mint: Mint,
    revocations: Arc<Revocations>,
}

impl Tokens {
    /// Makes tokens with this mint, and tells these revocations of those that end.
    pub fn new(roles: Roles, mint: Mint, revocations: Arc<Revocations>) -> Self {
        Self { roles, mint, revocations }
    }
}

#[tonic::async_trait]
impl TokenService for Tokens {
    async fn issue_token(
        &self,
        request: Request<IssueTokenRequest>,
    ) -> Result<Response<IssueTokenResponse>, Status> {
        let actor = principal(&request)?.actor()?;
        let issue = IssueToken::parse(request.into_inner())?;
        let (leader, mint) = (self.roles.leader()?, self.mint.clone());
        let answer =
            run(&leader, move |leader| async move { issue_token(&leader, &mint, actor, issue).await })
                .await?;
        Ok(Response::new(answer))
    }

    async fn renew_token(
        &self,
        request: Request<RenewTokenRequest>,
    ) -> Result<Response<RenewTokenResponse>, Status> {
        let presented = principal(&request)?.caller()?.claims().clone();
        let request = request.into_inner();
        let (leader, mint) = (self.roles.leader()?, self.mint.clone());
        let answer =
            run(&leader, move |leader| async move { renew_token(&leader, &mint, presented, request).await })
                .await?;
        Ok(Response::new(answer))
    }

    async fn revoke_token(
        &self,
        request: Request<RevokeTokenRequest>,
    ) -> Result<Response<RevokeTokenResponse>, Status> {
        let actor = principal(&request)?.actor()?;
        let revoke = RevokeToken::parse(request.into_inner())?;
        let (leader, revocations) = (self.roles.leader()?, Arc::clone(&self.revocations));
        let answer =
            run(
                &leader,
                move |leader| async move { revoke_token(&leader, &revocations, actor, revoke).await },
            )
            .await?;
        Ok(Response::new(answer))
    }

    async fn create_join_token(
        &self,
        request: Request<CreateJoinTokenRequest>,
    ) -> Result<Response<CreateJoinTokenResponse>, Status> {
        let actor = principal(&request)?.actor()?;
        let create = CreateJoinToken::parse(request.into_inner())?;
        let (leader, mint) = (self.roles.leader()?, self.mint.clone());
        let answer =
            run(&leader, move |leader| async move { create_join_token(&leader, &mint, actor, create).await })
                .await?;
        Ok(Response::new(answer))
    }

    async fn exchange_join_token(
        &self,
        request: Request<ExchangeJoinTokenRequest>,
    ) -> Result<Response<ExchangeJoinTokenResponse>, Status> {
        let exchange = ExchangeJoinToken::parse(request.into_inner())?;
        let (leader, mint) = (self.roles.leader()?, self.mint.clone());
        let answer =
            run(&leader, move |leader| async move { exchange_join_token(&leader, &mint, exchange).await })
                .await?;
        Ok(Response::new(answer))
    }
}
