//! What a client checks a server by.

use std::{path::Path, time::Duration};

use tokio_rustls::rustls::pki_types::ServerName;
use tonic::transport::{ClientTlsConfig, Endpoint};

use crate::{error::Error, roots::Roots};

/// Time for a handshake, of an endpoint that has no connect timeout.
const HANDSHAKE_DEADLINE: Duration = Duration::from_secs(5);

/// Whom a client trusts, and by which name. Read once, used for each connection; clones share what was read.
#[derive(Clone, Debug)]
pub struct Trust {
    roots: Roots,
    server_name: Option<String>,
}

impl Trust {
    /// Trusts whom the system trusts.
    pub fn of_system() -> Self {
        Self { roots: Roots::system(), server_name: None }
    }

    /// Trusts the certificates in a PEM file, and nobody else.
    ///
    /// # Errors
    ///
    /// The file cannot be read, or has something else in it.
    pub fn of_file(path: &Path) -> Result<Self, Error> {
        Ok(Self { roots: Roots::of_file(path)?, server_name: None })
    }

    /// Expects `name` in the certificates of all servers, and not the host that was called: for proxies, and for servers
    /// that are called by their address.
    ///
    /// # Errors
    ///
    /// No certificate can have the name.
    pub fn expecting(self, name: &str) -> Result<Self, Error> {
        ServerName::try_from(name).map_err(|_| Error::ServerName(name.to_owned()))?;
        Ok(Self { server_name: Some(name.to_owned()), ..self })
    }

    /// Makes an `https://` endpoint check its server, and leaves any other as it is. The handshake gets the endpoint's
    /// connect timeout, which is to be set before: by itself that ends with the TCP connection.
    ///
    /// # Errors
    ///
    /// The system trusts nobody, or the host of the endpoint is no name that a certificate could have.
    pub fn secure(&self, endpoint: Endpoint) -> Result<Endpoint, Error> {
        if endpoint.uri().scheme_str() != Some("https") {
            return Ok(endpoint);
        }
        let deadline = endpoint.get_connect_timeout().unwrap_or(HANDSHAKE_DEADLINE);
        let mut config = ClientTlsConfig::new().timeout(deadline);
        if let Some(name) = &self.server_name {
            config = config.domain_name(name);
        }
        endpoint
            .tls_config_with_verifier(config, self.roots.verifier()?)
            .map_err(|error| Error::Unsupported(error.into()))
    }
}

impl Default for Trust {
    fn default() -> Self {
        Self::of_system()
    }
}
