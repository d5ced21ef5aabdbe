//! Starting, watching and stopping the server process.

use std::ffi::OsString;
use std::path::Path;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio::process::Child;
use tokio::time::{Instant, sleep, timeout};

use super::binaries::Binaries;
use super::data_dir::{DataDir, PORT};
use super::lock::Lock;
use super::log::Log;
use super::postmaster::{self, Postmaster};
use super::watchdog::Watchdog;
use super::{Durability, Error, Settings};

const POLL: Duration = Duration::from_millis(5);

/// How often a process that reuses a server looks whether it is still there.
const WATCH: Duration = Duration::from_millis(200);

/// Long, because recovery after a crash replays up to `max_wal_size`.
const READY_LIMIT: Duration = Duration::from_mins(2);

/// A ready server whose socket refuses us this long is not going to accept.
const DEAF_LIMIT: Duration = Duration::from_secs(3);

const SHUTDOWN_LIMIT: Duration = Duration::from_secs(30);

/// After a crash the children of the dead server may hold its shared memory for a moment, which ends the next
/// server at once.
const PAUSES_AFTER_CRASH: [Duration; 5] = [
    Duration::from_millis(50),
    Duration::from_millis(100),
    Duration::from_millis(200),
    Duration::from_millis(500),
    Duration::from_secs(1),
];

#[derive(Debug)]
pub(super) enum Server {
    /// Started by this process, which therefore stops it.
    Own(Box<Own>),
    /// Started by another process.
    Reused,
}

#[derive(Debug)]
pub(super) struct Own {
    child: Child,
    watchdog: Watchdog,
}

/// The server that is already there, if any; one that is starting or stopping is waited for.
pub(super) async fn running(data_dir: &DataDir) -> Result<Option<u32>, Error> {
    let began = Instant::now();
    loop {
        match look(data_dir)? {
            Postmaster::Absent | Postmaster::Dead { .. } => return Ok(None),
            Postmaster::Ready { pid } => {
                let socket = data_dir.socket();
                if answers(&socket).await {
                    return Ok(Some(pid));
                }
                if began.elapsed() > DEAF_LIMIT {
                    return Err(Error::Deaf { pid, socket });
                }
            }
            Postmaster::Changing if began.elapsed() > READY_LIMIT => {
                return Err(not_ready(&Log::of_another(&data_dir.log())));
            }
            Postmaster::Changing => {}
        }
        sleep(POLL).await;
    }
}

/// A connection proves nothing: the kernel accepts it for a server that is hung or being killed. So the server is
/// asked whether it speaks TLS, which takes no more than this and which it answers (no) with one byte.
async fn answers(socket: &Path) -> bool {
    const TLS_REQUEST: [u8; 8] = [0, 0, 0, 8, 0x04, 0xd2, 0x16, 0x2f];
    let question = async {
        let mut stream = UnixStream::connect(socket).await?;
        stream.write_all(&TLS_REQUEST).await?;
        stream.read_u8().await
    };
    timeout(DEAF_LIMIT, question).await.is_ok_and(|answer| answer.is_ok())
}

pub(super) async fn start(
    data_dir: &DataDir,
    binaries: &Binaries,
    settings: &Settings,
    _lock: &Lock,
) -> Result<Server, Error> {
    data_dir.create_socket_dir()?;
    let mut pauses = PAUSES_AFTER_CRASH.iter();
    loop {
        let (crashed, in_the_way) = match look(data_dir)? {
            Postmaster::Dead { pid, pid_in_use } => (true, pid_in_use.then_some(pid)),
            Postmaster::Absent | Postmaster::Changing | Postmaster::Ready { .. } => (false, None),
        };
        let error = match attempt(data_dir, binaries, settings, in_the_way).await {
            Err(error @ Error::Exited { .. }) if crashed => error,
            outcome => return outcome,
        };
        let Some(pause) = pauses.next() else {
            return Err(error);
        };
        tracing::debug!(%error, "trying again, for the server before crashed");
        sleep(*pause).await;
    }
}

async fn attempt(
    data_dir: &DataDir,
    binaries: &Binaries,
    settings: &Settings,
    in_the_way: Option<u32>,
) -> Result<Server, Error> {
    let cluster = data_dir.cluster();
    let failed = |source| Error::DataDir { path: data_dir.log(), source };
    let (file, log) = Log::open(&data_dir.log()).map_err(failed)?;
    let program = binaries.folder.join("postgres");
    let mut postgres = data_dir.account().command(&program);
    postgres.arg("-D").arg(&cluster).args(arguments(data_dir, settings));
    postgres.stdout(file.try_clone().map_err(failed)?).stderr(file);
    if let Some(pid) = in_the_way {
        // The variable with which pg_ctl tells the server about the shell it runs in: a process of this number is
        // not taken for another server. The check on the shared memory, which is the one that counts, remains.
        postgres.env("PG_GRANDPARENT_PID", pid.to_string());
    }
    let mut child = postgres.spawn().map_err(|source| Error::Spawn { program, source })?;
    let Some(pid) = child.id() else {
        return Err(exited(&log, "at once"));
    };
    // From here on dropping the watchdog, as a cancelled start does, stops the server.
    let watchdog = Watchdog::start(data_dir.account(), &cluster.join("postmaster.pid"), pid)?;
    let began = Instant::now();
    loop {
        if let Some(status) = child.try_wait().map_err(failed)? {
            watchdog.stand_down().await;
            return Err(exited(&log, &status.to_string()));
        }
        if look(data_dir)? == (Postmaster::Ready { pid }) {
            return Ok(Server::Own(Box::new(Own { child, watchdog })));
        }
        if began.elapsed() > READY_LIMIT {
            return Err(not_ready(&log));
        }
        sleep(POLL).await;
    }
}

/// The last value of a parameter counts: first what may be changed, then what the caller changes, then what keeps
/// the server private.
fn arguments(data_dir: &DataDir, settings: &Settings) -> Vec<OsString> {
    let mut parameters = vec![("max_connections", "200"), ("max_wal_size", "4GB")];
    match settings.durability {
        Durability::Full => parameters.push(("shared_buffers", "256MB")),
        Durability::None => parameters.extend([
            ("shared_buffers", "128MB"),
            ("fsync", "off"),
            ("synchronous_commit", "off"),
            ("full_page_writes", "off"),
        ]),
    }
    parameters.extend(settings.parameters.iter().map(|(name, value)| (name.as_str(), value.as_str())));
    let port = PORT.to_string();
    parameters.extend([("listen_addresses", ""), ("port", &port), ("unix_socket_permissions", "0700")]);
    // The server's own collector would take the log elsewhere.
    parameters.push(("logging_collector", "off"));

    let mut sockets = OsString::from("unix_socket_directories=");
    sockets.push(data_dir.socket_dir());
    parameters
        .into_iter()
        .map(|(name, value)| OsString::from(format!("{name}={value}")))
        .chain([sockets])
        .flat_map(|parameter| [OsString::from("-c"), parameter])
        .collect()
}

impl Server {
    /// Returns when the server is no more, with the manner of its end.
    pub(super) async fn ended(&mut self, data_dir: &DataDir) -> String {
        match self {
            Self::Own(own) => match own.child.wait().await {
                Ok(status) => status.to_string(),
                Err(error) => error.to_string(),
            },
            Self::Reused => loop {
                match postmaster::look(&data_dir.cluster()) {
                    Ok(Postmaster::Ready { .. } | Postmaster::Changing) => sleep(WATCH).await,
                    Ok(Postmaster::Absent) => {
                        break "another process had started it, and it was stopped".to_owned();
                    }
                    Ok(Postmaster::Dead { pid, .. }) => break format!("process {pid} died"),
                    Err(error) => break error.to_string(),
                }
            },
        }
    }

    pub(super) async fn stop(self, data_dir: &DataDir) {
        let Self::Own(own) = self else {
            return;
        };
        let Own { mut child, watchdog } = *own;
        for signal in [Signal::INT, Signal::QUIT, Signal::KILL] {
            send(&child, signal);
            if timeout(SHUTDOWN_LIMIT, child.wait()).await.is_ok() {
                break;
            }
            tracing::warn!(?signal, "Postgres has not stopped within {SHUTDOWN_LIMIT:?}");
        }
        watchdog.stand_down().await;
        data_dir.remove_distant_socket_dir();
    }
}

/// A child that is not yet waited for keeps its number, so this reaches nobody else.
fn send(child: &Child, signal: Signal) {
    let pid = child.id().and_then(|pid| i32::try_from(pid).ok()).and_then(Pid::from_raw);
    if let Some(pid) = pid {
        // It may have ended by itself.
        let _ = kill_process(pid, signal);
    }
}

fn look(data_dir: &DataDir) -> Result<Postmaster, Error> {
    let path = data_dir.cluster();
    postmaster::look(&path).map_err(|source| Error::DataDir { path, source })
}

fn exited(log: &Log, status: &str) -> Error {
    Error::Exited { status: status.to_owned(), log: log.path().to_path_buf(), lines: log.last_lines() }
}

fn not_ready(log: &Log) -> Error {
    Error::NotReady { seconds: READY_LIMIT.as_secs(), log: log.path().to_path_buf(), lines: log.last_lines() }
}
