//! `rollcall-fleet`: that it sees what happened, and nothing that did not.

use std::collections::BTreeSet;

use contracts::wire::v1::{ListSessionsRequest, PresenceHealth, SessionState, SlotState};
use serde_json::{Value, json};
use tests::{Fleet, Plane, PlaneOptions, eventually, forged_token};

/// Nodes beat twice a second; silence takes long enough to show that a busy machine makes nobody look silent.
fn patient() -> PlaneOptions {
    PlaneOptions::default()
        .beat_every_ms(500)
        .flag("--degraded-after", "5s")
        .flag("--offline-after", "8s")
        .flag("--session-nodes-max", "500")
}

const THRESHOLDS: [&str; 4] = ["--expect-degraded", "5s", "--expect-offline", "8s"];

fn flags<'a>(more: &[&'a str]) -> Vec<&'a str> {
    [&THRESHOLDS, more].concat()
}

/// Waits until this many beats were committed since the server started.
async fn committed(plane: &Plane, beats: f64) {
    let look = async || plane.metric(r#"rollcall_beats_total{outcome="committed"}"#).await.unwrap_or(0.0);
    eventually("beats are committed", look, |committed| *committed >= beats).await;
}

fn names(events: &[Value]) -> BTreeSet<String> {
    events.iter().map(|event| event["node"].as_str().expect("it names its node").to_owned()).collect()
}

#[tokio::test]
async fn a_hundred_nodes_attach_and_beat_and_nothing_is_wrong() {
    let plane = Plane::start(patient()).await;
    let mut fleet = Fleet::start(&plane, &flags(&["--nodes", "100", "--sessions", "5", "--streams", "8"]));
    fleet.is_attached().await;
    committed(&plane, 300.0).await;
    let (status, report) = fleet.stopped().await;
    assert_eq!(status.code(), Some(0), "{report}");
    assert_eq!((&report["verdict"], &report["ended_by"]), (&json!("fine"), &json!("SIGINT")));
    assert_eq!((&report["nodes"]["wanted"], &report["nodes"]["attached"]), (&json!(100), &json!(100)));
    assert_eq!((&report["nodes"]["reattached"], &report["nodes"]["lost"]), (&json!(0), &json!(0)));
    let beats = &report["beats"];
    assert!(beats["acknowledged"].as_u64() >= Some(200), "{report}");
    assert_eq!((&beats["refused"], &beats["unanswered"]), (&json!(0), &json!(0)));
    assert!(beats["latency_ms"]["p50"].as_f64() > Some(0.0), "{report}");
    assert_eq!((&report["reconnects"], &report["streams_opened"]), (&json!(0), &json!(8)));
    assert_eq!(report["refusals"], json!({}));
    assert_eq!(report["roster"]["wrong_transitions"], json!(0));

    // All of them are there, where the report says.
    let client = plane.client().await;
    let sessions = report["sessions"].as_array().expect("the sessions are listed");
    assert_eq!(sessions.len(), 5);
    let mut attached = BTreeSet::new();
    for session in sessions {
        let roster = client.roster(session.as_str().expect("a session has an id")).await;
        assert!(roster.iter().all(|node| node.slot_state() == SlotState::Online && node.generation == 1));
        attached.extend(roster.into_iter().map(|node| node.node_id));
    }
    assert_eq!(attached, (1..=100).map(|number| format!("load-{number}")).collect());
}

#[tokio::test]
async fn a_silenced_tenth_is_found_by_name_and_nobody_else() {
    let plane = Plane::start(patient()).await;
    let silence = ["--nodes", "100", "--silence", "0.1", "--silence-after", "1s"];
    let mut fleet = Fleet::start(&plane, &flags(&silence));
    let silenced = names(&fleet.happened("silenced", 10).await);
    let offline = async || {
        let mut shown = fleet.events("transition");
        shown.retain(|event| event["health"] == "offline");
        shown
    };
    let offline = eventually("ten are offline", offline, |shown| shown.len() >= 10).await;
    assert_eq!(names(&offline), silenced);
    assert!(offline.iter().all(|event| event["judgement"] == "found" && event["cause"] == "silence"));
    let (status, report) = fleet.stopped().await;
    assert_eq!(status.code(), Some(0), "{report}");
    let silence = &report["silence"];
    for (figure, count) in
        [("silenced", 10), ("shown_degraded", 10), ("shown_offline", 10), ("pending", 0), ("missing", 0)]
    {
        assert_eq!(silence[figure], json!(count), "{figure}: {report}");
    }
    assert!(silence["degraded_after_ms"][0].as_f64() >= Some(4_950.0), "{report}");
    assert!(silence["offline_after_ms"][0].as_f64() >= Some(7_950.0), "{report}");
    assert_eq!(report["roster"]["wrong_transitions"], json!(0));
    let client = plane.client().await;
    let roster = client.roster(report["sessions"][0].as_str().expect("there is a session")).await;
    let is_offline = |health: PresenceHealth| health == PresenceHealth::Offline;
    let silent =
        roster.iter().filter(|node| node.presence.is_some_and(|presence| is_offline(presence.health())));
    assert_eq!(silent.map(|node| node.node_id.clone()).collect::<BTreeSet<_>>(), silenced);
}

#[tokio::test]
async fn a_living_fleet_that_is_called_silent_is_wrong() {
    // It beats far too slowly for this server, and thinks that it is fine.
    let plane = Plane::start(PlaneOptions::default().beat_every_ms(400)).await;
    let mut fleet = Fleet::start(&plane, &["--nodes", "10", "--cadence", "1h"]);
    fleet.is_attached().await;
    let wrong = async || {
        let mut shown = fleet.events("transition");
        shown.retain(|event| event["judgement"] == "living_shown_silent");
        names(&shown)
    };
    eventually("all ten are called silent", wrong, |names| names.len() >= 10).await;
    let (status, report) = fleet.stopped().await;
    assert_eq!(status.code(), Some(1), "{report}");
    assert_eq!(report["verdict"], json!("wrong"));
    assert!(report["roster"]["wrong_transitions"].as_u64() >= Some(10), "{report}");
}

#[tokio::test]
async fn a_silence_that_the_server_does_not_see_is_missing() {
    let plane = Plane::start(PlaneOptions::default()).await;
    let silence = ["--silence", "0.5", "--silence-after", "0s", "--grace", "0s", "--cadence", "500ms"];
    let expected = ["--expect-degraded", "1s", "--expect-offline", "2s", "--duration", "5s"];
    let mut fleet = Fleet::start(&plane, &[&silence[..], &expected, &["--nodes", "10"]].concat());
    let (status, report) = fleet.ended().await;
    assert_eq!(status.code(), Some(1), "{report}");
    assert_eq!(report["silence"]["missing"], json!(5), "{report}");
    let missing = report["silence"]["missing_examples"].as_array().expect("they are named");
    let missing: BTreeSet<_> = missing.iter().filter_map(|name| name.as_str().map(str::to_owned)).collect();
    assert_eq!(missing, names(&fleet.events("silenced")));
}

#[tokio::test]
async fn over_a_killed_server_there_is_a_gap_and_nothing_wrong() {
    let plane = Plane::start(patient()).await;
    let drill = ["--nodes", "100", "--gap-threshold", "500ms", "--sessions", "2"];
    let mut fleet = Fleet::start(&plane, &flags(&drill));
    fleet.is_attached().await;
    committed(&plane, 200.0).await;
    let (database, options) = (plane.database.clone(), plane.options_here());
    let mut killed = plane;
    killed.process.kill();
    // A whole second of the outage went by, by the fleet's own count.
    let told = async || fleet.process.log();
    let is_quiet =
        |log: &Vec<String>| log.iter().any(|line| line.contains("beating: 100 attached, 0 beats/s"));
    eventually("the fleet sees the outage", told, is_quiet).await;
    let plane = Plane::start_on(database, options).await;
    committed(&plane, 200.0).await;
    let gaps = fleet.happened("gap", 1).await;
    assert!(gaps.iter().all(|gap| gap["ms"].as_f64() > Some(500.0)), "{gaps:?}");
    let (status, report) = fleet.stopped().await;
    assert_eq!(status.code(), Some(0), "{report}");
    assert_eq!((&report["nodes"]["attached"], &report["nodes"]["reattached"]), (&json!(100), &json!(0)));
    assert_eq!(report["roster"]["wrong_transitions"], json!(0));
    assert!(report["gaps"]["over_threshold"].as_u64() >= Some(1), "{report}");
    assert!(report["gaps"]["longest_ms"].as_f64() > Some(900.0), "{report}");
    assert!(report["reconnects"].as_u64() >= Some(4), "{report}");
}

#[tokio::test]
async fn storms_of_reconnects_lose_no_attachment() {
    let plane = Plane::start(patient()).await;
    let storms = ["--nodes", "24", "--connections", "6", "--streams", "12", "--reconnect-every", "2s"];
    let mut fleet = Fleet::start(&plane, &flags(&storms));
    fleet.is_attached().await;
    fleet.happened("disconnected", 18).await;
    let (status, report) = fleet.stopped().await;
    assert_eq!(status.code(), Some(0), "{report}");
    assert_eq!((&report["nodes"]["attached"], &report["nodes"]["reattached"]), (&json!(24), &json!(0)));
    assert!(report["reconnects"].as_u64() >= Some(12), "{report}");
}

#[tokio::test]
async fn a_fleet_that_is_aimed_at_a_standby_is_led_to_the_active_server() {
    let plane = Plane::start(patient()).await;
    let standby = Plane::launch(plane.database.clone(), plane.options_beside()).await;
    let mut fleet = Fleet::start_at(&standby.url(), plane.token(), &flags(&["--nodes", "20"]));
    fleet.is_attached().await;
    committed(&plane, 20.0).await;
    let (status, report) = fleet.stopped().await;
    assert_eq!(status.code(), Some(0), "{report}");
    assert_eq!(report["nodes"]["attached"], json!(20));
}

#[tokio::test]
async fn interrupted_it_reports_and_gives_all_back_when_asked() {
    let plane = Plane::start(patient()).await;
    let mut fleet = Fleet::start(&plane, &flags(&["--nodes", "30", "--detach"]));
    fleet.is_attached().await;
    let (status, report) = fleet.stopped().await;
    assert_eq!(status.code(), Some(0), "{report}");
    assert_eq!((&report["ended_by"], &report["nodes"]["detached"]), (&json!("SIGINT"), &json!(30)));
    let client = plane.client().await;
    let session = report["sessions"][0].as_str().expect("there is a session");
    assert!(client.roster(session).await.iter().all(|node| node.slot_state() == SlotState::Offline));
    let mut sessions = client.sessions.clone();
    let listed = sessions.list_sessions(ListSessionsRequest::default()).await.unwrap().into_inner().sessions;
    assert_eq!(listed.len(), 1);
    assert!(listed.iter().all(|session| session.state() == SessionState::Closed));
}

#[tokio::test]
async fn what_cannot_run_says_so_with_a_hint_and_nothing_on_stdout() {
    let plane = Plane::start(PlaneOptions::default()).await;
    let forged = forged_token(plane.participant());
    let unknown = uuid::Uuid::now_v7().to_string();
    for (address, token, flags, words) in [
        (plane.url(), forged.as_str(), vec!["--nodes", "3"], "ROLLCALL_TOKEN"),
        (plane.url(), forged.as_str(), vec!["--session", &unknown], "ROLLCALL_TOKEN"),
        (plane.url(), plane.token(), vec!["--session", &unknown], "--session"),
        ("http://127.0.0.1:1".to_owned(), plane.token(), vec!["--patience", "1s"], "rollcall dev"),
    ] {
        let mut fleet = Fleet::start_at(&address, token, &flags);
        let (status, report) = fleet.ended().await;
        // What a process that has ended said last is still on its way.
        let said = async || fleet.process.log();
        let log = eventually("it is told what to do", said, |log| {
            log.iter().any(|line| line.starts_with("hint: "))
        })
        .await;
        assert_eq!((status.code(), report), (Some(2), Value::Null), "{log:?}");
        assert!(log.iter().any(|line| line.starts_with("error: ")), "{log:?}");
        assert!(
            log.iter().any(|line| line.starts_with("hint: ") && line.contains(words)),
            "{words}: {log:?}"
        );
        let (_, secret) = token.split_once('.').expect("a token has parts");
        assert!(log.iter().all(|line| !line.contains(secret)));
    }
    assert!(fleet_made_nothing(&plane).await);
}

async fn fleet_made_nothing(plane: &Plane) -> bool {
    let sessions: i64 = sqlx::query_scalar("select count(*) from sessions")
        .fetch_one(&plane.database.pool)
        .await
        .unwrap_or(-1);
    sessions == 0
}
