//! Probes, metrics and logs.

use std::{collections::BTreeSet, path::Path, process::Command};

use contracts::wire::v1::{
    Beat, HeartbeatRequest, RaiseVersionFloorRequest, ReportedHealth, WatchRosterRequest,
};
use serde_json::Value;
use tests::{
    Attaching, Client, Plane, PlaneOptions, PrivatePostgres, Process, binary, eventually, key_ring_file,
    refusal,
};

#[tokio::test]
async fn probes_say_live_ready_and_active() {
    let plane = Plane::start(PlaneOptions::default()).await;
    for (path, body) in
        [("/health/live", "live\n"), ("/health/ready", "ready\n"), ("/health/active", "active\n")]
    {
        assert_eq!(plane.http(path).await, (200, body.to_owned()), "{path}");
    }
    assert_eq!(plane.http("/health/other").await.0, 404);
}

#[tokio::test]
async fn without_its_database_a_server_is_live_and_not_ready_until_it_comes_back() {
    let postgres = PrivatePostgres::start().await;
    let plane = Plane::start_on(postgres.database().await, PlaneOptions::default()).await;
    let client = plane.client().await;
    let session = client.session().await;
    postgres.signal("INT");
    let ready = async || plane.http("/health/ready").await;
    eventually("it is not ready", ready, |(status, _)| *status == 503).await;
    assert_eq!(plane.http("/health/live").await.0, 200);
    assert_eq!(plane.http("/metrics").await.0, 200);
    let refused = refusal(client.attach(&Attaching::new(&session, "laptop-1")).await);
    assert!(
        ["system.unavailable", "controller.standby", "controller.recovering"].contains(&&*refused.code),
        "{refused}"
    );

    let revived = postgres.revive().await;
    eventually("it is ready again", ready, |(status, _)| *status == 200).await;
    plane.active().await;
    client.online(&session, "laptop-1").await;
    drop(plane);
    revived.let_go().await;
    postgres.end().await;
}

#[tokio::test]
async fn a_standby_is_live_and_ready_and_not_active() {
    let plane = Plane::start(PlaneOptions::default()).await;
    let standby = Plane::launch(plane.database.clone(), PlaneOptions::default()).await;
    let active = async || standby.http("/health/active").await;
    eventually("it stands by", active, |answer| *answer == (503, "standby\n".to_owned())).await;
    assert_eq!(standby.http("/health/live").await.0, 200);
    assert_eq!(standby.http("/health/ready").await.0, 200);
    let role = async |role: &str| standby.metric(&format!(r#"rollcall_role{{role="{role}"}}"#)).await;
    assert_eq!((role("standby").await, role("active").await), (Some(1.0), Some(0.0)));
}

/// Names of metric families with the names of their labels.
fn families(metrics: &str) -> BTreeSet<String> {
    let samples = metrics.lines().filter(|line| !line.starts_with('#') && !line.is_empty());
    samples
        .map(|sample| {
            let (key, _) = sample.rsplit_once(' ').expect("a sample has a value");
            let (name, labels) = key.split_once('{').unwrap_or((key, ""));
            let labels = labels.trim_end_matches('}').split(',').filter_map(|label| label.split_once('='));
            let labels: Vec<_> = labels.map(|(label, _)| label).filter(|label| *label != "le").collect();
            format!("{name}{{{}}}", labels.join(","))
        })
        .collect()
}

#[tokio::test]
async fn every_promised_metric_is_there_and_counts() {
    let plane = Plane::start(PlaneOptions::default().beat_every_ms(300)).await;
    let client = plane.client().await;
    let session = client.session_with_floor("1.1").await;
    let below = client.online(&session, "below").await;
    let newer = Attaching::new(&session, "newer").version("1.1").declaring(&["codex"]);
    client.attach(&newer).await.unwrap();
    client.beat("below", below).await.unwrap();
    refusal(client.beat("below", below + 1).await);
    let metric = async |name: &str| plane.metric(name).await;
    assert_eq!(metric(r#"rollcall_beats_total{outcome="committed"}"#).await, Some(1.0));
    assert_eq!(metric("rollcall_nodes_read_only").await, Some(1.0));
    assert_eq!(metric(r#"rollcall_role{role="active"}"#).await, Some(1.0));
    assert_eq!(metric("rollcall_epoch").await, Some(1.0));
    assert_eq!(
        metric(r#"rollcall_rpc_seconds_count{service="RuntimeNodeService",method="Heartbeat",code="Ok"}"#)
            .await
            .map(|count| count >= 1.0),
        Some(true)
    );
    // Both fall silent.
    let offline = async || metric(r#"rollcall_nodes{health="offline",cause="silence"}"#).await;
    eventually("the sweep is counted", offline, |nodes| *nodes == Some(2.0)).await;
    assert_eq!(metric(r#"rollcall_sweep_transitions_total{to="offline"}"#).await, Some(2.0));
    assert_eq!(metric(r#"rollcall_slots{state="online"}"#).await, Some(2.0));
    assert_eq!(metric("rollcall_presence_brake_holding").await, Some(0.0));

    let (_, metrics) = plane.http("/metrics").await;
    let families = families(&metrics);
    for promised in [
        "rollcall_beats_total{outcome}",
        "rollcall_beat_batch_size_count{}",
        "rollcall_beat_batch_size_bucket{}",
        "rollcall_beat_batch_seconds_bucket{}",
        "rollcall_duty_pass_seconds_bucket{duty}",
        "rollcall_duty_failing{duty}",
        "rollcall_sweep_transitions_total{to}",
        "rollcall_nodes{health,cause}",
        "rollcall_slots{state}",
        "rollcall_nodes_read_only{}",
        "rollcall_presence_brake_holding{}",
        "rollcall_rpc_seconds_bucket{service,method,code}",
        "rollcall_role{role}",
        "rollcall_epoch{}",
        "rollcall_maintenance{}",
        "rollcall_quota_refusals_total{limit}",
    ] {
        assert!(families.contains(promised), "{promised} is not among {families:#?}");
    }
    let state = |state: &str| metrics.contains(&format!(r#"rollcall_slots{{state="{state}"}}"#));
    assert!(["registering", "online", "degraded", "offline", "revoked"].into_iter().all(state), "{metrics}");
}

#[tokio::test]
async fn an_rpc_is_measured_with_the_code_that_it_ended_with() {
    let plane = Plane::start(PlaneOptions::default()).await;
    let client = plane.client().await;
    let session = client.session_with_floor("1.0").await;
    let generation = client.online(&session, "laptop-1").await;
    refusal(client.attach(&Attaching::new(&session, "")).await);
    refusal(client.declare("laptop-1", generation + 1, &["codex"]).await);
    let lower = RaiseVersionFloorRequest {
        session_id: session.clone(),
        min_client_version: "0.9".to_owned(),
        ..Default::default()
    };
    refusal(client.sessions.clone().raise_version_floor(lower).await);
    let stranger = Client::connect(&plane.url(), "nobody").await;
    refusal(stranger.nodes.clone().heartbeat(HeartbeatRequest { beat: Some(Beat::default()) }).await);
    let watch = WatchRosterRequest { session_id: session, revision: String::new() };
    drop(client.nodes.clone().watch_roster(watch).await.unwrap());
    for (service, method, code) in [
        ("SessionService", "CreateSession", "Ok"),
        ("RuntimeNodeService", "Attach", "Ok"),
        ("RuntimeNodeService", "Attach", "InvalidArgument"),
        ("RuntimeNodeService", "UpdateCapabilities", "FailedPrecondition"),
        ("SessionService", "RaiseVersionFloor", "FailedPrecondition"),
        ("RuntimeNodeService", "Heartbeat", "Unauthenticated"),
        ("RuntimeNodeService", "WatchRoster", "Cancelled"),
    ] {
        let name =
            format!(r#"rollcall_rpc_seconds_count{{service="{service}",method="{method}",code="{code}"}}"#);
        let look = async || plane.metric(&name).await;
        eventually(&name, look, |count| *count == Some(1.0)).await;
    }
}

/// Every line is JSON with what a collector needs.
fn parsed(log: &[String]) -> Vec<Value> {
    log.iter()
        .map(|line| {
            let line: Value = serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"));
            for field in ["timestamp", "level", "target"] {
                assert!(line[field].is_string(), "{field} is missing: {line}");
            }
            line
        })
        .collect()
}

#[tokio::test]
async fn every_log_line_is_json_and_no_token_is_in_any() {
    let plane = Plane::start(PlaneOptions::default().environment("RUST_LOG", "trace")).await;
    let client = plane.client().await;
    let session = client.session().await;
    let mut daemon = Process::start(
        "rollcall-daemon",
        Command::new(binary("rollcall-daemon"))
            .args(["--session", &session, "--node-id", "laptop-1", "--capability", "codex"])
            .env("ROLLCALL_ADDR", plane.url())
            .env("ROLLCALL_TOKEN", plane.token())
            .env("RUST_LOG", "trace"),
    );
    daemon.logged("attached").await;
    let beat = Beat { node_id: "laptop-1".to_owned(), generation: 1, health: ReportedHealth::Online.into() };
    client.nodes.clone().heartbeat(HeartbeatRequest { beat: Some(beat) }).await.unwrap();
    refusal(client.attach(&Attaching::new(&session, "\u{1b}[31m\n{\"level\":\"ERROR\"}")).await);
    let wrong = format!("{}x", plane.token());
    let stranger = Client::connect(&plane.url(), &wrong).await;
    refusal(stranger.beat("laptop-1", 1).await);
    daemon.signal("TERM");
    assert!(daemon.ended().await.success());
    let mut plane = plane;
    plane.process.signal("TERM");
    assert!(plane.process.ended().await.success());

    let secret = plane.token().split_once('.').unwrap().1.to_owned();
    for log in [plane.process.log(), daemon.log()] {
        assert!(parsed(&log).len() > 3);
        for line in &log {
            assert!(!line.contains(&secret), "a secret is in the log: {line}");
        }
    }
}

#[tokio::test]
async fn a_server_that_cannot_start_says_why_without_the_password() {
    let start = |url: &str, keys: &Path| {
        Command::new(binary("rollcall"))
            .args(["serve", "--listen", "127.0.0.1:0"])
            .env("DATABASE_URL", url)
            .env("ROLLCALL_TOKEN_KEYS", keys)
            .output()
            .unwrap()
    };
    let keys = key_ring_file();
    for (url, keys) in [
        ("postgres://rollcall:hunter2@127.0.0.1:1/rollcall", keys.as_path()),
        ("no url with hunter2 in it", &keys),
        ("postgres://rollcall:hunter2@127.0.0.1:1/rollcall", Path::new("/dev/null")),
    ] {
        let ended = start(url, keys);
        assert_eq!(ended.status.code(), Some(1));
        assert!(ended.stdout.is_empty());
        let said = String::from_utf8(ended.stderr).unwrap();
        assert!(said.contains("error") && !said.contains("hunter2"), "{said}");
    }
}
