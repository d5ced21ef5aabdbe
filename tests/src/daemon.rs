//! A daemon under test: `rollcall-daemon` as a process.

use std::process::Command;

use crate::{Plane, Process, binaries::binary};

/// A running daemon.
#[derive(Debug)]
pub struct Daemon {
    /// The process.
    pub process: Process,
}

impl Daemon {
    /// Starts one for this session and node, with one capability.
    pub fn start(plane: &Plane, session_id: &str, node_id: &str) -> Self {
        Self::launch(&plane.url(), plane.token(), session_id, node_id, &[], plane.trusting())
    }

    /// Starts one with these addresses and further flags.
    pub fn start_at(addresses: &str, token: &str, session_id: &str, node_id: &str, flags: &[&str]) -> Self {
        Self::launch(addresses, token, session_id, node_id, flags, Vec::new())
    }

    fn launch(
        addresses: &str,
        token: &str,
        session_id: &str,
        node_id: &str,
        flags: &[&str],
        trusting: Vec<(&str, String)>,
    ) -> Self {
        let process = Process::start(
            &format!("rollcall-daemon {node_id}"),
            Command::new(binary("rollcall-daemon"))
                .args(["--session", session_id, "--node-id", node_id, "--capability", "codex"])
                .args(flags)
                .env("ROLLCALL_ADDR", addresses)
                .env("ROLLCALL_TOKEN", token)
                .envs(trusting),
        );
        Self { process }
    }
}
