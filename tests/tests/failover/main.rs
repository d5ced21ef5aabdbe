//! Failover: one leader at most, whatever happens to servers, connections and Postgres, and no write of a former one.
//!
//! Real servers on a real Postgres. Each drill prints what it measured, and asserts in every build what must never
//! happen. Times are held against their bounds in an optimized build:
//!
//! ```sh
//! cargo test --profile drill -p tests --test failover -- --test-threads=1 --nocapture
//! ```
//!
//! A drill runs a few rounds; with `DRILL=full` the numbers that `docs/operations/failover.md` states.

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

/// Whether the stated numbers are asked for.
fn is_full() -> bool {
    std::env::var_os("DRILL").is_some_and(|drill| drill == "full")
}

/// Rounds of a drill: few as a part of all tests, the stated number when asked for.
fn rounds(few: usize, stated: usize) -> usize {
    if is_full() { stated } else { few }
}

/// Holds what was measured against its bound, in an optimized build. In a debug build, as a part of all tests, the drills
/// show what happens and not how fast. The median of a few rounds is at the mercy of whatever else the machine does just
/// then, and may be twice the bound.
#[track_caller]
fn at_most(measured: std::time::Duration, bound: std::time::Duration) {
    let bound = if is_full() { bound } else { bound * 2 };
    assert!(cfg!(debug_assertions) || measured <= bound, "{measured:?} is more than {bound:?}");
}

/// The middle one of what was measured.
fn median(mut measured: Vec<std::time::Duration>) -> std::time::Duration {
    measured.sort_unstable();
    measured[measured.len() / 2]
}
