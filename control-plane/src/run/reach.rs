//! How clients reach a server: where it listens, in clear or by TLS, and the address that it is known by.

use std::{
    net::{IpAddr, SocketAddr},
    path::PathBuf,
    str::FromStr,
};

use crate::{
    cli::address::{Address, AddressError},
    server::tls::{self, TlsSettings, Transport},
};

#[derive(Clone, Debug, clap::Args)]
#[command(next_help_heading = "Address and TLS")]
pub(super) struct ReachFlags {
    /// Address for gRPC, health and metrics
    #[arg(long, env = "ROLLCALL_LISTEN", value_name = "ADDR", default_value = "127.0.0.1:7420")]
    pub(super) listen: SocketAddr,
    /// Where clients reach this server, for standbys to name: HOST:PORT or a URL [default: the address of --listen,
    /// unless that is every address]
    #[arg(long, env = "ROLLCALL_ADVERTISE", value_name = "ADDR")]
    advertise: Option<Advertise>,
    /// PEM file of the server's certificate and of those that vouch for it, the server's own first; read again when it
    /// changes
    #[arg(long, env = "ROLLCALL_TLS_CERT", value_name = "FILE", requires = "tls_key")]
    tls_cert: Option<PathBuf>,
    /// PEM file of the certificate's private key, without a password; read again when it changes
    #[arg(long, env = "ROLLCALL_TLS_KEY", value_name = "FILE", requires = "tls_cert")]
    tls_key: Option<PathBuf>,
    /// Serve without TLS on an address that others can reach, as behind a proxy that speaks it
    #[arg(long, conflicts_with = "tls_cert")]
    allow_plaintext: bool,
}

/// Why clients could not reach a server that is set up like this, or not safely.
#[derive(Debug, thiserror::Error)]
pub(super) enum ReachError {
    /// Others on the network could read tokens.
    #[error(
        "{0} can be reached by others, and tokens would travel in clear\n\
         hint: give a certificate with --tls-cert and --tls-key; or put a proxy that speaks TLS in front and say \
         --allow-plaintext; or listen on 127.0.0.1"
    )]
    InClear(SocketAddr),
    /// The files cannot be served with.
    #[error("cannot serve with --tls-cert and --tls-key")]
    Certificate(#[from] tls::Error),
    /// Whoever followed it would find a port that speaks TLS.
    #[error("--advertise says {0}, and this server speaks TLS\nhint: say https://, or only HOST:PORT")]
    AdvertisedInClear(Address),
}

/// What `--advertise` says.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Advertise {
    address: Address,
    /// Without one, it is that of the server.
    says_scheme: bool,
}

/// Why nobody can be sent to an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
enum AdvertiseError {
    #[error(transparent)]
    Address(#[from] AddressError),
    #[error("it stands for every address of a machine: name one that clients can call")]
    EveryAddress,
    #[error("port 0 stands for any free one: name the one that clients can call")]
    AnyPort,
}

impl FromStr for Advertise {
    type Err = AdvertiseError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let address: Address = text.parse()?;
        let ip = address.host().trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>();
        if ip.is_ok_and(|ip| ip.is_unspecified()) {
            return Err(AdvertiseError::EveryAddress);
        }
        if address.port() == 0 {
            return Err(AdvertiseError::AnyPort);
        }
        Ok(Self { address, says_scheme: text.contains("://") })
    }
}

impl Advertise {
    /// The whole address, for a server that speaks by this scheme. A proxy may speak TLS for one that does not.
    fn for_scheme(&self, scheme: &str) -> Result<Address, ReachError> {
        match (self.says_scheme, self.address.is_secure(), scheme) {
            (true, true, _) | (_, false, "http") => Ok(self.address.clone()),
            (true, false, _) => Err(ReachError::AdvertisedInClear(self.address.clone())),
            (false, _, _) => Ok(self.address.by_tls()),
        }
    }
}

impl ReachFlags {
    /// Loads the certificate, and checks that what is told to clients fits.
    ///
    /// # Errors
    ///
    /// What cannot be used, or is not safe.
    pub(super) async fn transport(&self) -> Result<Transport, ReachError> {
        let transport = match (&self.tls_cert, &self.tls_key) {
            (Some(certificate), Some(key)) => {
                let settings = TlsSettings { certificate: certificate.clone(), key: key.clone() };
                Transport::tls(settings).await?
            }
            (None, _) | (_, None) if self.listen.ip().is_loopback() || self.allow_plaintext => {
                Transport::Plaintext
            }
            (None, _) | (_, None) => return Err(ReachError::InClear(self.listen)),
        };
        self.said(&transport)?;
        Ok(transport)
    }

    /// Where clients reach this server, which listens at `listening`; none when it cannot be known.
    ///
    /// # Errors
    ///
    /// What is to be said of it does not fit.
    pub(super) fn advertised(
        &self,
        transport: &Transport,
        listening: SocketAddr,
    ) -> Result<Option<Address>, ReachError> {
        Ok(self.said(transport)?.or_else(|| address_of(transport, listening)))
    }

    fn said(&self, transport: &Transport) -> Result<Option<Address>, ReachError> {
        self.advertise.as_ref().map(|advertise| advertise.for_scheme(transport.scheme())).transpose()
    }
}

/// The address of a listener, unless it listens on every address of the machine.
pub(super) fn address_of(transport: &Transport, listening: SocketAddr) -> Option<Address> {
    if listening.ip().is_unspecified() {
        return None;
    }
    format!("{}://{listening}", transport.scheme()).parse().ok()
}

/// What is wrong with the address that clients are told, where it may be right all the same.
pub(super) fn doubt(transport: &Transport, advertised: Option<&Address>) -> Option<String> {
    match advertised {
        None => Some(
            "standbys cannot name this server to clients: it listens on every address; say --advertise HOST:PORT"
                .to_owned(),
        ),
        Some(address) if !transport.is_called_by(address.host()) => Some(format!(
            "clients are told to call {address}, and the certificate is not for {}: say --advertise with a host that \
             it names",
            address.host()
        )),
        Some(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(text: &str, scheme: &str) -> Result<String, ReachError> {
        let advertise: Advertise = text.parse().unwrap_or_else(|error| panic!("{text}: {error}"));
        advertise.for_scheme(scheme).map(|address| address.to_string())
    }

    #[test]
    fn the_scheme_is_the_servers_unless_one_is_said() {
        assert_eq!(said("a.example:1", "http").unwrap(), "http://a.example:1");
        assert_eq!(said("a.example:1", "https").unwrap(), "https://a.example:1");
        assert_eq!(said("https://a.example", "https").unwrap(), "https://a.example:7420");
        assert_eq!(said("https://a.example:443", "http").unwrap(), "https://a.example:443", "by a proxy");
        assert_eq!(said("[2001:db8::7]:1", "https").unwrap(), "https://[2001:db8::7]:1");
        assert!(matches!(said("http://a.example:1", "https"), Err(ReachError::AdvertisedInClear(_))));
    }

    #[test]
    fn nobody_is_sent_nowhere() {
        for everywhere in ["0.0.0.0:7420", "[::]:7420", "https://0.0.0.0"] {
            assert_eq!(everywhere.parse::<Advertise>(), Err(AdvertiseError::EveryAddress), "{everywhere}");
        }
        assert_eq!("a.example:0".parse::<Advertise>(), Err(AdvertiseError::AnyPort));
        for text in ["", "a b", "a.example/path", "user@a.example", "ftp://a.example", "a.example:x"] {
            assert!(matches!(text.parse::<Advertise>(), Err(AdvertiseError::Address(_))), "{text}");
        }
    }

    #[test]
    fn a_listener_on_every_address_has_none_to_tell() {
        let address = |listening: &str| {
            address_of(&Transport::Plaintext, listening.parse().unwrap()).map(|address| address.to_string())
        };
        assert_eq!(address("127.0.0.1:7420").as_deref(), Some("http://127.0.0.1:7420"));
        assert_eq!(address("[::1]:7420").as_deref(), Some("http://[::1]:7420"));
        assert_eq!((address("0.0.0.0:7420"), address("[::]:7420")), (None, None));
        assert!(doubt(&Transport::Plaintext, None).is_some());
    }
}
