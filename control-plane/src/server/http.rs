//! What the same port answers over plain HTTP: health for probes and load balancers, and metrics.

use std::time::Duration;

use axum::{
    Router,
    body::Body,
    extract::State,
    http::{HeaderMap, Response, StatusCode, header::CONTENT_TYPE},
    response::IntoResponse,
    routing::get,
};
use metrics::gauge;
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};
use sqlx::PgPool;
use tokio::time::timeout;
use tonic::Status;

use super::Error;
use crate::leadership::{Role, Roles};

/// How long the database may take to answer a probe.
const PROBE_TIMEOUT: Duration = Duration::from_secs(1);

const SECONDS_BUCKETS: &[f64] =
    &[0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0];
const SIZE_BUCKETS: &[f64] = &[1.0, 4.0, 16.0, 64.0, 256.0, 1_024.0, 4_096.0, 8_192.0];

/// Makes this process record metrics.
pub(super) fn install_metrics() -> Result<PrometheusHandle, Error> {
    let set_up = |error: metrics_exporter_prometheus::BuildError| Error::SetUp("metrics", error.into());
    PrometheusBuilder::new()
        .set_buckets_for_metric(Matcher::Suffix("_seconds".to_owned()), SECONDS_BUCKETS)
        .and_then(|builder| builder.set_buckets_for_metric(Matcher::Suffix("_size".to_owned()), SIZE_BUCKETS))
        .and_then(PrometheusBuilder::install_recorder)
        .map_err(set_up)
}

#[derive(Clone)]
struct Probed {
    roles: Roles,
    db: PgPool,
    metrics: PrometheusHandle,
}

/// The HTTP routes.
pub(super) fn router(roles: Roles, db: PgPool, metrics: PrometheusHandle) -> Router {
    Router::new()
        .route("/health/live", get(async || (StatusCode::OK, "live\n")))
        .route("/health/ready", get(ready))
        .route("/health/active", get(active))
        .route("/metrics", get(render_metrics))
        .with_state(Probed { roles, db, metrics })
}

/// Whether the database answers.
async fn ready(State(probed): State<Probed>) -> impl IntoResponse {
    match timeout(PROBE_TIMEOUT, sqlx::query("select 1").execute(&probed.db)).await {
        Ok(Ok(_)) => (StatusCode::OK, "ready\n"),
        Ok(Err(_)) | Err(_) => (StatusCode::SERVICE_UNAVAILABLE, "the database does not answer\n"),
    }
}

/// Whether this is the server to send clients to. One that recovers is: it answers a moment later. One in maintenance
/// is, too: no other would take their writes.
async fn active(State(probed): State<Probed>) -> impl IntoResponse {
    let role = probed.roles.current();
    let status = match role {
        Role::Active(_) | Role::Recovering => StatusCode::OK,
        Role::Standby { .. } => StatusCode::SERVICE_UNAVAILABLE,
    };
    let maintenance = if holds_writes_back(&role).await { ", in maintenance" } else { "" };
    (status, format!("{}{maintenance}\n", role.as_str()))
}

async fn holds_writes_back(role: &Role) -> bool {
    match role {
        Role::Active(leader) => leader.maintenance().is_on().await,
        Role::Recovering | Role::Standby { .. } => false,
    }
}

/// What is at no path. A probe of a path that does not exist must fail, so only callers that speak gRPC get the answer
/// of gRPC, which is a 200.
pub(super) async fn nothing_here(headers: HeaderMap) -> Response<Body> {
    let content_type = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    if content_type.starts_with("application/grpc") {
        return Status::unimplemented("there is no such method").into_http();
    }
    (StatusCode::NOT_FOUND, "there is nothing at this path\n").into_response()
}

async fn render_metrics(State(probed): State<Probed>) -> impl IntoResponse {
    let role = probed.roles.current();
    gauge!("rollcall_maintenance").set(f64::from(u8::from(holds_writes_back(&role).await)));
    if let Role::Active(leader) = role {
        let counts = leader.fleet().counts();
        gauge!("rollcall_epoch").set(leader.epoch() as f64);
        gauge!("rollcall_nodes_read_only").set(counts.read_only as f64);
        for (state, count) in SLOT_STATES.map(|state| (state, counts.slots.get(state).copied().unwrap_or(0)))
        {
            gauge!("rollcall_slots", "state" => state).set(count as f64);
        }
        for health in crate::presence::health::Health::ALL {
            let (state, cause) = health.as_stored();
            let count = counts.presences.get(&(state, cause)).copied().unwrap_or(0);
            gauge!("rollcall_nodes", "health" => state, "cause" => cause).set(count as f64);
        }
    }
    probed.metrics.run_upkeep();
    ([("content-type", "text/plain; version=0.0.4")], probed.metrics.render())
}

const SLOT_STATES: [&str; 5] = ["registering", "online", "degraded", "offline", "revoked"];
