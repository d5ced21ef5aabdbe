//! The way to the active server: which address, which connection, which token, and how long to wait after a setback.
//!
//! A node's client goes one of its own. A program that speaks for many nodes, such as a relay or a load tool, takes
//! several [`beside`](Way::beside) each other, and calls the generated clients over their [`Connection`]s itself.

#![expect(
    clippy::result_large_err,
    reason = "a setback is made once a call at most, and shown to applications as it is"
)]

use std::{convert::Infallible, time::Duration};

use contracts::{
    limits,
    wire::v1::{
        event_log_service_client::EventLogServiceClient,
        runtime_node_service_client::RuntimeNodeServiceClient, session_service_client::SessionServiceClient,
    },
};
use rand::{SeedableRng, rngs::StdRng};
use tokio::{
    sync::watch,
    time::{error::Elapsed, timeout},
};
use tonic::{Status, service::interceptor::InterceptedService, transport::Channel};
use tracing::warn;

use crate::{
    Address, Addresses, Outcome, Setback, Token, TokenSource, Trust,
    backoff::Backoff,
    line::{Line, Open},
    reaction::{AfterAttach, Retry, after_attach},
    route::{Hop, Route},
    token::{Tokens, keep},
};

/// Bytes of one message of the log: the payloads, and as much again, and more, for what comes with so many events.
const LOG_MESSAGE_BYTES_MAX: usize = 4 * limits::EVENT_BYTES_PER_MESSAGE_MAX;

/// A way to the active server of one control plane.
pub struct Way {
    pub(crate) route: Route,
    /// The connection in use. The token is renewed over it.
    pub(crate) open: watch::Sender<Option<Open>>,
    pub(crate) tokens: Tokens,
    pub(crate) backoff: Backoff,
    addresses: Addresses,
    trust: Trust,
    rng: StdRng,
}

/// An open connection, and the token that calls over it carry. Clones share both; it closes with the last of them.
#[derive(Clone)]
pub struct Connection {
    open: Open,
    tokens: Tokens,
}

/// The token of the moment, over a connection: what one call takes.
pub struct Caller {
    open: Open,
    tokens: Tokens,
    token: Token,
}

impl Way {
    /// A way that starts at the first of these addresses. A join token is not exchanged.
    pub fn new(addresses: Addresses, token: TokenSource, trust: Trust) -> Self {
        Self::with(addresses, Tokens::new(token).0, trust)
    }

    pub(crate) fn with(addresses: Addresses, tokens: Tokens, trust: Trust) -> Self {
        Self {
            route: Route::new(addresses.clone()),
            open: watch::Sender::new(None),
            tokens,
            backoff: Backoff::default(),
            addresses,
            trust,
            rng: StdRng::from_os_rng(),
        }
    }

    /// Another way to the same control plane, with a connection and a back-off of its own, and the same token.
    #[must_use]
    pub fn beside(&self) -> Self {
        Self::with(self.addresses.clone(), self.tokens.clone(), self.trust.clone())
    }

    /// The address to call now.
    pub fn address(&self) -> &Address {
        self.route.current()
    }

    /// The open connection, or a new one.
    ///
    /// # Errors
    ///
    /// When there is no connection within `deadline`; [`Self::after`] tells what to do then.
    pub async fn connect(&mut self, deadline: Duration) -> Result<Connection, Setback> {
        let line = self.line();
        let is_open = self.is_open();
        let open = match timeout(deadline, line.connected(deadline)).await {
            Ok(opened) => opened?,
            Err(Elapsed { .. }) => return Err(Setback::no_answer(self.address(), deadline)),
        };
        if !is_open {
            self.open.send_replace(Some(open.clone()));
        }
        Ok(Connection { open, tokens: self.tokens.clone() })
    }

    /// Closes the connection, once nobody calls over it any more.
    pub fn disconnect(&mut self) {
        self.open.send_replace(None);
    }

    /// A call was answered with what was asked for: all is well again.
    pub fn answered(&mut self) {
        self.route.reached();
        self.backoff.reset();
    }

    /// Moves to where the next call has to go after this setback, and tells how long to wait before. The back-off
    /// rises to `cap`.
    ///
    /// # Errors
    ///
    /// The outcome, when no call will ever succeed.
    pub fn after(&mut self, setback: &Setback, cap: Duration) -> Result<Duration, Outcome> {
        match after_attach(setback, self.tokens.hope()) {
            AfterAttach::Retry(retry) => {
                let from = self.address().clone();
                Ok(self.retry_in(&from, retry, cap))
            }
            AfterAttach::End(outcome) => Err(outcome),
        }
    }

    /// Keeps the token valid for as long as this is polled, over the connections of this way.
    pub fn keep_token(&self) -> impl Future<Output = Infallible> + Send + 'static {
        keep(self.tokens.clone(), self.open.subscribe())
    }

    /// The server to call now.
    pub(crate) fn line(&self) -> Line {
        Line {
            address: self.route.current().clone(),
            tokens: self.tokens.clone(),
            trust: self.trust.clone(),
            open: self.open.borrow().clone(),
        }
    }

    pub(crate) fn is_open(&self) -> bool {
        self.open.borrow().is_some()
    }

    /// Keeps the connection of an answer, unless the client has moved on to another address since.
    pub(crate) fn keep_open(&mut self, address: &Address, open: Option<Open>) {
        if address == self.route.current() {
            self.open.send_if_modified(|before| {
                let is_news = match (&*before, &open) {
                    (Some(_), Some(open)) => !open.is_to(address),
                    (before, open) => before.is_some() != open.is_some(),
                };
                *before = open;
                is_news
            });
        }
    }

    /// Moves to where a call that went to `from` is to be repeated, and tells how long to wait before.
    pub(crate) fn retry_in(&mut self, from: &Address, retry: Retry, cap: Duration) -> Duration {
        match retry {
            Retry::Here { advised } => self.back_off(cap, advised),
            // Another call found out before, and its move counts.
            Retry::Elsewhere { named: _, advised } if from != self.route.current() => {
                self.backoff.hop(cap, advised, &mut self.rng)
            }
            Retry::Elsewhere { named, advised } => {
                self.open.send_replace(None);
                let named = self.followable(named);
                match self.route.move_on(named) {
                    Hop::WithinRound => self.backoff.hop(cap, advised, &mut self.rng),
                    Hop::RoundOver => self.back_off(cap, advised),
                }
            }
        }
    }

    pub(crate) fn back_off(&mut self, cap: Duration, advised: Option<Duration>) -> Duration {
        self.backoff.next(cap, advised, &mut self.rng)
    }

    /// The address that a server named, unless it would lead from TLS into the clear.
    fn followable(&self, named: Option<Address>) -> Option<Address> {
        named.filter(|named| {
            let is_followable = self.route.may_follow(named);
            if !is_followable {
                warn!(%named, "a server named an address in clear, which is not followed from one with TLS");
            }
            is_followable
        })
    }
}

impl Connection {
    /// Takes the token of the moment for one call, or for one stream.
    ///
    /// # Errors
    ///
    /// When there is none that may be sent.
    pub async fn caller(&self) -> Result<Caller, Setback> {
        let token = self.tokens.for_call().await?;
        Ok(Caller { open: self.open.clone(), tokens: self.tokens.clone(), token })
    }
}

impl Caller {
    /// A client of `RuntimeNodeService`.
    pub fn nodes(&self) -> RuntimeNodeServiceClient<InterceptedService<Channel, Token>> {
        RuntimeNodeServiceClient::with_interceptor(self.open.channel(), self.token.clone())
            .max_decoding_message_size(limits::REQUEST_BYTES_MAX)
    }

    /// A client of `SessionService`.
    pub fn sessions(&self) -> SessionServiceClient<InterceptedService<Channel, Token>> {
        SessionServiceClient::with_interceptor(self.open.channel(), self.token.clone())
            .max_decoding_message_size(limits::REQUEST_BYTES_MAX)
    }

    /// A client of `EventLogService`. It takes the messages of replication streams, which are larger than others.
    pub fn log(&self) -> EventLogServiceClient<InterceptedService<Channel, Token>> {
        EventLogServiceClient::with_interceptor(self.open.channel(), self.token.clone())
            .max_decoding_message_size(LOG_MESSAGE_BYTES_MAX)
    }

    /// What the status of a failed call means. It is noted when it is about the token.
    pub fn setback(&self, status: &Status) -> Setback {
        let setback = Setback::from_status(self.open.address(), status);
        self.tokens.heard(&self.token, Some(&setback));
        setback
    }

    /// The setback of a call that nobody answered in time.
    pub fn no_answer(&self, deadline: Duration) -> Setback {
        Setback::no_answer(self.open.address(), deadline)
    }
}
