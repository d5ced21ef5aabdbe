//! Waiting for a state.

use std::time::{Duration, Instant};

const PATIENCE: Duration = Duration::from_secs(20);

/// Returns when `holds` does, and panics when that takes too long.
pub(crate) async fn eventually(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    let begun = Instant::now();
    while !holds().await {
        assert!(begun.elapsed() < PATIENCE, "not within {PATIENCE:?}: {what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}
