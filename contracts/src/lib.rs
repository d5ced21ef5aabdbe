//! What Rollcall's server and its daemons agree on, and nothing else: the wire types, ids, versions, the log's
//! events and their chain, the registry of refusals, and limits.
//!
//! Deliberately absent: I/O, clocks, SQL. Both sides depend on this crate, so whatever is here is a promise.

pub mod capabilities;
pub mod ids;
pub mod limits;
pub mod log;
pub mod refusal;
pub mod text;
pub mod version;
pub mod wire;

pub use ids::{EventId, HistoryId, InstanceId, NodeId, ParticipantId, RecoveryId, SessionId};
pub use log::{EventHash, LogPoint, Seq};
pub use refusal::{Code, Refusal};
pub use version::EventEnvelopeVersion;
