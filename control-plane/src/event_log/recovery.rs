//! Settling the heads: whether logs end where they say, before anything is appended to them.
//!
//! Heads, events and positions are written by one statement, so they disagree only where storage or somebody's hand
//! changed them. Then it is said loudly, and nothing is appended to such a log, for its chain would be broken for ever;
//! all others go on.

use std::collections::BTreeSet;

use contracts::SessionId;
use metrics::gauge;
use sqlx::PgConnection;

use super::store;
use crate::failure::Fault;

/// How many of the last events are looked at, over all sessions: what was written just before the end of a term.
const EVENTS_LOOKED_AT: i64 = 1_000;

/// Looks at the logs that were written last; gives those that disagree with themselves.
pub(crate) async fn settle_heads(db: &mut PgConnection) -> Result<BTreeSet<SessionId>, Fault> {
    if store::raise_position(db).await? {
        tracing::error!(
            "the last position of the logs was behind their events, and was raised: a part of the database is older than \
             the rest"
        );
    }
    let mut broken = BTreeSet::new();
    for log in store::last_events(db, EVENTS_LOOKED_AT).await?.into_iter().filter(|log| !log.agrees) {
        tracing::error!(
            session_id = %log.session_id,
            head = log.head,
            last_event = log.seq,
            "the log of a session does not end where it says: nothing is appended to it, and its nodes cannot attach, \
             until it is mended. `rollcall log verify` shows what is left of it"
        );
        broken.insert(log.session_id);
    }
    gauge!("rollcall_log_broken_sessions").set(broken.len() as f64);
    Ok(broken)
}
