//! Replication: each attached node may hold a replica of its session's log, and the server keeps it equal by proof.
//!
//! Tables owned: `replicas`.
//!
//! The [`engine`] alone decides, and is pure. Round it:
//!
//! - [`Hub`] holds the engine of a term and hands its effects out, in their order;
//! - [`stream`] is one stream of one replica: it tells the engine what it hears, and does what it is told;
//! - [`checkpoints`] and [`prune`] are duties, which make bases for rebuilds and delete what is no longer kept.
//!
//! What is in memory is of one term: its end ends every exchange, and the next leader begins with the rows of `replicas`.
//!
//! Deliberately absent: replicas of standbys, which read the database, and any decision outside of the engine.

pub(crate) mod base;
pub(crate) mod checkpoints;
pub mod engine;
mod hub;
pub(crate) mod prune;
mod record;
pub mod status;
mod store;
pub mod stream;
mod wire;

pub use hub::Hub;
pub(crate) use record::write_records;
