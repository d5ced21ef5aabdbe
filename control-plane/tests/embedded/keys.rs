//! `rollcall keys` as an operator meets it.

use std::{collections::BTreeSet, fs, os::unix::fs::PermissionsExt, thread};

use crate::harness::{Account, Database, Ended, Keys, Place, Server, rollcall, run};

#[test]
fn a_new_file_is_the_owners_alone_and_is_never_overwritten() {
    let place = Place::new();
    let keys = Keys::create(&place, "keys.json");
    assert_eq!(fs::metadata(keys.path()).unwrap().permissions().mode() & 0o777, 0o600);
    let [(_, state)] = &keys.list(&place)[..] else { panic!("{:?}", keys.list(&place)) };
    assert_eq!(state, "signing");

    let before = fs::read(keys.path()).unwrap();
    keys.run(&place, "create", &[]).refused(1, &["is there already and is never overwritten"]);
    assert_eq!(fs::read(keys.path()).unwrap(), before);
}

#[test]
fn a_key_is_added_promoted_and_retired_in_this_order_only() {
    let place = Place::new();
    let keys = Keys::create(&place, "keys.json");
    let first = keys.list(&place)[0].0.clone();
    keys.run(&place, "retire", &[&first]).refused(1, &["signs new tokens", "promote another key first"]);

    let added = keys.run(&place, "add", &[]).succeeded().stdout;
    let second = added.trim_end().to_owned();
    let states = |keys: &Keys| keys.list(&place).into_iter().collect::<BTreeSet<_>>();
    let pair = |kid: &str, state: &str| (kid.to_owned(), state.to_owned());
    assert_eq!(states(&keys), [pair(&first, "signing"), pair(&second, "verifying")].into());

    keys.run(&place, "promote", &[&second]).succeeded();
    assert_eq!(states(&keys), [pair(&first, "verifying"), pair(&second, "signing")].into());
    keys.run(&place, "retire", &[&second]).refused(1, &["signs new tokens"]);
    keys.run(&place, "retire", &[&first]).succeeded();
    assert_eq!(states(&keys), [pair(&second, "signing")].into());

    let before = fs::read(keys.path()).unwrap();
    for verb in ["promote", "retire"] {
        keys.run(&place, verb, &[&first]).refused(1, &[&format!("the key ring has no key {first}")]);
        keys.run(&place, verb, &["first"]).refused(2, &["16 lower-case hexadecimal digits"]);
    }
    assert_eq!(fs::read(keys.path()).unwrap(), before);
}

#[test]
fn no_verb_shows_a_secret() {
    let place = Place::new();
    let database = Database::migrated();
    let mut shown: Vec<Ended> = Vec::new();
    let kid = |ended: &Ended| ended.stdout.split_whitespace().next().unwrap().to_owned();

    let keys = Keys::at(place.join("keys.json"));
    let with_file = |verb: &str, arguments: &[&str]| {
        let mut command = rollcall(Account::Own, &place, &["keys", verb, "--file"]);
        command.arg(keys.path()).args(arguments).env("RUST_LOG", "trace");
        if verb == "bootstrap" {
            command.env("DATABASE_URL", &database.url);
        }
        run(command)
    };
    shown.push(with_file("create", &[]).succeeded());
    let first = kid(&shown[0]);
    shown.push(with_file("add", &[]).succeeded());
    let second = kid(&shown[1]);
    let mut seeds = keys.seeds();
    shown.push(with_file("list", &[]).succeeded());
    shown.push(with_file("bootstrap", &[]).succeeded());
    shown.push(with_file("promote", &[&second]).succeeded());
    shown.push(with_file("retire", &[&first]).succeeded());
    shown.push(with_file("retire", &[&second]));
    seeds.extend(keys.seeds());
    assert_eq!(seeds.len(), 3);
    for ended in &shown {
        for seed in &seeds {
            assert!(!ended.stdout.contains(seed) && !ended.stderr.contains(seed), "{ended:?}");
        }
    }
}

#[test]
fn a_file_that_others_can_read_is_refused_by_every_verb() {
    let place = Place::new();
    let keys = Keys::create(&place, "keys.json");
    let database = Database::migrated();
    let kid = keys.list(&place)[0].0.clone();
    let before = fs::read(keys.path()).unwrap();
    for mode in [0o640, 0o604, 0o666] {
        fs::set_permissions(keys.path(), fs::Permissions::from_mode(mode)).unwrap();
        for (verb, kid) in [("list", None), ("add", None), ("promote", Some(&*kid)), ("retire", Some(&*kid))]
        {
            keys.run(&place, verb, kid.as_slice()).refused(1, &["is open to others", "chmod 600"]);
        }
        keys.bootstrap(&place, &database, &[]).refused(1, &["is open to others", "chmod 600"]);
    }
    assert_eq!(fs::read(keys.path()).unwrap(), before);
    assert_eq!(database.sql("select count(*) from issued_tokens"), "0");
}

#[test]
fn without_a_file_or_a_database_it_is_a_usage_error() {
    let place = Place::new();
    for verb in ["create", "list", "add", "bootstrap"] {
        run(rollcall(Account::Own, &place, &["keys", verb])).refused(2, &["--file"]);
    }
    let keys = Keys::create(&place, "keys.json");
    keys.run(&place, "bootstrap", &[]).refused(2, &["--database-url"]);
    for lifetime in ["0s", "59s", "366days", "soon"] {
        let database_url = "--database-url=postgres://localhost/rollcall";
        keys.run(&place, "bootstrap", &[database_url, "--lifetime", lifetime]).refused(2, &["--lifetime"]);
    }
}

#[test]
fn the_first_admins_token_works_and_is_made_once_unless_said_again() {
    let place = Place::new();
    let database = Database::migrated();
    let keys = Keys::create(&place, "keys.json");
    let first = keys.bootstrap(&place, &database, &[]).succeeded();
    let token = first.stdout.strip_suffix('\n').unwrap().to_owned();
    assert!(token.starts_with("v4.public.") && !token.contains('\n'), "stdout is the token and nothing else");
    assert!(!first.stderr.contains(&token));

    let mut command = rollcall(Account::Own, &place, &["serve", "--listen=127.0.0.1:0"]);
    command.env("DATABASE_URL", &database.url).env("ROLLCALL_TOKEN_KEYS", keys.path());
    command.env("RUST_LOG", "trace,h2=info,hyper=info");
    let server = Server::try_serve(command, &token).unwrap();
    server.await_active();
    let made = server.create_session(&place, "first");
    assert_eq!(server.sessions(&place), [made.as_str()]);

    let again = keys.bootstrap(&place, &database, &[]);
    again.refused(1, &["tokens were made here before", "--again"]);
    assert_eq!(again.stdout, "");
    assert_eq!(database.sql("select count(*) from issued_tokens"), "1");

    let participant = "0198c5a2-6f1e-7c3a-9b54-2f8e1d0c7a61";
    let flags = ["--again", "--participant", participant, "--lifetime", "5m"];
    let other = keys.bootstrap(&place, &database, &flags).succeeded();
    let other_token = other.stdout.trim_end();
    assert!(other.stderr.contains(participant), "{}", other.stderr);
    let listed = server.client_with(&place, other_token, &["session", "list", "--json"]).succeeded();
    assert!(listed.stdout.contains(&made), "an admin sees all: {}", listed.stdout);
    assert_eq!(
        database.sql(
            "select action, target = token_id::text, actor_id = participant_id, epoch, participant_id
             from audit_entries join issued_tokens on target = token_id::text
             order by audit_entries.id desc limit 1"
        ),
        format!("token.bootstrap|t|t|0|{participant}")
    );
    assert_eq!(database.sql("select count(*) from audit_entries where action = 'token.bootstrap'"), "2");

    let log = server.stop().stderr;
    for secret in [token.as_str(), other_token] {
        assert!(!log.contains(secret), "a token in the log");
    }
    for seed in keys.seeds() {
        assert!(!log.contains(&seed), "a key in the log");
    }
}

#[test]
fn of_four_bootstraps_at_once_one_makes_the_first_token() {
    let place = Place::new();
    let database = Database::migrated();
    let keys = Keys::create(&place, "keys.json");
    let ended: Vec<Ended> = thread::scope(|scope| {
        let starts: Vec<_> = (0..4).map(|_| scope.spawn(|| keys.bootstrap(&place, &database, &[]))).collect();
        starts.into_iter().map(|start| start.join().unwrap()).collect()
    });
    let (good, refused): (Vec<_>, Vec<_>) = ended.iter().partition(|ended| ended.code == Some(0));
    assert_eq!(good.len(), 1, "{ended:?}");
    for refused in refused {
        refused.refused(1, &["tokens were made here before"]);
    }
    assert_eq!(database.sql("select count(*) from issued_tokens"), "1");
}
