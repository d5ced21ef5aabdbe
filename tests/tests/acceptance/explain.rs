//! `rollcall node explain`: why a node is in its state; and the command line against a real server.

use std::{
    collections::HashSet,
    io::{BufRead, BufReader},
    process::{Command, Output, Stdio},
};

use contracts::{
    ParticipantId,
    wire::v1::{
        ArchiveSessionRequest, Beat, Capability, CloseSessionRequest, Declaration, DetachNodeRequest,
        DetachRequest, HeartbeatRequest, PresenceHealth, ReportedHealth, TransferNodeRequest,
        UpdateCapabilitiesRequest,
    },
};
use control_plane::auth::tokens::Scope;
use serde_json::Value;
use tests::{Attaching, Client, Daemon, Plane, PlaneOptions, RosterWatch, binary, eventually, token};

/// Parses what a verb printed with `--json`; it must have succeeded.
fn json(output: &Output) -> Value {
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).expect("stdout is one document")
}

/// What `rollcall node explain --json` says.
struct Explained(Value);

impl Explained {
    fn of(plane: &Plane, node_id: &str) -> Self {
        let explained = json(&plane.cli(&["node", "explain", node_id, "--json"]));
        assert_eq!(explained["node"]["node_id"], node_id);
        Self(explained)
    }

    fn summary(&self) -> &str {
        self.0["summary"].as_str().expect("a summary is a sentence")
    }

    fn kinds(&self) -> Vec<&str> {
        let findings = self.0["findings"].as_array().expect("there is a list of findings");
        findings.iter().map(|finding| finding["kind"].as_str().expect("a finding has a kind")).collect()
    }

    /// Text and time of the first finding of this kind.
    fn finding(&self, kind: &str) -> (&str, Option<&str>) {
        let findings = self.0["findings"].as_array().expect("there is a list of findings");
        let found = findings.iter().find(|finding| finding["kind"] == kind);
        let found = found.unwrap_or_else(|| panic!("no {kind}: {:#}", self.0));
        (found["text"].as_str().expect("a finding has a text"), found["at"].as_str())
    }
}

async fn on_a_plane(options: PlaneOptions) -> (Plane, Client, String) {
    let plane = Plane::start(options).await;
    let client = plane.client().await;
    let session = client.session().await;
    (plane, client, session)
}

#[tokio::test]
async fn a_node_that_declared_nothing_is_registering() {
    let (plane, client, session) = on_a_plane(PlaneOptions::default()).await;
    client.attach(&Attaching::new(&session, "laptop-1")).await.unwrap();
    let explained = Explained::of(&plane, "laptop-1");
    assert_eq!(explained.summary(), "laptop-1 is registering: attached, and waiting for its declaration");
    assert_eq!(explained.kinds(), ["not_declared", "last_contact", "thresholds"]);
}

#[tokio::test]
async fn a_node_that_is_well_is_online_with_the_thresholds_in_force() {
    let (plane, client, session) = on_a_plane(PlaneOptions::default()).await;
    client.online(&session, "laptop-1").await;
    let explained = Explained::of(&plane, "laptop-1");
    assert_eq!(explained.summary(), "laptop-1 is online: it declared what it can do, and is heard in time");
    assert_eq!(explained.kinds(), ["last_contact", "thresholds"]);
    let (text, _) = explained.finding("thresholds");
    assert_eq!(text, "degraded after 30s of silence, offline after 1m; a beat is due every 15s");
    assert!(explained.finding("last_contact").1.is_some());
}

#[tokio::test]
async fn a_silent_node_is_degraded_and_then_offline_by_the_sweep() {
    let options = PlaneOptions::default().beat_every_ms(500).flag("--offline-after", "4s");
    let (plane, client, session) = on_a_plane(options).await;
    let watch = RosterWatch::start(&client, &session).await;
    client.online(&session, "laptop-1").await;
    for (health, word, threshold) in
        [(PresenceHealth::Degraded, "degraded", "1s"), (PresenceHealth::Offline, "offline", "4s")]
    {
        watch.shows("laptop-1", health).await;
        let explained = Explained::of(&plane, "laptop-1");
        assert_eq!(explained.summary(), format!("laptop-1 is {word} because it is silent"));
        assert_eq!(explained.kinds()[..3], ["silence", "last_contact", "thresholds"]);
        let silence =
            format!("the sweep marked it {word}: it was silent for more than {threshold} of service time");
        assert_eq!(explained.finding("silence").0, silence);
        let (contact, grew) = (explained.finding("last_contact").1.unwrap(), explained.finding("silence").1);
        assert!(grew.is_some_and(|grew| grew > contact), "when its silence grew too long: {:#}", explained.0);
    }
}

#[tokio::test]
async fn a_node_that_is_unwell_by_its_own_word_is_told_from_a_silent_one() {
    let (plane, client, session) = on_a_plane(PlaneOptions::default()).await;
    let generation = client.online(&session, "laptop-1").await;
    let beat = Beat { node_id: "laptop-1".to_owned(), generation, health: ReportedHealth::Degraded.into() };
    client.nodes.clone().heartbeat(HeartbeatRequest { beat: Some(beat) }).await.unwrap();
    let by_beat = Explained::of(&plane, "laptop-1");
    assert_eq!(by_beat.summary(), "laptop-1 is degraded by its own word");
    assert_eq!(by_beat.kinds()[0], "self_reported");
    assert!(by_beat.finding("self_reported").1.is_some());

    client.beat("laptop-1", generation).await.unwrap();
    let update = UpdateCapabilitiesRequest {
        node_id: "laptop-1".to_owned(),
        generation,
        declaration: None,
        health: Some(ReportedHealth::Degraded.into()),
        health_reason: "the disk is full".to_owned(),
    };
    client.nodes.clone().update_capabilities(update).await.unwrap();
    let by_slot = Explained::of(&plane, "laptop-1");
    assert!(by_slot.summary().contains("its slot is degraded"), "{}", by_slot.summary());
    assert_eq!(by_slot.finding("self_reported").0, "the daemon reported itself degraded: the disk is full");
}

#[tokio::test]
async fn a_declaration_that_is_not_supported_is_named() {
    let (plane, client, session) = on_a_plane(PlaneOptions::default()).await;
    let mut attaching = Attaching::new(&session, "laptop-1");
    let capability = Capability {
        key: "codex".to_owned(),
        contract_version: "2.0".to_owned(),
        features: vec!["telepathy".to_owned()],
        ..Capability::default()
    };
    attaching.0.declaration = Some(Declaration { capabilities: vec![capability] });
    client.attach(&attaching).await.unwrap();
    let explained = Explained::of(&plane, "laptop-1");
    assert_eq!(
        explained.summary(),
        "laptop-1 is heard, and its slot is degraded by what it declared or reported"
    );
    assert_eq!(explained.kinds()[..2], ["unsupported_declaration", "unsupported_declaration"]);
    let texts = explained.0["findings"].to_string();
    assert!(texts.contains("codex") && texts.contains("2.0") && texts.contains("telepathy"), "{texts}");
}

#[tokio::test]
async fn a_node_below_the_floor_is_read_only() {
    let (plane, client, _) = on_a_plane(PlaneOptions::default()).await;
    let session = client.session_with_floor("1.4").await;
    client.online(&session, "laptop-1").await;
    let explained = Explained::of(&plane, "laptop-1");
    assert_eq!(explained.0["node"]["read_only"], true);
    let online = "laptop-1 is online: it declared what it can do, and is heard in time";
    let read_only = "and read-only, for its version 1.0 is below the session's floor 1.4";
    assert_eq!(explained.summary(), format!("{online}; {read_only}"));
    let text = "it is read-only: its version 1.0 is below the session's floor 1.4";
    assert_eq!(explained.finding("below_floor").0, text);
}

#[tokio::test]
async fn a_detached_node_has_the_words_of_its_daemon() {
    let (plane, client, session) = on_a_plane(PlaneOptions::default()).await;
    let generation = client.online(&session, "laptop-1").await;
    let detach =
        DetachRequest { node_id: "laptop-1".to_owned(), generation, reason: "lid closed".to_owned() };
    client.nodes.clone().detach(detach).await.unwrap();
    let explained = Explained::of(&plane, "laptop-1");
    assert_eq!(explained.summary(), "laptop-1 is detached by its daemon");
    assert_eq!(explained.kinds()[0], "detached");
    let (text, at) = explained.finding("detached");
    assert_eq!(text, "the daemon gave its slot back, with the words: lid closed");
    assert!(at.is_some());
}

#[tokio::test]
async fn a_superseded_instance_is_named_with_the_one_that_came_after_it() {
    let (plane, client, session) = on_a_plane(PlaneOptions::default()).await;
    let (older, newer) = (Attaching::new(&session, "laptop-1"), Attaching::new(&session, "laptop-1"));
    client.attach(&older).await.unwrap();
    client.attach(&newer.clone().declaring(&["codex"])).await.unwrap();
    let explained = Explained::of(&plane, "laptop-1");
    let (text, at) = explained.finding("superseded");
    let expected = format!(
        "instance {} (generation 1) was superseded by instance {} (generation 2)",
        older.0.instance_id, newer.0.instance_id
    );
    assert!(text.starts_with(&expected), "{text}");
    assert!(at.is_some());
}

#[tokio::test]
async fn a_closed_session_is_why_its_nodes_are_detached() {
    let (plane, client, session) = on_a_plane(PlaneOptions::default()).await;
    client.online(&session, "laptop-1").await;
    let archive = ArchiveSessionRequest {
        session_id: session.clone(),
        reason: "full".to_owned(),
        ..Default::default()
    };
    client.sessions.clone().archive_session(archive).await.unwrap();
    let us = plane.participant();
    let explained = Explained::of(&plane, "laptop-1");
    assert!(explained.summary().starts_with("laptop-1 is online"), "an archived session ends no slot");
    let (text, at) = explained.finding("session_not_active");
    let archived = format!(
        "the session was archived by participant {us}, with the words: full: it takes no further nodes"
    );
    assert_eq!((text, at.is_some()), (&*archived, true));

    let close = CloseSessionRequest { session_id: session, reason: "done".to_owned(), ..Default::default() };
    client.sessions.clone().close_session(close).await.unwrap();
    let explained = Explained::of(&plane, "laptop-1");
    assert_eq!(explained.summary(), "laptop-1 is detached, for its session was closed");
    assert_eq!(explained.kinds()[0], "session_not_active");
    assert_eq!(explained.kinds().iter().filter(|kind| **kind == "session_not_active").count(), 1);
    let closed = format!("the session was closed by participant {us}, with the words: done");
    assert_eq!(explained.finding("session_not_active").0, closed);
}

#[tokio::test]
async fn a_node_that_never_attached_is_not_known() {
    let (plane, _, _) = on_a_plane(PlaneOptions::default()).await;
    let ended = plane.cli(&["node", "explain", "laptop-1"]);
    assert_eq!(ended.status.code(), Some(1));
    let said = String::from_utf8_lossy(&ended.stderr);
    assert!(said.contains("no node laptop-1 is known here: it never attached, was forgotten"), "{said}");
    assert!(said.contains("runtimenode.not_found"), "{said}");
}

#[tokio::test]
async fn a_node_that_was_taken_out_is_told_from_one_that_left_by_itself() {
    let (plane, client, session) = on_a_plane(PlaneOptions::default()).await;
    client.online(&session, "laptop-1").await;
    let detach = DetachNodeRequest {
        node_id: "laptop-1".to_owned(),
        reason: "in the way".to_owned(),
        ..Default::default()
    };
    client.admin.clone().detach_node(detach).await.unwrap();
    let explained = Explained::of(&plane, "laptop-1");
    assert_eq!(explained.summary(), "laptop-1 is detached by an owner or admin, and may attach again");
    let (text, at) = explained.finding("detached");
    let us = plane.participant();
    assert_eq!(text, format!("it was taken out of its slot by participant {us}, with the words: in the way"));
    assert!(at.is_some());
    // What was done to it before says nothing of what it does since.
    let generation = client.online(&session, "laptop-1").await;
    client.detach("laptop-1", generation).await.unwrap();
    assert_eq!(Explained::of(&plane, "laptop-1").summary(), "laptop-1 is detached by its daemon");
}

#[tokio::test]
async fn a_revoked_node_says_by_whom_and_why_it_was_barred() {
    let (plane, client, session) = on_a_plane(PlaneOptions::default()).await;
    for node_id in ["attached", "detached"] {
        let generation = client.online(&session, node_id).await;
        if node_id == "detached" {
            client.detach(node_id, generation).await.unwrap();
        }
        client.revoke_node(node_id, Some(&session)).await.unwrap();
        let explained = Explained::of(&plane, node_id);
        assert_eq!(explained.summary(), format!("{node_id} is revoked in this session, for ever"));
        let (text, at) = explained.finding("revoked");
        let us = plane.participant();
        assert_eq!(text, format!("its slot was revoked by participant {us}, with the words: it was stolen"));
        assert!(at.is_some());
    }
    client.online(&session, "laptop-1").await;
    let admin = ParticipantId(uuid::Uuid::now_v7());
    let chief = Client::connect(&plane.url(), &token(admin, Scope::Admin)).await;
    chief.revoke_node("laptop-1", None).await.unwrap();
    let explained = Explained::of(&plane, "laptop-1");
    assert_eq!(explained.summary(), "laptop-1 is revoked everywhere, for ever");
    assert_eq!(explained.kinds()[0], "revoked");
    let (text, at) = explained.finding("revoked");
    let expected =
        format!("the node was revoked everywhere by participant {admin}, with the words: it was stolen");
    assert_eq!((text, at.is_some()), (&*expected, true));
}

#[tokio::test]
async fn a_node_that_was_given_away_names_its_new_owner_and_who_gave_it() {
    let (plane, client, session) = on_a_plane(PlaneOptions::default()).await;
    client.online(&session, "laptop-1").await;
    let (admin, heir) = (ParticipantId(uuid::Uuid::now_v7()), ParticipantId(uuid::Uuid::now_v7()));
    let chief = Client::connect(&plane.url(), &token(admin, Scope::Admin)).await;
    let transfer = TransferNodeRequest {
        node_id: "laptop-1".to_owned(),
        participant_id: heir.to_string(),
        reason: "sold".to_owned(),
        ..Default::default()
    };
    chief.admin.clone().transfer_node(transfer).await.unwrap();
    let explained = Explained::of(&plane, "laptop-1");
    let summary = "laptop-1 is detached by a transfer: its new owner's daemon has to attach";
    assert_eq!(explained.summary(), summary);
    assert_eq!(explained.kinds()[0], "transferred");
    let expected =
        format!("the node was given to participant {heir} by participant {admin}, with the words: sold");
    assert_eq!(explained.finding("transferred").0, expected);
}

#[tokio::test]
async fn a_brake_that_holds_is_why_a_silent_node_is_not_offline() {
    // Nothing happens by itself for an hour, so that what is seeded stays.
    let options = PlaneOptions::default()
        .flag("--heartbeat-interval", "10m")
        .flag("--sweep-interval", "10m")
        .flag("--degraded-after", "20m")
        .flag("--offline-after", "1h")
        .flag("--brake-hold", "2h");
    let (plane, client, session) = on_a_plane(options).await;
    client.online(&session, "laptop-1").await;
    for seed in [
        "update presence_brake set held_since = now() - interval '1 minute'",
        "update runtime_node_presence set health_state = 'degraded', health_cause = 'silence',
             last_heartbeat_at = now() - interval '90 minutes' where node_key > 0",
    ] {
        sqlx::query(seed).execute(&plane.database.pool).await.unwrap();
    }
    let explained = Explained::of(&plane, "laptop-1");
    assert_eq!(
        explained.summary(),
        "laptop-1 is degraded because it is silent, and not offline because the mass-offline brake holds"
    );
    let (text, at) = explained.finding("brake");
    assert_eq!(text, "most of the fleet fell silent at once: nobody is called offline for 2h");
    assert!(at.is_some());
    // One that is over is no reason.
    sqlx::query("update presence_brake set held_since = now() - interval '3 hours'")
        .execute(&plane.database.pool)
        .await
        .unwrap();
    let explained = Explained::of(&plane, "laptop-1");
    assert_eq!(explained.summary(), "laptop-1 is degraded because it is silent");
    assert!(!explained.kinds().contains(&"brake"));
}

#[tokio::test]
async fn a_gap_of_the_service_itself_is_told() {
    let (plane, client, session) = on_a_plane(PlaneOptions::default().beat_every_ms(1_000)).await;
    client.online(&session, "laptop-1").await;
    // Service has to count after the node's last beat before an interruption of it means anything.
    let served = async || {
        sqlx::query_scalar::<_, bool>(
            "select exists (select from service_windows join runtime_node_presence on node_key > 0
                            where proven_until > counts_from and proven_until > last_heartbeat_at)",
        )
        .fetch_one(&plane.database.pool)
        .await
        .unwrap()
    };
    eventually("the service counts", served, |served| *served).await;
    let plane = plane.kill_and_restart().await;
    let explained = Explained::of(&plane, "laptop-1");
    let (text, at) = explained.finding("service_gap");
    // By its cadence of a second the gap is in force, or was until a moment ago.
    let starts = ["from", "since"]
        .map(|word| format!("the service itself was interrupted; silence counts again {word} 20"));
    assert!(starts.iter().any(|start| text.starts_with(start)), "{text}");
    assert!(at.is_some());
}

/// Names of the fields of an object.
fn fields(value: &Value) -> HashSet<&str> {
    value.as_object().expect("it is an object").keys().map(String::as_str).collect()
}

const SESSION: [&str; 7] =
    ["session_id", "name", "state", "min_client_version", "active_nodes", "created_at", "updated_at"];
const NODE: [&str; 12] = [
    "node_id",
    "session_id",
    "participant_id",
    "attachment_id",
    "generation",
    "slot_state",
    "presence",
    "read_only",
    "client_version",
    "declaration",
    "state_reasons",
    "attached_at",
];

#[tokio::test]
async fn the_verbs_on_sessions_print_their_json_and_end_with_their_codes() {
    let plane = Plane::start(PlaneOptions::default()).await;
    let id = uuid::Uuid::now_v7().to_string();
    let create = ["session", "create", "--name", "demo", "--id", &id, "--floor", "0.9", "--json"];
    let created = json(&plane.cli(&create));
    assert_eq!(fields(&created), SESSION.into());
    assert_eq!((&created["session_id"], &created["state"]), (&id.clone().into(), &"active".into()));
    assert_eq!(json(&plane.cli(&create)), created, "a repeat makes no second one");
    assert_eq!(json(&plane.cli(&["session", "get", &id, "--json"])), created);
    assert_eq!(json(&plane.cli(&["session", "list", "--json"]))["sessions"], Value::Array(vec![created]));

    let client = plane.client().await;
    client.online(&id, "laptop-1").await;
    let dry = json(&plane.cli(&["session", "raise-floor", &id, "1.1", "--dry-run", "--json"]));
    assert_eq!((&dry["dry_run"], &dry["affected_nodes_count"]), (&true.into(), &1.into()));
    assert_eq!(dry["affected_nodes"][0]["node_id"], "laptop-1");
    assert_eq!(json(&plane.cli(&["session", "get", &id, "--json"]))["min_client_version"], "0.9");
    let raised = json(&plane.cli(&["session", "raise-floor", &id, "1.1", "--json"]));
    assert_eq!(
        (&raised["dry_run"], &raised["session"]["min_client_version"]),
        (&false.into(), &"1.1".into())
    );
    assert_eq!(json(&plane.cli(&["session", "archive", &id, "--json"]))["state"], "archived");
    let closed = json(&plane.cli(&["session", "close", &id, "--yes", "--json"]));
    assert_eq!((&closed["session"]["state"], &closed["detached_nodes"]), (&"closed".into(), &1.into()));

    let unknown = uuid::Uuid::now_v7().to_string();
    for (arguments, code) in [
        (&["session", "get", &unknown][..], 1),
        (&["session", "raise-floor", &id, "1.0"], 1),
        (&["node", "get", "nobody"], 1),
        (&["node", "explain", "nobody", "--json"], 1),
        (&["session", "get", "not-a-uuid"], 2),
        (&["session", "close", &id], 2),
        (&["session", "create"], 2),
        (&["node", "watch", "--session", "x"], 2),
        (&["session", "list", "--addr", "127.0.0.1:1", "--timeout", "2s"], 3),
        (&["session", "list", "--token", "nobody"], 1),
    ] {
        let ended = plane.cli(arguments);
        let said = String::from_utf8_lossy(&ended.stderr);
        assert_eq!(ended.status.code(), Some(code), "{arguments:?}: {said}");
        assert!(ended.stdout.is_empty(), "{arguments:?}: an error is no data");
        assert!(said.contains("error"), "{arguments:?}: {said}");
    }
}

#[tokio::test]
async fn the_verbs_on_nodes_print_their_json() {
    let (plane, client, session) = on_a_plane(PlaneOptions::default()).await;
    client.online(&session, "laptop-1").await;
    let listed = json(&plane.cli(&["node", "list", "--json"]));
    let node = &listed["nodes"][0];
    assert_eq!(fields(node), NODE.into());
    assert_eq!((&node["slot_state"], &node["presence"]["health"]), (&"online".into(), &"online".into()));
    assert_eq!(node["declaration"]["capabilities"][0]["key"], "codex");
    assert_eq!(json(&plane.cli(&["node", "list", "--session", &session, "--json"])), listed);
    let got = json(&plane.cli(&["node", "get", "laptop-1", "--json"]));
    assert_eq!(fields(&got), ["node_id", "first_seen_at", "generation", "slots"].into());
    assert_eq!(&got["slots"][0], node);

    let mut watch = Command::new(binary("rollcall"))
        .args(["node", "watch", "--json"])
        .env("ROLLCALL_ADDR", plane.url())
        .env("ROLLCALL_TOKEN", plane.token())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(watch.stdout.take().unwrap()).lines();
    let mut next = || serde_json::from_str::<Value>(&lines.next().unwrap().unwrap()).unwrap();
    let chunk = next();
    assert_eq!((&chunk["event"], &chunk["nodes"][0]), (&"snapshot_chunk".into(), node));
    let end = next();
    assert_eq!(end["event"], "snapshot_end");
    assert!(end["revision"].is_string());
    client.online(&session, "laptop-2").await;
    let change = next();
    assert_eq!((&change["event"], &change["node"]["node_id"]), (&"change".into(), &"laptop-2".into()));
    assert_eq!(fields(&change["node"]), NODE.into());
    watch.kill().unwrap();
    watch.wait().unwrap();
}

#[tokio::test]
async fn the_tour_of_the_readme_works() {
    let plane = Plane::start(PlaneOptions::default().beat_every_ms(500)).await;
    let client = plane.client().await;
    let said = |arguments: &[&str]| {
        let ended = plane.cli(arguments);
        assert!(ended.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&ended.stderr));
        String::from_utf8(ended.stdout).unwrap()
    };
    let id = "0199d5c0-7e1a-7c3e-9b5a-2f64c1d08a11";
    assert_eq!(said(&["session", "create", "--name", "demo", "--id", id]).trim(), id);
    let watch = RosterWatch::start(&client, id).await;
    let mut daemon = Daemon::start(&plane, id, "laptop-1");
    daemon.process.logged("attached").await;
    assert!(said(&["node", "list"]).contains("laptop-1"));
    daemon.process.kill();
    watch.shows("laptop-1", PresenceHealth::Offline).await;
    assert!(said(&["node", "explain", "laptop-1"]).contains("offline because it is silent"));
    let daemon = Daemon::start(&plane, id, "laptop-1");
    assert_eq!(daemon.process.logged("attached").await["generation"], 2);
    assert!(said(&["session", "raise-floor", id, "1.1", "--dry-run"]).contains("laptop-1"));
    assert!(!client.node(id, "laptop-1").await.read_only);
    said(&["session", "raise-floor", id, "1.1"]);
    assert!(client.node(id, "laptop-1").await.read_only);
}
