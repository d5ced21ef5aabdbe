//! A node id that a machine makes once and keeps.

use std::{
    fs::{self, DirBuilder, File},
    io::{self, Read, Write},
    path::{Path, PathBuf},
};

use contracts::{NodeId, limits, refusal::FieldViolation};
use uuid::Uuid;

/// Name of the file in the state folder.
const FILE: &str = "node-id";
/// Characters of the host's name that are taken over.
const PREFIX_CHARS_MAX: usize = 40;
/// Prefix when the host has no usable name.
const PREFIX_DEFAULT: &str = "node";
/// Random hexadecimal digits behind the prefix: enough to tell the clones of one machine image apart.
const SUFFIX_CHARS: usize = 8;
/// More bytes than any node id has, with its line break.
const FILE_BYTES_MAX: u64 = (limits::NODE_ID_CHARS_MAX * 4 + 2) as u64;

/// Why there is no persisted id.
#[derive(Debug, thiserror::Error)]
pub enum PersistError {
    /// The file could not be read or made.
    #[error("cannot keep a node id in {}: {source}", path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The file holds something else. It is left as it is: someone may have put it there.
    #[error("{} does not hold a node id: {violation}. Correct it or remove it", path.display())]
    Malformed {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        violation: FieldViolation,
    },
}

/// The id kept in `folder`, made from the host's name and chance if there is none yet.
///
/// Daemons that start at one time with one folder get one id: the file appears whole and only once. Two daemons that
/// are to run side by side need two folders, or two ids.
///
/// # Errors
///
/// When the file cannot be read or made, or holds something that is not a node id.
pub fn persisted(folder: &Path) -> Result<NodeId, PersistError> {
    let path = folder.join(FILE);
    let failed = |source| PersistError::Io { path: path.clone(), source };
    if let Some(id) = read(&path)? {
        return Ok(id);
    }
    make_folder(folder).map_err(failed)?;
    publish(folder, &path, &propose(&host_name())).map_err(failed)?;
    read(&path)?.ok_or_else(|| failed(io::ErrorKind::NotFound.into()))
}

fn read(path: &Path) -> Result<Option<NodeId>, PersistError> {
    let failed = |source| PersistError::Io { path: path.to_owned(), source };
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(failed(error)),
    };
    let mut text = String::new();
    file.take(FILE_BYTES_MAX).read_to_string(&mut text).map_err(failed)?;
    text.trim_end()
        .parse()
        .map(Some)
        .map_err(|violation| PersistError::Malformed { path: path.to_owned(), violation })
}

/// Puts `id` at `path` unless a file is there, which is just as well.
///
/// It is written under another name first and then linked, which fails when the name is taken: whoever sees the file
/// sees all of it, even when the machine stops in between.
fn publish(folder: &Path, path: &Path, id: &str) -> io::Result<()> {
    let draft = folder.join(format!(".{FILE}.{}", Uuid::new_v4()));
    let mut file = File::create_new(&draft)?;
    let published =
        writeln!(file, "{id}").and_then(|()| file.sync_all()).and_then(|()| fs::hard_link(&draft, path));
    fs::remove_file(&draft)?;
    match published {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        other => other,
    }
}

fn make_folder(folder: &Path) -> io::Result<()> {
    let mut builder = DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(folder)
}

fn host_name() -> String {
    fs::read_to_string("/proc/sys/kernel/hostname")
        .or_else(|_| fs::read_to_string("/etc/hostname"))
        .ok()
        .or_else(|| std::env::var("HOSTNAME").or_else(|_| std::env::var("COMPUTERNAME")).ok())
        .unwrap_or_default()
}

fn propose(host_name: &str) -> String {
    // The first label only: a full name is long, and its domain the same for the whole fleet.
    let label = host_name.trim().split('.').next().unwrap_or_default();
    let prefix: String = label
        .chars()
        .map(|character| character.to_ascii_lowercase())
        .filter(|character| character.is_ascii_alphanumeric() || *character == '-')
        .take(PREFIX_CHARS_MAX)
        .collect();
    let prefix = match prefix.trim_matches('-') {
        "" => PREFIX_DEFAULT,
        prefix => prefix,
    };
    let chance = Uuid::new_v4().simple().to_string();
    format!("{prefix}-{}", &chance[..SUFFIX_CHARS])
}

#[cfg(test)]
mod tests {
    use std::thread;

    use super::*;

    /// A folder of its own that is removed at the end.
    struct Folder(PathBuf);

    impl Folder {
        fn new() -> Self {
            Self(std::env::temp_dir().join(format!("rollcall-node-id-{}", Uuid::new_v4())))
        }
    }

    impl Drop for Folder {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    #[test]
    fn an_id_is_made_once_and_kept() {
        let folder = Folder::new();
        let nested = folder.0.join("state/rollcall");
        let made = persisted(&nested).unwrap();
        assert_eq!(persisted(&nested).unwrap(), made);
        assert_eq!(fs::read_dir(&nested).unwrap().count(), 1, "no drafts are left");
    }

    #[test]
    fn daemons_that_start_at_once_agree() {
        let folder = Folder::new();
        let ids: Vec<NodeId> = thread::scope(|scope| {
            let starts: Vec<_> = (0..16).map(|_| scope.spawn(|| persisted(&folder.0).unwrap())).collect();
            starts.into_iter().map(|start| start.join().unwrap()).collect()
        });
        assert!(ids.iter().all(|id| *id == ids[0]), "{ids:?}");
    }

    #[test]
    fn an_id_that_a_person_wrote_is_taken() {
        let folder = Folder::new();
        fs::create_dir_all(&folder.0).unwrap();
        fs::write(folder.0.join(FILE), "Büro 4\r\n").unwrap();
        assert_eq!(persisted(&folder.0).unwrap().as_str(), "Büro 4");
    }

    #[test]
    fn what_is_no_id_is_reported_and_left_alone() {
        let folder = Folder::new();
        fs::create_dir_all(&folder.0).unwrap();
        for text in ["", "two\nlines", &"x".repeat(5_000)] {
            fs::write(folder.0.join(FILE), text).unwrap();
            assert!(matches!(persisted(&folder.0), Err(PersistError::Malformed { .. })));
            assert_eq!(fs::read_to_string(folder.0.join(FILE)).unwrap(), text);
        }
        let below_a_file = folder.0.join(FILE).join("x");
        assert!(matches!(persisted(&below_a_file), Err(PersistError::Io { .. })));
    }

    #[test]
    fn a_proposal_is_the_hosts_label_and_chance() {
        for (host, prefix) in [
            ("Laptop.example.com\n", "laptop"),
            ("my_host", "myhost"),
            ("-edge-", "edge"),
            ("", "node"),
            ("日本", "node"),
        ] {
            let id = propose(host);
            assert_eq!(id.rsplit_once('-').unwrap().0, prefix, "{host}");
            assert!(id.parse::<NodeId>().is_ok());
        }
        assert!(propose(&"x".repeat(300)).len() < 60);
        assert_ne!(propose("a"), propose("a"));
    }
}
