//! What is kept aside stays within its bound, and what is dropped is reported.

use super::*;
use crate::replica::store::Dropped;

/// What one event of the logs here takes.
fn bytes_of_one(log: &Log) -> u64 {
    crate::replica::store::row::bytes_of(&log.0[0])
}

fn small(folder: &TestFolder, events: u64, log: &Log) -> (Store, Dropped) {
    let max = events * bytes_of_one(log) + events;
    Store::open(&at(folder), SESSION, max, Check::Full).unwrap()
}

#[test]
fn the_oldest_is_dropped_first_and_reported() {
    let folder = TestFolder::new();
    let log = Log::of(9);
    drop(filled(&folder, &log, 9));
    let (mut store, _) = small(&folder, 5, &log);
    store.truncate(log.at(5)).unwrap();
    assert_eq!(store.tidy(), Ok(Dropped::default()), "four fit");
    store.truncate(log.at(2)).unwrap();
    let dropped = store.tidy().unwrap();
    assert_eq!(dropped.events, 2, "seven do not");
    assert!(dropped.bytes >= 2 * bytes_of_one(&log));
    let aside = reader(&folder).aside().unwrap();
    let counts: Vec<_> = aside.iter().map(|kept| (kept.events, kept.dropped_events, kept.end)).collect();
    assert_eq!(counts, [(2, 2, log.at(9)), (3, 0, log.at(5))]);
    let kept = reader(&folder).events_aside(aside[0].id, seq(0), 100).unwrap();
    assert_eq!(kept, log.after(7, 9), "its end is left");
    assert!(verify(&at(&folder)).is_ok());
}

#[test]
fn a_bound_that_was_lowered_counts_from_the_next_start() {
    let folder = TestFolder::new();
    let log = Log::of(9);
    let mut store = filled(&folder, &log, 9);
    store.truncate(log.at(1)).unwrap();
    drop(store);
    let (store, dropped) = small(&folder, 3, &log);
    assert_eq!(dropped.events, 5);
    assert_eq!(store.current().end, log.at(1));
    assert_eq!(reader(&folder).aside().unwrap()[0].events, 3);
}

#[test]
fn a_whole_replica_that_was_replaced_is_kept_as_far_as_there_is_room() {
    let folder = TestFolder::new();
    let log = Log::of(30);
    drop(filled(&folder, &log, 9));
    let (mut store, _) = small(&folder, 4, &log);
    receive(&mut store, &log, 20, 25);
    store.swap("why").unwrap();
    assert_eq!(store.tidy().unwrap().events, 5);
    // Its base, too, may be part of what is left.
    receive(&mut store, &log, 28, 30);
    store.swap("why").unwrap();
    store.tidy().unwrap();
    assert!(reader(&folder).aside().unwrap().iter().map(|kept| kept.events).sum::<u64>() <= 4);
    assert_eq!(verify(&at(&folder)).unwrap().end, log.at(30));
}
