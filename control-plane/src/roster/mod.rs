//! The leader's view of the fleet in memory: which node holds which slot, and whether it is heard.
//!
//! Every write passes through the leader, and what it committed is put here, so that a beat is checked without a
//! query and a watch hears of each change. The database stays the authority: it refuses a stale generation whatever
//! this view says, and a new leader loads the view anew.
//!
//! Invariants:
//! - **watch-is-complete**: a watch sees a snapshot and then every change, or is told to begin anew;
//! - **watch-is-bounded**: a reader that does not read costs a bounded amount of memory.
//!
//! What is here was committed: nothing is put here before its commit is answered.
//! Of two changes of a slot the one with the higher revision stands, in whatever order they arrive; of two changes of
//! its presence the one with the later beat.
//!
//! Deliberately absent: writes, clocks that decide about nodes, and locks held across an await.

mod change_log;
mod fleet;
pub mod watch;

pub use fleet::{CheckedBeat, Fleet, NotHere, StateCounts, SweptPresence};
