//! Maintenance: writes are held back, reads are served, and nobody is called silent for it.

use std::time::Duration;

use contracts::{
    limits,
    refusal::{ReceivedRefusal, RetryAdvice},
    wire::v1::{
        ExplainNodeRequest, GetMaintenanceRequest, GetSessionRequest, ListNodesRequest, ListSessionsRequest,
        Maintenance, PresenceHealth, SetMaintenanceRequest, SlotState, StreamHeartbeatsRequest,
        WatchRosterRequest, beat_result::Outcome,
    },
};
use control_plane::auth::tokens::Scope;
use serde_json::Value;
use tests::{
    Attached, Attaching, Client, Daemon, Living, Plane, PlaneOptions, Raw, RosterWatch, eventually, framed,
    methods, refusal, token,
};
use tokio::{sync::mpsc, time::sleep};
use tokio_stream::wrappers::ReceiverStream;
use uuid::Uuid;

const REASON: &str = "upgrade of Postgres, until 14:00";

async fn is_on(client: &Client) -> Maintenance {
    let answer = client.maintenance.clone().get_maintenance(GetMaintenanceRequest {}).await;
    answer.expect("it is told").into_inner().maintenance.expect("an answer has its maintenance")
}

/// What every refused write is told.
fn check(refused: &ReceivedRefusal) {
    assert_eq!(refused.code, "system.maintenance");
    assert_eq!(refused.advice, RetryAdvice::SameRequest);
    assert!(refused.message.contains(REASON), "{refused}");
    assert!(refused.retry_delay.is_some_and(|delay| !delay.is_zero()), "{refused:?}");
    assert!(refused.facts.contains_key("since"), "{refused:?}");
}

/// The verbs that only look, by their names.
fn reads(path: &str) -> bool {
    let (_, verb) = path.rsplit_once('/').expect("a path ends with the method");
    ["Get", "List", "Read", "Explain", "Watch"].iter().any(|look| verb.starts_with(look))
}

#[tokio::test]
async fn each_write_is_refused_and_each_read_is_served() {
    let plane = Plane::start(PlaneOptions::default()).await;
    let (client, admin) = (plane.client().await, plane.admin().await);
    let session = client.session().await;
    let generation = client.online(&session, "laptop-1").await;
    admin.set_maintenance(Some(REASON)).await;
    let before = plane.database.snapshot().await;

    let raw = Raw::connect(&plane.url(), Some(&token(plane.participant(), Scope::Admin))).await;
    let goes_on = |path: &str| path.ends_with("/SetMaintenance") || path.ends_with("/StepDown");
    for method in methods().iter().filter(|method| !goes_on(&method.path)) {
        let answer = raw.call(&method.path, "application/grpc", framed(&[])).await.unwrap();
        let refused = ReceivedRefusal::from_status(&answer.status.expect("an answer has a status"));
        if reads(&method.path) {
            assert!(refused.is_none_or(|refused| refused.code == "argument.invalid"), "{}", method.path);
        } else {
            check(&refused.unwrap_or_else(|| panic!("{} is not refused", method.path)));
        }
    }
    // Also what would be well-formed, and by others than admins.
    check(&refusal(client.attach(&Attaching::new(&session, "laptop-2")).await));
    check(&refusal(client.beat("laptop-1", generation).await));
    check(&refusal(client.declare("laptop-1", generation, &["other"]).await));
    check(&refusal(client.detach("laptop-1", generation).await));
    check(&refusal(client.detach_node("laptop-1").await));
    check(&refusal(admin.revoke_node("laptop-1", None).await));

    assert_eq!(client.node(&session, "laptop-1").await.slot_state(), SlotState::Online);
    let session_id = session.clone();
    client.sessions.clone().get_session(GetSessionRequest { session_id }).await.unwrap();
    client.sessions.clone().list_sessions(ListSessionsRequest::default()).await.unwrap();
    client.members_of(&session).await.unwrap();
    client.admin.clone().list_nodes(ListNodesRequest::default()).await.unwrap();
    let explain = ExplainNodeRequest { node_id: "laptop-1".to_owned() };
    client.admin.clone().explain_node(explain).await.unwrap();
    let watch = WatchRosterRequest { session_id: session.clone(), revision: String::new() };
    let mut watch = client.nodes.clone().watch_roster(watch).await.unwrap().into_inner();
    watch.message().await.unwrap().expect("a watch begins with what there is");
    assert_eq!(admin.audit().await.first().map(|entry| entry.action.as_str()), Some("maintenance.on"));
    assert_eq!(plane.database.snapshot().await, before, "nothing was written");

    admin.set_maintenance(None).await;
    client.beat("laptop-1", generation).await.expect("writes pass again");
    client.online(&session, "laptop-2").await;
    watch.message().await.unwrap().expect("the watch goes on");
}

#[tokio::test]
async fn it_survives_a_restart_and_a_takeover_and_every_server_tells_of_it() {
    let plane = Plane::start(PlaneOptions::default()).await;
    let session = plane.client().await.session().await;
    plane.admin().await.set_maintenance(Some(REASON)).await;

    let mut plane = plane.kill_and_restart().await;
    check(&refusal(plane.client().await.attach(&Attaching::new(&session, "laptop-1")).await));
    let told = is_on(&plane.admin().await).await;
    assert_eq!((told.on, told.reason.as_str()), (true, REASON));
    assert_eq!(plane.http("/health/active").await, (200, "active, in maintenance\n".to_owned()));
    assert_eq!(plane.metric("rollcall_maintenance").await, Some(1.0));

    let standby = Plane::launch(plane.database.clone(), plane.options_beside()).await;
    assert_eq!(is_on(&standby.admin().await).await, told);
    assert!(standby.client().await.roster(&session).await.is_empty());
    let set = SetMaintenanceRequest::default();
    let refused = refusal(standby.admin().await.maintenance.clone().set_maintenance(set).await);
    assert_eq!(refused.code, "controller.standby");
    plane.process.kill();
    standby.active().await;
    let client = standby.client().await;
    check(&refusal(client.attach(&Attaching::new(&session, "laptop-1")).await));
    standby.admin().await.set_maintenance(None).await;
    assert_eq!(is_on(&standby.admin().await).await, Maintenance::default());
    client.online(&session, "laptop-1").await;
    assert_eq!(standby.http("/health/active").await, (200, "active\n".to_owned()));
    assert_eq!(standby.metric("rollcall_maintenance").await, Some(0.0));
}

#[tokio::test]
async fn beats_of_an_open_stream_are_refused_one_by_one_and_the_stream_stays_open() {
    let plane = Plane::start(PlaneOptions::default()).await;
    let (client, admin) = (plane.client().await, plane.admin().await);
    let session = client.session().await;
    let nodes = client.attach_all(&session, "node", 3).await;
    let (batches, outgoing) = mpsc::channel(1);
    let answers = client.nodes.clone().stream_heartbeats(ReceiverStream::new(outgoing)).await.unwrap();
    let mut answers = answers.into_inner();
    let mut beat = async || {
        let beats = nodes.iter().map(Attached::beat).collect();
        batches.send(StreamHeartbeatsRequest { batch_id: 7, beats }).await.unwrap();
        let answer = answers.message().await.unwrap().expect("the stream is open");
        answer
            .results
            .into_iter()
            .map(|result| result.outcome.expect("a beat has a result"))
            .collect::<Vec<_>>()
    };
    let all_acknowledged =
        |results: &[Outcome]| results.iter().all(|result| matches!(result, Outcome::Ack(_)));
    assert!(all_acknowledged(&beat().await));
    admin.set_maintenance(Some(REASON)).await;
    let before = plane.database.snapshot().await;
    for result in beat().await {
        match result {
            Outcome::Refusal(refused) => check(&refused.into()),
            Outcome::Ack(ack) => panic!("it was acknowledged: {ack:?}"),
        }
    }
    // One that would be opened now is refused as a whole.
    let batch = StreamHeartbeatsRequest { batch_id: 1, beats: Vec::new() };
    check(&refusal(client.nodes.clone().stream_heartbeats(tokio_stream::once(batch)).await));
    assert_eq!(plane.database.snapshot().await, before);
    admin.set_maintenance(None).await;
    assert!(all_acknowledged(&beat().await));
}

#[tokio::test]
async fn nobody_is_called_silent_for_it_and_the_dead_are_found_after_it() {
    let plane = Plane::start(PlaneOptions::default().beat_every_ms(1_000)).await;
    let (client, admin) = (plane.client().await, plane.admin().await);
    let session = client.session().await;
    let living = client.attach_all(&session, "living", 3).await;
    client.attach_all(&session, "dead", 3).await;
    plane.database.record_transitions().await;
    Living::start(&client, &living, Duration::from_millis(200)).are_heard().await;
    // From here on nobody is heard, and without maintenance all would be offline in less than half of its time.
    admin.set_maintenance(Some(REASON)).await;
    let refused = refusal(client.beat("living-1", living[0].generation).await);
    assert!(refused.retry_delay.is_some_and(|delay| delay * 2 < Duration::from_secs(1)), "{refused:?}");
    sleep(Duration::from_secs(9)).await;
    assert_eq!(plane.database.transitions("").await, []);
    admin.set_maintenance(None).await;

    let alive = Living::start(&client, &living, Duration::from_millis(200));
    alive.are_heard().await;
    plane.database.all_are("dead", "offline").await;
    assert_eq!(plane.database.transitions("living").await, []);
    assert!(plane.database.transitions("dead").await.len() >= 3);
}

#[tokio::test]
async fn a_daemon_keeps_its_slot_and_goes_on_by_itself() {
    let plane = Plane::start(PlaneOptions::default().beat_every_ms(500)).await;
    let (client, admin) = (plane.client().await, plane.admin().await);
    let session = client.session().await;
    let mut daemon = Daemon::start(&plane, &session, "laptop-1");
    let look = async || client.roster(&session).await;
    let is_online = |roster: &Vec<_>| {
        roster.iter().any(|node: &contracts::wire::v1::RuntimeNode| node.slot_state() == SlotState::Online)
    };
    eventually("it is online", look, is_online).await;
    let watch = RosterWatch::start(&client, &session).await;
    admin.set_maintenance(Some(REASON)).await;
    let refused_beats =
        r#"rollcall_rpc_seconds_count{service="RuntimeNodeService",method="Heartbeat",code="Unavailable"}"#;
    let refused = async || plane.metric(refused_beats).await.unwrap_or(0.0);
    // The canary's among them, five a cadence.
    eventually("its beats are refused", refused, |count| *count > 40.0).await;
    assert!(daemon.process.is_running());
    // One that comes now waits as well.
    let mut late = Daemon::start(&plane, &session, "laptop-2");
    let waits = async || late.process.log().join("\n");
    eventually("it is told why it has to wait", waits, |log| log.contains(REASON)).await;
    assert!(late.process.is_running());

    admin.set_maintenance(None).await;
    let both = |roster: &Vec<contracts::wire::v1::RuntimeNode>| {
        roster.len() == 2 && roster.iter().all(|node| node.slot_state() == SlotState::Online)
    };
    let roster = eventually("both are online", look, both).await;
    assert!(roster.iter().all(|node| node.generation == 1), "{roster:?}");
    let committed = r#"rollcall_beats_total{outcome="committed"}"#;
    let beats = async || plane.metric(committed).await.unwrap_or(0.0);
    let before = beats().await;
    eventually("they beat", beats, |count| *count >= before + 4.0).await;
    assert!(watch.shown("laptop-1").iter().all(|(health, _)| *health == PresenceHealth::Online));
    assert!(daemon.process.is_running() && late.process.is_running());
}

#[tokio::test]
async fn once_it_is_on_no_write_is_under_way() {
    let plane = Plane::start(PlaneOptions::default()).await;
    let (client, admin) = (plane.client().await, plane.admin().await);
    let session = client.session().await;
    let mut lock = plane.database.pool.begin().await.unwrap();
    sqlx::query("select from sessions where id = $1::uuid for update")
        .bind(&session)
        .execute(&mut *lock)
        .await
        .unwrap();
    let attaching = tokio::spawn({
        let (client, attaching) = (client.clone(), Attaching::new(&session, "laptop-1"));
        async move { client.attach(&attaching).await }
    });
    plane.database.has_blocked(1).await;
    let turning = tokio::spawn({
        let admin = admin.clone();
        async move { admin.set_maintenance(Some(REASON)).await }
    });
    // A write that comes now waits to be told, for the first may yet come to nothing.
    let late = refusal_in_time(&client, &session);
    tokio::pin!(late);
    tokio::select! {
        refused = &mut late => panic!("told before it was decided: {refused}"),
        () = sleep(Duration::from_millis(300)) => {}
    }
    assert!(!turning.is_finished(), "it is on while a write is under way");
    lock.rollback().await.unwrap();
    attaching.await.unwrap().expect("what was under way is done");
    turning.await.unwrap();
    check(&late.await);
    let before = plane.database.snapshot().await;
    assert_eq!(before.rows("runtime_node_attachments").len(), 1);
}

async fn refusal_in_time(client: &Client, session: &str) -> ReceivedRefusal {
    // Until maintenance waits for the first attach, this one waits for the lock beside it, and gets in.
    sleep(Duration::from_millis(150)).await;
    refusal(client.attach(&Attaching::new(session, "laptop-2")).await)
}

#[tokio::test]
async fn turning_it_is_checked_audited_and_may_be_tried_and_repeated() {
    let plane = Plane::start(PlaneOptions::default()).await;
    let admin = plane.admin().await;
    let set = async |request: &SetMaintenanceRequest| {
        let answer = admin.maintenance.clone().set_maintenance(request.clone()).await?;
        Ok(answer.into_inner().maintenance.expect("an answer has its maintenance"))
    };
    let on = SetMaintenanceRequest { on: true, reason: REASON.to_owned(), ..Default::default() };
    for (reason, request_id) in [
        ("", ""),
        (" ", ""),
        ("a\u{0}b", ""),
        (&*"x".repeat(limits::REASON_CHARS_MAX + 1), ""),
        (REASON, "no uuid"),
    ] {
        let request = SetMaintenanceRequest {
            reason: reason.to_owned(),
            request_id: request_id.to_owned(),
            ..on.clone()
        };
        assert_eq!(plane.refuses(set(&request)).await.code, "argument.invalid", "{reason:?} {request_id:?}");
    }
    let tried = plane.repeats(set(&SetMaintenanceRequest { validate_only: true, ..on.clone() })).await;
    assert!(tried.on && tried.since.is_some());
    assert_eq!(is_on(&admin).await, Maintenance::default());
    let off = plane.repeats(set(&SetMaintenanceRequest::default())).await;
    assert_eq!(off, Maintenance::default());

    let first = SetMaintenanceRequest { request_id: Uuid::new_v4().to_string(), ..on.clone() };
    let begun = set(&first).await.unwrap();
    assert_eq!(begun, is_on(&admin).await);
    assert_eq!(plane.repeats(set(&first)).await, begun);
    let longest = "\u{1f980}".repeat(limits::REASON_CHARS_MAX);
    let changed = set(&SetMaintenanceRequest { reason: longest.clone(), ..on.clone() }).await.unwrap();
    assert_eq!((changed.since, &changed.reason), (begun.since, &longest), "it goes on, for another reason");
    let refused = refusal(admin.revoke_node("nobody", None).await);
    assert!(refused.message.contains(&longest), "the longest reason gets through");
    set(&SetMaintenanceRequest { reason: "done".to_owned(), ..Default::default() }).await.unwrap();
    // The repeat of a request that was overtaken turns nothing.
    assert_eq!(plane.repeats(set(&first)).await, begun);
    assert_eq!(is_on(&admin).await, Maintenance::default());

    let audit = admin.audit().await;
    let told: Vec<_> = audit.iter().map(|entry| (entry.action.as_str(), entry.reason.as_str())).collect();
    assert_eq!(
        told,
        [("maintenance.off", "done"), ("maintenance.on", longest.as_str()), ("maintenance.on", REASON)]
    );
    assert_eq!(audit[2].request_id, first.request_id);
}

#[tokio::test]
async fn the_command_line_turns_it_and_says_how_it_stands() {
    let plane = Plane::start(PlaneOptions::default()).await;
    let run = |arguments: &[&str]| {
        let output = plane.admin_cli(arguments);
        let [data, notes] = [output.stdout, output.stderr].map(|text| String::from_utf8(text).unwrap());
        assert!(output.status.success(), "{arguments:?}: {notes}");
        (data, notes)
    };
    let (data, _) = run(&["maintenance", "status"]);
    assert_eq!(data.lines().last().unwrap().split_whitespace().collect::<Vec<_>>(), ["off", "-", "-"]);
    let (_, notes) = run(&["maintenance", "on", "--reason", REASON, "--dry-run"]);
    assert_eq!(notes, "dry run: maintenance would be on\n");
    let (data, notes) = run(&["maintenance", "on", "--reason", REASON]);
    assert_eq!((&*data, &*notes), ("", "maintenance is on: writes are refused, reads are served\n"));
    let (data, _) = run(&["maintenance", "status"]);
    assert!(data.contains("on  ") && data.contains(REASON), "{data}");
    let (data, _) = run(&["maintenance", "status", "--json"]);
    let told: Value = serde_json::from_str(&data).unwrap();
    assert_eq!((&told["on"], &told["reason"]), (&true.into(), &REASON.into()));

    let refused = plane.cli(&["session", "create", "--name", "demo"]);
    let notes = String::from_utf8(refused.stderr).unwrap();
    assert_eq!(refused.status.code(), Some(1));
    for part in [REASON, "code: system.maintenance", "hint: "] {
        assert!(notes.contains(part), "{notes}");
    }
    let (data, _) = run(&["maintenance", "off", "--json"]);
    let told: Value = serde_json::from_str(&data).unwrap();
    assert_eq!((&told["on"], &told["since"], &told["dry_run"]), (&false.into(), &Value::Null, &false.into()));
    assert!(plane.cli(&["session", "create", "--name", "demo"]).status.success());
}
