//! Sessions: what nodes attach to, with a state, a version floor, and members.
//!
//! Tables owned: `participants`, `sessions`, `session_memberships`.
//!
//! Invariants:
//! - **floor-only-rises**: a floor is never lowered, and what it gates reads the stored one, under a lock;
//! - **malformed-floor-fails-closed**: a stored floor that is no version admits nobody, loudly;
//! - **node-limit-is-exact**: a session never holds more active nodes than its bound;
//! - **closed-means-empty**: a closed session has no active slot; closing ends them in the same transaction;
//! - **creation-is-idempotent**: an id that a client brings makes one session, however often it is sent;
//!
//! - **an-owner-stays**: no change of members leaves a session without an active owner;
//! - **members-move-no-node**: no change of members touches a slot.

mod close;
mod create;
pub mod floor;
pub mod member_rpc;
mod members;
mod raise_floor;
pub mod rpc;
pub mod session;
pub mod store;
