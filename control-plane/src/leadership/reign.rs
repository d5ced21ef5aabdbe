//! A reign: from the lock that was won to its loss. Begins a term, recovers, leads, and finishes what is in flight.
//!
//! The seat is verified all the while, during recovery as well: trust ends a fixed time after the start of the last
//! good verification, whatever the database does.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use metrics::{counter, histogram};
use tokio::{
    runtime::Handle,
    sync::watch,
    task::spawn_blocking,
    time::{MissedTickBehavior, sleep, timeout},
};
use tokio_util::sync::CancellationToken;

use super::{
    Candidate, Leader, Role, Term,
    campaign::become_role,
    recovery::{self, Recovered},
    seat::Seat,
    store,
};
use crate::{
    duties::{self, Duty},
    failure::{Fault, chain},
    presence::{self, canary},
    replication, retention,
};

/// Recoveries that may fail in a row before the lock is given away.
const RECOVERIES_MAX: u32 = 5;
/// How long to wait before recovery is tried again: this, doubled each time.
const RECOVERY_DELAY: Duration = Duration::from_millis(250);
/// A leader gives its place away for a duty that hangs once in this time. One that hangs wherever it runs would pass
/// leadership round for ever.
const ABDICATION_INTERVAL: Duration = Duration::from_secs(10 * 60);

/// Why a reign is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    /// The process is told to stop.
    Stopped,
    /// An operator asked for another leader.
    SteppedDown,
    /// The lock is gone, or the connection that held it.
    Lost,
    /// The installation is another lock number's: no term of this server can begin.
    OtherNamespace,
    /// The lock could not be verified in time.
    Unanswered,
    /// The database refused a write: another leads.
    Fenced,
    /// A commit was not answered: what is in memory may differ from the database.
    Doubt,
    /// A duty hangs.
    Hung,
    /// Recovery failed again and again.
    NotRecovered,
}

impl End {
    /// For metrics.
    pub(super) fn label(self) -> &'static str {
        match self {
            Self::Stopped => "stopped",
            Self::SteppedDown => "stepped_down",
            Self::Lost => "lost",
            Self::OtherNamespace => "other_namespace",
            Self::Unanswered => "unanswered",
            Self::Fenced => "fenced",
            Self::Doubt => "doubt",
            Self::Hung => "hung",
            Self::NotRecovered => "not_recovered",
        }
    }

    /// For the log.
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Stopped => "the server is told to stop",
            Self::SteppedDown => "an operator asked for it",
            Self::Lost => "the lock is lost",
            Self::OtherNamespace => "servers with another --lock-namespace lead here",
            Self::Unanswered => "the lock could not be verified in time",
            Self::Fenced => "the database refused a write: another server leads",
            Self::Doubt => "a commit was not answered: the next term loads the fleet anew",
            Self::Hung => "a duty hangs",
            Self::NotRecovered => "recovery failed again and again",
        }
    }
}

/// How a term ended.
pub(super) struct Ended {
    pub(super) end: End,
    /// Who led in it, and does nothing any more; none when nobody got as far.
    pub(super) former: Option<Arc<Leader>>,
}

/// Leads until the lock is lost or it is time to stop.
pub(super) async fn reign(
    candidate: &Candidate,
    seat: &mut Seat,
    roles: &watch::Sender<Role>,
    stop: &CancellationToken,
) -> Ended {
    let won = Instant::now();
    let term = match begin_term(candidate, seat).await {
        Ok(term) => term,
        Err(end) => return Ended { end, former: None },
    };
    let mut watch = Watch { term, verified: won, candidate };
    let recovered = match watch.recover(seat, stop).await {
        Ok(recovered) => recovered,
        Err(end) => return Ended { end, former: None },
    };
    let leader = Arc::new(recovered.leader);
    leader.trust.renew(watch.verified);
    for lane in recovered.lanes {
        leader.spawn(lane.run(Arc::clone(&leader)));
    }
    recovered.log_writers.start(&leader);
    leader.spawn(replication::write_records(Arc::clone(&leader)));
    start_duties(candidate, &leader);
    become_role(roles, Role::Active(Arc::clone(&leader)), "recovery is done");
    histogram!("rollcall_leadership_promote_seconds").record(won.elapsed().as_secs_f64());
    let end = watch.lead(seat, &leader, recovered.window, stop).await;
    // First the role, so that nothing new begins; then what has begun.
    become_role(roles, Role::Standby { active: None }, end.as_str());
    leader.end().await;
    Ended { end, former: Some(leader) }
}

async fn begin_term(candidate: &Candidate, seat: &mut Seat) -> Result<Term, End> {
    let began = timeout(candidate.leadership.lease.length(), seat.begin_term()).await;
    match began.unwrap_or_else(|_| Err(super::no_answer())) {
        Ok(raised) => {
            if raised.jumped {
                tracing::error!(
                    epoch = raised.term.epoch,
                    "this is another Postgres, or another timeline of it, than the one that the last leader wrote to: \
                     what it committed last may be lost. The epoch was raised by far"
                );
                counter!("rollcall_leadership_epoch_jumps_total").increment(1);
            }
            Ok(raised.term)
        }
        Err(fault) => {
            tracing::error!(error = chain(&fault), "no term could be begun");
            Err(if matches!(fault, Fault::OtherLockNamespace) { End::OtherNamespace } else { End::Lost })
        }
    }
}

fn start_duties(candidate: &Candidate, leader: &Arc<Leader>) {
    let disabled = &candidate.leadership.disabled_duties;
    for duty in disabled {
        tracing::warn!(duty, "this duty is disabled, and does not run");
    }
    let sweep = Duty { name: duties::SWEEP, period: candidate.cadence.sweep_interval() };
    if !disabled.contains(&sweep.name) {
        duties::run(leader, sweep, |leader| async move { presence::sweep::pass(&leader).await });
    }
    let retention = candidate.retention;
    let logs = retention.logs;
    let checkpoints = Duty { name: duties::CHECKPOINTS, period: logs.interval };
    if !disabled.contains(&checkpoints.name) {
        duties::run(leader, checkpoints, move |leader| async move {
            replication::checkpoints::pass(&leader, logs.checkpoint_every).await
        });
    }
    let prune = Duty { name: duties::PRUNE, period: logs.interval };
    if !disabled.contains(&prune.name) {
        duties::run(
            leader,
            prune,
            move |leader| async move { replication::prune::pass(&leader, &logs).await },
        );
    }
    let forget = Duty { name: duties::RETENTION, period: retention.interval };
    if !disabled.contains(&forget.name) {
        duties::run(leader, forget, move |leader| async move { retention::pass(&leader, &retention).await });
    }
}

/// What keeps an eye on the seat.
struct Watch<'a> {
    term: Term,
    /// When the last good verification started.
    verified: Instant,
    candidate: &'a Candidate,
}

impl Watch<'_> {
    /// Verifies the seat once.
    async fn verify(&mut self, seat: &mut Seat) -> Result<(), End> {
        let deadline = self.verified + self.candidate.leadership.lease.trust();
        match seat.verify(&self.term, deadline).await {
            Ok(Some(started)) => {
                self.verified = started;
                Ok(())
            }
            Ok(None) => Err(End::Lost),
            Err(fault) => {
                tracing::warn!(
                    epoch = self.term.epoch,
                    error = chain(&fault),
                    "the lock could not be verified"
                );
                Err(if Instant::now() >= deadline { End::Unanswered } else { End::Lost })
            }
        }
    }

    /// Recovers, trying again after a failure.
    async fn recover(&mut self, seat: &mut Seat, stop: &CancellationToken) -> Result<Recovered, End> {
        let mut ticks = tokio::time::interval(self.candidate.leadership.lease.verify_interval());
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let (term, started) = (self.term, Instant::now());
        // On a thread of its own: loading a large fleet keeps one busy for longer than a verification may wait. Whoever
        // gives up here ends it at its next wait, and what it writes until then is of its own term.
        let over = CancellationToken::new();
        let _over = over.clone().drop_guard();
        let recovery = recover_with_patience(self.candidate.clone(), term, started);
        let runtime = Handle::current();
        let mut recovering =
            spawn_blocking(move || runtime.block_on(over.run_until_cancelled_owned(recovery)).flatten());
        loop {
            tokio::select! {
                () = stop.cancelled() => return Err(End::Stopped),
                recovered = &mut recovering => {
                    let recovered = recovered.unwrap_or_else(|error| {
                        tracing::error!(epoch = term.epoch, error = chain(&error), "the task that recovers ended");
                        None
                    });
                    let recovered = recovered.ok_or(End::NotRecovered)?;
                    let milliseconds = u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX);
                    tracing::info!(epoch = term.epoch, milliseconds, "recovery is done");
                    self.verify(seat).await?;
                    if let Err(fault) = store::say_active(&mut seat.db, &term).await {
                        tracing::warn!(error = chain(&fault), "the row of the leader could not be written");
                        return Err(End::Lost);
                    }
                    return Ok(recovered);
                }
                _ = ticks.tick() => self.verify(seat).await?,
            }
        }
    }

    /// Verifies the lock and proves the service, again and again, until there is a reason to end.
    async fn lead(
        &mut self,
        seat: &mut Seat,
        leader: &Arc<Leader>,
        mut window: i64,
        stop: &CancellationToken,
    ) -> End {
        let cadence = &self.candidate.cadence;
        let period = canary::proof_interval(cadence).min(self.candidate.leadership.lease.verify_interval());
        let canary_heard = start_canary(self.candidate, leader);
        let proof_age_max = canary::proof_interval(cadence) * 2;
        let mut ticks = tokio::time::interval(period);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                () = stop.cancelled() => return End::Stopped,
                () = leader.ends.step_down.cancelled() => return End::SteppedDown,
                () = leader.ends.fenced.cancelled() => return End::Fenced,
                () = leader.ends.doubt.cancelled() => return End::Doubt,
                _ = ticks.tick() => {}
            }
            if let Err(end) = self.verify(seat).await {
                return end;
            }
            leader.trust.renew(self.verified);
            if let Some(duty) = leader.progress.hung_for(self.candidate.leadership.lease.length())
                && self.abdicates(seat, duty).await
            {
                return End::Hung;
            }
            let heard: Option<Instant> = *canary_heard.borrow();
            if heard.is_none_or(|heard| heard.elapsed() > proof_age_max) {
                // Not proven: the window is not extended, and after a gap a new one opens.
                continue;
            }
            match self.prove_service(seat, window).await {
                Ok(open) => window = open,
                Err(end) => return end,
            }
        }
    }

    /// Extends the window, or opens another; gives the one that is open.
    async fn prove_service(&self, seat: &mut Seat, window: i64) -> Result<i64, End> {
        let cadence = &self.candidate.cadence;
        let proof = async {
            let db = &mut seat.db;
            if presence::store::extend_window(db, window, canary::proof_gap_max(cadence)).await? {
                return Ok(window);
            }
            tracing::warn!(
                epoch = self.term.epoch,
                "service was interrupted: silence in the meantime does not count"
            );
            presence::store::open_window(db, self.term.epoch, cadence.heartbeat_interval()).await
        };
        let deadline = self.verified + self.candidate.leadership.lease.trust();
        let proven = timeout(deadline.saturating_duration_since(Instant::now()), proof).await;
        match proven.unwrap_or_else(|_| Err(super::no_answer())) {
            Ok(open) => Ok(open),
            // Somebody locks the table; the lock of the leader has nothing to do with it.
            Err(Fault::Statement(sqlx::Error::Database(error)))
                if !error.code().is_some_and(|code| code.starts_with("RC") || code.starts_with("57P")) =>
            {
                tracing::warn!(epoch = self.term.epoch, %error, "service could not be proven");
                Ok(window)
            }
            Err(fault) => {
                tracing::warn!(
                    epoch = self.term.epoch,
                    error = chain(&fault),
                    "the leader's connection is lost"
                );
                Err(if fault.is_fenced() { End::Fenced } else { End::Lost })
            }
        }
    }

    /// Whether to give the place away because this duty hangs; noted, so that it happens once in a while only.
    async fn abdicates(&self, seat: &mut Seat, duty: &'static str) -> bool {
        let noted = store::note_abdication(&mut seat.db, self.term.epoch, duty, ABDICATION_INTERVAL).await;
        let gives_away = noted.as_ref().is_ok_and(|noted| *noted);
        tracing::error!(duty, gives_away, "a duty hangs");
        gives_away
    }
}

/// Recovers, again after a failure; none after too many in a row.
async fn recover_with_patience(candidate: Candidate, term: Term, trust_since: Instant) -> Option<Recovered> {
    for failures in 1..=RECOVERIES_MAX {
        match recovery::recover(&candidate, &term, trust_since).await {
            Ok(recovered) => return Some(recovered),
            Err(fault) => {
                counter!("rollcall_recovery_failures_total").increment(1);
                tracing::error!(epoch = term.epoch, failures, error = chain(&fault), "recovery failed");
            }
        }
        // After the last one nobody is kept waiting for the lock.
        if failures < RECOVERIES_MAX {
            sleep(RECOVERY_DELAY * 2_u32.pow(failures - 1)).await;
        }
    }
    None
}

/// Starts the canary; gives when the last beat that was committed set out.
fn start_canary(candidate: &Candidate, leader: &Arc<Leader>) -> watch::Receiver<Option<Instant>> {
    let (committed, heard) = watch::channel(None);
    let period = canary::proof_interval(&candidate.cadence);
    match candidate.transport.endpoint_of_own(candidate.listening, period) {
        Ok(own) => {
            let beat = canary::beat(own, candidate.canary.clone(), period, committed);
            let stopped = leader.stopped();
            leader.spawn(async move {
                stopped.run_until_cancelled(beat).await;
            });
        }
        // Without a canary no time counts, so nobody is called silent.
        Err(error) => tracing::error!(error = chain(&error), "the canary cannot address this server"),
    }
    heard
}
