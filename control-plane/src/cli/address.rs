//! Where a server listens.

use std::{fmt, str::FromStr};

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
}

impl FromStr for Address {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let text = text.trim();
        let rest = match text.split_once("://") {
            Some((scheme, rest)) if scheme.eq_ignore_ascii_case("http") => rest,
            Some(_) => return Err(AddressError::UnsupportedScheme),
            None => text,
        };
        let uri: Uri = format!("http://{rest}").parse().map_err(|_| AddressError::Malformed)?;
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
        format!("http://{}:{port}", authority.host()).parse().map(Self).map_err(|_| AddressError::Malformed)
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // `Uri` would print the empty path as a slash, which nobody wrote.
        write!(f, "http://{}", self.0.authority().map_or("", |authority| authority.as_str()))
    }
}

impl fmt::Display for AddressError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Malformed => "expected HOST:PORT or http://HOST:PORT",
            Self::UnsupportedScheme => "only http:// is spoken, as in http://HOST:PORT",
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
        for text in ["https://host:7420", "unix:///run/rollcall"] {
            assert_eq!(text.parse::<Address>(), Err(AddressError::UnsupportedScheme), "{text}");
        }
    }
}
