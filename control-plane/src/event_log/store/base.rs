//! The state: the latest event of each key.

use contracts::SessionId;
use sqlx::PgConnection;

use crate::failure::Fault;

/// Which of these keys a session's state holds.
pub(in crate::event_log) async fn keys_among(
    db: &mut PgConnection,
    session_id: SessionId,
    keys: &[String],
) -> Result<Vec<String>, Fault> {
    Ok(sqlx::query_scalar!(
        "select key from session_state where session_id = $1 and key = any($2)",
        session_id.0,
        keys
    )
    .fetch_all(db)
    .await?)
}
