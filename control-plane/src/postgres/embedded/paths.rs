//! Where things go when nobody says otherwise.

use std::env;
use std::path::PathBuf;

use super::Error;
use super::account::own_uid;

/// The data folder of `rollcall dev`. Root gets one that the server's account can reach (`/root` is closed to it)
/// and that no clean-up of temporary files thins out.
pub fn default_data_dir() -> Result<PathBuf, Error> {
    if own_uid() == 0 {
        return Ok(PathBuf::from("/var/lib/rollcall/dev"));
    }
    let base = absolute("XDG_DATA_HOME").or_else(|| {
        let below_home =
            if cfg!(target_os = "macos") { "Library/Application Support" } else { ".local/share" };
        Some(absolute("HOME")?.join(below_home))
    });
    Ok(base.ok_or(Error::NoHome)?.join("rollcall/dev"))
}

/// Where fetched binaries are kept. Root's are world-readable, so that the server's account can run them.
pub(super) fn binaries_cache() -> Option<PathBuf> {
    if own_uid() == 0 {
        return Some(PathBuf::from("/var/cache/rollcall/postgres"));
    }
    let base = absolute("XDG_CACHE_HOME").or_else(|| {
        let below_home = if cfg!(target_os = "macos") { "Library/Caches" } else { ".cache" };
        Some(absolute("HOME")?.join(below_home))
    });
    Some(base?.join("rollcall/postgres"))
}

/// The XDG specification has relative paths ignored.
fn absolute(variable: &str) -> Option<PathBuf> {
    env::var_os(variable).map(PathBuf::from).filter(|path| path.is_absolute())
}
