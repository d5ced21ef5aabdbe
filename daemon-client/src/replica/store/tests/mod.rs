//! The store on real files.

mod aside;
#[cfg(unix)]
mod crash;
mod damage;
mod scripts;

use super::{Check, Error, Folder, Misfit, OpenError, Reader, Store, verify};
use crate::replica::fixture::{HISTORY, Log, SESSION, TestFolder, other_hash, seq, tampered};
use contracts::{
    HistoryId, LogPoint,
    log::{BaseDigest, BrokenChain, Event},
};

const ASIDE_BYTES_MAX: u64 = 1024 * 1024;

fn at(folder: &TestFolder) -> Folder {
    Folder::new(&folder.0)
}

fn open(folder: &TestFolder) -> Store {
    let (store, _) = Store::open(&at(folder), SESSION, ASIDE_BYTES_MAX, Check::Full).unwrap();
    store
}

fn reader(folder: &TestFolder) -> Reader {
    Reader::new(at(folder), std::sync::Arc::default())
}

fn events(folder: &TestFolder, after: u64) -> Vec<Event> {
    reader(folder).events(seq(after), 1_000).unwrap().events
}

/// A store that holds the first events of a log.
fn filled(folder: &TestFolder, log: &Log, events: u64) -> Store {
    let mut store = open(folder);
    store.follow(HISTORY).unwrap();
    store.append(log.after(0, events)).unwrap();
    store
}

fn stage(store: &mut Store, log: &Log, at: u64) {
    store.stage(HISTORY, log.at(at), log.base(at).len() as u64).unwrap();
}

/// Receives a base and the events after it.
fn receive(store: &mut Store, log: &Log, at: u64, target: u64) {
    stage(store, log, at);
    store.stage_base(&log.base(at)).unwrap();
    store.seal_base(log.digest(at)).unwrap();
    store.stage_tail(log.after(at, target)).unwrap();
}

fn misfit<T: std::fmt::Debug>(result: super::Result<T>) -> Misfit {
    match result {
        Err(Error::Misfit(misfit)) => misfit,
        other => panic!("{other:?}"),
    }
}

#[test]
fn what_is_appended_is_there_after_a_reopen() {
    let folder = TestFolder::new();
    let log = Log::of(9);
    let mut store = filled(&folder, &log, 4);
    assert_eq!(store.append(log.after(4, 9)), Ok(log.at(9)));
    drop(store);
    let store = open(&folder);
    assert_eq!(store.current().end, log.at(9));
    assert_eq!(store.current().history, Some(HISTORY));
    assert_eq!(events(&folder, 0), log.0, "to the byte");
    assert_eq!(events(&folder, 7), log.after(7, 9));
}

/// Whether a flush reaches the disk is for the disk to say; that each commit asks for one is said here.
#[test]
fn every_commit_is_flushed() {
    let folder = TestFolder::new();
    let store = open(&folder);
    let pragma = |name: &str| store.connection.pragma_query_value(None, name, |row| row.get::<_, i64>(0));
    assert_eq!(pragma("synchronous"), Ok(2), "full");
    let mode: String = store.connection.pragma_query_value(None, "journal_mode", |row| row.get(0)).unwrap();
    assert_eq!(mode, "wal");
}

#[test]
fn the_state_of_a_key_is_its_latest_event() {
    let folder = TestFolder::new();
    let log = Log::of(13);
    let _store = filled(&folder, &log, 13);
    let mut latest = log.base(13);
    let page = reader(&folder).states(None, 100).unwrap();
    latest.sort_by(|one, other| one.key.cmp(&other.key));
    assert_eq!(page.events, latest);
    assert_eq!(page.standing.end, log.at(13));
    for event in &latest {
        let key = event.key.clone().unwrap();
        assert_eq!(reader(&folder).state(&key).unwrap().as_ref(), Some(event));
    }
    let after = latest[1].key.as_ref();
    assert_eq!(reader(&folder).states(after, 2).unwrap().events, latest[2..4], "page by page");
}

#[test]
fn what_does_not_continue_the_chain_is_refused_and_changes_nothing() {
    let folder = TestFolder::new();
    let log = Log::of(9);
    let mut store = filled(&folder, &log, 4);
    let mut changed = log.after(4, 9).to_vec();
    changed[2] = tampered(&changed[2]);
    assert_eq!(misfit(store.append(&changed)), Misfit::Chain(BrokenChain::Content(seq(7))));
    let forked = log.forked(3, 6, 1);
    assert_eq!(misfit(store.append(forked.after(4, 9))), Misfit::Chain(BrokenChain::Previous(seq(5))));
    assert!(matches!(misfit(store.append(log.after(5, 9))), Misfit::Chain(BrokenChain::Gap { .. })));
    assert_eq!(store.current().end, log.at(4));
    assert_eq!(events(&folder, 0), log.after(0, 4));
    store.append(log.after(4, 9)).unwrap();
}

#[test]
fn a_replica_without_a_history_takes_nothing_and_one_with_another_neither() {
    let folder = TestFolder::new();
    let log = Log::of(3);
    let mut store = open(&folder);
    assert!(matches!(store.append(&log.0), Err(Error::Failed(_))), "by the table's own rule");
    assert_eq!(store.current().end, log.at(0));
    store.follow(HISTORY).unwrap();
    store.follow(HISTORY).unwrap();
    let other = HistoryId(uuid::Uuid::from_u128(2));
    let history = Misfit::History { held: HISTORY, offered: other };
    assert_eq!(misfit(store.follow(other)), history);
    assert_eq!(misfit(store.stage(other, log.at(3), 1)), history);
}

#[test]
fn it_tells_the_hashes_that_it_has_and_no_others() {
    let folder = TestFolder::new();
    let log = Log::of(12);
    let mut store = filled(&folder, &log, 6);
    let asked = [0, 3, 6, 7].map(seq);
    assert_eq!(store.points(&asked), Ok([0, 3, 6].map(|at| log.at(at)).to_vec()));
    receive(&mut store, &log, 9, 11);
    store.swap("why").unwrap();
    let asked = [0, 8, 9, 10, 11, 12].map(seq);
    assert_eq!(store.points(&asked), Ok([9, 10, 11].map(|at| log.at(at)).to_vec()), "none before its base");
}

#[test]
fn a_cut_leaves_what_is_common_and_the_state_of_then() {
    let folder = TestFolder::new();
    let log = Log::of(9);
    let mut store = filled(&folder, &log, 9);
    assert_eq!(misfit(store.truncate(other_hash(log.at(5)))), Misfit::Place(other_hash(log.at(5))));
    assert_eq!(store.truncate(log.at(5)), Ok(log.at(5)));
    assert_eq!(events(&folder, 0), log.after(0, 5));
    let mut state = log.base(5);
    state.sort_by(|one, other| one.key.cmp(&other.key));
    assert_eq!(reader(&folder).states(None, 100).unwrap().events, state);
    let aside = reader(&folder).aside().unwrap();
    assert_eq!((aside.len(), aside[0].events, aside[0].begins, aside[0].end), (1, 4, log.at(5), log.at(9)));
    let kept = reader(&folder).events_aside(aside[0].id, seq(0), 100).unwrap();
    assert_eq!(kept, log.after(5, 9), "to the byte");
    let forked = log.forked(5, 3, 1);
    store.append(forked.after(5, 8)).unwrap();
    drop(store);
    assert_eq!(open(&folder).current().end, forked.at(8));
    assert_eq!(verify(&at(&folder)).unwrap().aside, 1);
}

#[test]
fn a_cut_to_the_origin_empties_and_one_below_the_base_is_refused() {
    let folder = TestFolder::new();
    let log = Log::of(12);
    let mut store = filled(&folder, &log, 4);
    assert_eq!(store.truncate(log.at(0)), Ok(log.at(0)));
    assert_eq!(events(&folder, 0), []);
    receive(&mut store, &log, 9, 11);
    store.swap("why").unwrap();
    assert!(matches!(misfit(store.truncate(log.at(8))), Misfit::BeforeBase { .. }));
    assert_eq!(store.truncate(log.at(9)), Ok(log.at(9)), "at the base");
    assert_eq!(verify(&at(&folder)).unwrap().end, log.at(9));
}

#[test]
fn a_rebuild_is_not_seen_before_the_swap_and_is_whole_after_it() {
    let folder = TestFolder::new();
    let log = Log::of(20);
    let mut store = filled(&folder, &log, 4);
    let reader = reader(&folder);
    let key = log.0[0].key.clone().unwrap();
    receive(&mut store, &log, 15, 18);
    let page = reader.events(seq(0), 100).unwrap();
    assert_eq!((page.events.as_slice(), page.standing.end), (log.after(0, 4), log.at(4)), "the old is there");
    assert_eq!(reader.state(&key).unwrap().unwrap(), log.0[0]);
    assert_eq!(store.swap("retention"), Ok(log.at(18)));
    let page = reader.events(seq(15), 100).unwrap();
    assert_eq!((page.events.as_slice(), page.standing.begins), (log.after(15, 18), log.at(15)));
    let state = log.base(18).into_iter().find(|event| event.key.as_ref() == Some(&key)).unwrap();
    assert_eq!(reader.state(&key).unwrap(), Some(state));
    let aside = reader.aside().unwrap();
    assert_eq!((aside.len(), aside[0].events, aside[0].why.as_str()), (1, 4, "replaced: retention"));
    store.append(log.after(18, 20)).unwrap();
    drop(store);
    let verified = verify(&at(&folder)).unwrap();
    assert_eq!((verified.begins, verified.end, verified.aside), (log.at(15), log.at(20), 1));
}

#[test]
fn a_base_that_is_not_what_was_promised_is_refused() {
    let folder = TestFolder::new();
    let log = Log::of(20);
    let mut store = filled(&folder, &log, 4);
    let base = log.base(15);
    assert_eq!(misfit(store.stage_base(&base)), Misfit::NothingStaged);

    stage(&mut store, &log, 15);
    assert_eq!(misfit(store.stage_base(&[tampered(&base[0])])), Misfit::BaseContent(base[0].seq));
    let history = log.0[2].clone();
    assert_eq!(misfit(store.stage_base(&[history])), Misfit::BaseOrder(seq(3)), "an event without a key");
    let late = log.0[15].clone();
    assert_eq!(misfit(store.stage_base(&[late])), Misfit::BaseOrder(seq(16)), "an event after the base");
    let swapped = [base[1].clone(), base[0].clone()];
    assert_eq!(misfit(store.stage_base(&swapped)), Misfit::BaseOrder(base[0].seq));
    assert_eq!(misfit(store.seal_base(log.digest(15))), Misfit::BaseCount { expected: 5, found: 0 });
    store.stage_base(&base[..4]).unwrap();
    assert!(matches!(misfit(store.seal_base(log.digest(15))), Misfit::BaseCount { .. }));
    assert_eq!(misfit(store.stage_tail(log.after(15, 16))), Misfit::NothingStaged, "it is not sealed");
    store.stage_base(&base[4..]).unwrap();
    let another = store.stage_base(&[log.forked(14, 1, 1).0[14].clone()]);
    assert!(matches!(misfit(another), Misfit::BaseOrder(_) | Misfit::BaseCount { .. }));
    assert_eq!(misfit(store.seal_base(BaseDigest::from_bytes([7; 32]))), Misfit::Digest);
    assert_eq!(misfit(store.swap("why")), Misfit::NothingStaged);
    assert_eq!(store.seal_base(log.digest(15)), Ok(log.at(15)));
    let forked = log.forked(10, 10, 1);
    assert!(matches!(misfit(store.stage_tail(forked.after(15, 16))), Misfit::Chain(_)));

    assert_eq!(events(&folder, 0), log.after(0, 4), "nothing of all that is seen");
    assert_eq!(store.swap("why"), Ok(log.at(15)));
}

#[test]
fn a_base_with_two_events_for_one_key_is_refused() {
    let folder = TestFolder::new();
    let log = Log::of(20);
    let mut store = open(&folder);
    let mut twice: Vec<Event> =
        log.after(0, 10).iter().filter(|event| event.key.is_some()).cloned().collect();
    twice.truncate(7);
    let digest = contracts::log::digest_of_base(twice.iter().map(|event| event.hash));
    store.stage(HISTORY, log.at(12), 7).unwrap();
    store.stage_base(&twice).unwrap();
    assert_eq!(misfit(store.seal_base(digest)), Misfit::BaseKeys);
}

#[test]
fn the_base_of_an_empty_log_is_empty() {
    let folder = TestFolder::new();
    let log = Log::of(0);
    let mut store = open(&folder);
    receive(&mut store, &log, 0, 0);
    assert_eq!(store.swap("why"), Ok(LogPoint::origin(SESSION)));
    drop(store);
    assert_eq!(open(&folder).current().end, log.at(0));
}

#[test]
fn what_was_being_received_is_forgotten_by_a_reopen_and_by_another_plan() {
    let folder = TestFolder::new();
    let log = Log::of(20);
    let mut store = filled(&folder, &log, 4);
    receive(&mut store, &log, 15, 18);
    stage(&mut store, &log, 12);
    assert_eq!(misfit(store.swap("why")), Misfit::NothingStaged);
    drop(store);
    let mut store = open(&folder);
    assert_eq!(misfit(store.swap("why")), Misfit::NothingStaged);
    let rows: i64 = store.connection.query_row("select count(*) from events", [], |row| row.get(0)).unwrap();
    assert_eq!(rows, 4, "nothing is left of it");
}

#[test]
fn a_folder_has_one_writer_and_any_readers() {
    let folder = TestFolder::new();
    let store = filled(&folder, &Log::of(3), 3);
    let second = Store::open(&at(&folder), SESSION, ASIDE_BYTES_MAX, Check::Recent);
    assert_eq!(second.err(), Some(OpenError::InUse));
    assert_eq!(events(&folder, 0).len(), 3);
    assert!(verify(&at(&folder)).is_ok());
    drop(store);
    open(&folder);
}
