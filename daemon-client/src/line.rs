//! The connection to one server, and the ways to call over it.

#![expect(
    clippy::result_large_err,
    reason = "a setback is made once a call at most, and shown to applications as it is"
)]

use std::time::Duration;

use client_tls::Trust;
use contracts::{
    limits,
    wire::v1::{
        self, runtime_node_service_client::RuntimeNodeServiceClient, token_service_client::TokenServiceClient,
    },
};
use tokio::time::{error::Elapsed, timeout};
use tonic::{
    Request, Response, Status,
    service::interceptor::InterceptedService,
    transport::{Channel, Endpoint},
};

use crate::{Address, JoinToken, Setback, Token, token::Tokens};

/// A connection over which nothing comes back is found dead after the sum of these, in use or not: 8 s.
const PING_INTERVAL: Duration = Duration::from_secs(5);
const PING_TIMEOUT: Duration = Duration::from_secs(3);

/// The generated client of one call, with the token of the moment.
pub(crate) type Client = RuntimeNodeServiceClient<InterceptedService<Channel, Token>>;

/// An open connection. Clones share it.
#[derive(Clone, Debug)]
pub(crate) struct Open {
    address: Address,
    channel: Channel,
}

/// A server, and the connection to it if one is open.
pub(crate) struct Line {
    pub(crate) address: Address,
    pub(crate) tokens: Tokens,
    pub(crate) trust: Trust,
    pub(crate) open: Option<Open>,
}

/// What came of a call.
pub(crate) struct Answer<T> {
    /// Where it went. By now the client may be elsewhere: a beat and an update can be under way at once.
    pub(crate) address: Address,
    /// The connection, when it can be used again: whoever was refused by Rollcall was heard over it.
    pub(crate) open: Option<Open>,
    /// The response.
    pub(crate) result: Result<T, Setback>,
}

impl Line {
    /// Calls with the token of the moment, connecting first if need be, all within `deadline`.
    pub(crate) async fn call<M, T, F>(
        self,
        deadline: Duration,
        message: M,
        verb: impl FnOnce(Client, Request<M>) -> F,
    ) -> Answer<T>
    where
        F: Future<Output = Result<Response<T>, Status>>,
    {
        let tokens = self.tokens.clone();
        let token = match tokens.for_call().await {
            Ok(token) => token,
            // Nothing was sent, so the connection is as good as before.
            Err(setback) => return Answer { address: self.address, open: self.open, result: Err(setback) },
        };
        let used = token.clone();
        let answer = self
            .ask(deadline, message, |channel, request| {
                let client = RuntimeNodeServiceClient::with_interceptor(channel, token);
                verb(client.max_decoding_message_size(limits::REQUEST_BYTES_MAX), request)
            })
            .await;
        tokens.heard(&used, answer.result.as_ref().err());
        answer
    }

    /// Exchanges a join token for a first token. The only call without a token.
    pub(crate) async fn exchange(self, deadline: Duration, join: &JoinToken) -> Answer<Token> {
        let message = v1::ExchangeJoinTokenRequest {
            join_token: join.text().to_owned(),
            request_id: join.request_id().to_string(),
        };
        let exchange = |channel, request| async move {
            TokenServiceClient::new(channel)
                .max_decoding_message_size(limits::REQUEST_BYTES_MAX)
                .exchange_join_token(request)
                .await
        };
        let Answer { address, open, result } = self.ask(deadline, message, exchange).await;
        let result = result.and_then(|response| received(&address, response.token));
        Answer { address, open, result }
    }

    async fn ask<M, T, F>(
        self,
        deadline: Duration,
        message: M,
        verb: impl FnOnce(Channel, Request<M>) -> F,
    ) -> Answer<T>
    where
        F: Future<Output = Result<Response<T>, Status>>,
    {
        let address = self.address.clone();
        let exchange = async {
            let open = self.connected(deadline).await?;
            let result = verb(open.channel.clone(), bounded(message, deadline)).await;
            Ok((open, answered(&address, result)))
        };
        match timeout(deadline, exchange).await {
            Ok(Ok((open, result))) => {
                let is_heard = matches!(result, Ok(_) | Err(Setback::Refused(_)));
                Answer { address, open: is_heard.then_some(open), result }
            }
            Ok(Err(setback)) => Answer { address, open: None, result: Err(setback) },
            Err(Elapsed { .. }) => {
                let setback = Setback::no_answer(&address, deadline);
                Answer { address, open: None, result: Err(setback) }
            }
        }
    }

    pub(crate) async fn connected(self, deadline: Duration) -> Result<Open, Setback> {
        if let Some(open) = self.open {
            return Ok(open);
        }
        let address = self.address;
        let unreachable = |error| Setback::from_transport(&address, &error);
        let endpoint = Endpoint::from(address.uri())
            .user_agent(concat!("rollcall-daemon-client/", env!("CARGO_PKG_VERSION")))
            .map_err(unreachable)?
            .connect_timeout(deadline)
            .tcp_nodelay(true)
            .http2_keep_alive_interval(PING_INTERVAL)
            .keep_alive_timeout(PING_TIMEOUT)
            .keep_alive_while_idle(true);
        let endpoint = self.trust.secure(endpoint).map_err(|error| Setback::from_tls(&address, &error))?;
        let channel = endpoint.connect().await.map_err(unreachable)?;
        Ok(Open { address, channel })
    }
}

impl Open {
    pub(crate) fn address(&self) -> &Address {
        &self.address
    }

    pub(crate) fn channel(&self) -> Channel {
        self.channel.clone()
    }

    /// Whether both are connections to one address.
    pub(crate) fn is_to(&self, address: &Address) -> bool {
        self.address == *address
    }

    /// Asks for a new token in place of `token`.
    pub(crate) async fn renew(self, token: &Token, deadline: Duration) -> Result<Token, Setback> {
        let Self { address, channel } = self;
        let mut client = TokenServiceClient::with_interceptor(channel, token.clone())
            .max_decoding_message_size(limits::REQUEST_BYTES_MAX);
        let request = bounded(v1::RenewTokenRequest { lifetime: None }, deadline);
        match timeout(deadline, client.renew_token(request)).await {
            Ok(result) => received(&address, answered(&address, result)?.token),
            Err(Elapsed { .. }) => Err(Setback::no_answer(&address, deadline)),
        }
    }
}

fn bounded<M>(message: M, deadline: Duration) -> Request<M> {
    let mut request = Request::new(message);
    request.set_timeout(deadline);
    request
}

fn answered<T>(address: &Address, result: Result<Response<T>, Status>) -> Result<T, Setback> {
    result.map(Response::into_inner).map_err(|status| Setback::from_status(address, &status))
}

fn received(address: &Address, token: Option<v1::AccessToken>) -> Result<Token, Setback> {
    Token::parse(&token.unwrap_or_default().token).map_err(|error| Setback::no_token(address, error))
}
