//! Plaintext or TLS: what the server accepts by, and how it reaches itself.

use std::{
    fmt,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use time::OffsetDateTime;
use tokio::net::TcpListener;
use tokio_rustls::{
    TlsAcceptor,
    rustls::{
        self, ServerConfig, client::danger::ServerCertVerifier, crypto::ring, server::NoServerSessionStorage,
        version,
    },
};
use tonic::transport::{ClientTlsConfig, Endpoint};

use super::{
    error::Error,
    files::{Marks, TlsSettings},
    follow::follow,
    incoming::{AcceptBounds, Incoming},
    pinned::Pinned,
    served::Served,
};

/// Of the protocols that the port speaks, the better one first.
const PROTOCOLS: [&[u8]; 2] = [b"h2", b"http/1.1"];

/// How bytes get to this server. Clones share the certificate.
#[derive(Clone)]
pub enum Transport {
    /// In clear: on loopback, or behind a proxy that speaks TLS.
    Plaintext,
    /// By TLS 1.3 or 1.2.
    Tls(Tls),
}

/// The certificate, and what is made of it.
#[derive(Clone)]
pub struct Tls {
    settings: TlsSettings,
    loaded: Marks,
    served: Arc<Served>,
    acceptor: TlsAcceptor,
    own_verifier: Arc<dyn ServerCertVerifier>,
}

impl Transport {
    /// Loads the certificate.
    ///
    /// # Errors
    ///
    /// Which file cannot be used, and why.
    pub async fn tls(settings: TlsSettings) -> Result<Self, Error> {
        // First: what changes while the files are read is seen as a change later.
        let loaded = settings.marks().await;
        let served = Arc::new(Served::new(settings.load().await?));
        let acceptor = TlsAcceptor::from(Arc::new(config(&served).map_err(Error::Unsupported)?));
        let algorithms = ring::default_provider().signature_verification_algorithms;
        let own_verifier = Arc::new(Pinned::new(Arc::clone(&served), algorithms));
        Ok(Self::Tls(Tls { settings, loaded, served, acceptor, own_verifier }))
    }

    /// `http` or `https`, for the address that clients are told.
    pub fn scheme(&self) -> &'static str {
        match self {
            Self::Plaintext => "http",
            Self::Tls(_) => "https",
        }
    }

    /// Whether a client that calls by this host, a name or an address, finds it in the certificate. In clear there is
    /// none to look into: a proxy in front may well have one.
    pub fn is_called_by(&self, host: &str) -> bool {
        match self {
            Self::Plaintext => true,
            Self::Tls(tls) => tls.served.names(host),
        }
    }

    /// The connections of clients.
    pub fn incoming(&self, listener: TcpListener, bounds: AcceptBounds) -> Incoming {
        let acceptor = match self {
            Self::Plaintext => None,
            Self::Tls(tls) => Some(tls.acceptor.clone()),
        };
        Incoming::new(listener, acceptor, bounds)
    }

    /// Replaces the certificate whenever its files have changed; looks once a `period`, and never ends.
    pub async fn follow_files(&self, period: Duration) {
        match self {
            Self::Plaintext => std::future::pending().await,
            Self::Tls(tls) => follow(&tls.settings, &tls.served, tls.loaded, period).await,
        }
    }

    /// How this server calls itself, where it listens at `listening`. By TLS, it trusts the certificate that it presents,
    /// whatever that names, and no other. `deadline` is for the connection, the handshake and each call.
    ///
    /// # Errors
    ///
    /// The address makes no URI.
    pub fn endpoint_of_own(
        &self,
        listening: SocketAddr,
        deadline: Duration,
    ) -> Result<Endpoint, tonic::transport::Error> {
        let uri = format!("{}://{}", self.scheme(), reachable(listening));
        let endpoint = Endpoint::from_shared(uri)?.connect_timeout(deadline).timeout(deadline);
        match self {
            Self::Plaintext => Ok(endpoint),
            Self::Tls(tls) => endpoint.tls_config_with_verifier(
                ClientTlsConfig::new().timeout(deadline),
                Arc::clone(&tls.own_verifier),
            ),
        }
    }
}

impl Tls {
    /// When the certificate that is presented now expires, where that can be read.
    pub fn expires_at(&self) -> Option<OffsetDateTime> {
        self.served.expires_at()
    }

    /// Whether every user of the machine can read the key.
    pub async fn key_is_open(&self) -> bool {
        self.settings.key_is_open().await
    }
}

impl fmt::Debug for Transport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Plaintext => f.write_str("Plaintext"),
            Self::Tls(tls) => f.debug_tuple("Tls").field(&tls.settings).finish(),
        }
    }
}

fn config(served: &Arc<Served>) -> Result<ServerConfig, rustls::Error> {
    let mut config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_protocol_versions(&[&version::TLS13, &version::TLS12])?
        .with_no_client_auth()
        .with_cert_resolver(Arc::clone(served) as _);
    config.alpn_protocols = PROTOCOLS.map(<[u8]>::to_vec).to_vec();
    // No resumption: connections live for hours, and each is to begin under the certificate of its moment.
    config.session_storage = Arc::new(NoServerSessionStorage {});
    Ok(config)
}

/// The address at which this machine reaches a listener.
fn reachable(listening: SocketAddr) -> SocketAddr {
    let ip = match listening.ip() {
        IpAddr::V4(ip) => IpAddr::V4(if ip.is_unspecified() { Ipv4Addr::LOCALHOST } else { ip }),
        IpAddr::V6(ip) => IpAddr::V6(if ip.is_unspecified() { Ipv6Addr::LOCALHOST } else { ip }),
    };
    SocketAddr::new(ip, listening.port())
}
