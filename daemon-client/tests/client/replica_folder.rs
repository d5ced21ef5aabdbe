//! Folders that are damaged, in use, slow, or another's.

use std::{fs, sync::mpsc, thread, time::Duration};

use contracts::EventEnvelopeVersion;
use daemon_client::{
    replica::{self, Halt, OpenError, Setback, State},
    start,
};
use rusqlite::Connection;

use crate::{
    fixture::{Log, SESSION, TestFolder, event},
    log_service::{RECOVERY, events as batch},
    replica_bench::{Bench, events, replica, until, until_in_sync_at},
};

#[tokio::test]
async fn a_damaged_file_is_put_aside_and_the_replica_begins_anew() {
    let bench = Bench::of(9).await;
    let log = &bench.log;
    let (node, stream) = bench.filled(9).await;
    node.detach("").await;
    drop(stream);
    let file = bench.folder.0.join("replica.db");
    let connection = Connection::open(&file).unwrap();
    connection.execute("update events set payload = x'00' where seq = 7", []).unwrap();
    drop(connection);
    let damaged = fs::read(&file).unwrap();

    let (node, mut stream) = bench.start().await;
    let replica = replica(&node);
    assert_eq!(stream.introduction.at, None, "it holds nothing that was not proven");
    let status = replica.status().borrow().clone();
    let put_aside = status.put_aside.unwrap();
    assert!(put_aside.why.contains("event 7"), "{}", put_aside.why);
    assert_eq!(fs::read(&put_aside.file).unwrap(), damaged, "to the byte");
    assert_eq!(replica::summary(&bench.folder.0).unwrap().put_aside, [put_aside.file]);
    stream.fill(log, 9).await;
    until_in_sync_at(&replica, 9).await;
    assert_eq!(events(&replica, 0).await, log.0);
}

#[tokio::test]
async fn the_second_client_of_a_folder_waits_for_the_first_to_go() {
    let bench = Bench::of(6).await;
    let (first, _stream) = bench.filled(6).await;
    let second = start(bench.config());
    until(&replica(&second), "refusal of the folder", |status| {
        status.setback == Some(Setback::Folder(OpenError::InUse))
    })
    .await;
    assert_eq!(bench.script.log.opened(), 1, "it says nothing about a replica that is not its own");
    first.detach("").await;
    let stream = bench.stream().await;
    assert_eq!(stream.introduction.at, Some(bench.log.at(6).into()));
}

#[tokio::test]
async fn a_folder_of_another_session_halts_the_replica_and_is_left_as_it_is() {
    let bench = Bench::of(6).await;
    let (node, _stream) = bench.filled(6).await;
    node.detach("").await;

    let mut config = bench.config();
    config.session_id = "01890a5d-ac96-774b-bcce-b302099a8057".parse().unwrap();
    let node = start(config);
    let halt = Halt::Folder(OpenError::OtherSession(SESSION));
    until(&replica(&node), "halt", |status| status.state == State::Halted(halt.clone())).await;
    assert_eq!(replica::summary(&bench.folder.0).unwrap().position.end, bench.log.at(6));
}

fn large(events: usize, bytes: usize) -> Log {
    let mut log = Log::of(0);
    while log.0.len() < events {
        let next = event(log.head(), 0, EventEnvelopeVersion::current(), vec![0x5a; bytes]);
        log.0.push(next);
    }
    log
}

/// Holds the file's write lock until it is told to let go, as a disk does that does not get on.
fn hold(folder: &TestFolder) -> (mpsc::Sender<()>, thread::JoinHandle<()>) {
    let connection = Connection::open(folder.0.join("replica.db")).unwrap();
    let (release, released) = mpsc::channel();
    connection.execute_batch("begin immediate").unwrap();
    let holder = thread::spawn(move || {
        // Also when the test has failed, and nobody sends.
        let _ = released.recv();
        connection.execute_batch("rollback").unwrap();
    });
    (release, holder)
}

#[tokio::test]
async fn a_disk_that_does_not_get_on_slows_the_server_down_and_fills_no_memory() {
    // Messages of 64 KiB each, 28 MiB in all: far more than may wait anywhere.
    let bench = Bench::with(large(450, 64 * 1024)).await;
    let log = &bench.log;
    let (node, mut stream) = bench.start().await;
    let replica = replica(&node);
    stream.catch_up(log, 0, 450).await;
    stream.recovered(log, 0, 1).await;
    stream.until_acknowledged(RECOVERY, log.at(1)).await;

    let (release, holder) = hold(&bench.folder);
    let mut sent = 1;
    let message = |sent: u64| batch(RECOVERY, log.after(sent, sent + 1), 450);
    while stream.try_send(message(sent), Duration::from_millis(700)).await {
        sent += 1;
        assert!(sent < 400, "the replica takes whatever comes");
    }
    release.send(()).unwrap();
    holder.join().unwrap();
    while sent < 450 {
        stream.send(message(sent)).await;
        sent += 1;
    }
    stream.until_acknowledged(RECOVERY, log.at(450)).await;
    stream.completed(log.head()).await;
    until_in_sync_at(&replica, 450).await;
    assert_eq!(bench.script.log.opened(), 1, "and nothing was given up");
}

#[tokio::test]
async fn a_file_that_cannot_be_written_is_told_and_tried_again() {
    let bench = Bench::of(9).await;
    let log = &bench.log;
    let (node, stream) = bench.filled(6).await;
    let replica = replica(&node);
    let (release, holder) = hold(&bench.folder);
    stream.live(log, 6, 9).await;
    // Longer than SQLite waits for a lock.
    until(&replica, "setback", |status| matches!(status.setback, Some(Setback::Disk(_)))).await;
    release.send(()).unwrap();
    holder.join().unwrap();
    let stream = bench.stream().await;
    assert_eq!(stream.introduction.at, Some(log.at(6).into()), "what was not written was not said to be");
    stream.zero_gap(log.at(6)).await;
    until_in_sync_at(&replica, 6).await;
}
