//! The files of a replica: their names, the lock, and putting aside what cannot be used.

use std::{
    fs::{self, DirBuilder, File, TryLockError},
    io,
    path::{Path, PathBuf},
};

use super::OpenError;

const FILE: &str = "replica.db";
const LOCK: &str = "replica.lock";
/// What SQLite keeps beside its file.
const COMPANIONS: [&str; 2] = ["-wal", "-shm"];
/// Files of a kind that are put aside at most. Who has so many has a fault that a further one would not mend.
const PUT_ASIDE_MAX: u32 = 8;

/// The folder of a replica.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Folder(PathBuf);

/// Held by the one writer. The system lets go of it when its process ends, however it ends.
#[derive(Debug)]
pub(super) struct Lock {
    file: File,
}

impl Drop for Lock {
    fn drop(&mut self) {
        // Closing the file alone would leave the lock to a process that is just being started, which has the file too
        // until it runs a program of its own. Where this fails, closing it is what is left.
        let _ = self.file.unlock();
    }
}

/// Why a file is put aside.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Why {
    /// It is not what was written.
    Damaged,
    /// It follows another history than the server, which the application wants to follow.
    Foreign,
}

impl Folder {
    pub(crate) fn new(path: impl Into<PathBuf>) -> Self {
        Self(path.into())
    }

    pub(crate) fn file(&self) -> PathBuf {
        self.0.join(FILE)
    }

    /// Makes the folder if it is not there, readable by nobody else, and takes the lock.
    pub(super) fn lock(&self) -> Result<Lock, OpenError> {
        let failed = |error: io::Error| OpenError::Failed(format!("{}: {error}", self.0.display()));
        let mut builder = DirBuilder::new();
        builder.recursive(true);
        #[cfg(unix)]
        std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
        builder.create(&self.0).map_err(failed)?;
        let options = File::options().read(true).write(true).create(true).truncate(false).to_owned();
        let file = options.open(self.0.join(LOCK)).map_err(failed)?;
        match file.try_lock() {
            Ok(()) => Ok(Lock { file }),
            Err(TryLockError::WouldBlock) => Err(OpenError::InUse),
            Err(TryLockError::Error(error)) => Err(failed(error)),
        }
    }

    /// Renames the file, with what SQLite keeps beside it, so that a new one can begin. Gives the new name.
    pub(crate) fn put_aside(&self, why: Why) -> Result<PathBuf, OpenError> {
        let _lock = self.lock()?;
        let word = match why {
            Why::Damaged => "damaged",
            Why::Foreign => "foreign",
        };
        let names = (1..=PUT_ASIDE_MAX).map(|number| self.0.join(format!("{FILE}.{word}-{number}")));
        // A crash in the middle of this may have left a companion under a name that has no file.
        let mut free = names.filter(|name| !name.exists() && !with(name, COMPANIONS[0]).exists());
        let Some(name) = free.next() else {
            let rule =
                format!("{PUT_ASIDE_MAX} {word} files were put aside already: look at them and remove them");
            return Err(OpenError::Failed(rule));
        };
        // The companions first: without its log a file would be older than it is, and a new one must not find it.
        for companion in COMPANIONS {
            rename(&with(&self.file(), companion), &with(&name, companion))?;
        }
        rename(&self.file(), &name)?;
        Ok(name)
    }

    /// The files that were put aside, for people.
    pub(crate) fn put_aside_files(&self) -> Vec<PathBuf> {
        let words = ["damaged", "foreign"];
        let names = words.iter().flat_map(|word| {
            (1..=PUT_ASIDE_MAX).map(move |number| self.0.join(format!("{FILE}.{word}-{number}")))
        });
        names.filter(|name| name.exists()).collect()
    }
}

fn with(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

fn rename(from: &Path, to: &Path) -> Result<(), OpenError> {
    match fs::rename(from, to) {
        Ok(()) => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(OpenError::Failed(format!("{}: {error}", from.display()))),
    }
}
