//! Where a server of the control plane listens.

use std::{fmt, str::FromStr};

use tonic::transport::Uri;

/// Port of an address that names none.
const PORT_DEFAULT: u16 = 7420;

/// Address of one server, such as `http://127.0.0.1:7420`.
///
/// `http://` and the port 7420 are added where they are missing.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Address(Uri);

/// Why a text is not an address.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AddressError {
    /// Nothing is there.
    #[error("an address is required, such as http://127.0.0.1:7420")]
    Empty,
    /// Not a host with an optional port.
    #[error("`{0}` is not an address: expected http://HOST:PORT or https://HOST:PORT")]
    Malformed(String),
    /// Only HTTP/2 is spoken, by TLS or in clear.
    #[error(
        "`{0}` asks for a scheme that this build does not speak: expected http://HOST:PORT or https://HOST:PORT"
    )]
    UnsupportedScheme(String),
}

impl Address {
    pub(crate) fn uri(&self) -> Uri {
        self.0.clone()
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
        if text.is_empty() {
            return Err(AddressError::Empty);
        }
        let malformed = || AddressError::Malformed(text.to_owned());
        let (scheme, rest) = match text.split_once("://") {
            Some((scheme, rest)) if scheme.eq_ignore_ascii_case("http") => ("http", rest),
            Some((scheme, rest)) if scheme.eq_ignore_ascii_case("https") => ("https", rest),
            Some(_) => return Err(AddressError::UnsupportedScheme(text.to_owned())),
            None => ("http", text),
        };
        let uri: Uri = format!("{scheme}://{rest}").parse().map_err(|_| malformed())?;
        let authority = uri.authority().ok_or_else(malformed)?;
        // A user in the authority, a path or a query would be ignored in silence, so none is accepted.
        let is_bare = matches!(uri.path(), "" | "/") && uri.query().is_none();
        if authority.host().is_empty() || authority.as_str().contains('@') || !is_bare {
            return Err(malformed());
        }
        let port = match authority.port() {
            Some(port) => port.as_u16(),
            // `port` is also `None` for one that is no number.
            None if authority.as_str() != authority.host() => return Err(malformed()),
            None => PORT_DEFAULT,
        };
        format!("{scheme}://{}:{port}", authority.host()).parse().map(Self).map_err(|_| malformed())
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // `Uri` would print the empty path as a slash, which nobody wrote.
        let authority = self.0.authority().map_or("", |authority| authority.as_str());
        write!(f, "{}://{authority}", self.0.scheme_str().unwrap_or("http"))
    }
}

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
        assert_eq!("[::1]:80".parse::<Address>().unwrap().to_string(), "http://[::1]:80");
        assert_eq!("[::1]".parse::<Address>().unwrap().to_string(), "http://[::1]:7420");
        assert_eq!(
            "rollcall.example".parse::<Address>().unwrap().to_string(),
            "http://rollcall.example:7420"
        );
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
            assert!(matches!(text.parse::<Address>(), Err(AddressError::Malformed(_))), "{text}");
        }
        assert_eq!("  ".parse::<Address>(), Err(AddressError::Empty));
    }

    #[test]
    fn other_schemes_are_refused_by_name() {
        for text in ["ftp://host:7420", "unix:///run/rollcall"] {
            assert!(matches!(text.parse::<Address>(), Err(AddressError::UnsupportedScheme(_))), "{text}");
        }
    }
}
