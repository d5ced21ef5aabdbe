//! A server with the health service, and ways to reach it.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use axum::{Extension, Router, routing::get};
use client_tls::Trust;
use control_plane::server::tls::{AcceptBounds, Transport};
use tokio::{
    net::{TcpListener, TcpStream},
    task::JoinSet,
};
use tokio_rustls::{
    TlsConnector,
    client::TlsStream,
    rustls::{
        ClientConfig, RootCertStore, SupportedProtocolVersion,
        crypto::ring,
        pki_types::{CertificateDer, ServerName, pem::PemObject},
    },
};
use tokio_util::sync::CancellationToken;
use tonic::{
    Status,
    service::Routes,
    transport::{Channel, Endpoint, Server as Tonic, server::TcpConnectInfo},
};
use tonic_health::pb::{HealthCheckRequest, health_client::HealthClient};

use crate::authority::Authority;

pub(crate) const BOUNDS: AcceptBounds = AcceptBounds {
    keep_alive: Duration::from_secs(4),
    handshake: Duration::from_secs(5),
    handshakes_max: 1_024,
};
const LOOK_PERIOD: Duration = Duration::from_millis(20);
const DEADLINE: Duration = Duration::from_secs(10);

pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    pub(crate) transport: Transport,
    _ending: tokio_util::sync::DropGuard,
    _tasks: JoinSet<()>,
}

impl Server {
    pub(crate) async fn start(transport: Transport, bounds: AcceptBounds) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (_, health) = tonic_health::server::health_reporter();
        let peer = async |Extension(info): Extension<TcpConnectInfo>| info.remote_addr.unwrap().to_string();
        let routes = Routes::default()
            .add_service(health)
            .into_axum_router()
            .merge(Router::new().route("/peer", get(peer)));
        let ending = CancellationToken::new();
        let mut tasks = JoinSet::new();
        tasks.spawn({
            let transport = transport.clone();
            async move { transport.follow_files(LOOK_PERIOD).await }
        });
        tasks.spawn({
            let ending = ending.clone();
            let incoming = transport.incoming(listener, bounds);
            async move {
                Tonic::builder()
                    .accept_http1(true)
                    .add_routes(Routes::from(routes))
                    .serve_with_incoming_shutdown(incoming, ending.cancelled_owned())
                    .await
                    .unwrap();
            }
        });
        Self { address, transport, _ending: ending.drop_guard(), _tasks: tasks }
    }

    /// Serves a certificate for `names` by `authority`.
    pub(crate) async fn with_names(authority: &Authority, names: &[&str]) -> Self {
        let settings = authority.install(&authority.issue(names));
        Self::start(Transport::tls(settings).await.unwrap(), BOUNDS).await
    }

    /// The endpoint of a client that goes by address.
    pub(crate) fn endpoint(&self, scheme: &str, trust: &Trust) -> Endpoint {
        let endpoint = Endpoint::from_shared(format!("{scheme}://{}", self.address)).unwrap();
        trust.secure(endpoint.connect_timeout(DEADLINE).timeout(DEADLINE)).unwrap()
    }

    /// Connects and calls.
    pub(crate) async fn call(&self, trust: &Trust) -> Result<(), tonic::transport::Error> {
        let channel = self.endpoint("https", trust).connect().await?;
        check(channel).await.unwrap();
        Ok(())
    }

    /// A bare TLS connection that offers `protocols`.
    pub(crate) async fn shake_hands(
        &self,
        authority: &Authority,
        protocols: &[&str],
        version: &'static SupportedProtocolVersion,
    ) -> std::io::Result<TlsStream<TcpStream>> {
        self.shake_hands_as(bare_client(authority, protocols, version)).await
    }

    /// A bare TLS connection of a client that may have been here before.
    pub(crate) async fn shake_hands_as(
        &self,
        client: Arc<ClientConfig>,
    ) -> std::io::Result<TlsStream<TcpStream>> {
        let stream = TcpStream::connect(self.address).await?;
        let name = ServerName::from(self.address.ip());
        TlsConnector::from(client).connect(name, stream).await
    }
}

/// What bare TLS connections are made by.
pub(crate) fn bare_client(
    authority: &Authority,
    protocols: &[&str],
    version: &'static SupportedProtocolVersion,
) -> Arc<ClientConfig> {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(authority.file()).unwrap()).unwrap();
    let mut config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_protocol_versions(&[version])
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = protocols.iter().map(|protocol| protocol.as_bytes().to_vec()).collect();
    Arc::new(config)
}

/// One call.
pub(crate) async fn check(channel: Channel) -> Result<(), Status> {
    HealthClient::new(channel).check(HealthCheckRequest::default()).await.map(drop)
}
