//! Failover: one leader at most, whatever happens to servers, connections and Postgres, and no write of a former one.
//!
//! Real servers on a real Postgres. Each drill prints what it measured. As a part of all tests a drill runs a few rounds;
//! `DRILL=full` runs the numbers that `docs/operations/failover.md` states.

mod cluster;
mod commits;
mod fence;
mod handover;
mod heap;
mod lock;
mod promoted;
mod random;
mod recovery;
mod roaming;
mod roles;
mod start;
mod stuck;
mod takeover;

/// Rounds of a drill: few as a part of all tests, the stated number when asked for.
fn rounds(few: usize, stated: usize) -> usize {
    if std::env::var_os("DRILL").is_some_and(|drill| drill == "full") { stated } else { few }
}

/// The middle one of what was measured.
fn median(mut measured: Vec<std::time::Duration>) -> std::time::Duration {
    measured.sort_unstable();
    measured[measured.len() / 2]
}
