//! What recovery looks at: whether heads, events and positions agree.

use contracts::SessionId;
use sqlx::PgConnection;

use crate::failure::Fault;

/// The head of a log beside its last event.
#[derive(Clone, Debug)]
pub(in crate::event_log) struct LastEvent {
    pub(in crate::event_log) session_id: SessionId,
    /// Number of the last event, and whether the head has that number and its hash.
    pub(in crate::event_log) seq: i64,
    pub(in crate::event_log) head: Option<i64>,
    pub(in crate::event_log) agrees: bool,
}

/// The heads of the logs that were written last, so many positions back.
pub(in crate::event_log) async fn last_events(
    db: &mut PgConnection,
    positions: i64,
) -> Result<Vec<LastEvent>, Fault> {
    let rows = sqlx::query!(
        r#"select written.session_id, last.seq, log.head as "head?",
                  coalesce(log.head = last.seq and log.head_hash = last.hash, false) as "agrees!"
           from (select distinct session_id
                 from (select session_id from session_events order by position desc limit $1) newest) written
           join lateral (select seq, hash from session_events event where event.session_id = written.session_id
                         order by event.seq desc limit 1) last on true
           left join session_logs log on log.session_id = written.session_id"#,
        positions
    )
    .fetch_all(db)
    .await?;
    Ok(rows
        .into_iter()
        .map(|row| LastEvent {
            session_id: SessionId(row.session_id),
            seq: row.seq,
            head: row.head,
            agrees: row.agrees,
        })
        .collect())
}

/// Raises the position to that of the last event, should it be below; tells whether it was.
pub(in crate::event_log) async fn raise_position(db: &mut PgConnection) -> Result<bool, Fault> {
    let raised = sqlx::query!(
        "update log_position set last = newest.position
         from (select max(position) as position from session_events) newest
         where newest.position > log_position.last"
    )
    .execute(db)
    .await?;
    Ok(raised.rows_affected() == 1)
}
