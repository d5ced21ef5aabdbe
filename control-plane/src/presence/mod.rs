//! Presence: whether a node is heard. Beats get in by lanes, the sweep finds the silent.
//!
//! Tables owned: `runtime_node_presence`, `service_windows`, `past_service`, `presence_brake`.
//!
//! Invariants:
//! - **acknowledged-is-committed**: a beat is answered after its commit, and a refused one changes nothing;
//! - **refused-alone**: a refused beat does not disturb the others of its batch;
//! - **queues-are-bounded**: beats that find their lane full are refused with a delay;
//! - **our-outage-is-not-theirs**: silence is counted in time in which this service could have heard the node;
//! - **the-dead-are-found**: no rhythm of our outages keeps a dead node alive for ever;
//! - **sweep-only-demotes**: the sweep never promotes, writes nothing but presences, and repeated at the same instant
//!   changes nothing;
//! - **attach-is-contact**: a node that attaches and never beats goes offline like any other;
//! - **mass-offline-brake**: when most of the fleet is silent at once, nobody is called offline for a while.
//!
//! Only the database's clock decides; no message carries the time of a node, so none can matter.
//!
//! Deliberately absent: durable events for presence, and an index on the time of the last beat.

pub mod beat;
mod brake;
pub mod canary;
pub mod health;
pub mod lanes;
pub mod service_time;
pub mod store;
pub mod sweep;
