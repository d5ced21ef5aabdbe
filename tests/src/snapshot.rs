//! What a database holds, for showing that something left no trace in it.

use std::{collections::BTreeMap, fmt::Debug};

use contracts::refusal::ReceivedRefusal;
use sqlx::AssertSqlSafe;
use tonic::Status;

use crate::{Database, Plane, refusal};

/// Tables that a server writes by itself, whoever asks for what.
const WRITTEN_BY_ITSELF: [&str; 5] =
    ["leadership", "past_service", "presence_brake", "refinery_schema_history", "service_windows"];

/// Every row of every table that requests write, each with the transaction that wrote it: a row that was rewritten as
/// it was is seen too.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Snapshot(BTreeMap<String, Vec<String>>);

impl Snapshot {
    /// The rows of one table.
    pub fn rows(&self, table: &str) -> &[String] {
        self.0.get(table).unwrap_or_else(|| panic!("there is a table {table}"))
    }
}

impl Database {
    /// What it holds now.
    pub async fn snapshot(&self) -> Snapshot {
        let tables: Vec<String> = sqlx::query_scalar(
            "select table_name::text from information_schema.tables
             where table_schema = 'public' and table_type = 'BASE TABLE' and table_name <> all($1)",
        )
        .bind(WRITTEN_BY_ITSELF.as_slice())
        .fetch_all(&self.pool)
        .await
        .expect("tables can be listed");
        let mut rows = BTreeMap::new();
        for table in tables {
            // The presences of key 0 and below are the server's own canary.
            let select = format!(
                "select xmin::text || ' ' || to_jsonb(t)::text as line from {table} t
                 where coalesce((to_jsonb(t) ->> 'node_key')::bigint, 1) > 0 order by line"
            );
            let lines = sqlx::query_scalar(AssertSqlSafe(select)).fetch_all(&self.pool).await;
            rows.insert(table, lines.expect("rows can be read"));
        }
        Snapshot(rows)
    }
}

impl Plane {
    /// Awaits a call that is to be refused, and sees to it that it left no trace in the database.
    pub async fn refuses<T: Debug>(&self, call: impl Future<Output = Result<T, Status>>) -> ReceivedRefusal {
        let before = self.database.snapshot().await;
        let refused = refusal(call.await);
        assert_eq!(self.database.snapshot().await, before, "refused with {}", refused.code);
        refused
    }

    /// Awaits a call that is to succeed and to change nothing, and gives its answer.
    pub async fn repeats<T: Debug>(&self, call: impl Future<Output = Result<T, Status>>) -> T {
        let before = self.database.snapshot().await;
        let answer = call.await.expect("it is answered");
        assert_eq!(self.database.snapshot().await, before, "answered with {answer:?}");
        answer
    }
}
