//! `rollcall dev` as a newcomer meets it.

use std::{
    fs,
    net::TcpListener,
    os::unix::fs::{MetadataExt, PermissionsExt},
    path::Path,
    time::{Duration, Instant},
};

use rustix::process::Signal;
use serde_json::Value;

use crate::harness::{
    Account, Database, Place, Running, Server, dev, eventually, http_status, in_data_dir, only_as_root,
    postmaster, query, rollcall, run, signal,
};

/// A whole first try: start, paste, make a session, stop.
fn first_try(account: Account) {
    let place = Place::new();
    let data_dir = place.join("data dir");
    let server = Server::dev(account, &place, &data_dir);
    server.await_active();
    let made = server.create_session(&place, "demo");
    assert_eq!(server.sessions(&place), [made]);

    let (address, token) = (server.address, server.token.clone());
    let ended = server.stop();
    assert_eq!(
        ended.stdout,
        format!("export ROLLCALL_ADDR=http://{address}\nexport ROLLCALL_TOKEN={token}\n"),
        "stdout is for pasting and nothing else"
    );
    for words in
        ["making a database with Postgres", "rollcall session create --name demo", "rollcall node watch"]
    {
        assert!(ended.stderr.contains(words), "no {words:?} in {}", ended.stderr);
    }
    assert!(!ended.stderr.contains(&token), "the token is on stdout only");
    assert_eq!(place.processes(), []);
    assert_eq!(postmaster(&data_dir), None);
}

#[test]
fn a_first_try_works() {
    first_try(Account::Own);
}

#[test]
fn a_first_try_by_a_user_without_rights_works() {
    if only_as_root() {
        first_try(Account::Nobody);
    }
}

#[test]
fn two_on_different_folders_are_both_active() {
    let place = Place::new();
    let one = Server::dev(Account::Own, &place, &place.join("one"));
    let two = Server::dev(Account::Own, &place, &place.join("two"));
    one.await_active();
    two.await_active();
    assert_ne!(one.token, two.token);
    one.create_session(&place, "only here");
    assert_eq!(two.sessions(&place), [""; 0]);
    two.stop();
    assert_eq!(one.active_status(), Some(200));
    one.stop();
    assert_eq!(place.processes(), []);
}

#[test]
fn of_two_on_one_folder_the_standby_takes_over_when_the_other_and_its_postgres_are_killed() {
    let place = Place::new();
    let data_dir = place.join("d");
    let first = Server::dev(Account::Own, &place, &data_dir);
    first.await_active();
    let made = first.create_session(&place, "kept");
    let second = Server::dev(Account::Own, &place, &data_dir);
    second.await_standby();
    assert_eq!(first.active_status(), Some(200));
    assert_eq!(first.token, second.token);
    // A standby sends writers to the active server.
    let also = second.create_session(&place, "through the standby");

    let its_postgres = postmaster(&data_dir).unwrap();
    let killed = Instant::now();
    first.running.kill();
    // It may lead for a moment on the Postgres that is just ending, and then again on its own.
    eventually("a Postgres of its own", || postmaster(&data_dir).is_some_and(|pid| pid != its_postgres));
    second.await_active();
    let seconds = killed.elapsed();
    assert!(seconds < Duration::from_secs(20), "it took {seconds:?}");
    // The watchdog of the first server looks once a second, and does not take the new server for its own.
    eventually("one watchdog", || {
        place.processes().iter().filter(|(_, line)| line.starts_with("/bin/sh")).count() == 1
    });
    assert!(killed.elapsed() < Duration::from_secs(25), "it took the new server for its own");
    let mut both = [made, also];
    both.sort();
    assert_eq!(second.sessions(&place), both);
    second.create_session(&place, "after");

    let third = Server::dev(Account::Own, &place, &data_dir);
    third.await_standby();
    third.stop();
    assert_eq!(second.active_status(), Some(200));
    second.stop();
    assert_eq!(place.processes(), []);
}

#[test]
fn a_taken_port_is_told_before_anything_is_made() {
    let place = Place::new();
    let data_dir = place.join("d");
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let mut command = rollcall(Account::Own, &place, &["dev", "--listen", &address, "--data-dir"]);
    command.arg(&data_dir);
    let refused = run(command);
    refused.refused(1, &[&format!("{address} is taken"), "--listen"]);
    assert_eq!(refused.stdout, "");
    assert!(!data_dir.exists());
}

#[test]
fn sessions_and_the_token_survive_kill_9_and_a_restart_at_once() {
    let place = Place::new();
    let data_dir = place.join("d");
    let mut server = Server::dev(Account::Own, &place, &data_dir);
    let token = server.token.clone();
    let mut made = Vec::new();
    for _ in 0..3 {
        server.await_active();
        made.push(server.create_session(&place, "kept"));
        server.running.kill();
        // Its Postgres may still answer, or be ending, or be gone.
        server = Server::dev(Account::Own, &place, &data_dir);
        assert_eq!(server.token, token);
    }
    server.await_active();
    made.sort();
    assert_eq!(server.sessions(&place), made);
    server.stop();
    place.await_quiet();
}

#[test]
fn a_start_that_finds_a_postgres_about_to_end_outlives_its_end() {
    let place = Place::new();
    let data_dir = place.join("d");
    let first = Server::dev(Account::Own, &place, &data_dir);
    let doomed = postmaster(&data_dir).unwrap();
    let second = Running::start(dev(Account::Own, &place, &data_dir));
    eventually("it finds the Postgres of the first", || second.stderr().contains("using the Postgres"));
    // Its watchdog ends it while the second makes its database there.
    first.running.kill();
    eventually("its own Postgres", || postmaster(&data_dir).is_some_and(|pid| pid != doomed));
    eventually("it serves", || second.stdout().lines().count() == 2);
    second.signal(Signal::TERM);
    second.wait().succeeded();
    place.await_quiet();
}

#[test]
fn a_killed_postgres_interrupts_for_seconds_and_ends_nothing() {
    let place = Place::new();
    let data_dir = place.join("d");
    let mut server = Server::dev(Account::Own, &place, &data_dir);
    server.await_active();
    let before = server.create_session(&place, "before");
    let dead = postmaster(&data_dir).unwrap();
    let killed = Instant::now();
    signal(dead, Signal::KILL);
    // The command line keeps trying while the server cannot reach its database.
    let mut during = None;
    eventually("a session is made", || {
        let made = server.client(&place, &["session", "create", "--name", "during"]);
        during = (made.code == Some(0)).then_some(made.stdout);
        during.is_some()
    });
    let outage = killed.elapsed();
    assert!(outage < Duration::from_secs(20), "it took {outage:?}");
    assert!(postmaster(&data_dir).is_some_and(|pid| pid != dead));
    server.await_active();
    let mut both = [before, during.unwrap().trim().to_owned()];
    both.sort();
    assert_eq!(server.sessions(&place), both);
    assert!(!server.running.has_ended());
    server.stop();
    assert_eq!(place.processes(), []);
}

fn ends_in_order(how: Signal) {
    let place = Place::new();
    let data_dir = place.join("d");
    let server = Server::dev(Account::Own, &place, &data_dir);
    server.await_active();
    let address = server.address;
    server.running.signal(how);
    server.running.wait().succeeded();
    assert_eq!(place.processes(), []);
    assert_eq!(postmaster(&data_dir), None, "Postgres was shut down in order");
    assert_eq!(http_status(address, "/health/live"), None);
}

#[test]
fn sigterm_ends_everything_in_order() {
    ends_in_order(Signal::TERM);
}

#[test]
fn sigint_ends_everything_in_order() {
    ends_in_order(Signal::INT);
}

#[test]
fn a_second_signal_ends_it_at_once_with_a_code_of_its_own() {
    let place = Place::new();
    let data_dir = place.join("d");
    let server = Server::dev(Account::Own, &place, &data_dir);
    server.await_active();
    server.running.signal(Signal::INT);
    server.running.signal(Signal::TERM);
    let ended = server.running.wait();
    ended.refused(130, &["ended by a second signal"]);
    // Its Postgres is looked after by the watchdog, and nothing is lost.
    place.await_quiet();
    Server::dev(Account::Own, &place, &data_dir).stop();
}

#[test]
fn a_signal_during_the_first_start_ends_it_at_once() {
    let place = Place::new();
    let data_dir = place.join("d");
    let running = Running::start(dev(Account::Own, &place, &data_dir));
    eventually("it makes a database", || running.stderr().contains("making a database"));
    running.signal(Signal::INT);
    let ended = running.wait().succeeded();
    assert_eq!(ended.stdout, "", "there is nothing to paste");
    place.await_quiet();
    // And what it left is no obstacle.
    Server::dev(Account::Own, &place, &data_dir).stop();
}

/// What `rollcall dev` keeps for tokens.
const TOKEN_FILES: [&str; 3] = ["token", "token-keys.json", "token-participant"];

fn names_in(data_dir: &Path) -> Vec<String> {
    let mut names: Vec<_> = fs::read_dir(data_dir)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

#[test]
fn the_token_and_its_keys_are_the_owners_alone_and_stay_the_same() {
    let place = Place::new();
    let data_dir = place.join("d");
    let read = |name: &str| fs::read_to_string(data_dir.join(name)).unwrap();
    let mut kept = Vec::new();
    for _ in 0..2 {
        let server = Server::dev(Account::Own, &place, &data_dir);
        for name in TOKEN_FILES {
            let found = fs::metadata(data_dir.join(name)).unwrap();
            assert_eq!((found.mode() & 0o777, found.uid()), (0o600, Account::Own.uid()), "{name}");
        }
        assert_eq!(read("token"), server.token);
        kept.push(TOKEN_FILES.map(read));
        server.stop();
    }
    assert_eq!(kept[0], kept[1]);
    let drafts: Vec<_> = names_in(&data_dir)
        .into_iter()
        .filter(|name| {
            name != "postgres" && name != "token-keys.json.lock" && !TOKEN_FILES.contains(&name.as_str())
        })
        .collect();
    assert_eq!(drafts, [""; 0], "the database, the token with its keys, and no drafts of them");
}

#[test]
fn a_kept_token_that_is_no_longer_good_is_replaced_by_one_for_the_same_participant() {
    let place = Place::new();
    let data_dir = place.join("d");
    let mut server = Server::dev(Account::Own, &place, &data_dir);
    server.await_active();
    let made = server.create_session(&place, "mine");
    let participant = fs::read_to_string(data_dir.join("token-participant")).unwrap();
    let mut tokens = vec![server.token.clone()];
    let other = Server::dev(Account::Own, &place, &place.join("other"));
    let foreign = other.token.clone();
    other.stop();
    let cut = tokens[0][..tokens[0].len() - 1].to_owned();
    for kept in [Some("not a token"), Some(""), Some(cut.as_str()), Some(foreign.as_str()), None] {
        server.stop();
        let path = data_dir.join("token");
        match kept {
            Some(kept) => fs::write(&path, kept).unwrap(),
            None => fs::remove_file(&path).unwrap(),
        }
        server = Server::dev(Account::Own, &place, &data_dir);
        assert!(!tokens.contains(&server.token) && kept != Some(server.token.as_str()), "{kept:?}");
        assert_eq!(fs::read_to_string(&path).unwrap(), server.token);
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, 0o600);
        tokens.push(server.token.clone());
        server.await_active();
        assert_eq!(server.sessions(&place), [made.as_str()]);
    }
    assert_eq!(fs::read_to_string(data_dir.join("token-participant")).unwrap(), participant);
    let holders =
        query(&in_data_dir(&data_dir), "select participant_id, count(*) from issued_tokens group by 1");
    assert_eq!(holders.unwrap(), format!("{participant}|{}", tokens.len()));
    // Those that were pasted before are good, too.
    server.client_with(&place, &tokens[0], &["session", "list"]).succeeded();
    server.stop();
}

#[test]
fn with_new_keys_there_is_a_new_token() {
    let place = Place::new();
    let data_dir = place.join("d");
    let first = Server::dev(Account::Own, &place, &data_dir);
    let former = first.token.clone();
    first.stop();
    fs::remove_file(data_dir.join("token-keys.json")).unwrap();
    let server = Server::dev(Account::Own, &place, &data_dir);
    server.await_active();
    assert_ne!(server.token, former);
    server.client(&place, &["session", "list"]).succeeded();
    let refused = server.client_with(&place, &former, &["session", "list"]);
    refused.refused(1, &["auth.token_invalid"]);
    server.stop();
}

#[test]
fn keys_that_others_can_read_are_refused_and_nothing_is_left_running() {
    let place = Place::new();
    let data_dir = place.join("d");
    Server::dev(Account::Own, &place, &data_dir).stop();
    let path = data_dir.join("token-keys.json");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
    let refused = run(dev(Account::Own, &place, &data_dir));
    refused.refused(1, &["is open to others (mode 0644)", "chmod 600"]);
    assert_eq!(refused.stdout, "");
    place.await_quiet();
}

#[test]
fn a_cadence_that_cannot_work_names_the_flag_and_makes_nothing() {
    let place = Place::new();
    let data_dir = place.join("d");
    for (flags, named) in [
        (["--sweep-interval=16s", "--heartbeat-interval=15s"], "--sweep-interval"),
        (["--degraded-after=29s", "--heartbeat-interval=15s"], "--degraded-after"),
        (["--offline-after=30s", "--degraded-after=30s"], "--offline-after"),
        (["--heartbeat-interval=10ms", "--sweep-interval=10ms"], "--heartbeat-interval"),
        (["--brake-hold=2days", "--sweep-interval=5s"], "--brake-hold"),
    ] {
        let mut command = dev(Account::Own, &place, &data_dir);
        command.args(flags);
        run(command).refused(1, &[named]);
    }
    for (flag, named) in [
        ("--sweep-interval=soon", "--sweep-interval"),
        ("--session-nodes-max=0", "--session-nodes-max"),
        ("--beat-lanes=65", "--beat-lanes"),
        ("--beats-queued-max=1", "--beats-queued-max"),
        ("--listen=localhost", "--listen"),
    ] {
        run(rollcall(Account::Own, &place, &["dev", flag])).refused(2, &[named]);
    }
    assert!(!data_dir.exists());
}

#[test]
fn with_a_database_of_ones_own_no_postgres_is_started() {
    let place = Place::new();
    let data_dir = place.join("d");
    let database = Database::empty();
    let mut command = dev(Account::Own, &place, &data_dir);
    command.env("DATABASE_URL", &database.url);
    let server = Server::try_dev(command).unwrap();
    server.await_active();
    server.create_session(&place, "there");
    assert_eq!(database.sql("select name from sessions"), "there");
    server.stop();
    assert!(!names_in(&data_dir).contains(&"postgres".to_owned()), "{:?}", names_in(&data_dir));
}

#[test]
fn a_kept_token_that_was_revoked_is_replaced_by_one_of_the_same_participant() {
    let place = Place::new();
    let data_dir = place.join("d");
    let server = Server::dev(Account::Own, &place, &data_dir);
    server.await_active();
    let made = server.create_session(&place, "kept");
    let revoked = server.token.clone();
    let renewed = server.client(&place, &["token", "renew", "--json"]).succeeded().stdout;
    let renewed: Value = serde_json::from_str(&renewed).unwrap();
    // The kept one is of its family.
    let id = renewed["token_id"].as_str().unwrap();
    server.client(&place, &["token", "revoke", id, "--yes"]).succeeded();
    server.stop();

    let server = Server::dev(Account::Own, &place, &data_dir);
    assert_ne!(server.token, revoked);
    server.await_active();
    assert_eq!(server.sessions(&place), [made], "it is its owner's");
    let good = server.token.clone();
    server.stop();
    let server = Server::dev(Account::Own, &place, &data_dir);
    assert_eq!(server.token, good, "the new one is kept in its turn");
    server.stop();
}
