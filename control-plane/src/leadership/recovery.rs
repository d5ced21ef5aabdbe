//! Recovery: what is made good, and loaded, between winning the lock and serving.
//!
//! Each step is idempotent and finds what it has to do in the database, so a recovery that failed half-way is simply
//! done again. A capability that has something to make good adds a step to [`STEPS`].

use std::{
    collections::BTreeSet,
    pin::Pin,
    sync::Arc,
    time::{Duration, Instant},
};

use contracts::SessionId;
use metrics::histogram;
use sqlx::{Connection, PgConnection};
use tokio::time::timeout;
use tokio_util::task::TaskTracker;

use super::{Candidate, Leader, Progress, Term, leader::Ends, trust::Trust};
use crate::{
    event_log::{self, Log, WriterTasks},
    failure::Fault,
    maintenance, nodes, postgres,
    presence::{
        self,
        lanes::{LaneTask, Lanes},
    },
    replication::Hub,
    roster::Fleet,
    sessions,
};

/// How long one attempt may take, the views of the largest fleet included.
const ATTEMPT_TIMEOUT: Duration = Duration::from_secs(60);

/// What a step works with.
pub(super) struct Recovering<'a> {
    db: &'a mut PgConnection,
    term: &'a Term,
    candidate: &'a Candidate,
    /// Sessions whose log is found to be broken.
    broken_logs: BTreeSet<SessionId>,
}

type Done<'a> = Pin<Box<dyn Future<Output = Result<(), Fault>> + Send + 'a>>;

/// A step: a name for logs and metrics, and what it does.
struct Step {
    name: &'static str,
    run: for<'a, 'b> fn(&'a mut Recovering<'b>) -> Done<'a>,
}

/// Every step, in order.
const STEPS: &[Step] = &[
    Step { name: "canary", run: |recovering| Box::pin(put_canary(recovering)) },
    Step { name: "log heads", run: |recovering| Box::pin(settle_log_heads(recovering)) },
    Step { name: "bases", run: |recovering| Box::pin(drop_bases(recovering)) },
];

async fn put_canary(recovering: &mut Recovering<'_>) -> Result<(), Fault> {
    let lanes = recovering.candidate.bounds.beat_lanes;
    presence::store::put_canary(recovering.db, recovering.term.epoch, lanes).await
}

async fn settle_log_heads(recovering: &mut Recovering<'_>) -> Result<(), Fault> {
    recovering.broken_logs = event_log::settle_heads(recovering.db).await?;
    Ok(())
}

/// What rebuilds of former terms were made from: their streams are gone.
async fn drop_bases(recovering: &mut Recovering<'_>) -> Result<(), Fault> {
    event_log::store::delete_full_bases(&mut *recovering.db).await.map(drop)
}

/// A leader that is ready to serve.
pub(super) struct Recovered {
    pub(super) leader: Leader,
    pub(super) lanes: Vec<LaneTask>,
    pub(super) log_writers: WriterTasks,
    /// Its open window of service.
    pub(super) window: i64,
}

/// Recovers once.
pub(super) async fn recover(
    candidate: &Candidate,
    term: &Term,
    trust_since: Instant,
) -> Result<Recovered, Fault> {
    let attempt = attempt(candidate, term, trust_since);
    timeout(ATTEMPT_TIMEOUT, attempt).await.unwrap_or_else(|_| Err(super::no_answer()))
}

async fn attempt(candidate: &Candidate, term: &Term, trust_since: Instant) -> Result<Recovered, Fault> {
    let setting = term.setting();
    let options = postgres::recovery_options(candidate.database.clone(), &setting);
    let mut db = PgConnection::connect_with(&options).await?;
    let mut recovering = Recovering { db: &mut db, term, candidate, broken_logs: BTreeSet::new() };
    for step in STEPS {
        let started = Instant::now();
        (step.run)(&mut recovering).await?;
        histogram!("rollcall_recovery_step_seconds", "step" => step.name)
            .record(started.elapsed().as_secs_f64());
    }

    let broken_logs = recovering.broken_logs;

    // Nobody else writes any more, so what is read one after another belongs together.
    let floors = sessions::store::all_floors(&mut db).await?;
    let runners = sessions::store::all_runners(&mut db).await?;
    let fleet = Fleet::new(floors, runners);
    nodes::store::each_slot(&mut db, |slot| fleet.put(slot)).await?;
    let found = maintenance::store::current(&mut db).await?;
    let (lanes, lane_tasks) = Lanes::new(&candidate.bounds);
    let (log, log_writers) = Log::new(broken_logs);
    let leader = Leader {
        term: *term,
        trust: Trust::since(trust_since, candidate.leadership.lease.trust()),
        progress: Progress::default(),
        db: postgres::write_pool(candidate.database.clone(), &setting),
        lane_db: postgres::lane_pool(candidate.database.clone(), &setting, candidate.bounds.beat_lanes),
        log_db: postgres::log_pool(candidate.database.clone(), &setting),
        fleet: Arc::new(fleet),
        replication: Hub::new(term.epoch, &candidate.retention.logs),
        lanes,
        log,
        cadence: candidate.cadence,
        bounds: candidate.bounds,
        lock_namespace: candidate.leadership.lock_namespace,
        maintenance: maintenance::Switch::new(found, &candidate.cadence),
        ends: Ends::default(),
        tasks: TaskTracker::new(),
    };
    // Last, so that its first cadence is one of service.
    let cadence = candidate.cadence.heartbeat_interval();
    let window = presence::store::open_window(&mut db, term.epoch, cadence).await?;
    // The work is done; how this connection ends does not matter.
    drop(db.close().await);
    Ok(Recovered { leader, lanes: lane_tasks, log_writers, window })
}
