//! Why a connection was not trusted.

use std::{error::Error as StdError, fmt, io};

use tokio_rustls::rustls::{CertificateError, Error, InvalidMessage};

/// What a server's certificate lacks, in the client's eyes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Distrust {
    /// Signed by nobody whom the client trusts.
    UnknownIssuer,
    /// For another name than the one that was called.
    OtherName,
    /// Its time is over.
    Expired,
    /// Its time has not come, or this machine's clock is slow.
    NotYetValid,
    /// Wrong in another way, such as one that may only sign others.
    BadCertificate,
    /// The server does not speak TLS at all.
    NoTls,
}

impl Distrust {
    /// Finds it in the error of a connection or a call, or in what caused that.
    pub fn of(error: &(dyn StdError + 'static)) -> Option<Self> {
        let mut cause = Some(error);
        while let Some(error) = cause {
            if let Some(error) = error.downcast_ref::<Error>() {
                return Self::of_tls(error);
            }
            // An I/O error does not name what it wraps as its source, but the source of that.
            if let Some(inner) = error.downcast_ref::<io::Error>().and_then(io::Error::get_ref)
                && let Some(error) = inner.downcast_ref::<Error>()
            {
                return Self::of_tls(error);
            }
            cause = error.source();
        }
        None
    }

    fn of_tls(error: &Error) -> Option<Self> {
        if let Error::InvalidCertificate(error) = error {
            return Some(Self::of_certificate(error));
        }
        matches!(error, Error::InvalidMessage(InvalidMessage::InvalidContentType)).then_some(Self::NoTls)
    }

    #[expect(clippy::wildcard_enum_match_arm, reason = "whatever else is wrong, there is one word for it")]
    fn of_certificate(error: &CertificateError) -> Self {
        use CertificateError as Bad;
        match error {
            Bad::UnknownIssuer => Self::UnknownIssuer,
            Bad::NotValidForName | Bad::NotValidForNameContext { .. } => Self::OtherName,
            Bad::Expired | Bad::ExpiredContext { .. } => Self::Expired,
            Bad::NotValidYet | Bad::NotValidYetContext { .. } => Self::NotYetValid,
            _ => Self::BadCertificate,
        }
    }
}

/// What it is, for people.
impl fmt::Display for Distrust {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::UnknownIssuer => "the server's certificate was issued by nobody who is trusted here",
            Self::OtherName => "the server's certificate is for another name",
            Self::Expired => "the server's certificate has expired",
            Self::NotYetValid => "the server's certificate is not valid yet, or this machine's clock is slow",
            Self::BadCertificate => "the server's certificate is not one for a server",
            Self::NoTls => "the server does not speak TLS",
        })
    }
}
