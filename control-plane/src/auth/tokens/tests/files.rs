//! Key rings on disk.

use std::{
    os::unix::fs::{PermissionsExt, chown, symlink},
    thread,
};

use rustix::process::geteuid;

use super::super::{
    key_ring::{ChangeError, KEYS_MAX, KeyState},
    kid::Kid,
    ring_file::{KeyRingFile, KeyRingFileError},
};
use super::*;

fn kids(ring: &KeyRing) -> Vec<(KeyState, Kid)> {
    ring.keys().map(|(state, key)| (state, key.kid())).collect()
}

fn names(folder: &Path) -> Vec<String> {
    let mut names: Vec<_> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

#[test]
fn a_ring_is_made_once_changed_in_place_and_closed_to_others() {
    let folder = Folder::new();
    let file = KeyRingFile::new(folder.join("keys"));
    assert!(matches!(file.load(), Err(KeyRingFileError::Missing { .. })));
    assert!(matches!(file.add_key(NOW), Err(KeyRingFileError::Missing { .. })));
    assert_eq!(names(&folder), [""; 0]);

    let created = file.create(NOW).unwrap();
    assert!(matches!(file.create(NOW), Err(KeyRingFileError::Exists { .. })));
    assert_eq!(kids(&file.load_or_create(NOW).unwrap()), kids(&created));

    let (added, next) = file.add_key(NOW).unwrap();
    let former = created.signing().kid();
    assert_eq!(kids(&added), [(KeyState::Signing, former), (KeyState::Verifying, next)]);
    assert_eq!(kids(&file.load().unwrap()), kids(&added));
    let refused = file.retire(former).unwrap_err();
    assert!(matches!(refused, KeyRingFileError::Change(ChangeError::StillSigning { kid }) if kid == former));
    file.promote(next).unwrap();
    assert_eq!(kids(&file.load().unwrap()), [(KeyState::Signing, next), (KeyState::Verifying, former)]);
    file.retire(former).unwrap();
    assert_eq!(kids(&file.load().unwrap()), [(KeyState::Signing, next)]);

    assert_eq!(names(&folder), ["keys", "keys.lock"]);
    for name in names(&folder) {
        assert_eq!(fs::metadata(folder.join(name)).unwrap().permissions().mode() & 0o777, 0o600);
    }
}

#[test]
fn what_others_could_read_or_change_is_refused() {
    let folder = Folder::new();
    let file = KeyRingFile::new(folder.join("keys"));
    file.create(NOW).unwrap();
    let with_mode = |mode| {
        fs::set_permissions(file.path(), fs::Permissions::from_mode(mode)).unwrap();
        file.load()
    };
    for bad in [0o644, 0o640, 0o604, 0o620, 0o601, 0o666] {
        let error = with_mode(bad).unwrap_err();
        assert!(matches!(error, KeyRingFileError::OpenToOthers { mode, .. } if mode == bad), "{error}");
        assert!(error.to_string().contains("chmod 600"), "{error}");
        assert!(matches!(file.add_key(NOW), Err(KeyRingFileError::OpenToOthers { .. })));
    }
    assert!(with_mode(0o400).is_ok());
    assert!(with_mode(0o600).is_ok());

    // Only root can give a file away.
    if geteuid().is_root() {
        chown(file.path(), Some(12_345), None).unwrap();
        let error = file.load().unwrap_err();
        assert!(matches!(error, KeyRingFileError::Foreign { owner: 12_345, .. }), "{error}");
    }
}

#[test]
fn what_is_no_key_ring_is_refused_and_left_as_it_is() {
    let folder = Folder::new();
    let file = KeyRingFile::new(folder.join("keys"));
    file.create(NOW).unwrap();
    for bad in ["", "{}", "not a ring"] {
        fs::write(file.path(), bad).unwrap();
        assert!(matches!(file.load(), Err(KeyRingFileError::Format { .. })), "{bad}");
        assert!(matches!(file.add_key(NOW), Err(KeyRingFileError::Format { .. })), "{bad}");
        assert!(matches!(file.create(NOW), Err(KeyRingFileError::Exists { .. })), "{bad}");
        assert_eq!(fs::read_to_string(file.path()).unwrap(), bad);
    }
    assert!(matches!(KeyRingFile::new(&*folder).load(), Err(KeyRingFileError::NotAFile { .. })));
    let nowhere = KeyRingFile::new(folder.join("no/keys"));
    assert!(matches!(nowhere.create(NOW), Err(KeyRingFileError::Io { .. })));
}

#[test]
fn what_a_crash_left_is_in_nobodys_way() {
    let folder = Folder::new();
    let file = KeyRingFile::new(folder.join("keys"));
    fs::write(folder.join("keys.draft"), "half a dra").unwrap();
    file.create(NOW).unwrap();
    fs::write(folder.join("keys.draft"), "half a dra").unwrap();
    let (ring, _) = file.add_key(NOW).unwrap();
    assert_eq!(kids(&file.load().unwrap()), kids(&ring));
    assert_eq!(names(&folder), ["keys", "keys.lock"]);
}

#[test]
fn a_change_through_a_link_changes_the_file_behind_it() {
    let folder = Folder::new();
    let file = KeyRingFile::new(folder.join("keys"));
    file.create(NOW).unwrap();
    symlink(file.path(), folder.join("link")).unwrap();
    let (ring, _) = KeyRingFile::new(folder.join("link")).add_key(NOW).unwrap();
    assert_eq!(kids(&file.load().unwrap()), kids(&ring));
    assert_eq!(names(&folder), ["keys", "keys.lock", "link"]);
}

#[test]
fn writers_at_once_undo_nothing_of_each_other_and_readers_find_a_whole_ring() {
    let folder = Folder::new();
    let file = KeyRingFile::new(folder.join("keys"));
    let made = thread::scope(|scope| {
        let starters: Vec<_> =
            (0..4).map(|_| scope.spawn(|| kids(&file.load_or_create(NOW).unwrap()))).collect();
        starters.into_iter().map(|starter| starter.join().unwrap()).collect::<Vec<_>>()
    });
    assert!(made.iter().all(|ring| *ring == made[0]), "{made:?}");

    let writers = KEYS_MAX - 1;
    let mut added: Vec<Kid> = thread::scope(|scope| {
        let writers: Vec<_> = (0..writers).map(|_| scope.spawn(|| file.add_key(NOW).unwrap().1)).collect();
        while !writers.iter().all(thread::ScopedJoinHandle::is_finished) {
            file.load().unwrap();
        }
        writers.into_iter().map(|writer| writer.join().unwrap()).collect()
    });
    let mut found: Vec<Kid> = file
        .load()
        .unwrap()
        .keys()
        .filter(|(state, _)| *state == KeyState::Verifying)
        .map(|(_, key)| key.kid())
        .collect();
    added.sort();
    found.sort();
    assert_eq!(found, added);
    assert!(matches!(file.add_key(NOW), Err(KeyRingFileError::Change(ChangeError::Full))));
}
