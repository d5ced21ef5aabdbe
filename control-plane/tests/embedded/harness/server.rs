//! A server under test, and the command line that talks to it.

use std::{
    ffi::OsStr,
    io::{Read, Write},
    net::{SocketAddr, TcpStream},
    path::Path,
    process::Command,
    time::Duration,
};

use rustix::process::Signal;
use serde_json::Value;

use super::{Account, Ended, Place, Running, eventually, rollcall, run};

/// `rollcall dev` on this data folder and a free port.
pub(crate) fn dev(account: Account, place: &Place, data_dir: impl AsRef<OsStr>) -> Command {
    let mut command = rollcall(account, place, &["dev", "--listen", "127.0.0.1:0", "--data-dir"]);
    command.arg(data_dir);
    command
}

/// A running `rollcall dev` or `rollcall serve`; killed when dropped.
#[derive(Debug)]
pub(crate) struct Server {
    pub(crate) running: Running,
    pub(crate) address: SocketAddr,
    pub(crate) token: String,
}

impl Server {
    /// Starts `rollcall dev`, and waits for the lines to paste; gives how it ended if they do not come.
    pub(crate) fn try_dev(command: Command) -> Result<Self, Ended> {
        let mut running = Running::start(command);
        eventually("the two lines to paste, or the end", || {
            running.stdout().lines().count() >= 2 || running.has_ended()
        });
        let stdout = running.stdout();
        let exported = |name: &str| {
            let line = stdout.lines().find_map(|line| line.strip_prefix("export ")?.strip_prefix(name));
            line.and_then(|line| line.strip_prefix('=')).map(str::to_owned)
        };
        match (exported("ROLLCALL_ADDR"), exported("ROLLCALL_TOKEN")) {
            (Some(address), Some(token)) => {
                let address = address.strip_prefix("http://").unwrap().parse().unwrap();
                Ok(Self { running, address, token })
            }
            _ => Err(running.wait()),
        }
    }

    #[track_caller]
    pub(crate) fn dev(account: Account, place: &Place, data_dir: &Path) -> Self {
        Self::try_dev(dev(account, place, data_dir)).unwrap()
    }

    /// Starts `rollcall serve`, and waits until it says where it listens; gives how it ended if it does not.
    /// The token is for its clients.
    pub(crate) fn try_serve(command: Command, token: &str) -> Result<Self, Ended> {
        let mut running = Running::start(command);
        let mut address = None;
        eventually("the address it listens on, or the end", || {
            address = listens_on(&running.stderr());
            address.is_some() || running.has_ended()
        });
        match address {
            Some(address) => Ok(Self { running, address, token: token.to_owned() }),
            None => Err(running.wait()),
        }
    }

    /// The answer to `/health/active`: 200 on the active server, 503 on a standby, nothing where nobody listens.
    pub(crate) fn active_status(&self) -> Option<u16> {
        http_status(self.address, "/health/active")
    }

    pub(crate) fn await_active(&self) {
        eventually("it is active", || self.active_status() == Some(200));
    }

    pub(crate) fn await_standby(&self) {
        eventually("it stands by", || self.active_status() == Some(503));
    }

    /// The command line with what this server printed to paste.
    pub(crate) fn client(&self, place: &Place, arguments: &[&str]) -> Ended {
        self.client_with(place, &self.token, arguments)
    }

    /// The command line with another token.
    pub(crate) fn client_with(&self, place: &Place, token: &str, arguments: &[&str]) -> Ended {
        let mut command = rollcall(Account::Own, place, arguments);
        command.env("ROLLCALL_ADDR", format!("http://{}", self.address)).env("ROLLCALL_TOKEN", token);
        run(command)
    }

    /// Makes a session and gives its id.
    #[track_caller]
    pub(crate) fn create_session(&self, place: &Place, name: &str) -> String {
        self.client(place, &["session", "create", "--name", name]).succeeded().stdout.trim().to_owned()
    }

    /// The ids of all sessions, in order.
    #[track_caller]
    pub(crate) fn sessions(&self, place: &Place) -> Vec<String> {
        let listed = self.client(place, &["session", "list", "--json"]).succeeded().stdout;
        let listed: Value = serde_json::from_str(&listed).unwrap();
        let id = |session: &Value| session["session_id"].as_str().unwrap().to_owned();
        let mut ids: Vec<String> = listed["sessions"].as_array().unwrap().iter().map(id).collect();
        ids.sort();
        ids
    }

    /// Ends it as an operator does.
    #[track_caller]
    pub(crate) fn stop(self) -> Ended {
        self.running.signal(Signal::TERM);
        self.running.wait().succeeded()
    }
}

fn listens_on(log: &str) -> Option<SocketAddr> {
    let mut lines = log.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    lines.find(|line| line["message"] == "listening")?["address"].as_str()?.parse().ok()
}

/// The status of a GET, none when nobody answers.
pub(crate) fn http_status(address: SocketAddr, path: &str) -> Option<u16> {
    let limit = Duration::from_secs(5);
    let mut stream = TcpStream::connect_timeout(&address, limit).ok()?;
    stream.set_read_timeout(Some(limit)).ok()?;
    write!(stream, "GET {path} HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n\r\n").ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).ok()?;
    answer.strip_prefix("HTTP/1.1 ")?.get(..3)?.parse().ok()
}
