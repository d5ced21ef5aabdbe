//! Who a program runs as: whoever runs the tests, or, when that is root, somebody without rights.

use std::{
    fs,
    os::unix::{
        fs::{PermissionsExt, chown},
        process::CommandExt,
    },
    path::{Path, PathBuf},
    process::Command,
};

use rustix::process::geteuid;

use super::{Place, database};

const NOBODY: u32 = 65_534;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Account {
    Own,
    Nobody,
}

fn is_root() -> bool {
    geteuid().is_root()
}

/// Whether the test can act as two accounts; says on stderr when it cannot.
pub(crate) fn only_as_root() -> bool {
    if !is_root() {
        eprintln!("skipped: it takes root to act as two accounts");
    }
    is_root()
}

impl Account {
    /// An account that Postgres itself runs as: root is not one.
    pub(crate) fn ordinary() -> Self {
        if is_root() { Self::Nobody } else { Self::Own }
    }

    pub(crate) fn uid(self) -> u32 {
        match self {
            Self::Own => geteuid().as_raw(),
            Self::Nobody => NOBODY,
        }
    }

    /// Gives this account a folder or file.
    pub(crate) fn give(self, path: &Path) {
        chown(path, Some(self.uid()), None).unwrap();
    }

    /// Lets a command run as this account.
    pub(super) fn lend(self, command: &mut Command, place: &Place) {
        if self == Self::Own {
            return;
        }
        let home = place.join("home");
        if !home.exists() {
            fs::create_dir(&home).unwrap();
            self.give(&home);
        }
        command.uid(NOBODY).gid(NOBODY).env("HOME", home);
        // Root's cache: where Postgres has to be fetched, that is done by root, and once.
        database::fetch_if_there_is_none();
        command.env("XDG_CACHE_HOME", "/var/cache");
    }

    /// The program, where this account can run it: a checkout may lie in a home that is closed to others.
    pub(super) fn program(self, place: &Place) -> PathBuf {
        let built = PathBuf::from(env!("CARGO_BIN_EXE_rollcall"));
        let is_open = |path: &Path| fs::metadata(path).is_ok_and(|found| found.permissions().mode() & 1 == 1);
        if self == Self::Own || built.ancestors().all(is_open) {
            return built;
        }
        let copy = place.join("rollcall");
        if !copy.exists() {
            fs::copy(&built, &copy).unwrap();
            fs::set_permissions(&copy, fs::Permissions::from_mode(0o755)).unwrap();
        }
        copy
    }
}
