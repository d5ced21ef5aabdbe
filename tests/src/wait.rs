//! Waiting for a state.

use std::{fmt::Debug, time::Duration};

use tokio::time::{Instant, sleep};

/// How long a state may take to come about: far more than it needs, so that a busy machine fails no test.
pub const DEADLINE: Duration = Duration::from_secs(30);
const INTERVAL: Duration = Duration::from_millis(20);

/// Looks until `holds` is true of what is seen, and gives that; panics with what was seen last.
pub async fn eventually<T: Debug>(
    state: &str,
    mut look: impl AsyncFnMut() -> T,
    holds: impl Fn(&T) -> bool,
) -> T {
    let deadline = Instant::now() + DEADLINE;
    loop {
        let seen = look().await;
        if holds(&seen) {
            return seen;
        }
        assert!(Instant::now() < deadline, "not in {DEADLINE:?}: {state}; seen last: {seen:?}");
        sleep(INTERVAL).await;
    }
}
