//! The leader: a value that whoever does leader-only work must hold.

use std::sync::Arc;

use sqlx::PgPool;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::{
    failure::{Failure, Fault},
    maintenance::Switch,
    presence::lanes::Lanes,
    roster::Fleet,
    settings::{Bounds, Cadence},
};

/// The right to write, and what a leader has in memory.
#[derive(Debug)]
pub struct Leader {
    pub(super) epoch: i64,
    pub(super) db: PgPool,
    pub(super) fleet: Arc<Fleet>,
    pub(super) lanes: Lanes,
    pub(super) cadence: Cadence,
    pub(super) bounds: Bounds,
    pub(super) maintenance: Switch,
    pub(super) stop: CancellationToken,
    pub(super) doubt: CancellationToken,
    pub(super) tasks: TaskTracker,
}

impl Leader {
    /// Number of this leader's term; rises with each.
    pub fn epoch(&self) -> i64 {
        self.epoch
    }

    /// The pool for writes.
    pub fn db(&self) -> &PgPool {
        &self.db
    }

    /// The view of the fleet.
    pub fn fleet(&self) -> &Arc<Fleet> {
        &self.fleet
    }

    /// The lanes of beats.
    pub fn lanes(&self) -> &Lanes {
        &self.lanes
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
        self.stop.clone()
    }

    /// Runs a task that the end of this leader waits for; the task watches [`Self::stopped`].
    pub fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        self.tasks.spawn(task);
    }

    /// Tells of a fault. After one that may have happened all the same, what this leader has in memory may differ from
    /// the database: its term ends, and the next one loads everything anew.
    pub(crate) fn doubt(&self, fault: &Fault) {
        if fault.may_have_happened() {
            self.doubt.cancel();
        }
    }

    /// Ends: tells all tasks, and waits for them.
    pub(super) async fn end(&self) {
        self.stop.cancel();
        self.tasks.close();
        self.tasks.wait().await;
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
        async move {
            let written = writing.await;
            if let Err(Failure::Fault(fault)) = &written {
                leader.doubt(fault);
            }
            written
        }
    });
    written.await.map_err(|_| Failure::from(Fault::TaskEnded))?
}
