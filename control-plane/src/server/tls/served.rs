//! The certificate that is presented now.

use std::{fmt, sync::Arc};

use time::OffsetDateTime;
use tokio::sync::watch;
use tokio_rustls::rustls::{
    client::verify_server_name,
    pki_types::{CertificateDer, ServerName},
    server::{ClientHello, ParsedCertificate, ResolvesServerCert},
    sign::CertifiedKey,
};

use super::judge::expiry;

/// One certificate for whoever asks, and by whatever name: each handshake takes the one of its moment.
pub(super) struct Served {
    // Of all that can be shared and replaced, this needs no second look at a poisoned lock.
    current: watch::Sender<Arc<CertifiedKey>>,
}

impl Served {
    pub(super) fn new(certified: CertifiedKey) -> Self {
        Self { current: watch::Sender::new(Arc::new(certified)) }
    }

    /// From here on, new connections see this one.
    pub(super) fn replace(&self, certified: CertifiedKey) {
        self.current.send_replace(Arc::new(certified));
    }

    /// Until when it is good, where that can be read.
    pub(super) fn expires_at(&self) -> Option<OffsetDateTime> {
        self.current.borrow().end_entity_cert().ok().and_then(expiry)
    }

    /// Says by a metric until when it is good.
    pub(super) fn publish_expiry(&self) {
        if let Some(at) = self.expires_at() {
            metrics::gauge!("rollcall_tls_certificate_expiry_timestamp_seconds")
                .set(at.unix_timestamp() as f64);
        }
    }

    /// Whether the certificate names this host.
    pub(super) fn names(&self, host: &str) -> bool {
        // In addresses an IPv6 stands in brackets, in certificates it does not.
        let host = host.trim_start_matches('[').trim_end_matches(']');
        let current = self.current.borrow();
        let own = current.end_entity_cert().and_then(ParsedCertificate::try_from);
        own.is_ok_and(|own| {
            ServerName::try_from(host).is_ok_and(|name| verify_server_name(&own, &name).is_ok())
        })
    }

    /// Whether this is the certificate that is presented now.
    pub(super) fn is(&self, certificate: &CertificateDer<'_>) -> bool {
        self.current.borrow().end_entity_cert().is_ok_and(|current| current == certificate)
    }
}

impl ResolvesServerCert for Served {
    fn resolve(&self, _hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(Arc::clone(&self.current.borrow()))
    }
}

impl fmt::Debug for Served {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Served")
    }
}
