//! The engine: it alone decides what a replica needs and gets. Pure: no I/O, no clock, no chance; time and names come in
//! as arguments, and what is to be done goes out as effects.
//!
//! An introduction is classified (`classify.rs`) by what is retained (`history.rs`) and what was compared (`evidence.rs`).
//! What follows is taken step by step (`executor.rs`, `rebuild.rs`, `live.rs`) through phases (`phase.rs`) that own what they
//! hold (`pins.rs`) and are bounded (`budget.rs`, `slots.rs`, `shipment.rs`). There is one way out (`ending.rs`). What
//! outlives a stream is in `sender.rs`, what holds all of it together in `registry.rs`; `retention.rs` says what may be
//! pruned, `status.rs` and `journal.rs` show what is and was.
//!
//! An illegal step does not compile, or is a typed refusal: no input makes it panic.
//!
//! Deliberately absent: a list of pins beside the recoveries that own them, a difference between committed and head, and
//! anything that knows a database or a wire.

mod budget;
mod classify;
mod ending;
mod evidence;
mod exchange;
mod executor;
#[cfg(test)]
mod fixture;
mod history;
mod journal;
mod live;
mod phase;
mod pins;
mod rebuild;
mod registry;
mod retention;
#[cfg(test)]
mod rules;
mod sender;
mod settings;
mod shipment;
mod slots;
mod status;
mod tick;

pub use budget::{Account, Budget, Spent};
pub use classify::{ImpossibleStanding, Need, RebuildReason, Standing, classify};
pub use evidence::{Compared, Evidence, PLACES_MAX, ROUNDS_MAX};
pub use exchange::{
    Act, Closing, Effect, Endpoint, Epoch, Heard, Outline, Record, ReplicaId, Stale, Stream, Violation,
};
pub use history::{BaseSource, Checkpoint, ImpossibleHistory, RetainedHistory, Unrecoverable, WhyFull};
pub use journal::{ENTRIES_MAX, Entry, EventName};
pub use pins::{Pin, PinKind, PinRefused};
pub use registry::{Assigned, Changed, Engine, Intent, Row};
pub use retention::{KeptBy, Marks, Prune, Wanted, prunable};
pub use sender::{Acknowledged, Hold};
pub use settings::Settings;
pub use status::{Counts, LogStatus, PinStatus, RecoveryStatus, ReplicaState, ReplicaStatus, Truncation};
pub use tick::Tick;
