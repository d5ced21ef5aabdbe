//! Replication: each attached node may hold a replica of its session's log, and the server keeps it equal by proof.

pub mod engine;
