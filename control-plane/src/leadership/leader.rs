//! The leader: a value that whoever does leader-only work must hold.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use metrics::counter;
use sqlx::PgPool;
use tokio::{task::spawn_blocking, time::timeout};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use super::{Progress, Term, locks::LockNamespace, progress::Step, trust::Trust};
use crate::{
    event_log::Log,
    failure::{Failure, Fault},
    maintenance::Switch,
    presence::lanes::Lanes,
    replication::Hub,
    roster::Fleet,
    settings::{Bounds, Cadence},
};

/// How long what is under way at the end of a term may take: longer than a statement may. What does not answer then is
/// dropped with its connection, and the fence refuses whatever of it is still to come.
const END_TIMEOUT: Duration = Duration::from_secs(4);

/// The right to write, and what a leader has in memory.
#[derive(Debug)]
pub struct Leader {
    pub(super) term: Term,
    pub(super) trust: Trust,
    pub(super) progress: Progress,
    pub(super) db: PgPool,
    pub(super) lane_db: PgPool,
    pub(super) log_db: PgPool,
    pub(super) fleet: Arc<Fleet>,
    pub(super) replication: Hub,
    pub(super) lanes: Lanes,
    pub(super) log: Log,
    pub(super) cadence: Cadence,
    pub(super) bounds: Bounds,
    pub(super) lock_namespace: LockNamespace,
    pub(super) maintenance: Switch,
    pub(super) ends: Ends,
    pub(super) tasks: TaskTracker,
}

/// What ends a leader before its lock is lost.
#[derive(Debug, Default)]
pub(super) struct Ends {
    /// Its work stops.
    pub(super) stop: CancellationToken,
    /// What is in memory may differ from the database.
    pub(super) doubt: CancellationToken,
    /// The database refused a write of this term.
    pub(super) fenced: CancellationToken,
    /// An operator asked for it.
    pub(super) step_down: CancellationToken,
    /// What has not stopped by now is dropped.
    abort: CancellationToken,
}

impl Leader {
    /// Number of this leader's term; rises with each.
    pub fn epoch(&self) -> i64 {
        self.term.epoch
    }

    /// The pool for writes. What goes through it is fenced.
    pub fn db(&self) -> &PgPool {
        &self.db
    }

    /// The pool of the beat lanes, a connection each.
    pub(crate) fn lane_db(&self) -> &PgPool {
        &self.lane_db
    }

    /// The pool of the writers of the logs, a connection each.
    pub(crate) fn log_db(&self) -> &PgPool {
        &self.log_db
    }

    /// The view of the fleet.
    pub fn fleet(&self) -> &Arc<Fleet> {
        &self.fleet
    }

    /// The replicas of the logs.
    pub fn replication(&self) -> &Hub {
        &self.replication
    }

    /// The lanes of beats.
    pub fn lanes(&self) -> &Lanes {
        &self.lanes
    }

    /// The logs of the sessions.
    pub fn log(&self) -> &Log {
        &self.log
    }

    /// Intervals and thresholds.
    pub fn cadence(&self) -> &Cadence {
        &self.cadence
    }

    /// Bounds that the operator set.
    pub fn bounds(&self) -> &Bounds {
        &self.bounds
    }

    /// What lets writes pass, or holds them back.
    pub fn maintenance(&self) -> &Switch {
        &self.maintenance
    }

    /// Cancelled when this leader ends.
    pub fn stopped(&self) -> CancellationToken {
        self.ends.stop.clone()
    }

    /// Whether it may still believe that it leads.
    pub(super) fn is_trusted(&self) -> bool {
        self.trust.holds_at(Instant::now())
    }

    /// Begins a step of a part of a duty without which a leader is none: when it hangs, the leader gives its place away.
    pub fn step(&self, duty: &'static str, part: usize) -> Step<'_> {
        self.progress.step(duty, part)
    }

    /// Runs a task that the end of this leader waits for; the task watches [`Self::stopped`].
    pub fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        let abort = self.ends.abort.clone();
        self.tasks.spawn(async move {
            abort.run_until_cancelled(task).await;
        });
    }

    /// Tells of a fault. After one that may have happened all the same, what this leader has in memory may differ from
    /// the database: its term ends, and the next one loads everything anew. After one that the fence refused, another
    /// leads already.
    pub(crate) fn doubt(&self, fault: &Fault) {
        self.tell_fenced(fault);
        if fault.may_have_happened() {
            self.ends.doubt.cancel();
        }
    }

    /// Tells of a fault that left nothing in doubt, as when beats are simply sent again.
    pub(crate) fn tell_fenced(&self, fault: &Fault) {
        if fault.is_fenced() {
            counter!("rollcall_fenced_writes_total").increment(1);
            self.trust.withdraw();
            self.ends.fenced.cancel();
        }
    }

    /// Ends: nothing new is trusted to write, all tasks are told, and waited for a while.
    pub(super) async fn end(&self) {
        self.trust.withdraw();
        self.ends.stop.cancel();
        self.tasks.close();
        if timeout(END_TIMEOUT, self.tasks.wait()).await.is_err() {
            tracing::warn!(epoch = self.term.epoch, "work of this term did not end in time and is dropped");
            self.ends.abort.cancel();
            self.tasks.wait().await;
        }
    }

    /// Closes the connections of a leader that ended, and frees its view, in the background: connections that wait for an
    /// answer which never comes would be waited for.
    pub(super) fn clear_away(self: Arc<Self>) {
        tokio::spawn(async move {
            tokio::join!(self.db.close(), self.lane_db.close(), self.log_db.close());
            drop(spawn_blocking(move || drop(self)));
        });
    }
}

/// Runs a write of a request to its end, even when the caller goes away in the middle: a transaction is not abandoned
/// half-way, and what it committed reaches the view of the fleet.
///
/// # Errors
///
/// Maintenance is on, or what the write failed with.
pub async fn run<T, W, F>(leader: &Arc<Leader>, write: W) -> Result<T, Failure>
where
    T: Send + 'static,
    W: FnOnce(Arc<Leader>) -> F + Send + 'static,
    F: Future<Output = Result<T, Failure>> + Send + 'static,
{
    run_always(leader, |leader| async move {
        let _writing = leader.maintenance.writing().await?;
        write(leader).await
    })
    .await
}

/// [`run`], during maintenance too.
///
/// # Errors
///
/// What the write failed with.
pub async fn run_always<T, W, F>(leader: &Arc<Leader>, write: W) -> Result<T, Failure>
where
    T: Send + 'static,
    W: FnOnce(Arc<Leader>) -> F,
    F: Future<Output = Result<T, Failure>> + Send + 'static,
{
    let writing = write(Arc::clone(leader));
    let written = leader.tasks.spawn({
        let leader = Arc::clone(leader);
        let abort = leader.ends.abort.clone();
        async move {
            let written =
                abort.run_until_cancelled(writing).await.unwrap_or_else(|| Err(Fault::TaskEnded.into()));
            if let Err(Failure::Fault(fault)) = &written {
                leader.doubt(fault);
            }
            written
        }
    });
    written.await.map_err(|_| Failure::from(Fault::TaskEnded))?
}
