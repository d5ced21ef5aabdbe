//! The scripted server's tokens.

use contracts::wire::v1::{self, token_service_server::TokenService};
use tonic::{Request, Response, Status};

use crate::server::{Call, Script};

impl Script {
    /// Answers of the renewals to come, in turn.
    pub(crate) fn renewal_brings(&self, token: Result<&str, Status>) {
        self.answers(|answers| answers.renewals.push_back(token.map(str::to_owned)));
    }

    /// Answers of the exchanges to come, in turn.
    pub(crate) fn exchange_brings(&self, token: Result<&str, Status>) {
        self.answers(|answers| answers.exchanges.push_back(token.map(str::to_owned)));
    }
}

fn access(token: String) -> Option<v1::AccessToken> {
    Some(v1::AccessToken { token, ..v1::AccessToken::default() })
}

fn next(token: Option<Result<String, Status>>) -> Result<String, Status> {
    token.unwrap_or_else(|| Err(Status::internal("nothing is left in the script")))
}

#[tonic::async_trait]
impl TokenService for Script {
    async fn renew_token(
        &self,
        request: Request<v1::RenewTokenRequest>,
    ) -> Result<Response<v1::RenewTokenResponse>, Status> {
        let presented = self.token(&request)?;
        let token = next(self.answers(|answers| answers.renewals.pop_front()));
        self.note(Call::Renew(presented));
        Ok(Response::new(v1::RenewTokenResponse { token: access(token?) }))
    }

    async fn exchange_join_token(
        &self,
        request: Request<v1::ExchangeJoinTokenRequest>,
    ) -> Result<Response<v1::ExchangeJoinTokenResponse>, Status> {
        assert!(request.metadata().get("authorization").is_none(), "there is no token yet");
        let token = next(self.answers(|answers| answers.exchanges.pop_front()));
        self.note(Call::Exchange(request.into_inner().join_token));
        Ok(Response::new(v1::ExchangeJoinTokenResponse { token: access(token?) }))
    }

    async fn issue_token(
        &self,
        _: Request<v1::IssueTokenRequest>,
    ) -> Result<Response<v1::IssueTokenResponse>, Status> {
        Err(Status::unimplemented("not used by daemons"))
    }

    async fn revoke_token(
        &self,
        _: Request<v1::RevokeTokenRequest>,
    ) -> Result<Response<v1::RevokeTokenResponse>, Status> {
        Err(Status::unimplemented("not used by daemons"))
    }

    async fn create_join_token(
        &self,
        _: Request<v1::CreateJoinTokenRequest>,
    ) -> Result<Response<v1::CreateJoinTokenResponse>, Status> {
        Err(Status::unimplemented("not used by daemons"))
    }
}
