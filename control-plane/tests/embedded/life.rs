//! A server's life: made, shared, killed, brought back.

use std::{
    fs,
    os::unix::{
        fs::{MetadataExt, PermissionsExt},
        process::CommandExt,
    },
    path::{Path, PathBuf},
    process::{Child, Command},
    thread,
};

use control_plane::postgres::embedded::{Durability, EmbeddedPostgres, Progress, Settings};
use rustix::process::Signal;

use crate::harness::{
    Account, Place, Server, dev, embedded, eventually, in_data_dir, only_as_root, postmaster, query, run,
    signal,
};

/// The caller runs these in tasks of its own.
#[test]
fn starting_and_supervising_can_be_spawned() {
    fn spawnable<T: Send>(_: T) {}
    spawnable(EmbeddedPostgres::start(Settings::new("/nonexistent", Durability::None), |_| {}));
    spawnable(|postgres: EmbeddedPostgres| async move {
        spawnable(postgres.supervise(tokio_util::sync::CancellationToken::new()));
        spawnable(postgres.stop());
    });
}

#[test]
fn data_survives_a_restart() {
    let place = Place::new();
    let settings = Settings::new(place.join("d"), Durability::None);
    let first = embedded(settings.clone()).unwrap();
    // Where no Postgres is installed, the first test to come also fetches one.
    let steps: Vec<_> =
        first.steps.iter().filter(|step| !matches!(step, Progress::Fetching { .. })).collect();
    let [Progress::Initialising { major }, Progress::Starting { major: started }] = steps[..] else {
        panic!("{steps:?}");
    };
    assert!(*major >= 15, "{major}");
    assert_eq!(major, started);
    first.sql("create table kept as select 42 as answer");
    let major = *major;
    drop(first);
    assert_eq!(place.processes(), []);

    let second = embedded(settings).unwrap();
    assert_eq!(second.steps, [Progress::Starting { major }]);
    assert_eq!(second.sql("select answer from kept"), "42");
}

#[test]
fn an_ordinary_user_owns_everything_and_no_other_user_gets_in() {
    let place = Place::new();
    let data_dir = place.join("d");
    let user = Account::ordinary();
    let server = Server::dev(user, &place, &data_dir);
    for (name, mode) in [
        ("", 0o700),
        ("postgres", 0o700),
        ("postgres/data", 0o700),
        ("postgres/run", 0o700),
        ("token", 0o600),
        ("token-keys.json", 0o600),
        ("token-participant", 0o600),
    ] {
        let found = fs::metadata(data_dir.join(name)).unwrap();
        assert_eq!((found.uid(), found.mode() & 0o777), (user.uid(), mode), "{name:?}");
    }
    assert_eq!(query(&in_data_dir(&data_dir), "show listen_addresses").unwrap(), "");
    server.stop();
}

#[test]
fn root_keeps_the_folder_and_lends_the_cluster_and_the_socket() {
    if !only_as_root() {
        return;
    }
    let place = Place::new();
    let data_dir = place.join("d");
    let server = Server::dev(Account::Own, &place, &data_dir);
    let owner = |name: &str| fs::metadata(data_dir.join(name)).unwrap().uid();
    for name in ["", "token", "token-keys.json", "token-participant", "postgres", "postgres/postgres.log"] {
        assert_eq!(owner(name), 0, "{name:?}");
    }
    assert_ne!(owner("postgres/data"), 0);
    assert_eq!(owner("postgres/data"), owner("postgres/run"));
    server.stop();
}

#[test]
fn of_two_at_the_same_instant_one_initialises_and_the_other_reuses() {
    let place = Place::new();
    let data_dir = place.join("d");
    let start = || Server::dev(Account::Own, &place, &data_dir);
    let (one, two) = thread::scope(|scope| {
        let (one, two) = (scope.spawn(start), scope.spawn(start));
        (one.join().unwrap(), two.join().unwrap())
    });
    let reuses = |server: &Server| server.running.stderr().contains("using the Postgres that runs there");
    assert_ne!(reuses(&one), reuses(&two), "{one:?} {two:?}");
    assert_eq!(one.token, two.token);

    // The owner goes in order, and the one that reused its server starts the next.
    let (owner, other) = if reuses(&one) { (two, one) } else { (one, two) };
    let first = postmaster(&data_dir).unwrap();
    owner.stop();
    eventually("a server of the other process", || postmaster(&data_dir).is_some_and(|pid| pid != first));
    eventually("it answers", || query(&in_data_dir(&data_dir), "select 1").is_ok());
    other.await_active();
    other.stop();
    place.await_quiet();
    assert_eq!(postmaster(&data_dir), None);
}

#[test]
fn a_killed_owner_takes_its_server_along() {
    let place = Place::new();
    let data_dir = place.join("d");
    let server = Server::dev(Account::Own, &place, &data_dir);
    // What a service manager or a terminal sends to everyone does not end the watchdog before its time.
    let watchdogs: Vec<u32> = place
        .processes()
        .into_iter()
        .filter_map(|(pid, line)| line.starts_with("/bin/sh").then_some(pid))
        .collect();
    assert_eq!(watchdogs.len(), 1);
    for deaf_to in [Signal::HUP, Signal::INT, Signal::TERM] {
        signal(watchdogs[0], deaf_to);
    }
    server.running.kill();
    place.await_quiet();
    assert_eq!(postmaster(&data_dir), None);
    let log = fs::read_to_string(data_dir.join("postgres/postgres.log")).unwrap();
    assert!(log.contains("database system is shut down"), "{log}");
}

#[test]
fn a_killed_server_is_brought_back_with_its_data() {
    let place = Place::new();
    let data_dir = place.join("d");
    let server = Server::dev(Account::Own, &place, &data_dir);
    let database = in_data_dir(&data_dir);
    query(&database, "create table kept as select 42 as answer").unwrap();
    for _ in 0..3 {
        let dead = postmaster(&data_dir).unwrap();
        signal(dead, Signal::KILL);
        eventually("a new server", || postmaster(&data_dir).is_some_and(|pid| pid != dead));
        eventually("the data", || {
            query(&database, "select answer from kept").is_ok_and(|answer| answer == "42")
        });
    }
    server.stop();
    assert_eq!(place.processes(), []);
}

#[test]
fn a_start_gets_past_the_remains_of_a_killed_server_and_its_killed_owner() {
    let place = Place::new();
    let data_dir = place.join("d");
    for _ in 0..5 {
        let server = Server::dev(Account::Own, &place, &data_dir);
        // Stopped, the owner cannot restart the server, and its watchdog has nothing to stop.
        server.running.signal(Signal::STOP);
        signal(postmaster(&data_dir).unwrap(), Signal::KILL);
        server.running.kill();
    }
    Server::dev(Account::Own, &place, &data_dir).stop();
}

#[test]
fn a_pid_file_that_names_a_stranger_is_no_obstacle() {
    struct Stranger(Child);
    impl Drop for Stranger {
        fn drop(&mut self) {
            self.0.kill().unwrap();
            self.0.wait().unwrap();
        }
    }

    let place = Place::new();
    let data_dir = place.join("d");
    Server::dev(Account::Own, &place, &data_dir).stop();
    let cluster = data_dir.join("postgres/data");
    let mut sleep = Command::new("sleep");
    if Account::ordinary() != Account::Own {
        // Of the server's own account, or the server would not mistake it for its like.
        sleep.uid(fs::metadata(&cluster).unwrap().uid());
    }
    let stranger = Stranger(sleep.arg("60").spawn().unwrap());
    let state =
        format!("{}\n{}\n1700000000\n5432\n/x\n\n  1  2\nready   \n", stranger.0.id(), cluster.display());
    fs::write(cluster.join("postmaster.pid"), state).unwrap();
    Server::dev(Account::Own, &place, &data_dir).stop();
}

#[test]
fn a_long_path_gets_a_short_private_socket_folder() {
    struct Removed(PathBuf);
    impl Drop for Removed {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    let place = Place::new();
    let data_dir = place.join(&format!("{0}/{0} with, \"odd\" letters/{0}", "long".repeat(20)));
    let cluster = embedded(Settings::new(&data_dir, Durability::None)).unwrap();
    let url = cluster.url("postgres");
    let socket_dir = Removed(url.split_once("host=").unwrap().1.into());
    assert!(socket_dir.0.starts_with("/tmp") && socket_dir.0.as_os_str().len() < 60, "{url}");
    assert_eq!(fs::metadata(&socket_dir.0).unwrap().mode() & 0o777, 0o700);
    assert_eq!(cluster.sql("select 1"), "1");
    drop(cluster);
    assert!(!socket_dir.0.exists());
}

#[test]
fn a_path_with_odd_letters_works() {
    let place = Place::new();
    let cluster = embedded(Settings::new(place.join("a, \"b\" & c%20=é"), Durability::None)).unwrap();
    assert_eq!(cluster.sql("select 1"), "1");
}

#[test]
fn parameters_of_the_caller_win_unless_they_open_the_server() {
    let place = Place::new();
    let settings = Settings::new(place.join("d"), Durability::None)
        .parameter("max_connections", "33")
        .parameter("listen_addresses", "*");
    let cluster = embedded(settings).unwrap();
    assert_eq!(cluster.sql("show max_connections"), "33");
    assert_eq!(cluster.sql("show listen_addresses"), "");
    assert_eq!(cluster.sql("show fsync"), "off");
    drop(cluster);

    let cluster = embedded(Settings::new(place.join("d"), Durability::Full)).unwrap();
    let what_keeps_data = "select string_agg(setting, ',' order by name) from pg_settings \
         where name in ('fsync', 'synchronous_commit', 'full_page_writes')";
    assert_eq!(cluster.sql(what_keeps_data), "on,on,on");
}

#[test]
fn a_server_that_hangs_is_named_and_not_reused() {
    let place = Place::new();
    let data_dir = place.join("d");
    let server = Server::dev(Account::Own, &place, &data_dir);
    let pid = postmaster(&data_dir).unwrap();
    signal(pid, Signal::STOP);
    run(dev(Account::Own, &place, &data_dir)).refused(1, &[&format!("stop it (`kill -INT {pid}`)")]);
    signal(pid, Signal::CONT);
    server.stop();
}

#[test]
fn what_a_killed_initdb_left_is_cleared_away() {
    let place = Place::new();
    let data_dir = place.join("d");
    drop(embedded(Settings::new(&data_dir, Durability::None)).unwrap());
    // As it is between the making of the folder and the renaming of the finished cluster.
    fs::rename(data_dir.join("data"), data_dir.join("data.tmp.1")).unwrap();
    drop(embedded(Settings::new(&data_dir, Durability::None)).unwrap());
    assert!(Path::new(&data_dir.join("data/PG_VERSION")).exists());
    assert!(!data_dir.join("data.tmp.1").exists());
}

#[test]
fn a_folder_that_is_open_to_others_is_closed_to_them() {
    let place = Place::new();
    let data_dir = place.join("d");
    fs::create_dir(&data_dir).unwrap();
    fs::set_permissions(&data_dir, fs::Permissions::from_mode(0o777)).unwrap();
    let cluster = embedded(Settings::new(&data_dir, Durability::None)).unwrap();
    assert_eq!(fs::metadata(&data_dir).unwrap().mode() & 0o007, 0);
    drop(cluster);
}
