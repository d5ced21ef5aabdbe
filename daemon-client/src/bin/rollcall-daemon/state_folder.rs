//! Where the daemon keeps what outlives it.

use std::{
    env,
    ffi::OsString,
    path::{Path, PathBuf},
};

/// The folder that was asked for, or the one of the XDG base directories. `None` when there is neither.
pub(crate) fn find(asked: Option<&Path>) -> Option<PathBuf> {
    choose(asked, env::var_os("XDG_STATE_HOME"), env::var_os("HOME"))
}

fn choose(asked: Option<&Path>, xdg_state_home: Option<OsString>, home: Option<OsString>) -> Option<PathBuf> {
    if let Some(asked) = asked {
        return Some(asked.to_owned());
    }
    // The specification has a relative path ignored.
    let absolute = |path: Option<OsString>| path.map(PathBuf::from).filter(|path| path.is_absolute());
    absolute(xdg_state_home)
        .or_else(|| absolute(home).map(|home| home.join(".local/state")))
        .map(|state| state.join("rollcall"))
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;

    #[test]
    fn the_first_that_is_given_wins() {
        let path = |text: &str| Some(OsString::from(text));
        let chosen = |asked: Option<&str>, xdg, home| choose(asked.map(Path::new), xdg, home);
        assert_eq!(chosen(Some("here"), path("/xdg"), path("/home/a")), Some("here".into()));
        assert_eq!(chosen(None, path("/xdg"), path("/home/a")), Some("/xdg/rollcall".into()));
        assert_eq!(
            chosen(None, path("relative"), path("/home/a")),
            Some("/home/a/.local/state/rollcall".into())
        );
        assert_eq!(chosen(None, None, path("")), None);
        assert_eq!(chosen(None, None, None), None);
    }
}
