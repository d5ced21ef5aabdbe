//! SIGINT and SIGTERM end a server in order; the second one ends it at once, with exit code 130.

use std::io;

use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

/// What shells say of a program that was interrupted.
const INTERRUPTED: i32 = 130;

/// Cancels the token at the first signal, and ends the process at the second.
pub(super) fn stop_on_signal(stop: CancellationToken) -> io::Result<()> {
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    tokio::spawn(async move {
        let mut both = async || {
            tokio::select! {
                _ = interrupt.recv() => {}
                _ = terminate.recv() => {}
            }
        };
        both().await;
        tracing::info!("stopping: what is in flight is finished first; a second signal ends at once");
        stop.cancel();
        both().await;
        tracing::warn!("ended by a second signal");
        end_at_once();
    });
    Ok(())
}

#[expect(clippy::disallowed_methods, reason = "who asks twice does not want to wait for destructors")]
fn end_at_once() -> ! {
    std::process::exit(INTERRUPTED)
}
