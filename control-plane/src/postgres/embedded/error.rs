//! Why there is no server, and what to do about it: every text ends in something the reader can do.

use std::io;
use std::path::PathBuf;

#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    #[error(
        "no place for the database: neither XDG_DATA_HOME nor HOME is set; set one, or name a data folder"
    )]
    NoHome,

    #[error(
        "running as root, and /etc/passwd has neither `postgres` nor `nobody`, one of which Postgres must run as; \
         add one (`useradd --system postgres`), or run as an ordinary user"
    )]
    NoAccount,

    #[error("cannot use the data folder {}: {source}; make it writable, or choose another one", path.display())]
    DataDir { path: PathBuf, source: io::Error },

    #[error(
        "the data folder {} belongs to uid {owner} and this process runs as uid {uid}; run as its owner, or \
         choose another folder",
        path.display()
    )]
    ForeignOwner { path: PathBuf, owner: u32, uid: u32 },

    #[error(
        "the folder {} holds files that are not a database of ours; nothing was changed: choose an empty or a new \
         folder",
        path.display()
    )]
    ForeignFiles { path: PathBuf },

    #[error(
        "{} is not a Postgres cluster (it has no readable PG_VERSION); nothing was changed: move it away to start \
         afresh, or choose another data folder",
        path.display()
    )]
    NotACluster { path: PathBuf },

    #[error(
        "Postgres runs as `{account}`, which may not enter {}; allow it (`chmod o+x`), or choose a data folder \
         outside",
        closed.display()
    )]
    Unreachable { account: String, closed: PathBuf },

    #[error("cannot use the socket folder {}: {reason}; remove it, or choose a data folder with a shorter path", path.display())]
    SocketDir { path: PathBuf, reason: String },

    #[error("PG_BIN is {}, which is not usable: {reason}; correct it, or unset it", path.display())]
    PgBin { path: PathBuf, reason: String },

    #[error("there is no PostgreSQL 15 or newer here: {fix} (tried: {})", list(tried))]
    NoBinaries { tried: Vec<String>, fix: String },

    #[error(
        "the database in {} was made by PostgreSQL {cluster}, and what is here is {}; {fix}, or choose another \
         data folder",
        path.display(),
        list(found)
    )]
    VersionMismatch { path: PathBuf, cluster: u32, found: Vec<String>, fix: String },

    #[error("cannot run {}: {source}; check that it is there and executable", program.display())]
    Spawn { program: PathBuf, source: io::Error },

    #[error("initdb failed; correct what it says:\n{output}")]
    Initdb { output: String },

    #[error("Postgres did not start ({status}); correct what its log {} says:\n{lines}", log.display())]
    Exited { status: String, log: PathBuf, lines: String },

    #[error(
        "Postgres was not ready within {seconds} s; see its log {}, and stop what keeps it:\n{lines}",
        log.display()
    )]
    NotReady { seconds: u64, log: PathBuf, lines: String },

    #[error(
        "process {pid} serves this data folder, but not on {}; stop it (`kill -INT {pid}`) and try again",
        socket.display()
    )]
    Deaf { pid: u32, socket: PathBuf },

    #[error(
        "Postgres is gone ({end}) and {attempts} attempts did not bring it back{}",
        last_error.as_ref().map(|error| format!("; the last one: {error}")).unwrap_or_default()
    )]
    KeepsDying { attempts: usize, end: String, last_error: Option<Box<Error>> },
}

fn list(facts: &[String]) -> String {
    if facts.is_empty() { "nothing".to_owned() } else { facts.join("; ") }
}
