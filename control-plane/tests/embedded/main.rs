//! The private Postgres and what starts on it, with real processes: the embedded module, the schema, and the verbs
//! `rollcall dev`, `rollcall serve`, `rollcall keys` and `rollcall migrate` as an operator meets them.
//!
//! Every test has a folder of its own, and no test leaves a folder or a process behind, however it ends. Tests about two
//! accounts need root; without it they pass at once and say so.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on should say where")]

mod dev;
mod harness;
mod keys;
mod life;
mod migrate;
mod refusals;
mod rotation;
mod schema;
mod serve;
