//! Kills at every point: a child process works on a replica and aborts after so many steps of SQLite's own machine, in
//! the middle of a transaction or between two. Whatever it leaves is opened and proven.

use std::{
    env,
    os::unix::process::ExitStatusExt,
    process::Command,
    sync::atomic::{AtomicU64, Ordering},
};

use super::*;

/// Set for the child: the folder, and at which step it aborts.
const FOLDER: &str = "ROLLCALL_TEST_CRASH_FOLDER";
const STEP: &str = "ROLLCALL_TEST_CRASH_STEP";
/// Instructions of SQLite's machine in one step. Small enough for several steps in each statement that writes.
const INSTRUCTIONS: i32 = 25;

fn log() -> Log {
    Log::of(24)
}

/// What the child does: an apply, a cut and a rebuild, each from where the one before it ended.
fn work(store: &mut Store) -> super::super::Result<()> {
    let log = log();
    let forked = log.forked(6, 3, 1);
    store.append(forked.after(4, 9))?;
    store.truncate(log.at(6))?;
    store.tidy()?;
    store.append(log.after(6, 10))?;
    store.stage(HISTORY, log.at(18), log.base(18).len() as u64)?;
    let base = log.base(18);
    store.stage_base(&base[..2])?;
    store.stage_base(&base[2..])?;
    store.seal_base(log.digest(18))?;
    store.stage_tail(log.after(18, 20))?;
    store.stage_tail(log.after(20, 22))?;
    store.swap("why")?;
    store.tidy()?;
    store.append(log.after(22, 24))?;
    Ok(())
}

/// Where a replica may be found, with what it then holds: before or after each operation, and never in between.
fn is_one_of_the_places(folder: &TestFolder, end: LogPoint) -> bool {
    let log = log();
    let forked = log.forked(6, 3, 1);
    let held = |begins: u64| events(folder, begins);
    let is = |of: &Log, begins: u64, at: u64| end == of.at(at) && held(begins) == of.after(begins, at);
    is(&log, 0, 4)
        || is(&forked, 0, 9)
        || is(&log, 0, 6)
        || is(&log, 0, 10)
        || is(&log, 18, 22)
        || is(&log, 18, 24)
}

/// Not a test of its own: does nothing but in the child of the test below.
#[test]
fn child() {
    let (Ok(path), Ok(step)) = (env::var(FOLDER), env::var(STEP)) else { return };
    let folder = crate::replica::store::Folder::new(path);
    let (mut store, _) = Store::open(&folder, SESSION, ASIDE_BYTES_MAX, Check::Full).unwrap();
    let step: u64 = step.parse().unwrap();
    let steps = AtomicU64::new(0);
    store
        .connection
        .progress_handler(
            INSTRUCTIONS,
            Some(move || {
                if steps.fetch_add(1, Ordering::Relaxed) == step {
                    std::process::abort();
                }
                false
            }),
        )
        .unwrap();
    work(&mut store).unwrap();
}

#[test]
fn a_kill_at_any_point_of_an_apply_a_cut_or_a_rebuild_leaves_it_before_or_after() {
    let mut places = std::collections::BTreeSet::new();
    for step in 0.. {
        let folder = TestFolder::new();
        drop(filled(&folder, &log(), 4));
        let test = concat!(module_path!(), "::child");
        let name = test.split_once("::").map_or(test, |(_, name)| name);
        let child = Command::new(env::current_exe().unwrap())
            .args([name, "--exact", "--test-threads=1"])
            .env(FOLDER, &folder.0)
            .env(STEP, step.to_string())
            .output()
            .unwrap();
        let store = open(&folder);
        let end = store.current().end;
        drop(store);
        assert!(is_one_of_the_places(&folder, end), "killed at step {step}: {end}");
        let verified = verify(&at(&folder)).unwrap();
        // What was cut off is there as soon as it is missing from the log.
        let is_cut = places.contains(&9) && end != log().forked(6, 3, 1).at(9);
        assert!(verified.aside >= u64::from(is_cut), "killed at step {step}: {verified:?}");
        places.insert(end.seq.get());
        if child.status.success() {
            assert!(String::from_utf8_lossy(&child.stdout).contains("1 passed"), "the child did its work");
            break;
        }
        assert_eq!(child.status.signal(), Some(6), "it aborts, and nothing else ends it: {child:?}");
    }
    assert_eq!(places.into_iter().collect::<Vec<_>>(), [4, 6, 9, 10, 22, 24], "each place was met");
}
