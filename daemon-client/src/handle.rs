//! What an application holds.

use std::time::Duration;

use contracts::Seq;
use tokio::{
    sync::{mpsc, oneshot, watch},
    task::JoinHandle,
    time::timeout,
};
use tracing::{Instrument, info_span};

use crate::{
    Config, Outcome, Standing,
    announce::Announcer,
    append::{AppendError, Appended, Batch, Queued},
    replica::Replica,
    run::{Beside, Request, Run},
    update::{Update, UpdateError, Updated},
};

/// Updates that wait for their turn.
const QUEUED_UPDATES_MAX: usize = 16;
/// Appends that wait for their turn.
const QUEUED_APPENDS_MAX: usize = 16;
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
    appends: mpsc::Sender<Queued>,
    replica: Option<Replica>,
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
    let (appends, queued) = mpsc::channel(QUEUED_APPENDS_MAX);
    let (stop, stopped) = oneshot::channel();
    let replica = config.replica.clone().map(|replica| Replica::new(replica, config.client_version.clone()));
    let (replica, replication) = replica.unzip();
    let beside = Beside { appends: queued, replication };
    // A process may keep several nodes attached: each line says which one it is about.
    let span = info_span!("node", node_id = %config.node_id);
    let task = tokio::spawn(Run::new(config, announcer, queue, stopped).run(beside).instrument(span));
    Handle { standing, requests, appends, replica, stop, task }
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

    /// The replica of the session's log, if the node keeps one. It may be read beyond the end of the client.
    pub fn replica(&self) -> Option<&Replica> {
        self.replica.as_ref()
    }

    /// Appends events to the session's log, all of them or none; only if the log ends at `expected_head`, where that is
    /// given. Waits until the node is attached, and repeats what may succeed until it is answered: under the ids that the
    /// events have, so that they are appended once however often they are sent. Appends go one after the other, in the
    /// order of these calls; at most 16 wait, and a further one waits for its place.
    ///
    /// Whoever stops waiting, as by a timeout, gives the append up: it may have been made, and is not tried again.
    ///
    /// # Errors
    ///
    /// When it is refused, by the session's floor for one, or when the client has ended.
    pub async fn append(&self, batch: Batch, expected_head: Option<Seq>) -> Result<Appended, AppendError> {
        let (reply, answer) = oneshot::channel();
        let queued = Queued { batch, expected_head, reply };
        if self.appends.send(queued).await.is_ok()
            && let Ok(answer) = answer.await
        {
            return answer;
        }
        Err(AppendError::Ended(self.ended().await))
    }

    /// Gives the slot back and ends, within about 2 s. `reason` is for people, at most 512 characters, and may be
    /// empty; the server keeps it with the span of the attachment.
    pub async fn detach(self, reason: impl Into<String>) -> Outcome {
        let Self { standing, requests: _, appends: _, replica: _, stop, task } = self;
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
