//! A key ring, as an operator has one.

use std::{
    fs,
    path::{Path, PathBuf},
};

use serde_json::Value;

use super::{Account, Database, Ended, Place, rollcall, run};

/// The file of `rollcall keys`.
pub(crate) struct Keys(PathBuf);

impl Keys {
    /// The file of this name, be it there or not.
    pub(crate) fn at(path: PathBuf) -> Self {
        Self(path)
    }

    /// Makes one.
    #[track_caller]
    pub(crate) fn create(place: &Place, name: &str) -> Self {
        let keys = Self::at(place.join(name));
        keys.run(place, "create", &[]).succeeded();
        keys
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }

    /// Runs a verb on it.
    pub(crate) fn run(&self, place: &Place, verb: &str, arguments: &[&str]) -> Ended {
        let mut command = rollcall(Account::Own, place, &["keys", verb, "--file"]);
        command.arg(&self.0).args(arguments);
        run(command)
    }

    pub(crate) fn bootstrap(&self, place: &Place, database: &Database, flags: &[&str]) -> Ended {
        let mut command = rollcall(Account::Own, place, &["keys", "bootstrap"]);
        command.args(flags).env("ROLLCALL_TOKEN_KEYS", &self.0).env("DATABASE_URL", &database.url);
        run(command)
    }

    /// Another admin's token.
    #[track_caller]
    pub(crate) fn token(&self, place: &Place, database: &Database) -> String {
        self.bootstrap(place, database, &["--again"]).succeeded().stdout.trim_end().to_owned()
    }

    /// Id and state of each key, as listed.
    #[track_caller]
    pub(crate) fn list(&self, place: &Place) -> Vec<(String, String)> {
        let listed = self.run(place, "list", &[]).succeeded().stdout;
        let key = |line: &str| {
            let [kid, state, _date] = line.split_whitespace().collect::<Vec<_>>()[..] else {
                panic!("{line}");
            };
            (kid.to_owned(), state.to_owned())
        };
        listed.lines().map(key).collect()
    }

    /// What nobody may be shown.
    pub(crate) fn seeds(&self) -> Vec<String> {
        let file: Value = serde_json::from_str(&fs::read_to_string(&self.0).unwrap()).unwrap();
        let seed = |key: &Value| key["seed"].as_str().unwrap().to_owned();
        file["keys"].as_array().unwrap().iter().map(seed).collect()
    }
}
