//! Whether something between this server and Postgres hands one backend to several connections, as a transaction pooler
//! does. A leader's lock belongs to a session: with such a pooler, it is held by nobody, or by whoever comes next.
//!
//! One connection that is alone gets the same backend again and again, also from a pooler. So there are two: while the
//! second is in a transaction, a pooler has given it the backend that the first just used, or must give the first
//! another one.

use std::fmt;

use sqlx::{AssertSqlSafe, Connection, Executor, PgConnection, Row, postgres::PgConnectOptions};
use uuid::Uuid;

/// Rounds of the two connections. One is enough for the poolers that are known.
const ROUNDS: u32 = 3;

/// By what a pooler gave itself away.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sign {
    /// Two open connections were served by one backend.
    BackendShared,
    /// One connection was served by two backends.
    BackendChanged,
    /// What a session was told was forgotten.
    StateLost,
}

impl fmt::Display for Sign {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::BackendShared => "two open connections were served by one process of Postgres",
            Self::BackendChanged => "one connection was served by two processes of Postgres",
            Self::StateLost => "a session forgot a setting between two statements",
        })
    }
}

/// What a connection finds at its other end.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Met {
    backend: i32,
    mark: Option<String>,
}

/// Looks for a pooler that hands out backends by transaction or by statement; none when sessions are sessions. Changes
/// nothing that outlives the two connections that it makes.
///
/// # Errors
///
/// The database cannot be reached, or does not answer.
pub async fn detect(options: &PgConnectOptions) -> Result<Option<Sign>, sqlx::Error> {
    let mut first = PgConnection::connect_with(options).await?;
    let mut second = PgConnection::connect_with(options).await?;
    let mark = Uuid::new_v4().simple().to_string();
    // By the simple protocol, all of it: prepared statements are one more thing that poolers lose.
    let tell = format!("select set_config('rollcall.mark', '{mark}', false)");
    first.execute(sqlx::raw_sql(AssertSqlSafe(tell))).await?;
    let mut sign = None;
    for _ in 0..ROUNDS {
        let before = meet(&mut first).await?;
        second.execute("begin").await?;
        let beside = meet(&mut second).await?;
        sign = judge(&mark, &before, &beside, None);
        // A pooler of one backend would let the first wait for the second, so what is known is not looked at again.
        if sign.is_none() {
            let after = meet(&mut first).await?;
            sign = judge(&mark, &before, &beside, Some(&after));
        }
        second.execute("rollback").await?;
        if sign.is_some() {
            break;
        }
    }
    first.close().await?;
    second.close().await?;
    Ok(sign)
}

async fn meet(connection: &mut PgConnection) -> Result<Met, sqlx::Error> {
    let look =
        sqlx::raw_sql("select pg_backend_pid()::text, nullif(current_setting('rollcall.mark', true), '')");
    let row = look.fetch_one(connection).await?;
    let backend: String = row.try_get_unchecked(0)?;
    let backend =
        backend.parse().map_err(|error: std::num::ParseIntError| sqlx::Error::Decode(error.into()))?;
    Ok(Met { backend, mark: row.try_get_unchecked(1)? })
}

/// What the first connection met before, and again while the second was in a transaction.
fn judge(mark: &str, before: &Met, beside: &Met, after: Option<&Met>) -> Option<Sign> {
    if before.backend == beside.backend {
        return Some(Sign::BackendShared);
    }
    if after.is_some_and(|after| after.backend != before.backend) {
        return Some(Sign::BackendChanged);
    }
    let is_lost = |met: &Met| met.mark.as_deref() != Some(mark);
    (is_lost(before) || after.is_some_and(is_lost)).then_some(Sign::StateLost)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sessions_keep_their_backend_and_their_state() {
        let met = |backend, mark: &str| Met { backend, mark: (!mark.is_empty()).then(|| mark.to_owned()) };
        let (own, other) = (met(1, "m"), met(2, ""));
        assert_eq!(judge("m", &own, &other, Some(&own)), None);
        assert_eq!(judge("m", &own, &met(1, "m"), None), Some(Sign::BackendShared));
        assert_eq!(judge("m", &own, &other, Some(&met(3, ""))), Some(Sign::BackendChanged));
        assert_eq!(judge("m", &met(1, ""), &other, None), Some(Sign::StateLost));
        assert_eq!(judge("m", &own, &other, Some(&met(1, "x"))), Some(Sign::StateLost));
    }
}
