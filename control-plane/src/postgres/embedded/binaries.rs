//! Finds Postgres on this machine, and fetches it when there is none.

use std::collections::HashSet;
use std::env;
use std::fs;
use std::path::{Path, PathBuf};

use super::account::Account;
use super::data_dir::DataDir;
use super::fetch::{self, PROGRAMS};
use super::{Error, Progress};

const MAJOR_MIN: u32 = 15;

#[derive(Debug)]
pub(super) struct Binaries {
    pub(super) folder: PathBuf,
    pub(super) major: u32,
}

/// The first usable installation; for an existing cluster of version `cluster`, the first that matches it.
pub(super) async fn find(
    data_dir: &DataDir,
    cluster: Option<u32>,
    progress: &(impl Fn(Progress) + Sync),
) -> Result<Binaries, Error> {
    let mut search =
        Search { account: data_dir.account(), cluster, seen: HashSet::new(), passed_over: Vec::new() };
    if let Some(folder) = env::var_os("PG_BIN").map(PathBuf::from) {
        // Asked for by name, so an unusable one is an error and not passed over.
        let major = version(&folder, search.account)
            .await
            .and_then(recent)
            .map_err(|reason| Error::PgBin { path: folder.clone(), reason })?;
        if let Some(binaries) = search.consider(folder, major) {
            return Ok(binaries);
        }
    }
    if let Some(binaries) = search.installed().await {
        return Ok(binaries);
    }
    if let Some(binaries) = search.among(fetch::fetched_earlier()).await {
        return Ok(binaries);
    }
    let mut failures = Vec::new();
    for tool in fetch::tools(cluster) {
        progress(Progress::Fetching { tool });
        match fetch::fetch(tool, cluster).await {
            Ok(folders) => {
                if let Some(binaries) = search.among(folders).await {
                    return Ok(binaries);
                }
            }
            Err(reason) => {
                tracing::warn!(%tool, %reason, "fetching Postgres failed");
                failures.push(format!("{tool} failed ({reason})"));
            }
        }
    }
    Err(search.in_vain(data_dir, failures))
}

struct Search<'a> {
    account: &'a Account,
    cluster: Option<u32>,
    seen: HashSet<PathBuf>,
    passed_over: Vec<String>,
}

impl Search<'_> {
    async fn installed(&mut self) -> Option<Binaries> {
        let path = env::var_os("PATH").unwrap_or_default();
        if let Some(binaries) = self.among(env::split_paths(&path)).await {
            return Some(binaries);
        }
        if let Some(binaries) = self.among(named_by_pg_config().await).await {
            return Some(binaries);
        }
        self.among(usual_folders()).await
    }

    async fn among(&mut self, folders: impl IntoIterator<Item = PathBuf>) -> Option<Binaries> {
        for folder in folders {
            let is_candidate = folder.is_absolute() && folder.join("postgres").exists();
            let Some(true) = folder.canonicalize().ok().map(|real| is_candidate && self.seen.insert(real))
            else {
                continue;
            };
            match version(&folder, self.account).await.and_then(recent) {
                Ok(major) => {
                    if let Some(binaries) = self.consider(folder, major) {
                        return Some(binaries);
                    }
                }
                Err(reason) => self.passed_over.push(format!("{} ({reason})", folder.display())),
            }
        }
        None
    }

    fn consider(&mut self, folder: PathBuf, major: u32) -> Option<Binaries> {
        if self.cluster.is_none_or(|cluster| cluster == major) {
            return Some(Binaries { folder, major });
        }
        self.passed_over.push(format!("PostgreSQL {major} in {}", folder.display()));
        None
    }

    fn in_vain(self, data_dir: &DataDir, failures: Vec<String>) -> Error {
        let tried: Vec<String> = self.passed_over.into_iter().chain(failures).collect();
        let fix = how_to_install(self.cluster);
        match self.cluster {
            Some(cluster) => Error::VersionMismatch { path: data_dir.cluster(), cluster, found: tried, fix },
            None => Error::NoBinaries { tried, fix },
        }
    }
}

/// Asks the server program itself, as the account that will run it: a folder this account cannot reach and a
/// binary for another machine fail here, not later.
async fn version(folder: &Path, account: &Account) -> Result<u32, String> {
    if let Some(missing) = PROGRAMS.iter().find(|program| !folder.join(program).exists()) {
        return Err(format!("it has no `{missing}`"));
    }
    for program in PROGRAMS {
        account.reaches(&folder.join(program)).map_err(|error| error.to_string())?;
    }
    let output = account
        .command(folder.join("postgres"))
        .arg("--version")
        .kill_on_drop(true)
        .output()
        .await
        .map_err(|error| format!("`postgres --version`: {error}"))?;
    let text = String::from_utf8_lossy(&output.stdout);
    major(&text).ok_or_else(|| format!("`postgres --version` ended with {}", output.status))
}

fn recent(major: u32) -> Result<u32, String> {
    if major >= MAJOR_MIN {
        Ok(major)
    } else {
        Err(format!("PostgreSQL {major} is too old, {MAJOR_MIN} is needed"))
    }
}

/// From `postgres (PostgreSQL) 15.18 (Debian ...)`; a version under development reads `19devel`.
fn major(version: &str) -> Option<u32> {
    let number = version.strip_prefix("postgres (PostgreSQL) ")?;
    number.split(|c: char| !c.is_ascii_digit()).next()?.parse().ok()
}

async fn named_by_pg_config() -> Option<PathBuf> {
    let output =
        tokio::process::Command::new("pg_config").arg("--bindir").kill_on_drop(true).output().await.ok()?;
    let folder = String::from_utf8(output.stdout).ok()?;
    Some(PathBuf::from(folder.trim_end()))
}

/// Where packages put servers without putting them on the PATH; the newest first.
pub(super) fn usual_folders() -> Vec<PathBuf> {
    let mut folders = Vec::new();
    for (parent, prefix, bin) in [
        ("/usr/lib/postgresql", "", "bin"),
        ("/usr", "pgsql-", "bin"),
        ("/usr/libexec", "postgresql", ""),
        ("/opt/homebrew/opt", "postgresql@", "bin"),
        ("/usr/local/opt", "postgresql@", "bin"),
        ("/home/linuxbrew/.linuxbrew/opt", "postgresql@", "bin"),
        ("/Applications/Postgres.app/Contents/Versions", "", "bin"),
    ] {
        let mut versions: Vec<(u32, PathBuf)> = fs::read_dir(parent)
            .into_iter()
            .flatten()
            .flatten()
            .filter_map(|entry| {
                let major = entry.file_name().to_str()?.strip_prefix(prefix)?.parse().ok()?;
                Some((major, entry.path().join(bin)))
            })
            .collect();
        versions.sort_by_key(|(major, _)| std::cmp::Reverse(*major));
        folders.extend(versions.into_iter().map(|(_, folder)| folder));
    }
    folders
}

fn how_to_install(cluster: Option<u32>) -> String {
    let sudo = if super::account::own_uid() == 0 { "" } else { "sudo " };
    let has = |program: &str| fetch::on_path(program).is_some();
    let command = if cfg!(target_os = "macos") || has("brew") {
        format!("brew install postgresql@{}", cluster.unwrap_or(18))
    } else if has("apt-get") {
        format!(
            "{sudo}apt-get install postgresql{}",
            cluster.map(|major| format!("-{major}")).unwrap_or_default()
        )
    } else if has("dnf") {
        format!(
            "{sudo}dnf install postgresql{}-server",
            cluster.map(|major| major.to_string()).unwrap_or_default()
        )
    } else if has("apk") {
        format!("{sudo}apk add postgresql{}", cluster.unwrap_or(18))
    } else {
        let version = cluster.map_or_else(|| format!("{MAJOR_MIN} or newer"), |major| major.to_string());
        return format!("install PostgreSQL {version}, and set PG_BIN to its bin folder");
    };
    format!("run `{command}`")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_major_version_is_read_from_every_form() {
        assert_eq!(major("postgres (PostgreSQL) 15.18 (Debian 15.18-0+deb12u1)\n"), Some(15));
        assert_eq!(major("postgres (PostgreSQL) 19devel\n"), Some(19));
        assert_eq!(major("postgres (PostgreSQL) 18beta2\n"), Some(18));
        assert_eq!(major("psql (PostgreSQL) 15.18\n"), None);
    }

    #[test]
    fn fourteen_is_too_old() {
        assert!(recent(14).is_err());
        assert_eq!(recent(15), Ok(15));
    }
}
