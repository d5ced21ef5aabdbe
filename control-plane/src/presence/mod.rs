//! Presence: whether a node is heard. Beats get in by lanes, the sweep finds the silent.
//!
//! Tables owned: `runtime_node_presence`, `service_windows`, `presence_brake`.
//!
//! Invariants:
//! - only the database's clock decides; what time a node thinks it is never matters;
//! - a beat is answered after its commit, and a refused one changes nothing;
//! - silence is counted in time in which this service could have heard the node, so our outage is not theirs;
//! - the sweep only demotes, writes nothing but presences, and repeated at the same instant changes nothing;
//! - when most of the fleet is silent at once, nobody is called offline for a while: it is more likely us.
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
