//! `rollcall migrate` as an operator meets it.

use std::{process::Command, thread};

use crate::harness::{Account, Database, Place, rollcall, run};

fn migrate(place: &Place, database: &Database) -> Command {
    let mut command = rollcall(Account::Own, place, &["migrate"]);
    command.env("DATABASE_URL", &database.url);
    command
}

#[test]
fn it_says_what_it_applied_and_a_repeat_applies_nothing() {
    let place = Place::new();
    let database = Database::empty();
    let first = run(migrate(&place, &database)).succeeded();
    let applied = database.sql("select 'applied V' || version from refinery_schema_history order by version");
    assert_eq!(first.stdout.trim_end(), applied);
    assert!(applied.starts_with("applied V1\n"), "{applied}");
    let again = run(migrate(&place, &database)).succeeded();
    assert_eq!(again.stdout, "the schema is up to date\n");
}

#[test]
fn without_a_database_it_is_a_usage_error() {
    let place = Place::new();
    run(rollcall(Account::Own, &place, &["migrate"])).refused(2, &["--database-url"]);
}

#[test]
fn of_eight_at_once_on_an_empty_database_all_succeed_and_each_migration_is_applied_once() {
    let place = Place::new();
    let database = Database::empty();
    let outputs: Vec<String> = thread::scope(|scope| {
        let migrations: Vec<_> =
            (0..8).map(|_| scope.spawn(|| run(migrate(&place, &database)).succeeded().stdout)).collect();
        migrations.into_iter().map(|migration| migration.join().unwrap()).collect()
    });
    let idle = outputs.iter().filter(|output| *output == "the schema is up to date\n").count();
    assert_eq!(idle, 7, "one applied them all: {outputs:?}");
}

#[test]
fn a_schema_from_a_newer_release_is_refused_and_left_as_it_was() {
    let place = Place::new();
    let database = Database::migrated();
    database.sql(
        "insert into refinery_schema_history (version, name, applied_on, checksum)
         values (9999, 'from_the_future', '2030-01-01T00:00:00Z', '1')",
    );
    let history = "select * from refinery_schema_history order by version";
    let before = database.sql(history);
    run(migrate(&place, &database)).refused(1, &["9999", "run a newer rollcall"]);
    assert_eq!(database.sql(history), before);
}

#[test]
fn a_history_that_differs_from_this_build_is_refused_and_named() {
    let place = Place::new();
    let database = Database::migrated();
    database.sql("update refinery_schema_history set checksum = '1' where version = 1");
    run(migrate(&place, &database)).refused(1, &["V1__"]);
}
