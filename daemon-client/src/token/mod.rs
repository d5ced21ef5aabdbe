//! The token of a daemon: where it comes from, how it is kept valid, and how it travels.
//!
//! - [`bearer`] is the token as calls carry it, [`source`] where the first one comes from;
//! - [`term`] reads when a token ends, and [`schedule`] tells when to renew it: both pure;
//! - [`file`](mod@file) reads and replaces the token file;
//! - [`held`] is the token in use, which calls ask for each time, and [`keeper`] renews it beside them.

mod bearer;
mod file;
mod held;
mod keeper;
mod schedule;
mod source;
mod term;

pub use bearer::{Token, TokenError};
pub(crate) use held::Tokens;
pub(crate) use keeper::keep;
pub use source::{JoinToken, TokenSource};
