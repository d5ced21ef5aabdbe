//! The engine: it alone decides what a replica needs and gets. Pure: no I/O, no clock.

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
    Act, Closing, Effect, Endpoint, Epoch, Heard, Outline, Record, RecoveryId, ReplicaId, Stale, Stream,
    Violation,
};
pub use history::{BaseSource, Checkpoint, ImpossibleHistory, RetainedHistory, Unrecoverable, WhyFull};
pub use journal::{ENTRIES_MAX, Entry, EventName};
pub use pins::{Pin, PinKind, PinRefused};
pub use registry::{Assigned, Changed, Engine, Intent, Row};
pub use retention::{KeptBy, Marks, Prune, Wanted, prunable};
pub use sender::{Acknowledged, Hold};
pub use settings::Settings;
pub use status::{Counts, LogStatus, PinStatus, RecoveryStatus, ReplicaState, ReplicaStatus};
pub use tick::Tick;
