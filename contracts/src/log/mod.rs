//! The log of a session: places in it, the events that it holds, and the chain that makes two logs comparable.
//!
//! A log is gapless and append-only: its events have the numbers 1, 2, 3 and so on. Each event carries the hash of the
//! one before it and its own, so that two logs that agree on the hash at one place agree on everything before it. Equal
//! numbers prove nothing; equal hashes do.

mod chain;
mod event;
mod node_change;
mod point;

pub use chain::{BaseDigest, BrokenChain, EventHash, digest_of_base, verify_chain};
pub use event::{Actor, Append, ContentType, Event, EventDraft, EventKey, EventType, OwnEvent};
pub use node_change::NodeChange;
pub use point::{LogPoint, Seq};

pub use crate::ids::{EventId, HistoryId};
