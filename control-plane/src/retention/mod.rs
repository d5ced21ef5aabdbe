//! Retention: dead things are forgotten on purpose, by a duty of the leader.
//!
//! A pass goes through the kinds of things one by one, and deletes what is older than is kept, in batches of
//! [`BATCH_ROWS`] rows, until nothing is left of a kind or the pass has had its time. Each batch is a transaction of its
//! own, so a pass that is cut off has done what it did, and the next one goes on. What deletes rows of a table stands
//! with the table's other queries.
//!
//! Invariants:
//! - **forgotten-in-service-time**: a node is forgotten only when it is offline and was not heard for as long as is kept,
//!   counted in time in which this service could have heard it;
//! - **revoked-is-remembered**: no node that was revoked, in a session or everywhere, is forgotten;
//! - **retention-is-bounded**: a pass deletes in bounded batches, ends at its bound of time, and takes no row that others
//!   are just at.
//!
//! Tokens are kept for [`CLOCK_LEEWAY`] longer than they are valid, for the clocks of servers and database may differ.
//!
//! Deliberately absent: sessions, memberships and participants, which nobody but their owners ends.

mod kind;

use std::time::{Duration, Instant};

use metrics::counter;

use self::kind::Kind;
use crate::{failure::Fault, leadership::Leader, settings::Retention};

/// Rows of a batch, each of which is one transaction.
pub const BATCH_ROWS: i64 = 1_000;
/// How long a pass may take before it leaves the rest to the next one; the batch that is under way is finished.
const PASS_TIME_MAX: Duration = Duration::from_secs(10);
/// How long what is over by its own date is kept all the same.
pub const CLOCK_LEEWAY: Duration = Duration::from_secs(60 * 60);

/// One pass, as the leader's duty.
///
/// # Errors
///
/// The database failed; what earlier batches deleted stays deleted, and the next pass goes on.
pub async fn pass(leader: &Leader, retention: &Retention) -> Result<(), Fault> {
    let (started, stopped) = (Instant::now(), leader.stopped());
    for kind in Kind::ALL {
        let mut forgotten = 0;
        loop {
            let deleted = kind.forget(leader, retention, BATCH_ROWS).await?;
            counter!("rollcall_forgotten_total", "kind" => kind.as_str()).increment(deleted);
            forgotten += deleted;
            let is_over = started.elapsed() > PASS_TIME_MAX || stopped.is_cancelled();
            if deleted < BATCH_ROWS.unsigned_abs() || is_over {
                break;
            }
        }
        if forgotten > 0 {
            tracing::info!(kind = kind.as_str(), forgotten, "retention forgot what is no longer kept");
        }
    }
    Ok(())
}
