//! The cluster in the data folder: which version made it, and how a new one is made.

use std::collections::hash_map::RandomState;
use std::fs::{self, File};
use std::hash::BuildHasher;
use std::io;

use super::binaries::Binaries;
use super::data_dir::{DataDir, create_private};
use super::lock::Lock;
use super::{Durability, Error};

const UNFINISHED: &str = "data.tmp.";

/// The major version of the cluster, `None` when there is none yet.
pub(super) fn major(data_dir: &DataDir) -> Result<Option<u32>, Error> {
    let path = data_dir.cluster();
    match fs::symlink_metadata(&path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(source) => Err(Error::DataDir { path, source }),
        Ok(_) => {
            match fs::read_to_string(path.join("PG_VERSION")).ok().and_then(|text| text.trim().parse().ok()) {
                Some(major) => Ok(Some(major)),
                None => Err(Error::NotACluster { path }),
            }
        }
    }
}

/// Made under another name and renamed: a killed initdb leaves rubbish, never half a cluster.
pub(super) async fn create(
    data_dir: &DataDir,
    binaries: &Binaries,
    durability: Durability,
    _lock: &Lock,
) -> Result<(), Error> {
    let failed = |source| Error::DataDir { path: data_dir.path().to_path_buf(), source };
    for entry in fs::read_dir(data_dir.path()).map_err(failed)?.flatten() {
        if entry.file_name().as_encoded_bytes().starts_with(UNFINISHED.as_bytes()) {
            fs::remove_dir_all(entry.path()).map_err(failed)?;
        }
    }
    // A random name: an initdb whose parent was killed may still be writing into the one before.
    let unfinished = data_dir.path().join(format!("{UNFINISHED}{:x}", RandomState::new().hash_one(())));
    create_private(&unfinished, data_dir.account()).map_err(|reason| failed(io::Error::other(reason)))?;

    let program = binaries.folder.join("initdb");
    let mut initdb = data_dir.account().command(&program);
    initdb.arg("--pgdata").arg(&unfinished);
    initdb.args(["--username=postgres", "--auth-local=trust", "--auth-host=reject"]);
    initdb.args(["--no-locale", "--encoding=UTF8", "--no-instructions"]);
    if durability == Durability::None {
        initdb.arg("--no-sync");
    }
    let output =
        initdb.kill_on_drop(true).output().await.map_err(|source| Error::Spawn { program, source })?;
    if !output.status.success() {
        let _ = fs::remove_dir_all(&unfinished);
        let output = String::from_utf8_lossy(&output.stderr).trim_end().to_owned();
        return Err(Error::Initdb { output });
    }
    fs::rename(&unfinished, data_dir.cluster()).map_err(failed)?;
    if durability == Durability::Full {
        File::open(data_dir.path()).and_then(|folder| folder.sync_all()).map_err(failed)?;
    }
    Ok(())
}
