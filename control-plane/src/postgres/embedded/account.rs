//! Who the server runs as. Postgres refuses root, so root lends it another account; an ordinary user is its own.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use tokio::process::Command;

use super::Error;

#[derive(Clone, Debug)]
pub(super) enum Account {
    /// The user who runs this process.
    Own,
    /// Another account, because this process is root.
    Lent { name: String, uid: u32, gid: u32 },
}

impl Account {
    pub(super) fn for_the_server() -> Result<Self, Error> {
        if own_uid() != 0 {
            return Ok(Self::Own);
        }
        // Read directly: both are local accounts wherever they exist, and `getent` does not.
        let passwd = fs::read_to_string("/etc/passwd").unwrap_or_default();
        ["postgres", "_postgres", "nobody"]
            .iter()
            .find_map(|name| lent(&passwd, name))
            .ok_or(Error::NoAccount)
    }

    /// A command of this account that a Ctrl-C in the terminal does not reach: the server must outlive the
    /// draining of its clients. The variables that libpq and the server read are withheld, and with a fixed time
    /// zone initdb need not search for the machine's.
    pub(super) fn command(&self, program: impl AsRef<OsStr>) -> Command {
        let mut command = Command::new(program);
        command.process_group(0).current_dir("/").stdin(Stdio::null());
        for (name, _) in std::env::vars_os().filter(|(name, _)| name.as_encoded_bytes().starts_with(b"PG")) {
            command.env_remove(name);
        }
        command.env("LC_ALL", "C").env("TZ", "UTC");
        if let Self::Lent { uid, gid, .. } = self {
            command.uid(*uid).gid(*gid);
        }
        command
    }

    /// Refuses a place whose parents shut this account out, and names the first that does.
    pub(super) fn reaches(&self, path: &Path) -> Result<(), Error> {
        let Self::Lent { name, uid, gid } = self else {
            return Ok(());
        };
        let closed = |folder: &PathBuf| {
            fs::metadata(folder).is_ok_and(|found| {
                let search = match () {
                    () if found.uid() == *uid => 0o100,
                    () if found.gid() == *gid => 0o010,
                    () => 0o001,
                };
                found.mode() & search == 0
            })
        };
        let mut parents: Vec<PathBuf> = path.ancestors().map(Path::to_path_buf).collect();
        parents.reverse();
        match parents.into_iter().find(closed) {
            Some(closed) => Err(Error::Unreachable { account: name.clone(), closed }),
            None => Ok(()),
        }
    }
}

pub(super) fn own_uid() -> u32 {
    rustix::process::geteuid().as_raw()
}

/// One line of passwd is `name:password:uid:gid:...`; macOS writes the ids of `nobody` as -2.
fn lent(passwd: &str, name: &str) -> Option<Account> {
    let line = passwd.lines().find(|line| line.split(':').next() == Some(name))?;
    let mut fields = line.split(':').skip(2);
    let mut id = || {
        let id: i64 = fields.next()?.parse().ok()?;
        u32::try_from(id).ok().or_else(|| i32::try_from(id).ok().map(i32::cast_unsigned))
    };
    Some(Account::Lent { name: name.to_owned(), uid: id()?, gid: id()? })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn passwd_lines_of_linux_and_macos_are_read() {
        let passwd =
            "root:x:0:0::/root:/bin/sh\npostgres:x:101:104::/var:/bin/sh\nnobody:*:-2:-2::/:/bin/false";
        let ids = |name| match lent(passwd, name) {
            Some(Account::Lent { uid, gid, .. }) => Some((uid, gid)),
            Some(Account::Own) | None => None,
        };
        assert_eq!(ids("postgres"), Some((101, 104)));
        assert_eq!(ids("nobody"), Some((u32::MAX - 1, u32::MAX - 1)));
        assert_eq!(ids("post"), None);
    }
}
