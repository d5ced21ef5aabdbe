//! `rollcall serve` as an operator meets it.

use std::{process::Command, thread};

use crate::harness::{Account, Database, Ended, Place, Server, eventually, rollcall, run};

const TOKEN: &str = "0198c5a2-6f1e-7c3a-9b54-2f8e1d0c7a61.0123456789abcdef0123456789abcdef";

fn serve(place: &Place, database: &Database, flags: &[&str]) -> Command {
    let mut command = rollcall(Account::Own, place, &["serve", "--listen=127.0.0.1:0"]);
    command.args(flags).env("DATABASE_URL", &database.url).env("ROLLCALL_TOKEN", TOKEN);
    command
}

#[test]
fn without_a_database_or_a_token_it_is_a_usage_error() {
    let place = Place::new();
    let mut command = rollcall(Account::Own, &place, &["serve"]);
    command.env("ROLLCALL_TOKEN", TOKEN);
    run(command).refused(2, &["--database-url"]);

    let mut command = rollcall(Account::Own, &place, &["serve"]);
    command.env("DATABASE_URL", "postgres://localhost/rollcall");
    run(command).refused(2, &["--token"]);
}

#[test]
fn a_poor_token_is_refused_without_being_shown() {
    let place = Place::new();
    let mut command = rollcall(Account::Own, &place, &["serve", "--listen=127.0.0.1:0"]);
    command.env("DATABASE_URL", "postgres://localhost/rollcall").env("ROLLCALL_TOKEN", "tooshort");
    let refused = run(command);
    refused.refused(1, &["ROLLCALL_TOKEN"]);
    assert!(!refused.stderr.contains("tooshort"), "{}", refused.stderr);
}

#[test]
fn plaintext_where_others_can_listen_takes_a_flag() {
    let place = Place::new();
    let database = Database::migrated();
    for everywhere in ["--listen=0.0.0.0:0", "--listen=[::]:0"] {
        let mut command = rollcall(Account::Own, &place, &["serve", everywhere]);
        command.env("DATABASE_URL", &database.url).env("ROLLCALL_TOKEN", TOKEN);
        run(command).refused(1, &["in clear", "--allow-plaintext"]);
    }
    let mut command = rollcall(Account::Own, &place, &["serve", "--listen=0.0.0.0:0", "--allow-plaintext"]);
    command.env("DATABASE_URL", &database.url);
    let mut server = Server::try_serve(command, TOKEN).unwrap();
    server.address.set_ip([127, 0, 0, 1].into());
    server.await_active();
    server.stop();
}

#[test]
fn an_unmigrated_database_is_refused_and_left_as_it_was() {
    let place = Place::new();
    let database = Database::empty();
    run(serve(&place, &database, &[])).refused(1, &["rollcall migrate", "--migrate"]);
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
    run(serve(&place, &database, &[])).refused(1, &["rollcall migrate"]);
}

#[test]
fn a_schema_from_a_newer_release_is_refused() {
    let place = Place::new();
    let database = Database::migrated();
    database.sql(
        "insert into refinery_schema_history (version, name, applied_on, checksum)
         values (9999, 'from_the_future', '2030-01-01T00:00:00Z', '1')",
    );
    for flags in [&[][..], &["--migrate"]] {
        run(serve(&place, &database, flags)).refused(1, &["9999", "run a newer rollcall"]);
    }
}

#[test]
fn of_eight_that_migrate_and_start_at_once_on_an_empty_database_one_becomes_active() {
    let place = Place::new();
    let database = Database::empty();
    let servers: Vec<Server> = thread::scope(|scope| {
        let start = || Server::try_serve(serve(&place, &database, &["--migrate"]), TOKEN).unwrap();
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
    for server in &servers {
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
        ] {
            let mut command = rollcall(Account::Own, &place, arguments);
            command.env("DATABASE_URL", &url).env("ROLLCALL_TOKEN", TOKEN).env("RUST_LOG", "trace");
            command.env("ROLLCALL_DATA_DIR", place.join("d"));
            let ended = run(command);
            assert_eq!(ended.code, Some(1), "{host} {arguments:?} {ended:?}");
            assert!(ended.stderr.contains("error: "), "{ended:?}");
            shows_nothing(&ended);
        }
    }
    for verb in ["migrate", "serve", "dev"] {
        let mut command = rollcall(Account::Own, &place, &[verb, "--help"]);
        command.env("DATABASE_URL", format!("postgres://rollcall:{PASSWORD}@db/rollcall"));
        command.env("ROLLCALL_TOKEN", TOKEN);
        let help = run(command).succeeded();
        shows_nothing(&help);
        assert!(!help.stdout.contains(TOKEN), "{help:?}");
    }
}
