//! Why a client cannot be set up for TLS.

use std::{io, path::PathBuf};

use tokio_rustls::rustls;

/// Why TLS cannot be set up.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The file is missing, or may not be read.
    #[error("cannot read {path}")]
    Unreadable {
        /// Which one.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// A section of the file is damaged.
    #[error("{path} is not PEM")]
    NotPem {
        /// Which one.
        path: PathBuf,
    },
    /// There is no certificate in the file.
    #[error("{path} has no certificate: expected `-----BEGIN CERTIFICATE-----`")]
    NoCertificate {
        /// Which one.
        path: PathBuf,
    },
    /// What is in the section is no certificate.
    #[error("certificate {position} in {path} cannot be understood")]
    MalformedCertificate {
        /// Which one.
        path: PathBuf,
        /// Counted from 1.
        position: usize,
        /// What is wrong with it.
        source: rustls::Error,
    },
    /// The system trusts nobody, as in a container without the package.
    #[error(
        "this system has no root certificates: install ca-certificates, or name a file of certificates to trust"
    )]
    NoSystemRoots,
    /// Neither a name nor an address.
    #[error("`{0}` is not a name that a certificate could have")]
    ServerName(String),
    /// The endpoint does not take it.
    #[error("TLS cannot be set up")]
    Unsupported(#[source] Box<dyn std::error::Error + Send + Sync>),
}
