//! What the private Postgres refuses, in words that say what to do, and with nothing changed.

use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
};

use control_plane::postgres::embedded::{Durability, Settings};

use crate::harness::{Account, Place, Server, dev, embedded, only_as_root, postmaster, run};

/// A data folder in which a server has run.
fn used(place: &Place) -> PathBuf {
    let data_dir = place.join("used");
    Server::dev(Account::Own, place, &data_dir).stop();
    data_dir
}

fn names_in(folder: &Path) -> Vec<String> {
    let mut names: Vec<_> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

#[test]
fn a_data_folder_with_other_files_is_left_alone() {
    let place = Place::new();
    let data_dir = place.join("d");
    fs::create_dir(&data_dir).unwrap();
    fs::write(data_dir.join("thesis.txt"), "years").unwrap();
    let refused = run(dev(Account::Own, &place, &data_dir));
    refused.refused(1, &["holds files that are not ours", "nothing was changed", "--data-dir"]);
    assert_eq!(names_in(&data_dir), ["thesis.txt"]);
}

#[test]
fn a_database_folder_with_other_files_is_left_alone() {
    let place = Place::new();
    let data_dir = place.join("d");
    fs::create_dir_all(data_dir.join("postgres")).unwrap();
    fs::write(data_dir.join("postgres/thesis.txt"), "years").unwrap();
    let refused = run(dev(Account::Own, &place, &data_dir));
    refused.refused(1, &["holds files that are not a database of ours", "nothing was changed"]);
    assert_eq!(names_in(&data_dir), ["postgres"]);
    assert_eq!(names_in(&data_dir.join("postgres")), ["thesis.txt"]);
}

#[test]
fn a_cluster_without_a_version_is_left_alone() {
    let place = Place::new();
    let data_dir = used(&place);
    let cluster = data_dir.join("postgres/data");
    fs::remove_file(cluster.join("PG_VERSION")).unwrap();
    let before = names_in(&cluster);
    run(dev(Account::Own, &place, &data_dir))
        .refused(1, &["is not a Postgres cluster", "nothing was changed"]);
    assert_eq!(names_in(&cluster), before);
}

#[test]
fn a_cluster_of_another_version_names_both_and_the_fix() {
    let place = Place::new();
    let data_dir = used(&place);
    let version = data_dir.join("postgres/data/PG_VERSION");
    let major = fs::read_to_string(&version).unwrap().trim().to_owned();
    fs::write(version, "99\n").unwrap();
    let mut command = dev(Account::Own, &place, &data_dir);
    // No tool that fetches or installs.
    command.env("PATH", "/nonexistent");
    let refused = run(command);
    refused.refused(1, &["was made by PostgreSQL 99", "install PostgreSQL 99"]);
    // Unless it was on the PATH only.
    if !refused.stderr.contains("what is here is nothing") {
        refused.refused(1, &[&format!("PostgreSQL {major} in /")]);
    }
}

#[test]
fn a_file_in_place_of_the_folder_is_left_alone() {
    let place = Place::new();
    let data_dir = place.join("d");
    fs::write(&data_dir, "a file").unwrap();
    run(dev(Account::Own, &place, &data_dir))
        .refused(1, &["cannot use the data folder", "choose another one"]);
    assert_eq!(fs::read_to_string(&data_dir).unwrap(), "a file");
}

#[test]
fn a_folder_of_another_user_is_refused() {
    if !only_as_root() {
        return;
    }
    let place = Place::new();
    let data_dir = place.join("d");
    fs::create_dir_all(data_dir.join("postgres")).unwrap();
    run(dev(Account::Nobody, &place, &data_dir)).refused(1, &["belongs to uid 0", "run as its owner"]);
    Account::Nobody.give(&data_dir.join("postgres"));
    run(dev(Account::Own, &place, &data_dir)).refused(1, &["belongs to uid 65534", "run as its owner"]);
}

#[test]
fn a_folder_that_cannot_be_made_is_refused() {
    if !only_as_root() {
        return;
    }
    let place = Place::new();
    let closed = place.join("closed");
    fs::create_dir(&closed).unwrap();
    fs::set_permissions(&closed, fs::Permissions::from_mode(0o755)).unwrap();
    let refused = run(dev(Account::Nobody, &place, closed.join("d")));
    refused.refused(1, &["Permission denied", "choose another one"]);
}

#[test]
fn a_folder_that_the_lent_account_cannot_enter_is_named() {
    if !only_as_root() {
        return;
    }
    let place = Place::new();
    let closed = place.join("closed");
    fs::create_dir(&closed).unwrap();
    fs::set_permissions(&closed, fs::Permissions::from_mode(0o700)).unwrap();
    let refused = run(dev(Account::Own, &place, closed.join("d")));
    refused.refused(1, &[&format!("may not enter {}", closed.display())]);
}

#[test]
fn a_useless_pg_bin_is_an_error_and_not_passed_over() {
    let place = Place::new();
    let empty = place.join("empty");
    fs::create_dir(&empty).unwrap();
    let mut command = dev(Account::Own, &place, place.join("d"));
    command.env("PG_BIN", &empty);
    run(command).refused(1, &[&format!("PG_BIN is {}", empty.display()), "correct it, or unset it"]);
}

#[test]
fn a_failed_start_quotes_the_log_and_leaves_no_server() {
    let place = Place::new();
    let data_dir = place.join("d");
    let settings = Settings::new(data_dir.join("postgres"), Durability::None);
    let error = embedded(settings.clone().parameter("shared_buffers", "many")).err().unwrap().to_string();
    assert!(error.contains("invalid value for parameter \"shared_buffers\": \"many\""), "{error}");
    assert_eq!(postmaster(&data_dir), None);
    assert_eq!(place.processes(), []);
    drop(embedded(settings).unwrap());
}
