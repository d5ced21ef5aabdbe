//! A server and a ring that changes under it.

use std::{os::unix::fs::PermissionsExt, time::Duration};

use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use super::super::{ring_file::KeyRingFile, ring_watch::KeyRingWatch};
use super::*;

const PATIENCE: Duration = Duration::from_secs(10);

#[test]
fn each_change_is_published_and_no_change_is_not() {
    let folder = Folder::new();
    let file = KeyRingFile::new(folder.join("keys"));
    assert!(KeyRingWatch::open(file.clone()).is_err());
    file.create(NOW).unwrap();
    let (mut watch, mut ring) = KeyRingWatch::open(file.clone()).unwrap();
    watch.look();
    assert!(!ring.has_changed().unwrap());

    let (_, next) = file.add_key(NOW).unwrap();
    watch.look();
    assert!(ring.borrow_and_update().key(next).is_some());
    file.promote(next).unwrap();
    watch.look();
    assert_eq!(ring.borrow_and_update().signing().kid(), next);
    watch.look();
    assert!(!ring.has_changed().unwrap());
}

#[test]
fn a_bad_file_leaves_the_former_ring_in_use_until_it_is_good_again() {
    let folder = Folder::new();
    let file = KeyRingFile::new(folder.join("keys"));
    let signing = file.create(NOW).unwrap().signing().kid();
    let (mut watch, ring) = KeyRingWatch::open(file.clone()).unwrap();
    let good = fs::read(file.path()).unwrap();
    let mut stays = |what: &str| {
        watch.look();
        assert!(!ring.has_changed().unwrap(), "{what}");
        assert_eq!(ring.borrow().signing().kid(), signing, "{what}");
    };

    fs::write(file.path(), "no ring").unwrap();
    stays("not a ring");
    fs::write(file.path(), "").unwrap();
    stays("empty");
    fs::remove_file(file.path()).unwrap();
    stays("gone");
    fs::write(file.path(), &good).unwrap();
    fs::set_permissions(file.path(), fs::Permissions::from_mode(0o644)).unwrap();
    stays("open to others");

    fs::set_permissions(file.path(), fs::Permissions::from_mode(0o600)).unwrap();
    let (_, next) = file.add_key(NOW).unwrap();
    watch.look();
    assert!(ring.borrow().key(next).is_some());
}

#[tokio::test]
async fn a_running_server_learns_a_key_and_keeps_its_ring_when_told_to_stop() {
    let folder = Folder::new();
    let file = KeyRingFile::new(folder.join("keys"));
    file.create(NOW).unwrap();
    let (watch, mut ring) = KeyRingWatch::open(file.clone()).unwrap();
    let stop = CancellationToken::new();
    let running = tokio::spawn(watch.run(Duration::from_millis(5), stop.clone()));

    let (_, next) = file.add_key(NOW).unwrap();
    timeout(PATIENCE, ring.wait_for(|ring| ring.key(next).is_some())).await.unwrap().unwrap();
    stop.cancel();
    timeout(PATIENCE, running).await.unwrap().unwrap().unwrap();
    assert!(ring.borrow().key(next).is_some());
}
