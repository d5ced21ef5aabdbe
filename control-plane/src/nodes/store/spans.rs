//! Spans: who held a slot, from when to when.

use contracts::InstanceId;
use sqlx::PgExecutor;
use time::OffsetDateTime;

use crate::{failure::Fault, postgres::stored};

stored::stored_enum! {
    /// Why a span ended.
    pub(crate) enum SpanEnd in "attachment_spans"."end_cause" {
        /// The daemon gave its slot back.
        Detached = "detached",
        /// A newer attach took it.
        Superseded = "superseded",
        /// The session was closed.
        SessionClosed = "session_closed",
        /// The slot or the node was revoked.
        Revoked = "revoked",
        /// The node was given to another participant.
        Transferred = "transferred",
    }
}

/// A stretch of time for which one instance held a slot.
#[derive(Clone, Debug)]
pub(in crate::nodes) struct Span {
    pub(in crate::nodes) generation: i64,
    pub(in crate::nodes) instance_id: InstanceId,
    pub(in crate::nodes) started_at: OffsetDateTime,
    pub(in crate::nodes) end: Option<(OffsetDateTime, SpanEnd, Option<String>)>,
}

/// The latest spans of a node, newest first.
pub(in crate::nodes) async fn latest_spans(
    db: impl PgExecutor<'_>,
    node_key: i64,
    limit: i64,
) -> Result<Vec<Span>, Fault> {
    let rows = sqlx::query!(
        "select generation, instance_id, started_at, ended_at, end_cause, end_reason
         from attachment_spans where node_key = $1 order by generation desc limit $2",
        node_key,
        limit
    )
    .fetch_all(db)
    .await?;
    rows.into_iter()
        .map(|row| {
            let end = match (row.ended_at, row.end_cause) {
                (Some(at), Some(cause)) => Some((at, SpanEnd::from_stored(&cause)?, row.end_reason)),
                _ => None,
            };
            Ok(Span {
                generation: row.generation,
                instance_id: InstanceId(row.instance_id),
                started_at: row.started_at,
                end,
            })
        })
        .collect()
}
