//! `rollcall-daemon` as a process: how it comes, stays and goes.

use std::{path::Path, process::Command, time::Duration};

use contracts::wire::v1::{
    CloseSessionRequest, PresenceCause, PresenceHealth, RaiseVersionFloorRequest, RuntimeNode, SlotState,
    StateReasonKind,
};
use tests::{Client, Daemon, Plane, PlaneOptions, Process, Proxy, RosterWatch, binary, eventually};
use tokio::time::Instant;

/// Degraded after 1 s of silence, offline after 2 s.
fn quick() -> PlaneOptions {
    PlaneOptions::default().beat_every_ms(500)
}

fn presence(node: &RuntimeNode) -> (PresenceHealth, PresenceCause) {
    let presence = node.presence.expect("the node has its presence");
    (presence.health(), presence.cause())
}

const HEARD: (PresenceHealth, PresenceCause) = (PresenceHealth::Online, PresenceCause::SelfReported);

/// Waits until the node is in this state.
async fn is(client: &Client, session: &str, node_id: &str, state: SlotState, heard: bool) -> RuntimeNode {
    let look = async || client.roster(session).await.into_iter().find(|node| node.node_id == node_id);
    let holds = |node: &Option<RuntimeNode>| {
        node.as_ref().is_some_and(|node| node.slot_state() == state && (presence(node) == HEARD) == heard)
    };
    let what =
        format!("{node_id} is {} and {}", state.as_str_name(), if heard { "heard" } else { "not heard" });
    eventually(&what, look, holds).await.expect("it was found")
}

/// Waits until this many more beats were committed.
async fn beats(plane: &Plane, more: f64) {
    let committed =
        async || plane.metric(r#"rollcall_beats_total{outcome="committed"}"#).await.unwrap_or(0.0);
    let before = committed().await;
    eventually("more beats", committed, |now| *now >= before + more).await;
}

fn logged(daemon: &Daemon, message: &str) -> usize {
    let message = format!(r#""message":"{message}""#);
    daemon.process.log().iter().filter(|line| line.contains(&message)).count()
}

#[tokio::test]
async fn a_daemon_comes_online_and_gives_its_slot_back_at_sigterm() {
    let plane = Plane::start(quick()).await;
    let client = plane.client().await;
    let session = client.session().await;
    let mut daemon = Daemon::start(&plane, &session, "laptop-1");
    let node = is(&client, &session, "laptop-1", SlotState::Online, true).await;
    assert_eq!((node.generation, node.client_version.as_str()), (1, "1.0"));
    beats(&plane, 2.0).await;
    daemon.process.signal("TERM");
    let status = daemon.process.ended().await;
    assert_eq!(status.code(), Some(0), "{status}");
    let node = client.node(&session, "laptop-1").await;
    assert_eq!(node.slot_state(), SlotState::Offline);
    assert_eq!(presence(&node), (PresenceHealth::Offline, PresenceCause::Detached));
    let reason: String = sqlx::query_scalar("select end_reason from attachment_spans")
        .fetch_one(&plane.database.pool)
        .await
        .unwrap();
    assert_eq!(reason, "stopped by SIGTERM");
}

#[tokio::test]
async fn a_killed_daemon_is_degraded_and_then_offline_and_its_next_run_takes_the_slot_again() {
    let plane = Plane::start(quick()).await;
    let client = plane.client().await;
    let session = client.session().await;
    let watch = RosterWatch::start(&client, &session).await;
    let mut daemon = Daemon::start(&plane, &session, "laptop-1");
    let first = is(&client, &session, "laptop-1", SlotState::Online, true).await;
    beats(&plane, 1.0).await;
    daemon.process.kill();
    watch.shows("laptop-1", PresenceHealth::Offline).await;
    let silent = |health| (health, PresenceCause::Silence);
    let shown = watch.shown("laptop-1");
    assert!(
        shown.ends_with(&[HEARD, silent(PresenceHealth::Degraded), silent(PresenceHealth::Offline)]),
        "{shown:?}"
    );
    assert_eq!(client.node(&session, "laptop-1").await.slot_state(), SlotState::Online, "the slot is kept");

    let _next = Daemon::start(&plane, &session, "laptop-1");
    let next = is(&client, &session, "laptop-1", SlotState::Online, true).await;
    assert_eq!((next.attachment_id, next.generation), (first.attachment_id, 2));
}

#[tokio::test]
async fn of_two_daemons_with_one_node_id_the_older_stops_and_the_newer_lives_on() {
    let plane = Plane::start(quick()).await;
    let client = plane.client().await;
    let session = client.session().await;
    let mut older = Daemon::start(&plane, &session, "laptop-1");
    is(&client, &session, "laptop-1", SlotState::Online, true).await;
    let mut newer = Daemon::start(&plane, &session, "laptop-1");
    let status = older.process.ended().await;
    assert_eq!(status.code(), Some(10), "{status}");
    assert!(older.process.log().iter().any(|line| line.contains("another daemon took over this node id")));

    // Several intervals later nobody has attached again.
    beats(&plane, 6.0).await;
    assert!(newer.process.is_running());
    let node = client.node(&session, "laptop-1").await;
    assert_eq!((node.generation, node.slot_state(), presence(&node)), (2, SlotState::Online, HEARD));
    assert_eq!((logged(&older, "attached"), logged(&newer, "attached")), (1, 1));
}

#[tokio::test]
async fn a_daemon_outlives_a_killed_server_without_a_new_attach() {
    let plane = Plane::start(quick()).await;
    let session = plane.client().await.session().await;
    let mut daemon = Daemon::start(&plane, &session, "laptop-1");
    is(&plane.client().await, &session, "laptop-1", SlotState::Online, true).await;
    let plane = plane.kill_and_restart().await;
    beats(&plane, 3.0).await;
    let node = is(&plane.client().await, &session, "laptop-1", SlotState::Online, true).await;
    assert_eq!(node.generation, 1);
    assert_eq!(logged(&daemon, "attached"), 1);
    assert!(daemon.process.is_running());
}

#[tokio::test]
async fn with_two_addresses_of_which_the_first_is_dead_a_daemon_uses_the_second() {
    let plane = Plane::start(quick()).await;
    let client = plane.client().await;
    let session = client.session().await;
    let addresses = format!("http://127.0.0.1:1,{}", plane.url());
    let _daemon = Daemon::start_at(&addresses, plane.token(), &session, "laptop-1", &[]);
    is(&client, &session, "laptop-1", SlotState::Online, true).await;
    beats(&plane, 3.0).await;
}

#[tokio::test]
async fn a_daemon_that_is_started_before_its_server_attaches_once_there_is_one() {
    let plane = Plane::start(quick()).await;
    let client = plane.client().await;
    let session = client.session().await;
    let proxy = Proxy::before(&plane.address).await;
    proxy.cut();
    let daemon =
        Daemon::start_at(&format!("http://{}", proxy.address), plane.token(), &session, "laptop-1", &[]);
    daemon.process.logged("not attached, trying again").await;
    proxy.pass();
    is(&client, &session, "laptop-1", SlotState::Online, true).await;
}

#[tokio::test]
async fn a_stalled_daemon_fences_itself_before_it_is_called_offline_and_comes_back() {
    let plane = Plane::start(PlaneOptions::default().beat_every_ms(1_000)).await;
    let client = plane.client().await;
    let session = client.session().await;
    let watch = RosterWatch::start(&client, &session).await;
    let proxy = Proxy::before(&plane.address).await;
    let daemon =
        Daemon::start_at(&format!("http://{}", proxy.address), plane.token(), &session, "laptop-1", &[]);
    is(&client, &session, "laptop-1", SlotState::Online, true).await;
    beats(&plane, 1.0).await;

    proxy.stall();
    let fence = "fenced: silent for so long that the server may call this node offline";
    daemon.process.logged(fence).await;
    let before = watch.shown("laptop-1");
    assert!(before.iter().all(|(health, _)| *health != PresenceHealth::Offline), "{before:?}");
    watch.shows("laptop-1", PresenceHealth::Offline).await;

    proxy.pass();
    daemon.process.logged("acknowledged again, the fence is lifted").await;
    let node = is(&client, &session, "laptop-1", SlotState::Online, true).await;
    assert_eq!(node.generation, 1, "it needs no new attach");
    assert_eq!(logged(&daemon, fence), 1);
}

#[tokio::test]
async fn a_daemon_that_cannot_reach_its_server_still_stops_within_seconds() {
    let plane = Plane::start(quick()).await;
    let client = plane.client().await;
    let session = client.session().await;
    let proxy = Proxy::before(&plane.address).await;
    let mut daemon =
        Daemon::start_at(&format!("http://{}", proxy.address), plane.token(), &session, "laptop-1", &[]);
    is(&client, &session, "laptop-1", SlotState::Online, true).await;
    proxy.stall();
    daemon.process.signal("TERM");
    let asked = Instant::now();
    let status = daemon.process.ended().await;
    assert_eq!(status.code(), Some(0), "{status}");
    assert!(asked.elapsed() < Duration::from_secs(5), "it took {:?}", asked.elapsed());
    assert!(daemon.process.log().iter().any(|line| line.contains("did not acknowledge the detach")));
}

#[tokio::test]
async fn what_cannot_be_helped_ends_a_daemon_with_a_code_of_its_own() {
    let plane = Plane::start(quick()).await;
    let client = plane.client().await;
    let (session, closed) = (client.session().await, client.session().await);
    client
        .sessions
        .clone()
        .close_session(CloseSessionRequest { session_id: closed.clone(), ..Default::default() })
        .await
        .unwrap();
    let unknown = uuid::Uuid::now_v7().to_string();
    let wrong = format!("{}0", plane.token());
    for (token, session, flags, code) in [
        (wrong.as_str(), &session, &[][..], 14),
        (plane.token(), &closed, &[], 12),
        (plane.token(), &unknown, &[], 13),
        (plane.token(), &session, &["--capability", "codex"], 2),
        (plane.token(), &session, &["--client-version", "01.0"], 2),
    ] {
        let mut daemon = Daemon::start_at(&plane.url(), token, session, "laptop-1", flags);
        let status = daemon.process.ended().await;
        assert_eq!(status.code(), Some(code), "{:?}", daemon.process.log());
        let (_, secret) = token.split_once('.').unwrap();
        assert!(daemon.process.log().iter().all(|line| !line.contains(secret)));
    }
    assert!(client.roster(&session).await.is_empty());
}

#[tokio::test]
async fn a_daemon_ends_when_its_session_is_closed_under_it() {
    let plane = Plane::start(quick()).await;
    let client = plane.client().await;
    let session = client.session().await;
    let mut daemon = Daemon::start(&plane, &session, "laptop-1");
    is(&client, &session, "laptop-1", SlotState::Online, true).await;
    client
        .sessions
        .clone()
        .close_session(CloseSessionRequest { session_id: session.clone(), ..Default::default() })
        .await
        .unwrap();
    let status = daemon.process.ended().await;
    assert_eq!(status.code(), Some(12), "{status}");
}

#[tokio::test]
async fn a_daemon_below_the_floor_stays_and_is_read_only() {
    let plane = Plane::start(quick()).await;
    let client = plane.client().await;
    let session = client.session().await;
    let mut before = Daemon::start(&plane, &session, "before");
    is(&client, &session, "before", SlotState::Online, true).await;
    assert_eq!(before.process.logged("attached").await["read_only"], false);
    let raise = RaiseVersionFloorRequest {
        session_id: session.clone(),
        min_client_version: "1.1".to_owned(),
        ..RaiseVersionFloorRequest::default()
    };
    client.sessions.clone().raise_version_floor(raise).await.unwrap();
    let mut after = Daemon::start(&plane, &session, "after");
    for daemon in [&mut before, &mut after] {
        let told = daemon.process.logged("read-only: this client is below the session's floor").await;
        assert_eq!(told["floor"], "1.1");
    }
    beats(&plane, 6.0).await;
    for node in client.roster(&session).await {
        assert!(node.read_only);
        assert_eq!((node.generation, presence(&node)), (1, HEARD));
    }
    assert!(before.process.is_running() && after.process.is_running());
}

#[tokio::test]
async fn a_capability_of_a_newer_contract_leaves_the_slot_degraded_and_the_daemon_at_work() {
    let plane = Plane::start(quick()).await;
    let client = plane.client().await;
    let session = client.session().await;
    let flags = ["--capability", "future@2.0"];
    let mut daemon = Daemon::start_at(&plane.url(), plane.token(), &session, "laptop-1", &flags);
    let node = is(&client, &session, "laptop-1", SlotState::Degraded, true).await;
    let reason = &node.state_reasons[0];
    assert_eq!(
        (reason.kind(), reason.capability_key.as_str()),
        (StateReasonKind::UnsupportedContractVersion, "future")
    );
    let told = daemon.process.logged("the slot is degraded").await;
    assert_eq!((&told["capability"], &told["detail"]), (&"future".into(), &"2.0".into()));
    beats(&plane, 2.0).await;
    assert!(daemon.process.is_running());
}

#[tokio::test]
async fn a_daemon_that_is_unwell_says_so_by_slot_and_beat() {
    let plane = Plane::start(quick()).await;
    let client = plane.client().await;
    let session = client.session().await;
    let flags = ["--health", "degraded"];
    let _daemon = Daemon::start_at(&plane.url(), plane.token(), &session, "laptop-1", &flags);
    let node = is(&client, &session, "laptop-1", SlotState::Degraded, false).await;
    assert_eq!(node.state_reasons[0].kind(), StateReasonKind::SelfReported);
    beats(&plane, 2.0).await;
    let unwell = (PresenceHealth::Degraded, PresenceCause::SelfReported);
    assert_eq!(presence(&client.node(&session, "laptop-1").await), unwell);
}

#[tokio::test]
async fn a_daemon_without_a_name_makes_one_and_keeps_it() {
    let plane = Plane::start(quick()).await;
    let client = plane.client().await;
    let session = client.session().await;
    let folder = std::env::temp_dir().join(format!("rollcall-state-{}", uuid::Uuid::new_v4()));
    let start = |folder: &Path| {
        Process::start(
            "rollcall-daemon",
            Command::new(binary("rollcall-daemon"))
                .args(["--session", &session, "--capability", "codex", "--state-dir"])
                .arg(folder)
                .env("ROLLCALL_ADDR", plane.url())
                .env("ROLLCALL_TOKEN", plane.token()),
        )
    };
    for run in 1..=2 {
        let mut daemon = start(&folder);
        daemon.logged("attached").await;
        daemon.signal("TERM");
        assert!(daemon.ended().await.success());
        let roster = client.roster(&session).await;
        assert_eq!(roster.len(), 1, "the second run has the name of the first");
        assert_eq!(roster[0].generation, run);
    }
    std::fs::remove_dir_all(&folder).unwrap();
}

#[tokio::test]
async fn a_daemon_that_was_suspended_fences_itself_first_and_then_goes_on() {
    let plane = Plane::start(quick()).await;
    let client = plane.client().await;
    let session = client.session().await;
    let watch = RosterWatch::start(&client, &session).await;
    let mut daemon = Daemon::start(&plane, &session, "laptop-1");
    is(&client, &session, "laptop-1", SlotState::Online, true).await;
    daemon.process.signal("STOP");
    watch.shows("laptop-1", PresenceHealth::Offline).await;
    daemon.process.signal("CONT");
    daemon.process.logged("acknowledged again, the fence is lifted").await;
    let node = is(&client, &session, "laptop-1", SlotState::Online, true).await;
    assert_eq!(node.generation, 1);
    assert!(daemon.process.is_running());
}
