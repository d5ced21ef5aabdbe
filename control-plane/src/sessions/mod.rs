//! Sessions: what nodes attach to, with a state, a version floor, and members.
//!
//! Tables owned: `participants`, `sessions`, `session_memberships`.
//!
//! Invariants:
//! - a floor only rises, and no write that it gates reads anything but the stored one, under a lock;
//! - a closed session has no active slot: closing ends them in the same transaction;
//! - whoever makes a session is its owner.
//!
//! Deliberately absent: verbs on memberships.

mod close;
mod create;
pub mod floor;
mod raise_floor;
pub mod rpc;
pub mod session;
pub mod store;
