//! Why a certificate cannot be served. Each names the file.

use std::{io, path::PathBuf};

use time::OffsetDateTime;
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
    #[error("{path} is not PEM: {what}")]
    NotPem {
        /// Which one.
        path: PathBuf,
        /// What is wrong with the section.
        what: &'static str,
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
    /// There is no key in the file.
    #[error("{path} has no private key: expected PKCS#8, SEC1 or PKCS#1 in PEM")]
    NoKey {
        /// Which one.
        path: PathBuf,
    },
    /// Nobody is there to type the password.
    #[error("the key in {path} is encrypted: store it without a password, readable by the server alone")]
    EncryptedKey {
        /// Which one.
        path: PathBuf,
    },
    /// The key is damaged, or of a kind that is not supported.
    #[error("the key in {path} cannot be used")]
    UnusableKey {
        /// Which one.
        path: PathBuf,
        /// What is wrong with it.
        source: rustls::Error,
    },
    /// The files do not belong together.
    #[error(
        "the key in {key} is not the key of the first certificate in {certificate}: the server's own comes first"
    )]
    KeyMismatch {
        /// The file of the certificate.
        certificate: PathBuf,
        /// The file of the key.
        key: PathBuf,
    },
    /// No client would accept it any more.
    #[error("the certificate in {path} expired at {not_after}")]
    Expired {
        /// Which one.
        path: PathBuf,
        /// Its end.
        not_after: OffsetDateTime,
    },
    /// No client would accept it yet; or this machine's clock is slow.
    #[error("the certificate in {path} is not valid before {not_before}")]
    NotYetValid {
        /// Which one.
        path: PathBuf,
        /// Its beginning.
        not_before: OffsetDateTime,
    },
    /// The cryptography does not do what TLS needs.
    #[error("TLS cannot be set up")]
    Unsupported(#[source] rustls::Error),
}
