//! The one task behind a handle: attach, stay attached, detach.

use std::{pin::Pin, time::Duration};

use contracts::InstanceId;
use rand::{SeedableRng, rngs::StdRng};
use tokio::sync::{mpsc, oneshot, watch};
use tracing::warn;
use uuid::Uuid;

use crate::{
    Address, Config, JoinToken, Outcome,
    announce::Announcer,
    backoff::Backoff,
    line::{Answer, Line, Open},
    pace::Pace,
    reaction::Retry,
    route::{Hop, Route},
    token::{Tokens, keep},
    update::{Update, UpdateError, Updated},
};

/// A call under way. It borrows nothing, so that several can be under way beside the waiting.
pub(crate) type Call<T> = Pin<Box<dyn Future<Output = Answer<T>> + Send>>;

/// An update, and who waits for its answer.
#[derive(Debug)]
pub(crate) struct Request {
    pub(crate) update: Update,
    pub(crate) reply: oneshot::Sender<Result<Updated, UpdateError>>,
}

/// What the task owns.
pub(crate) struct Run {
    /// What the node says about itself; updates change it.
    pub(crate) config: Config,
    /// This run of the daemon. A repeated attach of one instance is answered alike.
    pub(crate) instance_id: InstanceId,
    pub(crate) route: Route,
    /// The connection in use. The token is renewed over it.
    pub(crate) open: watch::Sender<Option<Open>>,
    pub(crate) tokens: Tokens,
    /// Exchanged for the first token.
    pub(crate) join: Option<JoinToken>,
    pub(crate) pace: Pace,
    /// Reset by an acknowledged beat alone: an attach whose first beat is refused is not all well.
    pub(crate) backoff: Backoff,
    pub(crate) rng: StdRng,
    pub(crate) announcer: Announcer,
    pub(crate) requests: mpsc::Receiver<Request>,
    /// The request whose turn it is; it outlives a new attach.
    pub(crate) request: Option<Request>,
    pub(crate) stop: oneshot::Receiver<String>,
}

/// The generation that a call carries.
pub(crate) type Generation = u64;

/// How an attachment, or the way to one, is left.
pub(crate) enum Leave {
    /// The server does not hold it any more. Attach again after this long.
    Reattach { after: Duration },
    /// The application wants out, for this reason.
    Stop(String),
    /// The server has the last word.
    End(Outcome),
}

impl Run {
    pub(crate) fn new(
        config: Config,
        announcer: Announcer,
        requests: mpsc::Receiver<Request>,
        stop: oneshot::Receiver<String>,
    ) -> Self {
        let (tokens, join) = Tokens::new(config.token.clone());
        Self {
            instance_id: InstanceId(Uuid::new_v4()),
            route: Route::new(config.addresses.clone()),
            config,
            open: watch::Sender::new(None),
            tokens,
            join,
            pace: Pace::default(),
            backoff: Backoff::default(),
            rng: StdRng::from_os_rng(),
            announcer,
            requests,
            request: None,
            stop,
        }
    }

    pub(crate) async fn run(mut self) {
        let keeping = keep(self.tokens.clone(), self.open.subscribe());
        let outcome = tokio::select! {
            biased;
            outcome = self.until_the_end() => outcome,
            never = keeping => match never {},
        };
        // Refuse what still comes before the outcome is told, so that nobody waits for an answer.
        self.requests.close();
        self.announcer.apply(|standing| standing.ended(outcome));
    }

    async fn until_the_end(&mut self) -> Outcome {
        if let Err(outcome) = self.first_token().await {
            return outcome;
        }
        let mut wait = Duration::ZERO;
        loop {
            let attached = match self.attach(wait).await {
                Ok(attached) => attached,
                Err(outcome) => return outcome,
            };
            match self.stay_attached(attached).await {
                Leave::Reattach { after } => wait = after,
                Leave::Stop(reason) => return self.detach(attached.generation, reason).await,
                Leave::End(outcome) => return outcome,
            }
        }
    }

    /// The server to call now.
    pub(crate) fn line(&self) -> Line {
        Line {
            address: self.route.current().clone(),
            tokens: self.tokens.clone(),
            trust: self.config.trust.clone(),
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
    pub(crate) fn retry_in(&mut self, from: &Address, retry: Retry) -> Duration {
        let cap = self.pace.backoff_cap();
        match retry {
            Retry::Here { advised } => self.backoff.next(cap, advised, &mut self.rng),
            // Another call found out before, and its move counts.
            Retry::Elsewhere { named: _, advised } if from != self.route.current() => {
                self.backoff.hop(cap, advised, &mut self.rng)
            }
            Retry::Elsewhere { named, advised } => {
                self.open.send_replace(None);
                let named = self.followable(named);
                match self.route.move_on(named) {
                    Hop::WithinRound => self.backoff.hop(cap, advised, &mut self.rng),
                    Hop::RoundOver => self.backoff.next(cap, advised, &mut self.rng),
                }
            }
        }
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
