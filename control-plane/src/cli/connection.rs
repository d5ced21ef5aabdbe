//! The flags that every verb shares: which server, with which token, for how long.

use std::{path::PathBuf, time::Duration};

use clap::builder::{OsStringValueParser, TypedValueParser};
use client_tls::Trust;

use crate::{
    cli::{
        address::Address,
        credential::{Credential, Token},
        failure::Failure,
        servers::Servers,
    },
    failure::chain,
};

const TIMEOUT_MAX: Duration = Duration::from_secs(24 * 60 * 60);

/// How to reach the servers, and whom to take for one.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Connection")]
pub(crate) struct ConnectionArguments {
    /// Server to call; several, separated by commas, are tried in turn, all http:// or all https://
    #[arg(
        long,
        global = true,
        value_name = "ADDRESS",
        env = "ROLLCALL_ADDR",
        value_delimiter = ',',
        default_value = "http://127.0.0.1:7420"
    )]
    addr: Vec<Address>,

    /// Token to show to the server, as `rollcall dev` printed it
    #[arg(long, global = true, value_name = "TOKEN", env = "ROLLCALL_TOKEN", hide_env_values = true)]
    token: Option<Token>,

    /// File that holds the token, read at each call; instead of --token
    #[arg(
        long,
        global = true,
        value_name = "FILE",
        env = "ROLLCALL_TOKEN_FILE",
        value_parser = OsStringValueParser::new().map(PathBuf::from)
    )]
    token_file: Option<PathBuf>,

    /// PEM file of the certificates that https:// servers are checked by, in place of those of the system
    #[arg(
        long,
        global = true,
        value_name = "FILE",
        env = "ROLLCALL_CA_CERT",
        value_parser = OsStringValueParser::new().map(PathBuf::from)
    )]
    ca_cert: Option<PathBuf>,

    /// Name that the certificates of https:// servers must have, in place of the host of the address
    #[arg(long, global = true, value_name = "NAME", env = "ROLLCALL_TLS_SERVER_NAME")]
    tls_server_name: Option<String>,

    /// How long to try each call before giving up, such as `10s` or `1m`
    #[arg(long, global = true, value_name = "DURATION", default_value = "10s", value_parser = timeout)]
    timeout: Duration,
}

impl ConnectionArguments {
    /// The servers, none of them called yet.
    pub(crate) fn servers(self) -> Result<Servers, Failure> {
        let credential = Credential::of(self.token.clone(), self.token_file.clone())?;
        self.with(credential)
    }

    /// The servers, for the one call that shows no token; one that is set and does not work is no hindrance.
    pub(crate) fn servers_without_token(self) -> Result<Servers, Failure> {
        self.with(Credential::None)
    }

    fn with(self, credential: Credential) -> Result<Servers, Failure> {
        // What one of them keeps secret, another would have sent in clear.
        if self.addr.iter().any(|address| address.is_secure() != self.addr[0].is_secure()) {
            return Err(Failure::Usage {
                message: "some addresses are https:// and some are not".to_owned(),
                hint: "give --addr or ROLLCALL_ADDR all of them as https://, or none".to_owned(),
            });
        }
        let trust = self.trust()?;
        Ok(Servers::new(self.addr, credential, trust, self.timeout))
    }

    fn trust(&self) -> Result<Trust, Failure> {
        let trust = match &self.ca_cert {
            Some(file) => Trust::of_file(file).map_err(|error| Failure::Usage {
                message: format!("--ca-cert: {}", chain(&error)),
                hint: "name a PEM file of the authority that issued the server's certificate".to_owned(),
            })?,
            None => Trust::of_system(),
        };
        let Some(name) = &self.tls_server_name else { return Ok(trust) };
        trust.expecting(name).map_err(|error| Failure::Usage {
            message: format!("--tls-server-name: {error}"),
            hint: "say a host name or an address, without a scheme and a port".to_owned(),
        })
    }
}

fn timeout(text: &str) -> Result<Duration, String> {
    let timeout = humantime::parse_duration(text).map_err(|error| error.to_string())?;
    if timeout.is_zero() || timeout > TIMEOUT_MAX {
        return Err("must be more than nothing and at most a day".to_owned());
    }
    Ok(timeout)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_timeout_is_a_bounded_duration() {
        assert_eq!(timeout("1500ms"), Ok(Duration::from_millis(1_500)));
        assert_eq!(timeout("1day"), Ok(TIMEOUT_MAX));
        for text in ["0s", "2days", "ten"] {
            assert!(timeout(text).is_err(), "{text}");
        }
    }
}
