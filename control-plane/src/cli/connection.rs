//! The flags that every verb shares: which server, with which token, for how long.

use std::{path::PathBuf, time::Duration};

use clap::builder::{OsStringValueParser, TypedValueParser};

use crate::cli::{
    address::Address,
    credential::{Credential, Token},
    failure::Failure,
    servers::Servers,
};

const TIMEOUT_MAX: Duration = Duration::from_secs(24 * 60 * 60);

/// How to reach the servers.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Connection")]
pub(crate) struct ConnectionArguments {
    /// Server to call; several, separated by commas, are tried in turn
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

    /// How long to try each call before giving up, such as `10s` or `1m`
    #[arg(long, global = true, value_name = "DURATION", default_value = "10s", value_parser = timeout)]
    timeout: Duration,
}

impl ConnectionArguments {
    /// The servers, none of them called yet.
    pub(crate) fn servers(self) -> Result<Servers, Failure> {
        let credential = Credential::of(self.token, self.token_file)?;
        Ok(Servers::new(self.addr, credential, self.timeout))
    }

    /// The servers, for the one call that shows no token; one that is set and does not work is no hindrance.
    pub(crate) fn servers_without_token(self) -> Servers {
        Servers::new(self.addr, Credential::None, self.timeout)
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
