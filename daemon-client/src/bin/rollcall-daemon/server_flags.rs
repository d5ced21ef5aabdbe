//! Which servers, and the right to call them: the flags that every program of this crate has.

use std::{error::Error, path::PathBuf};

use clap::{Args, CommandFactory, error::ErrorKind};
use daemon_client::{Addresses, Token, Trust};

use crate::flags::Flags;

// There is no `Debug`: it would show the token.
#[derive(Args)]
pub(crate) struct ServerFlags {
    /// Addresses of the control plane, comma-separated: the active server and its standbys, in any order, all http:// or
    /// all https://.
    #[arg(long, value_name = "URL[,URL]", env = "ROLLCALL_ADDR", default_value = "http://127.0.0.1:7420")]
    pub(crate) addr: Addresses,

    /// Token that says who owns the node. Better set in the environment: others on this machine can read flags.
    // Kept as text and parsed later, for clap shows a value that it cannot parse.
    #[arg(
        long,
        value_name = "TOKEN",
        env = "ROLLCALL_TOKEN",
        hide_env_values = true,
        conflicts_with = "token_file"
    )]
    token: Option<String>,

    /// File that holds the token, in place of --token. Read again when it changes; a renewed token is put there. While
    /// there is no valid token in it, one is waited for.
    #[arg(long, value_name = "FILE", env = "ROLLCALL_TOKEN_FILE")]
    pub(crate) token_file: Option<PathBuf>,

    /// PEM file of the certificates that https:// servers are checked by, in place of those of the system.
    #[arg(long, value_name = "FILE", env = "ROLLCALL_CA_CERT")]
    ca_cert: Option<PathBuf>,

    /// Name that the certificates of https:// servers must have, in place of the host of the address.
    #[arg(long, value_name = "NAME", env = "ROLLCALL_TLS_SERVER_NAME")]
    tls_server_name: Option<String>,
}

impl ServerFlags {
    /// The token that was given as such.
    pub(crate) fn token(&self) -> Result<Option<Token>, clap::Error> {
        self.token.as_deref().map(Token::parse).transpose().map_err(|error| wrong("--token", &error))
    }

    pub(crate) fn trust(&self) -> Result<Trust, clap::Error> {
        let trust = match &self.ca_cert {
            Some(file) => Trust::of_file(file).map_err(|error| wrong("--ca-cert", &error))?,
            None => Trust::of_system(),
        };
        match &self.tls_server_name {
            Some(name) => trust.expecting(name).map_err(|error| wrong("--tls-server-name", &error)),
            None => Ok(trust),
        }
    }
}

pub(crate) fn missing(what: &str) -> clap::Error {
    Flags::command().error(ErrorKind::MissingRequiredArgument, what)
}

/// A value that cannot be used, with the causes: an error about a file leaves why to them.
pub(crate) fn wrong(flag: &str, error: &dyn Error) -> clap::Error {
    let mut text = format!("{flag}: {error}");
    let mut cause = error.source();
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    Flags::command().error(ErrorKind::ValueValidation, text)
}
