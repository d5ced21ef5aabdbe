//! From stream to stream: opens the file, waits for the attachment, and tries again.

use std::{
    convert::Infallible,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use contracts::{HistoryId, NodeId, SessionId};
use tokio::{
    sync::watch,
    time::{Instant, sleep},
};

use super::{
    Config, Halt, OnForeignHistory, OpenError, PutAside, Setback, State,
    fault::Fault,
    message::Identity,
    status::StatusSender,
    store::{self, Folder, Store, Why},
    stream::{self, End},
    worker::{self, Failure, Worker, position},
};
use crate::{
    Standing, Way,
    reaction::{AfterReplicate, Retry, after_replicate},
    run::Generation,
};

/// Longest wait before the next try.
const BACKOFF_CAP: Duration = Duration::from_secs(30);
/// Least wait after a refusal that another try would only meet again, while the attachment is what it was.
const PAUSE: Duration = Duration::from_secs(30);
/// A stream that lasted so long had nothing wrong with it.
const LASTING: Duration = Duration::from_secs(10);
/// Name of the fact in which a server names its history.
const HISTORY_ID: &str = "history_id";

/// What keeps one replica.
#[derive(Debug)]
pub(crate) struct Replication {
    pub(super) config: Config,
    pub(super) folder: Folder,
    /// Raised when the file is put aside, so that readers open the new one.
    pub(super) file_number: Arc<AtomicU64>,
    pub(super) status: StatusSender,
}

/// For whom, and which way to the server.
pub(crate) struct Seat {
    pub(crate) way: Way,
    pub(crate) session_id: SessionId,
    pub(crate) node_id: NodeId,
    pub(crate) standing: watch::Receiver<Standing>,
}

/// What is to be done about the file.
enum Then {
    /// Open it, at once or after what put it into question has passed.
    Open {
        after: Duration,
    },
    /// Put it aside first.
    PutAside(Why, String),
    Halt(Halt),
}

impl Replication {
    /// Keeps the replica for as long as this is polled.
    pub(crate) async fn run(self, mut seat: Seat) -> Infallible {
        let mut then = Then::Open { after: Duration::ZERO };
        loop {
            then = match then {
                Then::Open { after } => {
                    sleep(after).await;
                    match self.open(seat.session_id).await {
                        Ok(store) => self.follow(&mut seat, store).await,
                        Err(error) => self.not_opened(&mut seat.way, error),
                    }
                }
                Then::PutAside(why, reason) => self.put_aside(&mut seat.way, why, reason).await,
                Then::Halt(halt) => {
                    self.status.change(|status| status.state = State::Halted(halt));
                    std::future::pending().await
                }
            };
        }
    }

    async fn open(&self, session_id: SessionId) -> Result<Store, OpenError> {
        let folder = self.folder.clone();
        let (aside_bytes_max, check) = (self.config.aside_bytes_max, self.config.check);
        let open = move || Store::open(&folder, session_id, aside_bytes_max, check);
        let (store, dropped) = blocking(open).await?;
        worker::report(dropped);
        Ok(store)
    }

    fn not_opened(&self, way: &mut Way, error: OpenError) -> Then {
        match error {
            OpenError::Damaged(how) => Then::PutAside(Why::Damaged, how),
            OpenError::OtherSession(_) | OpenError::Newer(_) => Then::Halt(Halt::Folder(error)),
            OpenError::InUse | OpenError::Absent | OpenError::Failed(_) => {
                self.set_back(Setback::Folder(error));
                Then::Open { after: way.back_off(BACKOFF_CAP, None) }
            }
        }
    }

    async fn put_aside(&self, way: &mut Way, why: Why, reason: String) -> Then {
        let folder = self.folder.clone();
        match blocking(move || folder.put_aside(why)).await {
            Ok(file) => {
                self.file_number.fetch_add(1, Ordering::Release);
                self.status.change(|status| {
                    status.put_aside = Some(PutAside { file, why: reason });
                    status.position = None;
                });
                Then::Open { after: Duration::ZERO }
            }
            Err(error) => {
                self.set_back(Setback::Folder(error));
                Then::Open { after: way.back_off(BACKOFF_CAP, None) }
            }
        }
    }

    /// Follows the log, stream by stream, until something is wrong with the file.
    async fn follow(&self, seat: &mut Seat, mut store: Store) -> Then {
        loop {
            self.apart(&store);
            let generation = attached(&mut seat.standing).await;
            let identity =
                Identity { session_id: seat.session_id, node_id: seat.node_id.clone(), generation };
            let mut worker = Worker::new(store);
            let opened_at = Instant::now();
            let end = tokio::select! {
                biased;
                () = no_longer(&mut seat.standing, generation) => None,
                end = stream::follow(&mut seat.way, &identity, &mut worker, &self.status) => Some(end),
            };
            // A transaction that is under way ends first: the next stream begins with what is durable.
            let Some(back) = worker.into_store().await else {
                return Then::Open { after: seat.way.back_off(BACKOFF_CAP, None) };
            };
            store = back;
            if opened_at.elapsed() > LASTING {
                seat.way.answered();
            }
            let wait = match end {
                None => continue,
                Some(end) => match self.after(&mut seat.way, end) {
                    Ok(wait) => wait,
                    Err(then) => return then,
                },
            };
            self.apart(&store);
            tokio::select! {
                biased;
                // A new attachment is a reason to try at once.
                () = no_longer(&mut seat.standing, generation) => {}
                () = sleep(wait) => {}
            }
        }
    }

    fn apart(&self, store: &Store) {
        let position = position(store);
        self.status.change(|status| {
            status.state = State::Apart;
            status.position = Some(position);
        });
    }

    /// How long to wait before the next stream, or what to do about the file.
    fn after(&self, way: &mut Way, end: End) -> Result<Duration, Then> {
        let again = |way: &mut Way| way.back_off(BACKOFF_CAP, None);
        match end {
            End::Ended => {
                self.set_back(Setback::Ended);
                let from = way.address().clone();
                Ok(way.retry_in(&from, Retry::Elsewhere { named: None, advised: None }, BACKOFF_CAP))
            }
            End::Call(setback) => self.after_call(way, setback),
            End::Fault(Fault::ForeignHistory { held, offered }) => Err(self.foreign(held, offered)),
            End::Fault(fault) => {
                self.fault(fault);
                Ok(again(way))
            }
            End::Worker(Failure::Store(store::Error::Misfit(misfit))) => {
                self.fault(Fault::Misfit(misfit));
                Ok(again(way))
            }
            End::Worker(Failure::Store(store::Error::Damaged(how))) => Err(Then::PutAside(Why::Damaged, how)),
            End::Worker(Failure::Store(store::Error::Failed(why))) => {
                self.set_back(Setback::Disk(why));
                Ok(again(way))
            }
            End::Worker(Failure::Died(died)) => {
                self.set_back(Setback::Disk(died.to_string()));
                Ok(again(way))
            }
        }
    }

    fn after_call(&self, way: &mut Way, setback: crate::Setback) -> Result<Duration, Then> {
        let after = after_replicate(&setback, way.tokens.hope());
        let offered = offered(&setback);
        self.set_back(Setback::Call(setback));
        match after {
            AfterReplicate::Retry(retry) => {
                let from = way.address().clone();
                Ok(way.retry_in(&from, retry, BACKOFF_CAP))
            }
            AfterReplicate::Pause => Ok(PAUSE + way.back_off(BACKOFF_CAP, None)),
            AfterReplicate::Foreign => match self.status.held_history() {
                Some(held) => Err(self.foreign(held, offered)),
                // A replica without a history cannot be of another one: the server has a fault.
                None => Ok(PAUSE),
            },
        }
    }

    fn foreign(&self, held: HistoryId, offered: Option<HistoryId>) -> Then {
        match self.config.on_foreign_history {
            OnForeignHistory::Halt => Then::Halt(Halt::ForeignHistory { held, offered }),
            OnForeignHistory::Adopt => {
                Then::PutAside(Why::Foreign, format!("the server follows another history than {held}"))
            }
        }
    }

    fn fault(&self, fault: Fault) {
        self.status.change(|status| {
            status.faults += 1;
            status.setback = Some(Setback::Fault(fault));
        });
    }

    fn set_back(&self, setback: Setback) {
        self.status.change(|status| status.setback = Some(setback));
    }
}

/// The history that a refusal names.
fn offered(setback: &crate::Setback) -> Option<HistoryId> {
    match setback {
        crate::Setback::Refused(refusal) => HistoryId::parse(HISTORY_ID, refusal.facts.get(HISTORY_ID)?).ok(),
        crate::Setback::NoToken { .. }
        | crate::Setback::Distrusted { .. }
        | crate::Setback::Unreachable { .. } => None,
    }
}

/// Waits for an attachment, and gives its generation.
async fn attached(standing: &mut watch::Receiver<Standing>) -> Generation {
    let found = standing.wait_for(|standing| standing.attachment().is_some()).await;
    match found.ok().and_then(|standing| standing.attachment().map(|attachment| attachment.generation)) {
        Some(generation) => generation,
        // The client has ended, and drops this.
        None => std::future::pending().await,
    }
}

/// Waits until the attachment is not that of this generation any more.
async fn no_longer(standing: &mut watch::Receiver<Standing>, generation: Generation) {
    let is_over = |standing: &Standing| {
        standing.attachment().is_none_or(|attachment| attachment.generation != generation)
    };
    if standing.wait_for(is_over).await.is_err() {
        std::future::pending().await
    }
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, OpenError> + Send + 'static,
) -> Result<T, OpenError> {
    match tokio::task::spawn_blocking(work).await {
        Ok(done) => done,
        Err(died) => Err(OpenError::Failed(died.to_string())),
    }
}
