//! Folders, processes and databases of the tests, each of them gone when its value is dropped.

mod account;
mod database;
mod keys;
mod place;
mod program;
mod server;

use std::{
    thread,
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal, kill_process};

pub(crate) use self::{
    account::{Account, only_as_root},
    database::{Database, embedded, in_data_dir, postmaster, query, refused_by},
    keys::Keys,
    place::Place,
    program::{Ended, Running, rollcall, run},
    server::{Server, dev, http_status},
};

/// How long a state may take to come. Only a failure waits this long, and a first run that fetches Postgres.
const PATIENCE: Duration = Duration::from_secs(120);

/// Waits for a state, and fails loudly when it does not come.
pub(crate) fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let began = Instant::now();
    while !holds() {
        assert!(began.elapsed() < PATIENCE, "never: {what}");
        thread::sleep(Duration::from_millis(10));
    }
}

/// Sends a signal to a process that the test started, directly or not.
pub(crate) fn signal(pid: u32, signal: Signal) {
    let pid = i32::try_from(pid).ok().and_then(Pid::from_raw).unwrap();
    kill_process(pid, signal).unwrap();
}
