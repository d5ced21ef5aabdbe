//! The client and the reference daemon against a small server on a real loopback socket.

#![expect(clippy::unwrap_used, reason = "a step that fails is a test that fails")]

mod append;
mod attachment;
mod daemon;
mod fence;
#[path = "../../src/replica/fixture.rs"]
mod fixture;
mod log_service;
mod node;
mod outage;
mod replica;
mod replica_bench;
mod replica_daemon;
mod replica_faults;
mod replica_folder;
mod server;
mod tls;
mod token;
mod token_service;
mod update;
