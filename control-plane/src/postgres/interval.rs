//! Durations as the database takes them.

use std::time::Duration;

use sqlx::postgres::types::PgInterval;

/// A duration as an interval of that many microseconds: a day of it has 24 hours, whatever the calendar says.
pub(crate) fn interval(duration: Duration) -> PgInterval {
    PgInterval { months: 0, days: 0, microseconds: i64::try_from(duration.as_micros()).unwrap_or(i64::MAX) }
}
