//! `rollcall doctor`: a healthy installation is all ok, and each fault is named.

use std::{
    collections::BTreeMap, fs, os::unix::fs::PermissionsExt, path::PathBuf, process::Command, time::Duration,
};

use control_plane::postgres::pooler;
use serde_json::Value;
use sqlx::{AssertSqlSafe, Connection, PgConnection, postgres::PgConnectOptions};
use tests::{
    Authority, Database, NextBackend, Plane, PlaneOptions, PrivatePostgres, TransactionPooler, binary,
    key_ring_file,
};
use uuid::Uuid;

/// Every check of a server in clear whose database answers.
const CHECKS: [&str; 16] = [
    "cadence",
    "retention",
    "address",
    "keys",
    "database",
    "version",
    "writable",
    "durability",
    "wal",
    "connections",
    "timeouts",
    "role",
    "privileges",
    "schema",
    "pooler",
    "bounds",
];
/// The rest of them.
const MORE_CHECKS: [&str; 2] = ["dead-clients", "clock"];

/// What the doctor said.
#[derive(Debug)]
struct Told {
    code: Option<i32>,
    findings: BTreeMap<String, Value>,
}

impl Told {
    fn of(url: &str, flags: &[&str]) -> Self {
        let ran = doctor(url, &[&["--json"], flags].concat());
        let report: Value =
            serde_json::from_slice(&ran.stdout).unwrap_or_else(|error| panic!("{error}: {ran:?}"));
        let findings = report["findings"].as_array().expect("findings are a list");
        let named = findings.iter().map(|finding| {
            (finding["check"].as_str().expect("a finding has a name").to_owned(), finding.clone())
        });
        let told = Self { code: ran.status.code(), findings: named.collect() };
        assert_eq!(told.findings.len(), findings.len(), "no check is told twice: {told:?}");
        let failed = told.findings.values().any(|finding| finding["verdict"] == "failed");
        assert_eq!(
            (told.code, &report["verdict"] == "failed"),
            (Some(i32::from(failed)), failed),
            "{told:?}"
        );
        told
    }

    /// Checks what one check said, and that no other one is worse than a warning. What is not ok says what to do.
    #[track_caller]
    fn says(&self, check: &str, verdict: &str, words: &[&str]) {
        let finding = self.findings.get(check).unwrap_or_else(|| panic!("no {check} in {self:?}"));
        assert_eq!(finding["verdict"], verdict, "{finding}");
        let text = format!("{} {}", finding["detail"], finding["advice"]);
        for words in words {
            assert!(text.contains(words), "no {words:?} in {finding}");
        }
        assert_eq!(finding["advice"].is_string(), verdict != "ok", "{finding}");
        for (name, other) in &self.findings {
            assert!(name == check || other["verdict"] != "failed", "{other} beside {check}");
        }
    }
}

fn doctor(url: &str, flags: &[&str]) -> std::process::Output {
    let mut command = Command::new(binary("rollcall"));
    command.arg("doctor").args(flags).env("DATABASE_URL", url);
    if !flags.iter().any(|flag| flag.starts_with("--token-keys")) {
        command.env("ROLLCALL_TOKEN_KEYS", key_ring_file());
    }
    command.output().expect("the command line runs")
}

async fn sql(database: &Database, text: &str) {
    sqlx::raw_sql(AssertSqlSafe(text)).execute(&database.pool).await.expect("the statement runs");
}

/// A role of its own, with this in place of the superuser in the URL.
async fn role(database: &Database, grants: &str) -> String {
    let name = format!("role_{}", Uuid::new_v4().simple());
    sql(database, &format!("create role {name} login; {}", grants.replace("ROLE", &name))).await;
    database.url.replace("postgres://postgres@", &format!("postgres://{name}@"))
}

#[tokio::test]
async fn a_healthy_installation_is_all_ok_and_nothing_is_changed() {
    let postgres = PrivatePostgres::start_with(&[("fsync", "on")]).await;
    let database = postgres.database().await;
    let before = database.snapshot().await;

    let told = Told::of(&database.url, &[]);
    assert_eq!(told.code, Some(0), "{told:?}");
    let mut expected: Vec<&str> = CHECKS.into_iter().chain(MORE_CHECKS).collect();
    expected.sort_unstable();
    assert_eq!(told.findings.keys().map(String::as_str).collect::<Vec<_>>(), expected);
    for finding in told.findings.values() {
        assert_eq!(finding["verdict"], "ok", "{finding}");
    }

    let lines = doctor(&database.url, &[]);
    assert_eq!(lines.status.code(), Some(0), "{lines:?}");
    let text = String::from_utf8_lossy(&lines.stdout);
    assert_eq!(text.lines().filter(|line| line.starts_with("ok ")).count(), expected.len(), "{text}");
    assert_eq!(database.snapshot().await, before);
    database.pool.close().await;
    postgres.end().await;
}

#[tokio::test]
async fn beside_a_running_server_it_disturbs_nobody_and_one_of_another_role_is_named() {
    let plane = Plane::start(PlaneOptions::default()).await;
    let client = plane.client().await;
    let session = client.session().await;
    Told::of(&plane.database.url, &[]).says("role", "ok", &[]);
    client.online(&session, "laptop-1").await;
    assert_eq!(plane.metric("rollcall_epoch").await, Some(1.0));

    let grants = "grant select, insert, update, delete on all tables in schema public to ROLE";
    let url = role(&plane.database, grants).await;
    Told::of(&url, &[]).says("role", "failed", &["other servers are postgres", "one role"]);
}

#[tokio::test]
async fn a_database_that_loses_what_it_acknowledged_is_a_warning() {
    // As the tests' own Postgres does.
    let database = Database::new().await;
    let told = Told::of(&database.url, &[]);
    assert_eq!(told.code, Some(0), "{told:?}");
    told.says("durability", "warning", &["fsync", "synchronous_commit", "turn them on"]);
}

#[tokio::test]
async fn a_schema_of_another_release_is_named() {
    let database = Database::new().await;
    sql(
        &database,
        "insert into refinery_schema_history (version, name, applied_on, checksum)
         values (9999, 'from_the_future', '2030-01-01T00:00:00Z', '1')",
    )
    .await;
    Told::of(&database.url, &[]).says("schema", "failed", &["9999", "newer rollcall"]);
    sql(&database, "delete from refinery_schema_history where version > 2").await;
    Told::of(&database.url, &[]).says("schema", "failed", &["version 2", "rollcall migrate"]);
}

#[tokio::test]
async fn each_missing_privilege_is_named() {
    let database = Database::new().await;
    let all = "grant select, insert, update, delete on all tables in schema public to ROLE;";
    Told::of(&role(&database, all).await, &[]).says("privileges", "ok", &["not migrate"]);
    for (revoked, words) in [
        ("update on runtime_node_presence", "update in runtime_node_presence"),
        ("delete, insert on sessions", "insert, delete in sessions"),
    ] {
        let url = role(&database, &format!("{all} revoke {revoked} from ROLE")).await;
        Told::of(&url, &[]).says("privileges", "failed", &[words, "grant select, insert, update, delete"]);
    }
}

#[tokio::test]
async fn a_role_that_is_found_sufficient_is_enough_for_a_server() {
    let database = Database::new().await;
    let all = "grant select, insert, update, delete on all tables in schema public to ROLE";
    let url = role(&database, all).await;
    Told::of(&url, &[]).says("privileges", "ok", &[]);
    let plane = Plane::start_on(Database { url, ..database }, PlaneOptions::default()).await;
    let client = plane.client().await;
    let session = client.session().await;
    let generation = client.online(&session, "laptop-1").await;
    client.beat("laptop-1", generation).await.expect("a beat is committed");
    client.detach("laptop-1", generation).await.expect("a node detaches");
}

#[tokio::test]
async fn what_the_database_would_cut_off_is_named() {
    for (setting, check, verdict, words) in [
        ("set idle_session_timeout = '1s'", "timeouts", "warning", "idle_session_timeout is 1000 ms"),
        ("set statement_timeout = '9s'", "timeouts", "warning", "statement_timeout is 9000 ms"),
        ("set default_transaction_read_only = on", "writable", "failed", "read only"),
        ("set default_transaction_isolation = serializable", "writable", "failed", "serializable"),
        ("connection limit 12", "connections", "failed", "the connection limit of the database"),
        ("connection limit 40", "connections", "warning", "a second server"),
    ] {
        let database = Database::new().await;
        let name = database.url.parse::<PgConnectOptions>().expect("the URL is one");
        let name = name.get_database().expect("it names a database");
        sql(&database, &format!("alter database {name} {setting}")).await;
        Told::of(&database.url, &[]).says(check, verdict, &[words]);
    }
}

#[tokio::test]
async fn keys_that_are_missing_or_open_to_others_are_named() {
    let database = Database::new().await;
    Told::of(&database.url, &["--token-keys=/nonexistent/keys.json"]).says(
        "keys",
        "failed",
        &["there is no key ring", "rollcall keys create"],
    );
    let open = std::env::temp_dir().join(format!("rollcall-open-keys-{}", Uuid::new_v4()));
    fs::copy(key_ring_file(), &open).expect("the keys can be copied");
    fs::set_permissions(&open, fs::Permissions::from_mode(0o644)).expect("it is ours");
    let flag = format!("--token-keys={}", open.display());
    let told = Told::of(&database.url, &[&flag]);
    fs::remove_file(&open).expect("it can be removed");
    told.says("keys", "failed", &["is open to others", "chmod 600"]);
}

#[tokio::test]
async fn a_database_that_cannot_be_reached_is_named_once() {
    for (url, words) in [
        ("postgres://rollcall:swordfish@127.0.0.1:1/rollcall", "could not look"),
        ("rollcall:swordfish@127.0.0.1", "DATABASE_URL must be postgres://"),
    ] {
        let told = Told::of(url, &[]);
        told.says("database", "failed", &[words, "were left out"]);
        assert_eq!(told.findings.len(), 5, "{told:?}");
        assert!(!format!("{told:?}").contains("swordfish"), "{told:?}");
    }
}

#[tokio::test]
async fn settings_that_a_server_would_refuse_are_named() {
    let database = Database::new().await;
    let authority = Authority::new();
    authority.write(&authority.issue(&["rollcall.example"]));
    let path = |flag: &str, path: PathBuf| format!("{flag}={}", path.display());
    let certificate = path("--tls-cert", authority.certificate_file());
    let key = path("--tls-key", authority.key_file());
    for (flags, check, verdict, words) in [
        (&["--degraded-after=20s"][..], "cadence", "failed", "--degraded-after must be at least twice"),
        (&["--listen=0.0.0.0:7420"], "address", "failed", "--tls-cert and --tls-key"),
        (&["--listen=0.0.0.0:7420", "--allow-plaintext"], "address", "warning", "--advertise"),
        (&[&certificate, &key], "address", "warning", "the certificate is not for 127.0.0.1"),
        (
            &[&certificate, &key, "--advertise=rollcall.example"],
            "address",
            "ok",
            "https://rollcall.example:7420",
        ),
        (&[&certificate, &key, "--advertise=http://rollcall.example"], "address", "failed", "speaks TLS"),
        (&[&certificate, &key], "certificate", "ok", "good until"),
        (&[&certificate, &certificate.replace("cert", "key")], "certificate", "failed", "has no private key"),
        (&["--tls-cert=/nonexistent.pem", &key], "certificate", "failed", "cannot read /nonexistent.pem"),
    ] {
        Told::of(&database.url, flags).says(check, verdict, &[words]);
    }
    authority.write(&authority.issue_for(&["127.0.0.1"], Duration::from_secs(13 * 24 * 60 * 60)));
    Told::of(&database.url, &[&certificate, &key]).says(
        "certificate",
        "warning",
        &["it expires at", "Renew it"],
    );
    fs::set_permissions(authority.key_file(), fs::Permissions::from_mode(0o644)).expect("it is ours");
    Told::of(&database.url, &[&certificate, &key]).says("certificate", "warning", &["chmod o="]);
}

// The pooler goes on while the doctor is waited for.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pooler_that_hands_out_sessions_by_transaction_is_found() {
    let database = Database::new().await;
    let direct: PgConnectOptions = database.url.parse().expect("the URL is one");
    for _ in 0..3 {
        assert_eq!(pooler::detect(&direct).await.expect("the database answers"), None);
    }
    for next in [NextBackend::LastUsed, NextBackend::InTurn] {
        for backends in 1..5 {
            let pooler = TransactionPooler::before(&database, next, backends).await;
            let options: PgConnectOptions = pooler.url.parse().expect("the URL is one");
            // It does what it should: there is an answer, and a transaction stays on its backend.
            let mut session = PgConnection::connect_with(&options).await.expect("the pooler answers");
            sqlx::raw_sql("begin; create temporary table t (); drop table t; commit")
                .execute(&mut session)
                .await
                .expect("a transaction is one");
            let sign = pooler::detect(&options).await.expect("the pooler answers");
            assert!(sign.is_some(), "{next:?} {backends}");
        }
    }
    let pooler = TransactionPooler::before(&database, NextBackend::LastUsed, 1).await;
    let ran = doctor(&pooler.url, &[]);
    let text = String::from_utf8_lossy(&ran.stdout);
    assert_eq!(ran.status.code(), Some(1), "{text}");
    let line =
        text.lines().find(|line| line.starts_with("failed   pooler")).unwrap_or_else(|| panic!("{text}"));
    assert!(line.contains("Connect to Postgres itself"), "{line}");
}
