//! `TokenService` over gRPC.

use std::{sync::Arc, time::Duration};

use contracts::{
    Code, ParticipantId, Refusal, limits,
    refusal::FieldViolation,
    text,
    wire::v1::{
        CreateJoinTokenRequest, CreateJoinTokenResponse, ExchangeJoinTokenRequest, ExchangeJoinTokenResponse,
        IssueTokenRequest, IssueTokenResponse, RenewTokenRequest, RenewTokenResponse, RevokeTokenRequest,
        RevokeTokenResponse, token_service_server::TokenService,
    },
};
use sqlx::Connection;
use tonic::{Request, Response, Status};

use super::{
    Actor, Revocations,
    grant::{LIFETIME_DEFAULT, LIFETIME_MAX, Mint, parse_lifetime, parse_participant, parse_scopes, to_wire},
    join::{CreateJoinToken, create_join_token, exchange_join_token},
    principal, store,
    tokens::{Claims, Grant, Minted, TokenId},
};
use crate::{
    audit::{self, Entry},
    failure::{Failure, Fault},
    leadership::{Leader, Roles, run},
};

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
        let IssueTokenRequest { participant_id, scopes, lifetime, reason } = request.into_inner();
        let parse = || {
            let grant = Grant {
                participant: parse_participant(&participant_id)?,
                scopes: parse_scopes(&scopes)?,
                lifetime: parse_lifetime("lifetime", lifetime, LIFETIME_DEFAULT, LIFETIME_MAX)?,
            };
            Ok::<_, FieldViolation>((grant, text::optional("reason", &reason, limits::REASON_CHARS_MAX)?))
        };
        let (grant, reason) = parse().map_err(Refusal::from)?;
        let (leader, mint) = (self.roles.leader()?, self.mint.clone());
        let minted = run(&leader, move |leader| async move {
            issue(&leader, &mint, actor.participant, grant, "token.issue", reason.as_deref()).await
        })
        .await?;
        Ok(Response::new(IssueTokenResponse { token: Some(to_wire(&minted)) }))
    }

    async fn renew_token(
        &self,
        request: Request<RenewTokenRequest>,
    ) -> Result<Response<RenewTokenResponse>, Status> {
        let claims = principal(&request)?.caller()?.claims().clone();
        let full = full_lifetime(&claims);
        let lifetime = request.into_inner().lifetime;
        let lifetime = parse_lifetime("lifetime", lifetime, full, full).map_err(Refusal::from)?;
        let grant = Grant { participant: claims.participant, scopes: claims.scopes, lifetime };
        let (leader, mint) = (self.roles.leader()?, self.mint.clone());
        let minted = run(&leader, move |leader| async move {
            issue(&leader, &mint, grant.participant, grant, "token.renew", None).await
        })
        .await?;
        Ok(Response::new(RenewTokenResponse { token: Some(to_wire(&minted)) }))
    }

    async fn revoke_token(
        &self,
        request: Request<RevokeTokenRequest>,
    ) -> Result<Response<RevokeTokenResponse>, Status> {
        let actor = principal(&request)?.actor()?;
        let RevokeTokenRequest { token_id, reason } = request.into_inner();
        let token_id = TokenId::parse(&token_id)
            .ok_or_else(|| Refusal::from(FieldViolation::new("token_id", "must be the id of a token")))?;
        let reason = text::optional("reason", &reason, limits::REASON_CHARS_MAX).map_err(Refusal::from)?;
        let (leader, revocations) = (self.roles.leader()?, Arc::clone(&self.revocations));
        run(&leader, move |leader| async move {
            revoke(&leader, &revocations, actor, token_id, reason.as_deref()).await
        })
        .await?;
        Ok(Response::new(RevokeTokenResponse {}))
    }

    async fn create_join_token(
        &self,
        request: Request<CreateJoinTokenRequest>,
    ) -> Result<Response<CreateJoinTokenResponse>, Status> {
        let actor = principal(&request)?.actor()?;
        let create = CreateJoinToken::parse(request.into_inner())?;
        let leader = self.roles.leader()?;
        let answer =
            run(&leader, move |leader| async move { create_join_token(&leader, actor, create).await })
                .await?;
        Ok(Response::new(answer))
    }

    async fn exchange_join_token(
        &self,
        request: Request<ExchangeJoinTokenRequest>,
    ) -> Result<Response<ExchangeJoinTokenResponse>, Status> {
        let join_token = request.into_inner().join_token;
        let (leader, mint) = (self.roles.leader()?, self.mint.clone());
        let answer =
            run(&leader, move |leader| async move { exchange_join_token(&leader, mint, &join_token).await })
                .await?;
        Ok(Response::new(answer))
    }
}

fn full_lifetime(claims: &Claims) -> Duration {
    (claims.expires_at - claims.issued_at).try_into().unwrap_or_default()
}

async fn issue(
    leader: &Leader,
    mint: &Mint,
    actor: ParticipantId,
    grant: Grant,
    action: &'static str,
    reason: Option<&str>,
) -> Result<Minted, Failure> {
    let mut connection = leader.db().acquire().await?;
    let mut tx = connection.begin().await?;
    let minted = mint.issue(&mut tx, grant).await?;
    let token_id = minted.claims.token_id.to_string();
    let entry = Entry { actor, action, session_id: None, target: &token_id, reason, request_id: None };
    audit::store::record(&mut tx, leader.epoch(), entry).await?;
    tx.commit().await.map_err(Fault::Commit)?;
    Ok(minted)
}

/// Ends a token, here at once and on the other servers with their next look. A repeat changes nothing.
async fn revoke(
    leader: &Leader,
    revocations: &Revocations,
    actor: Actor,
    token_id: TokenId,
    reason: Option<&str>,
) -> Result<(), Failure> {
    let mut connection = leader.db().acquire().await?;
    let mut tx = connection.begin().await?;
    let issued = store::issued(&mut *tx, token_id).await?;
    let issued = issued.filter(|(owner, _)| actor.is_admin || *owner == actor.participant);
    let (_, expires_at) = issued.ok_or_else(|| {
        Refusal::new(
            Code::AuthTokenNotFound,
            "no token of that id was made here, or it is not yours to revoke",
        )
    })?;
    if store::revoke(&mut tx, token_id, expires_at).await? {
        let target = token_id.to_string();
        let entry = Entry {
            actor: actor.participant,
            action: "token.revoke",
            session_id: None,
            target: &target,
            reason,
            request_id: None,
        };
        audit::store::record(&mut tx, leader.epoch(), entry).await?;
    }
    tx.commit().await.map_err(Fault::Commit)?;
    revocations.note([(token_id, expires_at)]);
    Ok(())
}
