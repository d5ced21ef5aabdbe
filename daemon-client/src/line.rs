//! The connection to one server, and one way to call over it.

use std::time::Duration;

use contracts::{limits, wire::v1::runtime_node_service_client::RuntimeNodeServiceClient};
use tokio::time::timeout;
use tonic::{
    Request, Response, Status,
    service::interceptor::InterceptedService,
    transport::{Channel, Endpoint},
};

use crate::{Address, Setback, Token};

/// A connection over which nothing comes back is found dead after the sum of these, in use or not: 8 s.
const PING_INTERVAL: Duration = Duration::from_secs(5);
const PING_TIMEOUT: Duration = Duration::from_secs(3);

/// The generated client over an open connection. Clones share the connection.
pub(crate) type Client = RuntimeNodeServiceClient<InterceptedService<Channel, Token>>;

/// A server, and the connection to it if one is open.
#[derive(Clone)]
pub(crate) struct Line {
    pub(crate) address: Address,
    pub(crate) token: Token,
    pub(crate) open: Option<Client>,
}

/// What came of a call.
pub(crate) struct Answer<T> {
    /// Where it went. By now the client may be elsewhere: a beat and an update can be under way at once.
    pub(crate) address: Address,
    /// The connection, when it can be used again: whoever was refused by Rollcall was heard over it.
    pub(crate) open: Option<Client>,
    /// The response.
    pub(crate) result: Result<T, Setback>,
}

impl Line {
    /// Calls, connecting first if need be, all within `deadline`.
    pub(crate) async fn call<M, T, F>(
        self,
        deadline: Duration,
        message: M,
        verb: impl FnOnce(Client, Request<M>) -> F,
    ) -> Answer<T>
    where
        F: Future<Output = Result<Response<T>, Status>>,
    {
        let address = self.address.clone();
        let exchange = async {
            let client = self.connected(deadline).await?;
            let mut request = Request::new(message);
            request.set_timeout(deadline);
            let result = verb(client.clone(), request)
                .await
                .map(Response::into_inner)
                .map_err(|status| Setback::from_status(&address, &status));
            Ok((client, result))
        };
        match timeout(deadline, exchange).await {
            Ok(Ok((client, result))) => {
                let is_heard = !matches!(result, Err(Setback::Unreachable { .. }));
                Answer { address, open: is_heard.then_some(client), result }
            }
            Ok(Err(setback)) => Answer { address, open: None, result: Err(setback) },
            Err(_) => {
                let setback = Setback::no_answer(&address, deadline);
                Answer { address, open: None, result: Err(setback) }
            }
        }
    }

    async fn connected(self, deadline: Duration) -> Result<Client, Setback> {
        if let Some(client) = self.open {
            return Ok(client);
        }
        let unreachable = |error| Setback::from_transport(&self.address, &error);
        let channel = Endpoint::from(self.address.uri())
            .user_agent(concat!("rollcall-daemon-client/", env!("CARGO_PKG_VERSION")))
            .map_err(unreachable)?
            .connect_timeout(deadline)
            .tcp_nodelay(true)
            .http2_keep_alive_interval(PING_INTERVAL)
            .keep_alive_timeout(PING_TIMEOUT)
            .keep_alive_while_idle(true)
            .connect()
            .await
            .map_err(unreachable)?;
        Ok(RuntimeNodeServiceClient::with_interceptor(channel, self.token)
            .max_decoding_message_size(limits::REQUEST_BYTES_MAX))
    }
}
