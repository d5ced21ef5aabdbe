//! Replication on the real system: whatever becomes of servers, nodes, connections and Postgres, a replica ends equal to
//! its session's log, or says why not.
//!
//! Real servers, real daemons with real replicas, on a real Postgres. Each drill prints what it measured. As a part of all
//! tests a drill is small; `DRILL=full` runs the numbers that `docs/replication.md` states.

mod appending;
mod by_hand;
mod gaps;
mod kept_node;
mod kills;
mod lost_commits;
mod mixed;
mod paths;
mod refusals;
mod slow_reader;
mod status;
mod takeovers;

/// A number of a drill: small as a part of all tests, the stated one when asked for.
fn size(small: usize, stated: usize) -> usize {
    if std::env::var_os("DRILL").is_some_and(|drill| drill == "full") { stated } else { small }
}
