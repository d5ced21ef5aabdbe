//! `rollcall-daemon`: the reference daemon. It attaches a node to a session and keeps it attached until it is told to
//! stop or the control plane has the last word.

mod capability;
mod exit;
mod flags;
mod logging;
mod replica_flags;
mod replica_report;
mod server_flags;
mod signals;
mod state_folder;

use std::process::ExitCode;

use anyhow::Context;
use clap::Parser;
use daemon_client::node_id;
use tracing::{error, info, warn};

use crate::{exit::Exit, flags::Flags, signals::Signals};

fn main() -> ExitCode {
    let flags = Flags::parse();
    if let Some(command) = flags.command {
        return replica_report::run(command).into();
    }
    logging::start();
    match keep_attached(flags) {
        Ok(exit) => exit.into(),
        Err(error) => match error.downcast::<clap::Error>() {
            Ok(usage) => {
                // Nothing is left to do when stderr is gone.
                let _ = usage.print();
                Exit::Usage.into()
            }
            Err(fault) => {
                error!("{fault:#}");
                Exit::Fault.into()
            }
        },
    }
}

#[tokio::main(flavor = "current_thread")]
async fn keep_attached(flags: Flags) -> anyhow::Result<Exit> {
    // Before anything that takes time, so that no signal is missed.
    let mut signals = Signals::listen().context("cannot listen for signals")?;
    let state = state_folder::find(flags.state_dir.as_deref());
    let node_id = match flags.node_id.clone() {
        Some(node_id) => node_id,
        None => {
            let folder = state
                .as_deref()
                .context("there is no place to keep a node id in: pass --node-id or --state-dir")?;
            node_id::persisted(folder).context("pass --node-id, or a --state-dir that can be written")?
        }
    };
    let config = flags.config(node_id, state.as_deref())?;
    info!(
        node_id = %config.node_id,
        session_id = %config.session_id,
        addresses = %config.addresses,
        client_version = %config.client_version,
        "starting"
    );

    let handle = daemon_client::start(config);
    let signal = tokio::select! {
        // The client has logged why.
        outcome = handle.ended() => return Ok(Exit::of(&outcome)),
        signal = signals.next() => signal,
    };
    info!(signal, "stopping: detaching first, a second signal stops at once");
    tokio::select! {
        outcome = handle.detach(format!("stopped by {signal}")) => Ok(Exit::of(&outcome)),
        signal = signals.next() => {
            warn!(signal, "stopped at once, without waiting for the detach");
            Ok(Exit::Interrupted)
        }
    }
}
