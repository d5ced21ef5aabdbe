//! What an application holds.

use std::time::Duration;

use tokio::{
    sync::{mpsc, oneshot, watch},
    task::JoinHandle,
    time::timeout,
};
use tracing::{Instrument, info_span};

use crate::{
    Config, Outcome, Standing,
    announce::Announcer,
    run::{Request, Run},
    update::{Update, UpdateError, Updated},
};

/// Updates that wait for their turn.
const QUEUED_UPDATES_MAX: usize = 16;
/// How long an update may take in all, waiting for the server to come back included.
const UPDATE_DEADLINE: Duration = Duration::from_secs(30);

/// Keeps one node attached for as long as it is held.
///
/// Dropping it detaches the node in the background, within about 2 s, as long as the runtime lives. Use
/// [`Handle::detach`] to wait for it and to hear how it went.
#[derive(Debug)]
#[must_use = "the node detaches when the handle is dropped"]
pub struct Handle {
    standing: watch::Receiver<Standing>,
    requests: mpsc::Sender<Request>,
    /// Dropping it is how the task learns that the handle is gone.
    stop: oneshot::Sender<String>,
    task: JoinHandle<()>,
}

/// Starts to attach the node of `config`, and keeps it attached. Answers at once; [`Handle::standing`] tells how it
/// goes. Each start is an instance of its own: it supersedes every earlier one of the same node.
///
/// # Panics
///
/// When called outside of a Tokio runtime.
pub fn start(config: Config) -> Handle {
    let (announcer, standing) = Announcer::new();
    let (requests, queue) = mpsc::channel(QUEUED_UPDATES_MAX);
    let (stop, stopped) = oneshot::channel();
    // A process may keep several nodes attached: each line says which one it is about.
    let span = info_span!("node", node_id = %config.node_id);
    let task = tokio::spawn(Run::new(config, announcer, queue, stopped).run().instrument(span));
    Handle { standing, requests, stop, task }
}

impl Handle {
    /// Where the node stands, now and from now on.
    pub fn standing(&self) -> watch::Receiver<Standing> {
        self.standing.clone()
    }

    /// Waits for the end, which comes without being asked for when the server has the last word.
    pub async fn ended(&self) -> Outcome {
        outcome(self.standing()).await
    }

    /// Changes what the node says about itself. Waits until it is attached if it is not, and repeats what may
    /// succeed, for 30 s in all.
    ///
    /// # Errors
    ///
    /// When it is refused, when there is no answer in time, or when the client has ended.
    pub async fn update(&self, update: Update) -> Result<Updated, UpdateError> {
        let (reply, answer) = oneshot::channel();
        let exchange = async {
            self.requests.send(Request { update, reply }).await.ok()?;
            answer.await.ok()
        };
        match timeout(UPDATE_DEADLINE, exchange).await {
            Ok(Some(answer)) => answer,
            // The task no longer listens, so it is about to tell the outcome if it has not.
            Ok(None) => Err(UpdateError::Ended(self.ended().await)),
            Err(_) => Err(UpdateError::NoAnswer),
        }
    }

    /// Gives the slot back and ends, within about 2 s. `reason` is for people, at most 512 characters, and may be
    /// empty; the server keeps it with the span of the attachment.
    pub async fn detach(self, reason: impl Into<String>) -> Outcome {
        let Self { standing, requests: _, stop, task } = self;
        // A task that is gone has told its outcome.
        let _ = stop.send(reason.into());
        // So has one that panicked: its announcer did on the way out.
        let _ = task.await;
        outcome(standing).await
    }
}

async fn outcome(mut standing: watch::Receiver<Standing>) -> Outcome {
    match standing.wait_for(|standing| standing.outcome().is_some()).await {
        Ok(standing) => standing.outcome().cloned().unwrap_or(Outcome::TaskDied),
        Err(_) => Outcome::TaskDied,
    }
}
