//! Files that are not what was written, and files of others.

use std::fs;

use rusqlite::Connection;

use super::*;
use crate::replica::store::Why;

fn reopened(folder: &TestFolder, check: Check) -> Result<Store, OpenError> {
    Store::open(&at(folder), SESSION, ASIDE_BYTES_MAX, check).map(|(store, _)| store)
}

/// Changes the file behind the back of its client.
fn tamper(folder: &TestFolder, sql: &str) {
    let connection = Connection::open(at(folder).file()).unwrap();
    connection.execute_batch(sql).unwrap();
}

fn is_damaged<T>(result: Result<T, OpenError>) -> bool {
    matches!(result, Err(OpenError::Damaged(_)))
}

#[test]
fn a_file_whose_events_are_not_what_they_were_is_damaged() {
    for sql in [
        "update events set payload = x'00' where seq = 7",
        "update events set hash = zeroblob(32) where seq = 7",
        "delete from events where seq = 7",
        "delete from events where seq = 9",
        "update strands set seq = 8 where part = 'current'",
        "update strands set hash = zeroblob(32) where part = 'current'",
        "update events set type = 'No Type' where seq = 7",
        "delete from strands",
        "delete from replica",
        "drop table events",
        "pragma user_version = 0",
    ] {
        let folder = TestFolder::new();
        let log = Log::of(9);
        drop(filled(&folder, &log, 9));
        tamper(&folder, &format!("pragma foreign_keys = off; {sql}"));
        assert!(is_damaged(reopened(&folder, Check::Recent)), "{sql}");
        assert!(is_damaged(verify(&at(&folder))), "{sql}");
    }
}

#[test]
fn a_base_that_is_not_what_it_was_is_found_by_the_full_check() {
    let log = Log::of(20);
    let base = log.base(15)[0].seq;
    for sql in [
        format!("update events set payload = x'00' where seq = {base}"),
        format!("delete from events where seq = {base}"),
        "update strands set base_digest = zeroblob(32) where part = 'current'".to_owned(),
        "update strands set base_events = base_events + 1 where part = 'current'".to_owned(),
    ] {
        let folder = TestFolder::new();
        let mut store = open(&folder);
        receive(&mut store, &log, 15, 18);
        store.swap("why").unwrap();
        drop(store);
        tamper(&folder, &sql);
        assert!(is_damaged(reopened(&folder, Check::Full)), "{sql}");
        assert!(is_damaged(verify(&at(&folder))), "{sql}");
    }
}

#[test]
fn what_is_kept_aside_is_verified_too() {
    let folder = TestFolder::new();
    let log = Log::of(9);
    let mut store = filled(&folder, &log, 9);
    store.truncate(log.at(5)).unwrap();
    drop(store);
    tamper(&folder, "update events set payload = x'00' where seq = 7");
    assert!(is_damaged(verify(&at(&folder))));
}

#[test]
fn a_file_of_noise_is_damaged_and_put_aside_whole() {
    let folder = TestFolder::new();
    drop(filled(&folder, &Log::of(9), 9));
    let noise = vec![0x5a; 64 * 1024];
    fs::write(at(&folder).file(), &noise).unwrap();
    assert!(is_damaged(reopened(&folder, Check::Recent)));
    let put_aside = at(&folder).put_aside(Why::Damaged).unwrap();
    assert_eq!(fs::read(&put_aside).unwrap(), noise);
    assert_eq!(at(&folder).put_aside_files(), [put_aside]);
    assert_eq!(open(&folder).current().end, Log::of(0).head(), "and it begins anew");
}

#[test]
fn files_are_put_aside_beside_each_other_and_not_without_end() {
    let folder = TestFolder::new();
    for count in 1..=8 {
        drop(filled(&folder, &Log::of(count), count));
        at(&folder).put_aside(Why::Foreign).unwrap();
    }
    drop(filled(&folder, &Log::of(9), 9));
    assert!(matches!(at(&folder).put_aside(Why::Foreign), Err(OpenError::Failed(_))));
    assert_eq!(at(&folder).put_aside_files().len(), 8);
    assert_eq!(open(&folder).current().end, Log::of(9).head(), "what could not be put aside is as it was");
}

#[test]
fn a_file_of_another_session_or_of_a_newer_release_is_left_as_it_is() {
    let folder = TestFolder::new();
    drop(filled(&folder, &Log::of(3), 3));
    let other = contracts::SessionId(uuid::Uuid::from_u128(9));
    let opened = Store::open(&at(&folder), other, ASIDE_BYTES_MAX, Check::Recent);
    assert_eq!(opened.err(), Some(OpenError::OtherSession(SESSION)));
    tamper(&folder, "pragma user_version = 2");
    assert_eq!(reopened(&folder, Check::Recent).err(), Some(OpenError::Newer(2)));
    tamper(&folder, "pragma user_version = 1");
    assert_eq!(open(&folder).current().end, Log::of(3).head());
}

#[test]
fn a_database_of_something_else_is_not_written_to() {
    let folder = TestFolder::new();
    tamper(&folder, "create table theirs (id integer)");
    let before = fs::read(at(&folder).file()).unwrap();
    assert!(is_damaged(reopened(&folder, Check::Recent)));
    assert_eq!(fs::read(at(&folder).file()).unwrap(), before);
}

#[test]
fn a_folder_without_a_replica_is_told_from_one_that_is_damaged() {
    let folder = TestFolder::new();
    assert_eq!(verify(&at(&folder)).err(), Some(OpenError::Absent));
    fs::write(at(&folder).file(), "").unwrap();
    assert_eq!(verify(&at(&folder)).err(), Some(OpenError::Absent), "made, and not yet written");
    assert_eq!(open(&folder).current().end, Log::of(0).head());
}
