//! The server: one port for gRPC and HTTP, and everything that runs behind it.
//!
//! Every task lives in one set under one token. The first to end, well or badly, stops the process: a server without
//! its campaign or its listener looks healthy and is not.

mod http;
pub(crate) mod methods;
mod observe;
mod refuse;
pub mod tls;
mod writes;

use std::{fmt, net::SocketAddr, sync::Arc, time::Duration};

use contracts::{
    limits,
    wire::{
        self,
        v1::{
            audit_service_server::AuditServiceServer, event_log_service_server::EventLogServiceServer,
            leadership_service_server::LeadershipServiceServer,
            maintenance_service_server::MaintenanceServiceServer,
            membership_service_server::MembershipServiceServer,
            node_admin_service_server::NodeAdminServiceServer,
            runtime_node_service_server::RuntimeNodeServiceServer,
            session_service_server::SessionServiceServer, token_service_server::TokenServiceServer,
        },
    },
};
pub(crate) use refuse::refused_by_transport;
use sqlx::postgres::PgConnectOptions;
use tokio::{
    net::TcpListener,
    sync::watch,
    task::JoinSet,
    time::{sleep, timeout},
};
use tokio_util::sync::CancellationToken;
use tonic::{service::Routes, transport::Server};
use tonic_health::ServingStatus;

use crate::{
    audit::rpc::Audit,
    auth::{
        Authenticator, CanaryToken, GateLayer, Revocations, access,
        grant::Mint,
        rpc::Tokens,
        tokens::{KeyRingFile, KeyRingFileError, KeyRingWatch},
        watch_revocations,
    },
    event_log::rpc::EventLogs,
    leadership::{self, Candidate, Role, Roles, locks::LockNamespace, rpc::Leadership},
    maintenance::rpc::Maintenances,
    nodes::{admin_rpc::NodeAdmin, rpc::RuntimeNodes},
    postgres,
    quotas::{Quotas, layer::QuotaLayer},
    server::tls::{AcceptBounds, Transport},
    sessions::{member_rpc::Memberships, rpc::Sessions},
    settings::{Bounds, Cadence, LeadershipSettings, Retention},
};

/// A dead connection is found within twice this: below the 15 s between beats, and far below the degraded threshold.
const KEEP_ALIVE: Duration = Duration::from_secs(4);
/// How often the key ring's file is looked at: what a rotation has to wait for between its steps.
const KEY_RING_PERIOD: Duration = Duration::from_secs(1);
/// How often the files of the certificate are looked at: far more often than they are renewed, and a look costs nothing.
const CERTIFICATE_PERIOD: Duration = Duration::from_secs(1);
/// What a client may take before it has said anything.
const ACCEPT_BOUNDS: AcceptBounds =
    AcceptBounds { keep_alive: KEEP_ALIVE, handshake: Duration::from_secs(5), handshakes_max: 1_024 };
/// How long the end may take. In-flight writes are bounded by the statement timeout, which is shorter.
const SHUTDOWN_TIMEOUT: Duration = Duration::from_secs(10);
/// How long answers may take to get out once nothing is written any more. Callers that do not read, and streams of the
/// standard services, would never let go.
const FLUSH_TIMEOUT: Duration = Duration::from_secs(1);

/// What a server is started with.
#[derive(Clone)]
pub struct ServerSettings {
    /// How to reach the database.
    pub database: PgConnectOptions,
    /// In clear or by TLS.
    pub transport: Transport,
    /// Where clients reach this server; none when nobody said and it cannot be known.
    pub advertised: Option<String>,
    /// The keys that tokens are made and judged by.
    pub key_ring: KeyRingFile,
    /// Intervals and thresholds.
    pub cadence: Cadence,
    /// Bounds that the operator set.
    pub bounds: Bounds,
    /// Lease, lock and duties.
    pub leadership: LeadershipSettings,
    /// How long dead things are kept.
    pub retention: Retention,
}

/// Without the way to the database, which may hold a password.
impl fmt::Debug for ServerSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ServerSettings")
            .field("transport", &self.transport)
            .field("advertised", &self.advertised)
            .field("key_ring", &self.key_ring)
            .field("cadence", &self.cadence)
            .field("bounds", &self.bounds)
            .field("leadership", &self.leadership)
            .field("retention", &self.retention)
            .finish_non_exhaustive()
    }
}

/// Why a server ended.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The listener failed.
    #[error("the listener failed")]
    Listener(#[from] tonic::transport::Error),
    /// The key ring cannot be used.
    #[error("the key ring cannot be used")]
    KeyRing(#[from] KeyRingFileError),
    /// Metrics or reflection could not be set up.
    #[error("could not set up {0}")]
    SetUp(&'static str, #[source] Box<dyn std::error::Error + Send + Sync>),
    /// A task panicked.
    #[error("a task of the server panicked")]
    Panicked(#[from] tokio::task::JoinError),
}

/// Serves until told to stop, or until a part of it ends.
///
/// # Errors
///
/// The part that ended, and why.
pub async fn serve(
    listener: TcpListener,
    address: SocketAddr,
    settings: ServerSettings,
    stop: CancellationToken,
) -> Result<(), Error> {
    let metrics = http::install_metrics()?;
    let reads = postgres::read_pool(settings.database.clone());
    let canary = CanaryToken::mint();
    let (publish_role, role) = watch::channel(Role::Standby { active: None });
    let roles = Roles::new(role);
    let (ring_watch, ring) = KeyRingWatch::open(settings.key_ring)?;
    let revocations = Arc::new(Revocations::default());
    let mint = Mint::new(ring.clone());
    let quotas = Quotas::new(settings.bounds.quotas);
    let authenticator = Authenticator::new(ring, Arc::clone(&revocations), canary.clone());

    let (health, health_service) = tonic_health::server::health_reporter();
    let routes =
        routes(&roles, &reads, mint, &revocations, settings.cadence, settings.leadership.lock_namespace)?
            .add_service(health_service)
            .into_axum_router()
            .merge(http::router(roles.clone(), reads.clone(), metrics))
            .fallback(http::nothing_here);

    let mut tasks = JoinSet::new();
    let revoked_db = reads.clone();
    let candidate = Candidate {
        database: settings.database,
        reads,
        listening: address,
        transport: settings.transport.clone(),
        address: settings.advertised,
        canary,
        cadence: settings.cadence,
        bounds: settings.bounds,
        leadership: settings.leadership,
        retention: settings.retention,
    };
    let ending = stop.child_token();
    let campaign_over = CancellationToken::new();
    tasks.spawn(report_health(roles.clone(), health));
    tasks.spawn({
        let ending = ending.clone();
        async move { Ok(ring_watch.run(KEY_RING_PERIOD, ending).await?) }
    });
    tasks.spawn({
        let (ending, db) = (ending.clone(), revoked_db);
        async move {
            watch_revocations(&revocations, &db, ending).await;
            Ok(())
        }
    });
    tasks.spawn({
        let (transport, ending) = (settings.transport.clone(), ending.clone());
        async move {
            ending.run_until_cancelled(transport.follow_files(CERTIFICATE_PERIOD)).await;
            Ok(())
        }
    });
    tasks.spawn({
        let ending = ending.clone();
        let over = campaign_over.clone().drop_guard();
        async move {
            leadership::campaign(candidate, publish_role, ending).await;
            drop(over);
            Ok(())
        }
    });
    tasks.spawn({
        let ending = ending.clone();
        async move {
            let serving = Server::builder()
                .accept_http1(true)
                .http2_keepalive_interval(Some(KEEP_ALIVE))
                .http2_keepalive_timeout(Some(KEEP_ALIVE))
                .layer(observe::ObserveLayer)
                .layer(refuse::RefuseLayer)
                .layer(GateLayer(authenticator))
                .layer(QuotaLayer(quotas))
                .layer(writes::WritesLayer(roles))
                .add_routes(Routes::from(routes))
                .serve_with_incoming_shutdown(
                    settings.transport.incoming(listener, ACCEPT_BOUNDS),
                    ending.cancelled_owned(),
                );
            tokio::select! {
                served = serving => served?,
                () = async {
                    campaign_over.cancelled().await;
                    sleep(FLUSH_TIMEOUT).await;
                } => {}
            }
            Ok(())
        }
    });
    supervise(tasks, ending).await
}

/// Waits for the first task to end, stops the others, and waits for them a while.
async fn supervise(mut tasks: JoinSet<Result<(), Error>>, ending: CancellationToken) -> Result<(), Error> {
    let Some(first) = tasks.join_next().await else { return Ok(()) };
    ending.cancel();
    let rest = async {
        let mut result = Ok(());
        while let Some(ended) = tasks.join_next().await {
            result = result.and(flatten(ended));
        }
        result
    };
    // Connections of callers that do not let go are cut at the bound.
    flatten(first).and(timeout(SHUTDOWN_TIMEOUT, rest).await.unwrap_or(Ok(())))
}

fn flatten(ended: Result<Result<(), Error>, tokio::task::JoinError>) -> Result<(), Error> {
    ended?
}

fn routes(
    roles: &Roles,
    reads: &sqlx::PgPool,
    mint: Mint,
    revocations: &Arc<Revocations>,
    cadence: Cadence,
    lock_namespace: LockNamespace,
) -> Result<Routes, Error> {
    let max = limits::REQUEST_BYTES_MAX;
    let nodes = RuntimeNodes::new(roles.clone(), reads.clone());
    let sessions = Sessions::new(roles.clone(), reads.clone());
    let memberships = Memberships::new(roles.clone(), reads.clone());
    let admin = NodeAdmin::new(roles.clone(), reads.clone(), cadence);
    let tokens = Tokens::new(roles.clone(), mint, Arc::clone(revocations));
    let logs = EventLogs::new(roles.clone(), reads.clone());
    let audit = Audit::new(reads.clone());
    let leadership = Leadership::new(roles.clone(), reads.clone(), lock_namespace);
    let maintenance = Maintenances::new(roles.clone(), reads.clone());
    let reflection = tonic_reflection::server::Builder::configure()
        .register_encoded_file_descriptor_set(wire::DESCRIPTORS)
        .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
        .build_v1()
        .map_err(|error| Error::SetUp("reflection", error.into()))?;
    Ok(Routes::new(RuntimeNodeServiceServer::new(nodes).max_decoding_message_size(max))
        .add_service(SessionServiceServer::new(sessions).max_decoding_message_size(max))
        .add_service(MembershipServiceServer::new(memberships).max_decoding_message_size(max))
        .add_service(NodeAdminServiceServer::new(admin).max_decoding_message_size(max))
        .add_service(EventLogServiceServer::new(logs).max_decoding_message_size(max))
        .add_service(TokenServiceServer::new(tokens).max_decoding_message_size(max))
        .add_service(LeadershipServiceServer::new(leadership).max_decoding_message_size(max))
        .add_service(AuditServiceServer::new(audit).max_decoding_message_size(max))
        .add_service(MaintenanceServiceServer::new(maintenance).max_decoding_message_size(max))
        .add_service(reflection))
}

/// Keeps the standard health service true: a service that writes serves while this server leads.
async fn report_health(mut roles: Roles, health: tonic_health::server::HealthReporter) -> Result<(), Error> {
    loop {
        let role = roles.current();
        metrics::gauge!("rollcall_role", "role" => "standby")
            .set(gauge(matches!(role, Role::Standby { .. })));
        metrics::gauge!("rollcall_role", "role" => "recovering").set(gauge(matches!(role, Role::Recovering)));
        metrics::gauge!("rollcall_role", "role" => "active").set(gauge(matches!(role, Role::Active(_))));
        let status = match role {
            Role::Active(_) => ServingStatus::Serving,
            Role::Standby { .. } | Role::Recovering => ServingStatus::NotServing,
        };
        health.set_service_status("", status).await;
        for (service, writes) in access::services() {
            let status = if writes { status } else { ServingStatus::Serving };
            health.set_service_status(format!("rollcall.v1.{service}"), status).await;
        }
        if !roles.changed().await {
            return Ok(());
        }
    }
}

fn gauge(holds: bool) -> f64 {
    f64::from(u8::from(holds))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        leadership::Candidate,
        settings::{Keep, Lease, LogRetention, Retention},
    };

    #[tokio::test]
    async fn neither_settings_nor_candidates_show_the_password_of_the_database() {
        let database: PgConnectOptions = "postgres://rollcall:swordfish@db.example/rollcall".parse().unwrap();
        let [beat, sweep, degraded, offline, hold] = [15, 5, 30, 60, 60].map(Duration::from_secs);
        let cadence = Cadence::new(beat, sweep, degraded, offline, hold).unwrap();
        let retention = Retention {
            interval: Duration::from_secs(600),
            offline_nodes: Keep::Forever,
            spans: Keep::Forever,
            audit: Keep::Forever,
            logs: LogRetention::default(),
        };
        let leadership = LeadershipSettings {
            lease: Lease::new(Duration::from_secs(10)).unwrap(),
            lock_namespace: LockNamespace::default(),
            disabled_duties: Vec::new(),
        };
        let candidate = Candidate {
            database: database.clone(),
            reads: postgres::read_pool(database.clone()),
            listening: ([127, 0, 0, 1], 1).into(),
            transport: Transport::Plaintext,
            address: None,
            canary: CanaryToken::mint(),
            cadence,
            bounds: Bounds::default(),
            leadership: leadership.clone(),
            retention,
        };
        let key_ring = KeyRingFile::new("keys.json");
        let settings = ServerSettings {
            database,
            transport: Transport::Plaintext,
            advertised: None,
            key_ring,
            cadence,
            bounds: Bounds::default(),
            leadership,
            retention,
        };
        let shown = format!("{candidate:?} {settings:?}");
        assert!(shown.contains("keys.json") && !shown.contains("swordfish"), "{shown}");
    }
}
