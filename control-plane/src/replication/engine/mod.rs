//! The engine: it alone decides what a replica needs and gets. Pure: no I/O, no clock.

mod budget;
mod classify;
mod evidence;
#[cfg(test)]
mod fixture;
mod history;
mod tick;

pub use budget::{Account, Budget, Spent};
pub use classify::{ImpossibleStanding, Need, RebuildReason, Standing, classify};
pub use evidence::{Compared, Evidence, PLACES_MAX, ROUNDS_MAX};
pub use history::{BaseSource, Checkpoint, ImpossibleHistory, RetainedHistory, Unrecoverable, WhyFull};
pub use tick::Tick;
