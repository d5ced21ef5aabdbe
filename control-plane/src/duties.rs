//! Duties: the one way to run a leader-only background pass.
//!
//! A pass takes no input but the leader: it reads what there is to do from the database, so that the path after a
//! crash is the only path. It is bounded, idempotent, and runs alone. A pass that fails is logged and counted, and the
//! next one makes it good; leadership is not passed round for it. During maintenance no pass begins.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use metrics::{counter, gauge, histogram};
use tokio::time::MissedTickBehavior;

use crate::{
    failure::{Fault, chain},
    leadership::Leader,
};

/// A duty's name and period.
#[derive(Clone, Copy, Debug)]
pub struct Duty {
    /// Name in logs and metrics.
    pub name: &'static str,
    /// Time from the start of a pass to the start of the next, unless a pass takes longer.
    pub period: Duration,
}

/// Names of all duties, for those that an operator turns off.
pub const NAMES: &[&str] = &[SWEEP, RETENTION, CHECKPOINTS, PRUNE];
/// The sweep, which finds the silent.
pub const SWEEP: &str = "sweep";
/// Retention, which forgets what is dead.
pub const RETENTION: &str = "retention";
/// Checkpoints, where rebuilds of replicas begin.
pub const CHECKPOINTS: &str = "checkpoints";
/// Pruning of logs.
pub const PRUNE: &str = "prune";

/// Runs a duty for as long as the leader leads. A pass that has begun is finished.
pub fn run<P, F>(leader: &Arc<Leader>, duty: Duty, pass: P)
where
    P: Fn(Arc<Leader>) -> F + Send + 'static,
    F: Future<Output = Result<(), Fault>> + Send,
{
    let stopped = leader.stopped();
    leader.spawn({
        let leader = Arc::clone(leader);
        async move {
            let mut ticks = tokio::time::interval(duty.period);
            ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
            loop {
                tokio::select! {
                    biased;
                    () = stopped.cancelled() => return,
                    _ = ticks.tick() => {}
                }
                // A pass writes like a request does; the first one after maintenance makes up for those left out.
                let Ok(_writing) = leader.maintenance().writing().await else { continue };
                let started = Instant::now();
                let result = pass(Arc::clone(&leader)).await;
                let seconds = started.elapsed().as_secs_f64();
                histogram!("rollcall_duty_pass_seconds", "duty" => duty.name).record(seconds);
                gauge!("rollcall_duty_failing", "duty" => duty.name)
                    .set(f64::from(u8::from(result.is_err())));
                match result {
                    Ok(()) => tracing::debug!(duty = duty.name, seconds, "a pass is done"),
                    Err(fault) => {
                        leader.doubt(&fault);
                        counter!("rollcall_duty_failures_total", "duty" => duty.name).increment(1);
                        tracing::warn!(
                            duty = duty.name,
                            error = chain(&fault),
                            "a pass failed, the next one makes it good"
                        );
                    }
                }
            }
        }
    });
}
