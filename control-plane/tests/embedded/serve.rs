//! `rollcall serve` as an operator meets it.

use std::{fs, os::unix::fs::PermissionsExt, path::Path, process::Command, thread};

use serde_json::Value;

use crate::harness::{
    Account, Database, Ended, Keys, Place, Server, eventually, only_as_root, rollcall, run,
};

fn serve(place: &Place, database: &Database, keys: &Keys, flags: &[&str]) -> Command {
    let mut command = rollcall(Account::Own, place, &["serve", "--listen=127.0.0.1:0"]);
    command.args(flags).env("DATABASE_URL", &database.url).env("ROLLCALL_TOKEN_KEYS", keys.path());
    command
}

#[test]
fn without_a_database_or_keys_it_is_a_usage_error() {
    let place = Place::new();
    let mut command = rollcall(Account::Own, &place, &["serve"]);
    command.env("ROLLCALL_TOKEN_KEYS", "/nonexistent/keys.json");
    run(command).refused(2, &["--database-url"]);

    let mut command = rollcall(Account::Own, &place, &["serve"]);
    // This is for clients.
    command.env("DATABASE_URL", "postgres://localhost/rollcall").env("ROLLCALL_TOKEN", "v4.public.x");
    run(command).refused(2, &["--token-keys"]);
}

#[test]
fn without_usable_keys_it_does_not_start_and_says_why() {
    let place = Place::new();
    let database = Database::migrated();
    let keys = Keys::create(&place, "keys.json");
    let start = |path: &Path| {
        let mut command = rollcall(Account::Own, &place, &["serve", "--listen=127.0.0.1:0", "--token-keys"]);
        command.arg(path).env("DATABASE_URL", &database.url);
        run(command)
    };
    start(&place.join("none.json"))
        .refused(1, &["--token-keys", "rollcall keys create", "there is no key ring", "none.json"]);
    let other = place.join("other.json");
    fs::write(&other, r#"{"secret": "swordfish"}"#).unwrap();
    fs::set_permissions(&other, fs::Permissions::from_mode(0o600)).unwrap();
    let refused = start(&other);
    refused.refused(1, &["--token-keys", "other.json", "it is not a key ring"]);
    assert!(!refused.stderr.contains("swordfish"), "{}", refused.stderr);
    for mode in [0o640, 0o604, 0o622] {
        fs::set_permissions(keys.path(), fs::Permissions::from_mode(mode)).unwrap();
        start(keys.path()).refused(1, &["is open to others", "chmod 600"]);
    }
    if only_as_root() {
        fs::set_permissions(keys.path(), fs::Permissions::from_mode(0o600)).unwrap();
        Account::Nobody.give(keys.path());
        start(keys.path()).refused(1, &["belongs to user 65534"]);
    }
}

#[test]
fn plaintext_where_others_can_listen_takes_a_flag() {
    let place = Place::new();
    let database = Database::migrated();
    let keys = Keys::create(&place, "keys.json");
    for everywhere in ["--listen=0.0.0.0:0", "--listen=[::]:0"] {
        let mut command = rollcall(Account::Own, &place, &["serve", everywhere]);
        command.env("DATABASE_URL", &database.url).env("ROLLCALL_TOKEN_KEYS", keys.path());
        run(command).refused(1, &["in clear", "--tls-cert and --tls-key", "--allow-plaintext"]);
    }
    let mut command = rollcall(Account::Own, &place, &["serve", "--listen=0.0.0.0:0", "--allow-plaintext"]);
    command.env("DATABASE_URL", &database.url).env("ROLLCALL_TOKEN_KEYS", keys.path());
    let mut server = Server::try_serve(command, "").unwrap();
    server.address.set_ip([127, 0, 0, 1].into());
    server.await_active();
    server.stop();
}

#[test]
fn a_certificate_that_cannot_be_served_is_told_before_anything_begins() {
    let place = Place::new();
    let database = Database::migrated();
    let keys = Keys::create(&place, "keys.json");
    let (certificate, key) = (place.join("a.pem"), place.join("a.key"));
    let flags = [format!("--tls-cert={}", certificate.display()), format!("--tls-key={}", key.display())];
    let start = |flags: &[&str]| run(serve(&place, &database, &keys, flags));
    start(&[&flags[0]]).refused(2, &["--tls-key <FILE>"]);
    start(&[&flags[1]]).refused(2, &["--tls-cert <FILE>"]);
    start(&[&flags[0], &flags[1], "--allow-plaintext"]).refused(2, &["cannot be used with"]);
    let flags = [flags[0].as_str(), &flags[1]];
    start(&flags).refused(1, &["--tls-cert", "cannot read", "a.pem"]);
    fs::write(&certificate, "garbage").unwrap();
    start(&flags).refused(1, &["a.pem has no certificate"]);
}

#[test]
fn an_address_that_no_client_could_call_is_a_usage_error() {
    let place = Place::new();
    let database = Database::migrated();
    let keys = Keys::create(&place, "keys.json");
    for (address, words) in [
        ("0.0.0.0:7420", "stands for every address"),
        ("a.example:0", "port 0"),
        ("a.example/path", "expected HOST:PORT"),
        ("", "expected HOST:PORT"),
    ] {
        let flag = format!("--advertise={address}");
        run(serve(&place, &database, &keys, &[&flag])).refused(2, &["--advertise", words]);
    }
}

#[test]
fn an_unmigrated_database_is_refused_and_left_as_it_was() {
    let place = Place::new();
    let database = Database::empty();
    let keys = Keys::create(&place, "keys.json");
    run(serve(&place, &database, &keys, &[])).refused(1, &["rollcall migrate", "--migrate"]);
    keys.bootstrap(&place, &database, &[]).refused(1, &["rollcall migrate"]);
    assert_eq!(
        database.sql("select count(*) from pg_class where relnamespace = 'public'::regnamespace"),
        "0"
    );
}

#[test]
fn a_half_migrated_database_is_refused_until_it_is_migrated() {
    let place = Place::new();
    let database = Database::migrated();
    database.sql(
        "delete from refinery_schema_history where version = (select max(version) from refinery_schema_history)",
    );
    let keys = Keys::create(&place, "keys.json");
    run(serve(&place, &database, &keys, &[])).refused(1, &["rollcall migrate"]);
}

#[test]
fn a_schema_from_a_newer_release_is_refused() {
    let place = Place::new();
    let database = Database::migrated();
    database.sql(
        "insert into refinery_schema_history (version, name, applied_on, checksum)
         values (9999, 'from_the_future', '2030-01-01T00:00:00Z', '1')",
    );
    let keys = Keys::create(&place, "keys.json");
    for flags in [&[][..], &["--migrate"]] {
        run(serve(&place, &database, &keys, flags)).refused(1, &["9999", "run a newer rollcall"]);
    }
}

#[test]
fn of_eight_that_migrate_and_start_at_once_on_an_empty_database_one_becomes_active() {
    let place = Place::new();
    let database = Database::empty();
    let keys = Keys::create(&place, "keys.json");
    let mut servers: Vec<Server> = thread::scope(|scope| {
        let start = || Server::try_serve(serve(&place, &database, &keys, &["--migrate"]), "").unwrap();
        let starts: Vec<_> = (0..8).map(|_| scope.spawn(start)).collect();
        starts.into_iter().map(|start| start.join().unwrap()).collect()
    });
    let statuses = || {
        let mut statuses: Vec<_> = servers.iter().map(|server| server.active_status().unwrap_or(0)).collect();
        statuses.sort_unstable();
        statuses
    };
    eventually("one is active", || statuses() == [200, 503, 503, 503, 503, 503, 503, 503]);
    assert_eq!(database.sql("select epoch from leadership"), "1", "one was ever active");
    // Whichever is asked.
    let token = keys.bootstrap(&place, &database, &[]).succeeded().stdout.trim_end().to_owned();
    for server in &mut servers {
        server.token.clone_from(&token);
        server.create_session(&place, "demo");
    }
    assert_eq!(servers[0].sessions(&place).len(), 8);
    thread::scope(|scope| {
        for server in servers {
            scope.spawn(|| server.stop());
        }
    });
}

#[test]
fn the_databases_password_is_never_shown() {
    const PASSWORD: &str = "correct-horse-battery";
    let place = Place::new();
    let keys = Keys::create(&place, "keys.json");
    let shows_nothing = |ended: &Ended| {
        let shown = [&ended.stdout, &ended.stderr].iter().any(|text| text.contains(PASSWORD));
        assert!(!shown, "{ended:?}");
    };
    for host in ["127.0.0.1:1", "nowhere.invalid", "127.0.0.1:port", "[", "/nonexistent"] {
        let url = format!("postgres://rollcall:{PASSWORD}@{host}/rollcall?sslmode=prefer");
        for arguments in [
            &["migrate"][..],
            &["serve", "--listen=127.0.0.1:0"],
            &["serve", "--listen=127.0.0.1:0", "--migrate"],
            &["dev", "--listen=127.0.0.1:0"],
            &["keys", "bootstrap"],
        ] {
            let mut command = rollcall(Account::Own, &place, arguments);
            command.env("DATABASE_URL", &url).env("RUST_LOG", "trace");
            command.env("ROLLCALL_TOKEN_KEYS", keys.path());
            command.env("ROLLCALL_DATA_DIR", place.join("d"));
            let ended = run(command);
            assert_eq!(ended.code, Some(1), "{host} {arguments:?} {ended:?}");
            if arguments[0] == "serve" {
                let lines: Result<Vec<Value>, _> = ended.stderr.lines().map(serde_json::from_str).collect();
                let last =
                    lines.expect("the log of a server is JSON, to its end").pop().expect("it says why");
                assert_eq!((&last["level"], &last["message"]), (&"ERROR".into(), &"the server ended".into()));
                assert!(last["error"].is_string(), "{last}");
            } else {
                assert!(ended.stderr.contains("error: "), "{ended:?}");
            }
            shows_nothing(&ended);
        }
    }
    for verb in [&["migrate"][..], &["serve"], &["dev"], &["doctor"], &["keys", "bootstrap"]] {
        let mut command = rollcall(Account::Own, &place, verb);
        command.arg("--help").env("DATABASE_URL", format!("postgres://rollcall:{PASSWORD}@db/rollcall"));
        shows_nothing(&run(command).succeeded());
    }
}
