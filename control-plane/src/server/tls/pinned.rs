//! How the server trusts itself.
//!
//! It calls itself at an address that no certificate names, and its own issuer is not among its roots. But it knows
//! better than any authority which certificate it presents: exactly that one is trusted, and the handshake proves the key.

use std::sync::Arc;

use tokio_rustls::rustls::{
    CertificateError, DigitallySignedStruct, Error, SignatureScheme,
    client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    crypto::{WebPkiSupportedAlgorithms, verify_tls12_signature, verify_tls13_signature},
    pki_types::{CertificateDer, ServerName, UnixTime},
    server::ParsedCertificate,
};

use super::{
    judge::{Verdict, judge},
    served::Served,
};

/// Trusts the certificate that is presented now, under any name, and no other.
#[derive(Debug)]
pub(super) struct Pinned {
    served: Arc<Served>,
    algorithms: WebPkiSupportedAlgorithms,
}

impl Pinned {
    pub(super) fn new(served: Arc<Served>, algorithms: WebPkiSupportedAlgorithms) -> Self {
        Self { served, algorithms }
    }
}

impl ServerCertVerifier for Pinned {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        if !self.served.is(end_entity) {
            return Err(CertificateError::ApplicationVerificationFailure.into());
        }
        // No client gets in with an expired one, so neither does the server: its proof of service must not be better
        // than the service.
        match judge(&ParsedCertificate::try_from(end_entity)?, now) {
            Verdict::Acceptable | Verdict::Doubtful(_) => Ok(ServerCertVerified::assertion()),
            Verdict::Expired(_) => Err(CertificateError::Expired.into()),
            Verdict::NotYetValid(_) => Err(CertificateError::NotValidYet.into()),
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, certificate, signature, &self.algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, certificate, signature, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}
