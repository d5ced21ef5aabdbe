//! Where a server listens.

use std::{fmt, str::FromStr};

use http::uri::Scheme;
use tonic::transport::Uri;

/// Port of an address that names none.
const PORT_DEFAULT: u16 = 7420;

/// Address of one server. `http://` and the port 7420 are added where they are missing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Address(Uri);

/// Why a text is not an address. Clap puts the text itself in front.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum AddressError {
    Malformed,
    UnsupportedScheme,
}

impl Address {
    pub(crate) fn uri(&self) -> Uri {
        self.0.clone()
    }

    /// The name or address; one of IPv6 in brackets.
    pub(crate) fn host(&self) -> &str {
        self.0.host().unwrap_or_default()
    }

    /// The port, given or not.
    pub(crate) fn port(&self) -> u16 {
        self.0.port_u16().unwrap_or(PORT_DEFAULT)
    }

    /// The same by TLS.
    pub(crate) fn by_tls(&self) -> Self {
        let mut parts = self.0.clone().into_parts();
        parts.scheme = Some(Scheme::HTTPS);
        Uri::from_parts(parts).map_or_else(|_| self.clone(), Self)
    }

    /// Whether it is called by TLS.
    pub(crate) fn is_secure(&self) -> bool {
        self.0.scheme_str() == Some("https")
    }
}

impl FromStr for Address {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let text = text.trim();
        let (scheme, rest) = match text.split_once("://") {
            Some((scheme, rest)) if scheme.eq_ignore_ascii_case("http") => ("http", rest),
            Some((scheme, rest)) if scheme.eq_ignore_ascii_case("https") => ("https", rest),
            Some(_) => return Err(AddressError::UnsupportedScheme),
            None => ("http", text),
        };
        let uri: Uri = format!("{scheme}://{rest}").parse().map_err(|_| AddressError::Malformed)?;
        let authority = uri.authority().ok_or(AddressError::Malformed)?;
        // A user, a path or a query would be ignored in silence, so none is accepted.
        let is_bare = matches!(uri.path(), "" | "/") && uri.query().is_none();
        if authority.host().is_empty() || authority.as_str().contains('@') || !is_bare {
            return Err(AddressError::Malformed);
        }
        let port = match authority.port() {
            Some(port) => port.as_u16(),
            None if authority.as_str() != authority.host() => return Err(AddressError::Malformed),
            None => PORT_DEFAULT,
        };
        format!("{scheme}://{}:{port}", authority.host())
            .parse()
            .map(Self)
            .map_err(|_| AddressError::Malformed)
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // `Uri` would print the empty path as a slash, which nobody wrote.
        let authority = self.0.authority().map_or("", |authority| authority.as_str());
        write!(f, "{}://{authority}", self.0.scheme_str().unwrap_or("http"))
    }
}

impl fmt::Display for AddressError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Malformed => "expected HOST:PORT, http://HOST:PORT or https://HOST:PORT",
            Self::UnsupportedScheme => "only http:// and https:// are spoken, as in https://HOST:PORT",
        })
    }
}

impl std::error::Error for AddressError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scheme_and_port_may_be_left_out() {
        for text in
            ["http://127.0.0.1:7420", "127.0.0.1:7420", "127.0.0.1", "HTTP://127.0.0.1/", " 127.0.0.1 "]
        {
            assert_eq!(text.parse::<Address>().unwrap().to_string(), "http://127.0.0.1:7420", "{text}");
        }
        assert_eq!("[::1]".parse::<Address>().unwrap().to_string(), "http://[::1]:7420");
        assert_eq!("control.example:80".parse::<Address>().unwrap().to_string(), "http://control.example:80");
    }

    #[test]
    fn tls_is_asked_for_by_the_scheme() {
        let address: Address = "HTTPS://control.example/".parse().unwrap();
        assert_eq!(address.to_string(), "https://control.example:7420");
        assert!(address.is_secure());
        assert_ne!(address, "control.example".parse().unwrap());
        assert!(!"control.example".parse::<Address>().unwrap().is_secure());
    }

    #[test]
    fn what_would_be_ignored_is_refused() {
        for text in [
            "",
            "http://",
            ":7420",
            "a b",
            "host:port",
            "host:70000",
            "host:",
            "http://u@host",
            "host/path",
            "host?q",
        ] {
            assert_eq!(text.parse::<Address>(), Err(AddressError::Malformed), "{text}");
        }
        for text in ["ftp://host:7420", "unix:///run/rollcall"] {
            assert_eq!(text.parse::<Address>(), Err(AddressError::UnsupportedScheme), "{text}");
        }
    }
}
