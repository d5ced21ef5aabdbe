//! Every change of a presence, as the database itself saw it happen.

use std::time::Duration;

use sqlx::Executor;

use crate::{Database, eventually};

/// A change of one node's health.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Transition {
    /// The node.
    pub node_id: String,
    /// Health before.
    pub from: String,
    /// Health after.
    pub to: String,
    /// Who set it.
    pub cause: String,
    /// Time since the beat before, by the database's clock.
    pub silent_for: Duration,
}

impl Database {
    /// Records from now on each change of a node's health.
    pub async fn record_transitions(&self) {
        self.pool
            .execute(
                "create table presence_log (
                     number bigint generated always as identity, node_key bigint, was text, is_now text, cause text,
                     silent_for interval, at timestamptz not null default clock_timestamp());
                 create function log_presence() returns trigger language plpgsql as $$ begin
                     insert into presence_log (node_key, was, is_now, cause, silent_for)
                     values (new.node_key, old.health_state, new.health_state, new.health_cause,
                             clock_timestamp() - old.last_heartbeat_at);
                     return null;
                 end $$;
                 create trigger log_presence after update on runtime_node_presence for each row
                     when (old.health_state <> new.health_state and new.node_key > 0)
                     execute function log_presence()",
            )
            .await
            .expect("a trigger can be made");
    }

    /// The changes of the nodes whose names begin so, in their order.
    pub async fn transitions(&self, nodes: &str) -> Vec<Transition> {
        let rows: Vec<(String, String, String, String, i64)> = sqlx::query_as(
            "select node_id, was, is_now, cause, (extract(epoch from silent_for) * 1000000)::bigint
             from presence_log join runtime_nodes using (node_key)
             where starts_with(node_id, $1) order by number",
        )
        .bind(nodes)
        .fetch_all(&self.pool)
        .await
        .expect("the transitions can be read");
        rows.into_iter()
            .map(|(node_id, from, to, cause, silent_for)| {
                let silent_for = Duration::from_micros(silent_for.try_into().expect("time goes on"));
                Transition { node_id, from, to, cause, silent_for }
            })
            .collect()
    }

    /// How long after this instant the first node was called offline, both by the database's clock.
    pub async fn first_offline_after(&self, instant: &str) -> Duration {
        let micros: i64 = sqlx::query_scalar(
            "select (extract(epoch from min(at) - $1::timestamptz) * 1000000)::bigint
             from presence_log where is_now = 'offline'",
        )
        .bind(instant)
        .fetch_one(&self.pool)
        .await
        .expect("somebody was called offline");
        Duration::from_micros(micros.try_into().expect("time goes on"))
    }

    /// Waits until all nodes whose names begin so have this health, as stored.
    pub async fn all_are(&self, nodes: &str, health: &str) {
        let look = async || {
            sqlx::query_as::<_, (String, String)>(
                "select node_id, health_state from runtime_node_presence join runtime_nodes using (node_key)
                 where starts_with(node_id, $1) and health_state <> $2",
            )
            .bind(nodes)
            .bind(health)
            .fetch_all(&self.pool)
            .await
            .expect("presences can be read")
        };
        eventually(&format!("{nodes}* are {health}"), look, Vec::is_empty).await;
    }

    /// Makes it so that the service was there for the last hour: a test need not wait until silence can count.
    pub async fn age_service(&self) {
        self.pool
            .execute(
                "update service_windows set opened_at = opened_at - interval '1 hour',
                                            counts_from = counts_from - interval '1 hour'",
            )
            .await
            .expect("service can be aged");
    }

    /// Whether there was one stretch of service, and no interruption.
    pub async fn is_service_unbroken(&self) -> bool {
        let windows: i64 = sqlx::query_scalar("select count(*) from service_windows")
            .fetch_one(&self.pool)
            .await
            .expect("windows can be counted");
        windows == 1
    }
}
