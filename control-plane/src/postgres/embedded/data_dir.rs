//! The data folder: what is where, and whether we may use it.
//!
//! | name | what |
//! | --- | --- |
//! | `embedded-postgres.lock` | the file lock, and the sign that the folder is ours |
//! | `data/` | the cluster; `data.tmp.*` while it is made |
//! | `run/` | the socket, unless its path would be too long |
//! | `postgres.log`, `postgres.log.1` | the server's log, this one and the one before |
//!
//! As root the folder itself stays root's: only `data` and `run` belong to the server's account, which therefore
//! cannot plant a link where root writes.

use std::fs::{self, DirBuilder, Permissions};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt, lchown};
use std::path::{Path, PathBuf};

use super::Error;
use super::account::{Account, own_uid};
use super::lock::Lock;

const LOCK: &str = "embedded-postgres.lock";

/// The server names its socket after this port. It listens on no other.
pub(super) const PORT: u16 = 5432;

/// What fits into a socket address: 104 bytes on macOS, 108 on Linux, one of them for the end of the string.
const SOCKET_PATH_BYTES_MAX: usize = 103;

#[derive(Clone, Debug)]
pub(super) struct DataDir {
    path: PathBuf,
    socket_dir: PathBuf,
    account: Account,
}

impl DataDir {
    /// Makes the folder if need be, and refuses one that is someone else's before it changes anything.
    pub(super) fn open(path: &Path, account: Account) -> Result<Self, Error> {
        let failed = |source| Error::DataDir { path: path.to_path_buf(), source };
        create(path, &account).map_err(failed)?;
        let path = path.canonicalize().map_err(failed)?;
        let folder = path.metadata().map_err(failed)?;
        let uid = own_uid();
        if folder.uid() != uid {
            return Err(Error::ForeignOwner { path, owner: folder.uid(), uid });
        }
        let is_empty = fs::read_dir(&path).map_err(failed)?.next().is_none();
        if !is_empty && !path.join(LOCK).exists() {
            return Err(Error::ForeignFiles { path });
        }
        // The pid file is read line by line, and this path is one of its lines.
        if path.as_os_str().as_bytes().contains(&b'\n') {
            return Err(failed(io::Error::new(io::ErrorKind::InvalidInput, "its name has a line break")));
        }
        let mode = match &account {
            Account::Own => 0o700,
            Account::Lent { gid, .. } => {
                lchown(&path, None, Some(*gid)).map_err(failed)?;
                0o710
            }
        };
        fs::set_permissions(&path, Permissions::from_mode(mode)).map_err(failed)?;
        account.reaches(&path)?;
        let socket_dir = socket_dir(&path, &folder);
        Ok(Self { path, socket_dir, account })
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    pub(super) fn account(&self) -> &Account {
        &self.account
    }

    pub(super) fn cluster(&self) -> PathBuf {
        self.path.join("data")
    }

    pub(super) fn log(&self) -> PathBuf {
        self.path.join("postgres.log")
    }

    pub(super) fn socket_dir(&self) -> PathBuf {
        self.socket_dir.clone()
    }

    pub(super) fn socket(&self) -> PathBuf {
        self.socket_dir.join(socket_name())
    }

    /// Whoever creates a cluster here or starts a server holds this.
    pub(super) async fn lock(&self) -> Result<Lock, Error> {
        let failed = |source| Error::DataDir { path: self.path.clone(), source };
        Lock::acquire(&self.path.join(LOCK)).await.map_err(failed)
    }

    pub(super) fn create_socket_dir(&self) -> Result<(), Error> {
        let failed = |reason| Error::SocketDir { path: self.socket_dir.clone(), reason };
        create_private(&self.socket_dir, &self.account).map_err(failed)
    }

    /// Only the folder under /tmp: the one in here costs nothing and is wanted again.
    pub(super) fn remove_distant_socket_dir(&self) {
        if self.socket_dir.parent() != Some(&self.path) {
            // Another process may have started a server there by now; then the folder is not empty and stays.
            let _ = fs::remove_dir(&self.socket_dir);
        }
    }
}

fn socket_name() -> String {
    format!(".s.PGSQL.{PORT}")
}

/// Every process has to arrive at the same place, so it depends on nothing but the folder: not on TMPDIR, not on
/// the runtime folder of a login session.
fn socket_dir(path: &Path, folder: &fs::Metadata) -> PathBuf {
    let near = path.join("run");
    let socket = near.join(socket_name());
    let socket = socket.as_os_str().as_bytes();
    // The server and its clients read a comma as the end of one folder and the beginning of the next.
    if socket.len() <= SOCKET_PATH_BYTES_MAX && !socket.contains(&b',') {
        return near;
    }
    PathBuf::from(format!("/tmp/rollcall-{:x}-{:x}", folder.dev(), folder.ino()))
}

/// Parents that root makes on the way are made enterable: the server's account has to pass through them.
fn create(path: &Path, account: &Account) -> io::Result<()> {
    if path.is_dir() {
        return Ok(());
    }
    if let Some(parent) = path.parent().filter(|parent| !parent.as_os_str().is_empty()) {
        create(parent, account)?;
    }
    match fs::create_dir(path) {
        Ok(()) => match account {
            Account::Own => fs::set_permissions(path, Permissions::from_mode(0o700)),
            Account::Lent { .. } => fs::set_permissions(path, Permissions::from_mode(0o755)),
        },
        Err(_) if path.is_dir() => Ok(()),
        Err(error) => Err(error),
    }
}

/// A folder that only `account` may enter. In /tmp anyone may have put something under its name, so what is there
/// is looked at before it is trusted.
pub(super) fn create_private(path: &Path, account: &Account) -> Result<(), String> {
    let text = |error: io::Error| error.to_string();
    match DirBuilder::new().mode(0o700).create(path) {
        Ok(()) => {}
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
        Err(error) => return Err(text(error)),
    }
    let found = fs::symlink_metadata(path).map_err(text)?;
    if !found.is_dir() {
        return Err("it is not a folder".to_owned());
    }
    if found.uid() == own_uid() {
        fs::set_permissions(path, Permissions::from_mode(0o700)).map_err(text)?;
        if let Account::Lent { uid, gid, .. } = account {
            lchown(path, Some(*uid), Some(*gid)).map_err(text)?;
        }
        return Ok(());
    }
    match account {
        Account::Lent { uid, .. } if found.uid() == *uid && found.mode() & 0o077 == 0 => Ok(()),
        Account::Lent { .. } | Account::Own => Err(format!("it belongs to uid {}", found.uid())),
    }
}
