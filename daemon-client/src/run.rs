//! The one task behind a handle: attach, stay attached, detach.

use std::{pin::Pin, time::Duration};

use contracts::InstanceId;
use rand::{SeedableRng, rngs::StdRng};
use tokio::sync::{mpsc, oneshot};
use uuid::Uuid;

use crate::{
    Address, Config, JoinToken, Outcome,
    announce::Announcer,
    append::{Appending, Queued},
    line::Answer,
    pace::Pace,
    reaction::Retry,
    replica::{Replication, Seat},
    token::Tokens,
    update::{Update, UpdateError, Updated},
    way::Way,
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
    /// Its back-off is reset by an acknowledged beat alone: an attach whose first beat is refused is not all well.
    pub(crate) way: Way,
    /// Exchanged for the first token.
    pub(crate) join: Option<JoinToken>,
    pub(crate) pace: Pace,
    pub(crate) rng: StdRng,
    pub(crate) announcer: Announcer,
    pub(crate) requests: mpsc::Receiver<Request>,
    /// The request whose turn it is; it outlives a new attach.
    pub(crate) request: Option<Request>,
    pub(crate) stop: oneshot::Receiver<String>,
}

/// What goes on beside the attachment, each on a way of its own.
pub(crate) struct Beside {
    pub(crate) appends: mpsc::Receiver<Queued>,
    pub(crate) replication: Option<Replication>,
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
            way: Way::with(config.addresses.clone(), tokens, config.trust.clone()),
            config,
            join,
            pace: Pace::default(),
            rng: StdRng::from_os_rng(),
            announcer,
            requests,
            request: None,
            stop,
        }
    }

    pub(crate) async fn run(mut self, beside: Beside) {
        let Beside { appends, replication } = beside;
        let keeping = self.way.keep_token();
        let appending = self.appending(appends).run();
        let seat = self.seat();
        let replicating = async {
            match replication {
                Some(replication) => replication.run(seat).await,
                None => std::future::pending().await,
            }
        };
        let outcome = tokio::select! {
            biased;
            outcome = self.until_the_end() => outcome,
            never = keeping => match never {},
            never = appending => match never {},
            never = replicating => match never {},
        };
        // Refuse what still comes before the outcome is told, so that nobody waits for an answer.
        self.requests.close();
        self.announcer.apply(|standing| standing.ended(outcome));
    }

    fn appending(&self, queue: mpsc::Receiver<Queued>) -> Appending {
        Appending {
            way: self.way.beside(),
            session_id: self.config.session_id,
            node_id: self.config.node_id.clone(),
            standing: self.announcer.subscribe(),
            queue,
        }
    }

    fn seat(&self) -> Seat {
        Seat {
            way: self.way.beside(),
            session_id: self.config.session_id,
            node_id: self.config.node_id.clone(),
            standing: self.announcer.subscribe(),
        }
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

    /// Moves to where a call that went to `from` is to be repeated, and tells how long to wait before.
    pub(crate) fn retry_in(&mut self, from: &Address, retry: Retry) -> Duration {
        self.way.retry_in(from, retry, self.pace.backoff_cap())
    }
}
