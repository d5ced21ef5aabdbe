//! The file of a key ring.
//!
//! It belongs to the user that runs the servers, and nobody else may read it (mode 0600 or less). Each change writes
//! a draft beside it, brings that to the disk, and renames it over the file: a reader needs no lock. Writers take one,
//! so none undoes another's change.

use std::{
    ffi::{OsStr, OsString},
    fs::{self, File, Metadata, OpenOptions},
    io::{self, Read, Write},
    os::unix::fs::{MetadataExt, OpenOptionsExt},
    path::{Path, PathBuf},
};

use rustix::process::geteuid;
use time::OffsetDateTime;
use zeroize::Zeroizing;

use super::{
    key_ring::{ChangeError, KeyRing},
    kid::Kid,
    ring_format::{self, FILE_BYTES_MAX, RingFormatError},
    ring_key::{RingKey, RingKeyError},
    ring_lock::RingLock,
};

/// Bits of a mode that let anybody but the owner in.
const OTHERS: u32 = 0o077;

/// Where a key ring is kept. All of this blocks for the length of a few file operations; a change waits up to five
/// seconds for another one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyRingFile {
    path: PathBuf,
}

/// A key ring that cannot be read or changed.
#[derive(Debug, thiserror::Error)]
pub enum KeyRingFileError {
    /// There is none.
    #[error("there is no key ring {}; make one, or name the one there is", .path.display())]
    Missing {
        /// Where it should be.
        path: PathBuf,
    },
    /// There is one already.
    #[error("{} is there already and is never overwritten; use it, or choose another name", .path.display())]
    Exists {
        /// Where it is.
        path: PathBuf,
    },
    /// A folder, a pipe or a device.
    #[error("the key ring {} is not a regular file; name one", .path.display())]
    NotAFile {
        /// Where it is.
        path: PathBuf,
    },
    /// Others could have taken the keys.
    #[error(
        "the key ring {} is open to others (mode {mode:04o}); if nobody has read it, run: chmod 600 {}; if somebody \
         may have, make a new one", .path.display(), .path.display()
    )]
    OpenToOthers {
        /// Where it is.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// Another user could change the keys.
    #[error(
        "the key ring {} belongs to user {owner} and this process runs as user {us}; run it as user {owner}, or give \
         the file to user {us}", .path.display()
    )]
    Foreign {
        /// Where it is.
        path: PathBuf,
        /// Whose it is.
        owner: u32,
        /// Who asks.
        us: u32,
    },
    /// Its text is not that of a ring.
    #[error("the key ring {} cannot be used: {source}", .path.display())]
    Format {
        /// Where it is.
        path: PathBuf,
        /// What is wrong with it.
        source: RingFormatError,
    },
    /// Another writer does not come to an end.
    #[error(
        "another process has been changing the key ring {} for seconds; try again, and look for a stuck one if that \
         fails too", .path.display()
    )]
    Busy {
        /// Where it is.
        path: PathBuf,
    },
    /// The ring refuses the change.
    #[error(transparent)]
    Change(#[from] ChangeError),
    /// No new key to be had.
    #[error("cannot make a key: {0}")]
    Key(#[from] RingKeyError),
    /// The file system refuses.
    #[error("cannot {verb} the key ring {}: {source}; make the file and its folder usable", .path.display())]
    Io {
        /// What was tried.
        verb: &'static str,
        /// Where it is.
        path: PathBuf,
        /// What came of it.
        source: io::Error,
    },
}

/// What tells one content of the file from another without reading it. A change by rename shows in the inode, one in
/// place in the times, and one of mode or owner in the time of change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Stamp {
    device: u64,
    inode: u64,
    bytes: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

impl From<&Metadata> for Stamp {
    fn from(metadata: &Metadata) -> Self {
        Self {
            device: metadata.dev(),
            inode: metadata.ino(),
            bytes: metadata.size(),
            modified: (metadata.mtime(), metadata.mtime_nsec()),
            changed: (metadata.ctime(), metadata.ctime_nsec()),
        }
    }
}

impl KeyRingFile {
    /// The key ring of this name, be it there or not.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into() }
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Makes the file, with one key that signs. Its folder must be there.
    ///
    /// # Errors
    ///
    /// Refused when there is such a file: keys are never overwritten.
    pub fn create(&self, now: OffsetDateTime) -> Result<KeyRing, KeyRingFileError> {
        let ring = KeyRing::new(RingKey::generate(now)?);
        let path = self.resolved()?;
        let _lock = self.lock(&path)?;
        let draft = self.draft(&path, &ring)?;
        // A link, unlike a rename, does not replace what is there.
        let linked = fs::hard_link(&draft, &path);
        fs::remove_file(&draft).map_err(self.failed("create"))?;
        match linked {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                return Err(KeyRingFileError::Exists { path: self.path.clone() });
            }
            Err(error) => return Err(self.failed("create")(error)),
        }
        sync_folder(&path).map_err(self.failed("bring to the disk"))?;
        Ok(ring)
    }

    /// Reads the ring.
    ///
    /// # Errors
    ///
    /// Refused when the file is missing, open to others, not ours, or no key ring.
    pub fn load(&self) -> Result<KeyRing, KeyRingFileError> {
        self.load_stamped().map(|(ring, _)| ring)
    }

    /// Reads the ring, or makes one when there is none. Of two that start at once, both get the same.
    ///
    /// # Errors
    ///
    /// As for [`Self::load`] and [`Self::create`].
    pub fn load_or_create(&self, now: OffsetDateTime) -> Result<KeyRing, KeyRingFileError> {
        match self.load() {
            Err(KeyRingFileError::Missing { .. }) => {}
            loaded => return loaded,
        }
        match self.create(now) {
            Err(KeyRingFileError::Exists { .. }) => self.load(),
            created => created,
        }
    }

    /// Adds a new key, which verifies only. Promote it when every server has read the file again.
    ///
    /// # Errors
    ///
    /// As for [`Self::load`]; refused when the ring is full.
    pub fn add_key(&self, now: OffsetDateTime) -> Result<(KeyRing, Kid), KeyRingFileError> {
        let key = RingKey::generate(now)?;
        let kid = key.kid();
        Ok((self.change(|ring| ring.with_key(key))?, kid))
    }

    /// Lets another key sign new tokens. The former one still verifies.
    ///
    /// # Errors
    ///
    /// As for [`Self::load`]; refused when there is no such key.
    pub fn promote(&self, kid: Kid) -> Result<KeyRing, KeyRingFileError> {
        self.change(|ring| ring.promote(kid))
    }

    /// Removes a key. Its tokens are refused as soon as the servers have read the file again.
    ///
    /// # Errors
    ///
    /// As for [`Self::load`]; refused for the signing key and when there is no such key.
    pub fn retire(&self, kid: Kid) -> Result<KeyRing, KeyRingFileError> {
        self.change(|ring| ring.retire(kid))
    }

    /// What tells the present content from another.
    pub(super) fn stamp(&self) -> Result<Stamp, KeyRingFileError> {
        fs::metadata(&self.path)
            .map(|metadata| Stamp::from(&metadata))
            .map_err(|error| self.unreadable(error))
    }

    /// The ring with the stamp of the very bytes it was read from.
    pub(super) fn load_stamped(&self) -> Result<(KeyRing, Stamp), KeyRingFileError> {
        let is_file = |metadata: &Metadata| {
            let refused = || KeyRingFileError::NotAFile { path: self.path.clone() };
            metadata.is_file().then_some(()).ok_or_else(refused)
        };
        // Before it is opened: opening a pipe waits for a writer.
        is_file(&fs::metadata(&self.path).map_err(|error| self.unreadable(error))?)?;
        let mut file = File::open(&self.path).map_err(|error| self.unreadable(error))?;
        let metadata = file.metadata().map_err(|error| self.unreadable(error))?;
        is_file(&metadata)?;
        self.check_access(&metadata)?;

        // One byte more than allowed, and room for all of it at once: growing would leave a copy behind.
        let mut bytes = Zeroizing::new(vec![0; FILE_BYTES_MAX + 1]);
        let mut length = 0;
        while let Some(room) = bytes.get_mut(length..).filter(|room| !room.is_empty()) {
            match file.read(room) {
                Ok(0) => break,
                Ok(read) => length += read,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(self.failed("read")(error)),
            }
        }
        bytes.truncate(length);
        let ring = ring_format::read(&bytes)
            .map_err(|source| KeyRingFileError::Format { path: self.path.clone(), source })?;
        Ok((ring, Stamp::from(&metadata)))
    }

    fn check_access(&self, metadata: &Metadata) -> Result<(), KeyRingFileError> {
        let (owner, us) = (metadata.uid(), geteuid().as_raw());
        // Root too: a change would make the file root's, and shut out the server it belongs to.
        if owner != us {
            return Err(KeyRingFileError::Foreign { path: self.path.clone(), owner, us });
        }
        let mode = metadata.mode() & 0o7777;
        if mode & OTHERS != 0 {
            return Err(KeyRingFileError::OpenToOthers { path: self.path.clone(), mode });
        }
        Ok(())
    }

    fn change(
        &self,
        change: impl FnOnce(KeyRing) -> Result<KeyRing, ChangeError>,
    ) -> Result<KeyRing, KeyRingFileError> {
        let path = self.resolved()?;
        // Without a ring there is nothing to lock, and no lock file to leave behind.
        self.stamp()?;
        let _lock = self.lock(&path)?;
        let ring = change(self.load()?)?;
        let draft = self.draft(&path, &ring)?;
        if let Err(error) = fs::rename(&draft, &path) {
            drop(fs::remove_file(&draft));
            return Err(self.failed("replace")(error));
        }
        sync_folder(&path).map_err(self.failed("bring to the disk"))?;
        Ok(ring)
    }

    fn lock(&self, path: &Path) -> Result<RingLock, KeyRingFileError> {
        RingLock::acquire(&beside(path, ".lock"))
            .map_err(self.failed("lock"))?
            .ok_or_else(|| KeyRingFileError::Busy { path: self.path.clone() })
    }

    /// The ring, on the disk, under another name. The caller holds the lock: a draft that is there already is what a
    /// crash left.
    fn draft(&self, path: &Path, ring: &KeyRing) -> Result<PathBuf, KeyRingFileError> {
        let text = ring_format::write(ring)
            .map_err(|source| KeyRingFileError::Format { path: self.path.clone(), source })?;
        let draft = beside(path, ".draft");
        match fs::remove_file(&draft) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(self.failed("draft")(error));
            }
            Ok(()) | Err(_) => {}
        }
        let written = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&draft)
            .and_then(|mut file| file.write_all(&text).and_then(|()| file.sync_all()));
        if let Err(error) = written {
            // A full disk: half a draft helps nobody. The first error is the one to tell.
            drop(fs::remove_file(&draft));
            return Err(self.failed("draft")(error));
        }
        Ok(draft)
    }

    /// The file itself behind symbolic links, so that writers who name it differently share a lock and a change
    /// replaces the file and not a link to it.
    fn resolved(&self) -> Result<PathBuf, KeyRingFileError> {
        match fs::canonicalize(&self.path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            path => return path.map_err(self.failed("find")),
        }
        let name =
            self.path.file_name().ok_or_else(|| KeyRingFileError::NotAFile { path: self.path.clone() })?;
        let folder = folder(&self.path);
        let folder = fs::canonicalize(folder).map_err(|source| KeyRingFileError::Io {
            verb: "find the folder of",
            path: self.path.clone(),
            source,
        })?;
        Ok(folder.join(name))
    }

    fn failed(&self, verb: &'static str) -> impl FnOnce(io::Error) -> KeyRingFileError {
        let path = self.path.clone();
        move |source| KeyRingFileError::Io { verb, path, source }
    }

    fn unreadable(&self, source: io::Error) -> KeyRingFileError {
        if source.kind() == io::ErrorKind::NotFound {
            return KeyRingFileError::Missing { path: self.path.clone() };
        }
        self.failed("read")(source)
    }
}

/// A rename is there after a crash only once the folder is on the disk.
fn sync_folder(path: &Path) -> io::Result<()> {
    File::open(folder(path))?.sync_all()
}

fn folder(path: &Path) -> &Path {
    path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.file_name().map_or_else(OsString::new, OsStr::to_owned);
    name.push(suffix);
    path.with_file_name(name)
}
