//! The client and the reference daemon against a small server on a real loopback socket.

#![expect(clippy::unwrap_used, reason = "a step that fails is a test that fails")]

mod attachment;
mod daemon;
mod fence;
mod node;
mod outage;
mod server;
mod tls;
mod token;
mod token_service;
mod update;
