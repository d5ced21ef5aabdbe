//! TLS from both sides, over real connections.

#![expect(clippy::unwrap_used, reason = "a test has no better answer to what cannot be")]

mod authority;
mod bad_files;
mod handshake;
mod hostile;
mod own;
mod replacement;
mod server;
mod wait;
