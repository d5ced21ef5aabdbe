//! `WatchRoster`: a snapshot, then every change, in the order of the commits.

use std::{collections::BTreeMap, time::Duration};

use contracts::wire::v1::{
    ArchiveSessionRequest, Beat, Capability, CloseSessionRequest, Declaration, PresenceCause, PresenceHealth,
    RaiseVersionFloorRequest, ReportedHealth, ResyncReason, RuntimeNode, SlotState, StreamHeartbeatsRequest,
    UpdateCapabilitiesRequest, WatchRosterRequest, WatchRosterResponse, watch_roster_response::Event,
};
use tests::{Attaching, Client, DEADLINE, Plane, PlaneOptions, eventually, refusal};
use tokio::{sync::mpsc, task::JoinSet, time::timeout};
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Status, Streaming, transport::Endpoint};

/// A reader of one watch, with the roster as it adds up.
struct Watcher {
    stream: Streaming<WatchRosterResponse>,
    nodes: BTreeMap<String, RuntimeNode>,
    revision: String,
    /// Revision and node of each change, in order.
    changes: Vec<(String, RuntimeNode)>,
}

impl Watcher {
    /// Opens a watch that goes on from a revision; from an empty one it begins with a snapshot.
    async fn open(client: &Client, session_id: &str, revision: &str) -> Result<Self, Status> {
        let request = WatchRosterRequest { session_id: session_id.to_owned(), revision: revision.to_owned() };
        let stream = client.nodes.clone().watch_roster(request).await?.into_inner();
        Ok(Self { stream, nodes: BTreeMap::new(), revision: revision.to_owned(), changes: Vec::new() })
    }

    /// Opens a watch and reads the snapshot.
    async fn snapshot(client: &Client, session_id: &str) -> Self {
        let mut watcher = Self::open(client, session_id, "").await.expect("the session can be watched");
        watcher.read_snapshot().await;
        watcher
    }

    /// The next event; a watch that is silent for too long fails the test.
    async fn event(&mut self) -> Event {
        self.message().await.expect("the watch goes on").expect("the watch goes on")
    }

    async fn message(&mut self) -> Result<Option<Event>, Status> {
        let message = timeout(DEADLINE, self.stream.message()).await.expect("the watch tells something")?;
        Ok(message.map(|message| message.event.expect("a message has its event")))
    }

    async fn read_snapshot(&mut self) {
        self.nodes.clear();
        loop {
            match self.event().await {
                Event::SnapshotChunk(chunk) => {
                    assert!(!chunk.nodes.is_empty(), "a chunk holds something");
                    for node in chunk.nodes {
                        let former = self.nodes.insert(node.node_id.clone(), node);
                        assert_eq!(former, None, "a snapshot has each node once");
                    }
                }
                Event::SnapshotEnd(end) => {
                    assert!(!end.revision.is_empty());
                    self.revision = end.revision;
                    return;
                }
                other @ (Event::Change(_) | Event::Bookmark(_) | Event::Resync(_)) => {
                    panic!("a snapshot was due: {other:?}")
                }
            }
        }
    }

    /// The next change; bookmarks are passed over.
    async fn change(&mut self) -> RuntimeNode {
        loop {
            match self.event().await {
                Event::Change(change) => {
                    let node = change.node.expect("a change has its node");
                    assert_ne!(change.revision, self.revision, "each change moves on");
                    self.revision.clone_from(&change.revision);
                    self.nodes.insert(node.node_id.clone(), node.clone());
                    self.changes.push((change.revision, node.clone()));
                    return node;
                }
                Event::Bookmark(bookmark) => assert_eq!(bookmark.revision, self.revision),
                other @ (Event::SnapshotChunk(_) | Event::SnapshotEnd(_) | Event::Resync(_)) => {
                    panic!("a change was due: {other:?}")
                }
            }
        }
    }

    /// Reads changes until one is as wanted.
    async fn until(&mut self, wanted: impl Fn(&RuntimeNode) -> bool) -> RuntimeNode {
        loop {
            let node = self.change().await;
            if wanted(&node) {
                return node;
            }
        }
    }

    /// Reads changes until they add up to this roster.
    async fn until_equal(&mut self, roster: &[RuntimeNode]) {
        while !self.nodes.values().eq(roster) {
            self.change().await;
        }
    }
}

fn shown(node: &RuntimeNode) -> (SlotState, PresenceHealth, PresenceCause) {
    let presence = node.presence.expect("the node has its presence");
    (node.slot_state(), presence.health(), presence.cause())
}

fn beat(node_id: &str, generation: u64, health: ReportedHealth) -> Beat {
    Beat { node_id: node_id.to_owned(), generation, health: health.into() }
}

/// A declaration of about this many bytes.
fn large(bytes: usize) -> Declaration {
    let text = prost_types::Value { kind: Some(prost_types::value::Kind::StringValue("x".repeat(bytes))) };
    let details = prost_types::Struct { fields: [("notes".to_owned(), text)].into() };
    let capability = Capability {
        key: "codex".to_owned(),
        contract_version: "1.0".to_owned(),
        details: Some(details),
        ..Capability::default()
    };
    Declaration { capabilities: vec![capability] }
}

/// Changes one node of its own for many times, each time by another verb.
async fn churn(client: Client, session_id: String, node_id: String, rounds: usize) {
    for _ in 0..rounds {
        let generation = client.online(&session_id, &node_id).await;
        client.declare(&node_id, generation, &["codex", "mcp"]).await.expect("it may declare");
        client.detach(&node_id, generation).await.expect("it may go");
    }
}

#[tokio::test]
async fn a_watch_tells_the_roster_and_then_every_change_until_the_session_closes() {
    use {PresenceCause as Cause, PresenceHealth as Health, SlotState as Slot};

    let plane = Plane::start(PlaneOptions::default().beat_every_ms(500)).await;
    let client = plane.client().await;
    let session = client.session().await;
    let first = client.attach(&Attaching::new(&session, "first")).await.unwrap().generation;
    let mut watcher = Watcher::snapshot(&client, &session).await;
    assert_eq!(watcher.nodes.keys().collect::<Vec<_>>(), ["first"]);

    // Attach, declare, and by its own word.
    let attached = client.attach(&Attaching::new(&session, "second")).await.unwrap();
    let seen = watcher.until(|node| node.node_id == "second").await;
    assert_eq!((seen.slot_state(), seen.generation), (Slot::Registering, attached.generation));
    assert_eq!(seen.attachment_id, attached.attachment_id);
    let second = attached.generation;
    client.declare("second", second, &["codex"]).await.unwrap();
    let seen = watcher.until(|node| node.slot_state() == Slot::Online).await;
    assert_eq!(seen.declaration.unwrap().capabilities[0].key, "codex");
    client.declare("first", first, &["unheard", "mcp"]).await.unwrap();
    watcher.until(|node| node.node_id == "first" && node.slot_state() == Slot::Online).await;

    // Silence, and back.
    let silent = |node: &RuntimeNode, health| shown(node) == (Slot::Online, health, Cause::Silence);
    watcher.until(|node| node.node_id == "second" && silent(node, Health::Offline)).await;
    let told = watcher.changes.iter().filter(|(_, node)| node.node_id == "second");
    assert!(told.clone().any(|(_, node)| silent(node, Health::Degraded)), "degraded comes before offline");
    client.beat("second", second).await.unwrap();
    watcher
        .until(|node| {
            node.node_id == "second" && shown(node) == (Slot::Online, Health::Online, Cause::SelfReported)
        })
        .await;

    // A raised floor turns nodes read-only, and a newer one stays as it is.
    let newer = Attaching::new(&session, "newer").version("1.1").declaring(&["codex"]);
    client.attach(&newer).await.unwrap();
    let raise = RaiseVersionFloorRequest {
        session_id: session.clone(),
        min_client_version: "1.1".to_owned(),
        ..RaiseVersionFloorRequest::default()
    };
    client.sessions.clone().raise_version_floor(raise).await.unwrap();
    watcher.until(|node| node.read_only).await;
    watcher.until(|node| node.read_only).await;
    let read_only = watcher.nodes.values().map(|node| (node.node_id.as_str(), node.read_only));
    assert_eq!(read_only.collect::<Vec<_>>(), [("first", true), ("newer", false), ("second", true)]);

    // Detach, archive, close.
    client.detach("second", second).await.unwrap();
    let seen = watcher.until(|node| node.slot_state() == Slot::Offline).await;
    assert_eq!(
        (seen.node_id.as_str(), shown(&seen)),
        ("second", (Slot::Offline, Health::Offline, Cause::Detached))
    );
    let archive = ArchiveSessionRequest { session_id: session.clone(), ..Default::default() };
    client.sessions.clone().archive_session(archive).await.unwrap();
    let close = CloseSessionRequest { session_id: session.clone(), ..Default::default() };
    client.sessions.clone().close_session(close).await.unwrap();
    // Nobody is attached any more, so that nothing changes behind the reader.
    let roster = client.roster(&session).await;
    assert!(roster.iter().all(|node| shown(node) == (Slot::Offline, Health::Offline, Cause::Detached)));
    watcher.until_equal(&roster).await;
}

#[tokio::test]
async fn a_snapshot_comes_in_chunks_and_equals_the_roster_page_by_page() {
    let plane = Plane::start(PlaneOptions::default()).await;
    let client = plane.client().await;
    let session = client.session().await;
    for index in 0..24 {
        let mut attaching = Attaching::new(&session, &format!("node-{index:02}"));
        attaching.0.declaration = Some(large(50_000));
        client.attach(&attaching).await.unwrap();
    }
    let mut watcher = Watcher::open(&client, &session, "").await.unwrap();
    let Event::SnapshotChunk(chunk) = watcher.event().await else { panic!("a chunk comes first") };
    assert!((2..24).contains(&chunk.nodes.len()), "{} of 24 nodes in the first chunk", chunk.nodes.len());
    let watcher = Watcher::snapshot(&client, &session).await;
    assert!(watcher.nodes.into_values().eq(client.roster(&session).await));
}

#[tokio::test]
async fn an_empty_roster_has_an_end_and_no_chunk() {
    let plane = Plane::start(PlaneOptions::default()).await;
    let client = plane.client().await;
    let session = client.session().await;
    let mut watcher = Watcher::open(&client, &session, "").await.unwrap();
    assert!(matches!(watcher.event().await, Event::SnapshotEnd(_)));
    client.online(&session, "laptop-1").await;
    assert_eq!(watcher.change().await.slot_state(), SlotState::Online);
}

#[tokio::test]
async fn a_watch_that_is_cut_again_and_again_loses_and_repeats_no_change() {
    let plane = Plane::start(PlaneOptions::default()).await;
    let client = plane.client().await;
    let session = client.session().await;
    let (writers, rounds) = (4, 10);
    let total = writers * rounds * 3;

    let mut steady = Watcher::snapshot(&client, &session).await;
    let mut revision = steady.revision.clone();
    let mut churning = JoinSet::new();
    for writer in 0..writers {
        churning.spawn(churn(plane.client().await, session.clone(), format!("node-{writer}"), rounds));
    }
    let mut changes: Vec<(String, RuntimeNode)> = Vec::new();
    let mut cuts = 0;
    while changes.len() < total {
        // A connection of its own, and cut with messages under way.
        let mut cut = Watcher::open(&plane.client().await, &session, &revision).await.unwrap();
        for _ in 0..(cuts % 4 + 1).min(total - changes.len()) {
            cut.change().await;
        }
        revision.clone_from(&cut.revision);
        changes.append(&mut cut.changes);
        cuts += 1;
    }
    while steady.changes.len() < total {
        steady.change().await;
    }
    assert_eq!(changes, steady.changes);
    assert!(steady.nodes.into_values().eq(client.roster(&session).await));
    while let Some(churned) = churning.join_next().await {
        churned.unwrap();
    }
}

#[tokio::test]
async fn what_happens_while_nobody_watches_is_told_to_who_comes_back() {
    let plane = Plane::start(PlaneOptions::default()).await;
    let client = plane.client().await;
    let session = client.session().await;
    let watcher = Watcher::snapshot(&plane.client().await, &session).await;
    let revision = watcher.revision.clone();
    drop(watcher);
    churn(client.clone(), session.clone(), "laptop-1".to_owned(), 3).await;

    let mut back = Watcher::open(&client, &session, &revision).await.unwrap();
    for _ in 0..9 {
        back.change().await;
    }
    let states: Vec<_> = back.changes.iter().map(|(_, node)| node.slot_state()).collect();
    assert_eq!(states, [SlotState::Online, SlotState::Online, SlotState::Offline].repeat(3));
    assert!(back.nodes.into_values().eq(client.roster(&session).await));
}

#[tokio::test]
async fn a_revision_that_is_not_held_gets_a_resync_and_a_snapshot() {
    let plane = Plane::start(PlaneOptions::default()).await;
    let client = plane.client().await;
    let session = client.session().await;
    client.online(&session, "before").await;
    let watcher = Watcher::snapshot(&client, &session).await;
    let of_former_epoch = watcher.revision.clone();
    drop(watcher);

    let plane = plane.kill_and_restart().await;
    let client = plane.client().await;
    let never_watched = Watcher::snapshot(&client, &session).await.revision;
    let (epoch, _) = never_watched.split_once('.').expect("an epoch and a number");
    let ahead = format!("{epoch}.999999");
    for (revision, later) in [(of_former_epoch, "later-1"), (ahead, "later-2")] {
        let mut watcher = Watcher::open(&client, &session, &revision).await.unwrap();
        let Event::Resync(resync) = watcher.event().await else { panic!("{revision}: a resync comes first") };
        assert_eq!(resync.reason(), ResyncReason::RevisionUnknown, "{revision}");
        watcher.read_snapshot().await;
        assert!(watcher.nodes.values().cloned().eq(client.roster(&session).await));
        // And it goes on like any other.
        client.online(&session, later).await;
        assert_eq!(watcher.change().await.node_id, later);
    }
}

#[tokio::test]
async fn the_roster_of_a_closed_session_is_the_same_after_a_restart() {
    let plane = Plane::start(PlaneOptions::default()).await;
    let client = plane.client().await;
    let session = client.session_with_floor("1.1").await;
    client.online(&session, "below").await;
    client
        .sessions
        .clone()
        .close_session(CloseSessionRequest { session_id: session.clone(), ..Default::default() })
        .await
        .unwrap();

    let plane = plane.kill_and_restart().await;
    let client = plane.client().await;
    let watcher = Watcher::snapshot(&client, &session).await;
    assert!(watcher.nodes["below"].read_only);
    assert!(watcher.nodes.into_values().eq(client.roster(&session).await));
}

#[tokio::test]
async fn a_text_that_was_never_a_revision_is_refused() {
    let plane = Plane::start(PlaneOptions::default()).await;
    let client = plane.client().await;
    let session = client.session().await;
    let long = format!("1.{}", "1".repeat(1_024));
    let malformed = [
        "1",
        ".",
        "1.",
        ".1",
        "a.b",
        "1.2.3",
        " 1.2",
        "1.2 ",
        "+1.2",
        "1.+2",
        "-1.2",
        "1.-2",
        "01.2",
        "1.02",
        "1,2",
        "1.18446744073709551616",
        "9223372036854775808.1",
        &long,
        "\0",
    ];
    for revision in malformed {
        let refused = refusal(Watcher::open(&client, &session, revision).await.map(drop));
        assert_eq!(
            (refused.code.as_str(), refused.field.as_deref()),
            ("argument.invalid", Some("revision")),
            "{revision:?}"
        );
    }
}

#[tokio::test]
async fn an_idle_watch_says_how_far_it_is() {
    let plane = Plane::start(PlaneOptions::default()).await;
    let client = plane.client().await;
    let session = client.session().await;
    let mut watcher = Watcher::snapshot(&client, &session).await;
    let Event::Bookmark(bookmark) = watcher.event().await else { panic!("a bookmark was due") };
    assert_eq!(bookmark.revision, watcher.revision);
    let mut resumed = Watcher::open(&client, &session, &bookmark.revision).await.unwrap();
    client.online(&session, "laptop-1").await;
    assert_eq!(resumed.change().await, watcher.change().await);
}

#[tokio::test]
async fn two_hundred_watchers_of_one_session_see_the_same() {
    let plane = Plane::start(PlaneOptions::default()).await;
    let client = plane.client().await;
    let session = client.session().await;
    let (writers, rounds) = (3, 5);
    let total = writers * rounds * 3;

    let mut watching = JoinSet::new();
    for _ in 0..4 {
        let connection = plane.client().await;
        for _ in 0..50 {
            let mut watcher = Watcher::snapshot(&connection, &session).await;
            watching.spawn(async move {
                while watcher.changes.len() < total {
                    watcher.change().await;
                }
                watcher.changes
            });
        }
    }
    let mut churning = JoinSet::new();
    for writer in 0..writers {
        churning.spawn(churn(client.clone(), session.clone(), format!("node-{writer}"), rounds));
    }
    let seen = watching.join_all().await;
    churning.join_all().await;
    assert_eq!(seen.len(), 200);
    assert!(seen.iter().all(|changes| *changes == seen[0]), "all see the same, in the same order");
}

#[tokio::test]
async fn watchers_that_go_away_leave_nothing_behind() {
    let plane = Plane::start(PlaneOptions::default()).await;
    let client = plane.client().await;
    let session = client.session().await;
    let keeper = client.online(&session, "laptop-1").await;
    let ended = async || {
        let name = r#"rollcall_rpc_seconds_count{service="RuntimeNodeService",method="WatchRoster",code="Cancelled"}"#;
        plane.metric(name).await.unwrap_or(0.0)
    };
    let watch_and_go = async |times: usize| {
        for _ in 0..times {
            let connection = plane.client().await;
            for _ in 0..20 {
                // Half of them are gone before they have read anything.
                let read = Watcher::snapshot(&connection, &session).await;
                drop(read);
                drop(Watcher::open(&connection, &session, "").await.unwrap());
            }
        }
    };
    let before = connections(&plane);
    watch_and_go(5).await;
    eventually("the first watches have ended", ended, |ended| *ended >= 200.0).await;
    let memory = plane.process.memory_kib();
    watch_and_go(40).await;
    eventually("all watches have ended", ended, |ended| *ended >= 1_800.0).await;
    let look = async || connections(&plane);
    eventually("the connections are closed", look, |open| *open <= before).await;
    let grown = plane.process.memory_kib().saturating_sub(memory);
    assert!(grown < 8 * 1_024, "1,600 watches that ended left {grown} KiB");
    client.beat("laptop-1", keeper).await.unwrap();
}

/// Established connections to the server.
fn connections(plane: &Plane) -> usize {
    let (_, port) = plane.address.rsplit_once(':').expect("an address has a port");
    let port = format!(":{:04X}", port.parse::<u16>().expect("a port is a number"));
    let table = std::fs::read_to_string("/proc/net/tcp").expect("the table can be read");
    let is_ours = |line: &&str| {
        let mut columns = line.split_whitespace();
        columns.nth(1).is_some_and(|local| local.ends_with(&port)) && columns.nth(1) == Some("01")
    };
    table.lines().filter(is_ours).count()
}

/// A client whose transport takes in little before somebody reads.
async fn narrow(plane: &Plane) -> Client {
    let endpoint = Endpoint::from_shared(plane.url()).expect("the URL is one");
    let endpoint = endpoint.initial_stream_window_size(65_535).initial_connection_window_size(65_535);
    Client::over(endpoint.connect().await.expect("the server accepts connections"), plane.token())
}

#[tokio::test]
async fn a_reader_that_stops_gets_a_resync_and_costs_nobody_anything() {
    const NODES: usize = 100;
    const ROUNDS: usize = 120;

    let plane = Plane::start(PlaneOptions::default()).await;
    let client = plane.client().await;
    let session = client.session().await;
    let mut generations = Vec::new();
    for index in 0..NODES {
        let mut attaching = Attaching::new(&session, &format!("node-{index:03}"));
        attaching.0.declaration = Some(large(8_000));
        generations.push(client.attach(&attaching).await.unwrap().generation);
    }
    let mut stopped = Watcher::snapshot(&narrow(&plane).await, &session).await;
    let mut steady = Watcher::snapshot(&client, &session).await;

    let (batches, receiver) = mpsc::channel(1);
    let mut answers =
        client.nodes.clone().stream_heartbeats(ReceiverStream::new(receiver)).await.unwrap().into_inner();
    let mut memory = 0;
    for round in 0..ROUNDS {
        // Each beat is another health than the one before, and so a change.
        let health = [ReportedHealth::Degraded, ReportedHealth::Online][round % 2];
        let beats = generations
            .iter()
            .enumerate()
            .map(|(index, generation)| beat(&format!("node-{index:03}"), *generation, health));
        batches.send(StreamHeartbeatsRequest { batch_id: 0, beats: beats.collect() }).await.unwrap();
        assert_eq!(answers.message().await.unwrap().unwrap().results.len(), NODES);
        for _ in 0..NODES {
            steady.change().await;
        }
        if round == ROUNDS / 2 {
            memory = plane.process.memory_kib();
        }
    }
    let grown = plane.process.memory_kib().saturating_sub(memory);
    assert!(grown < 16 * 1_024, "a reader that does not read made the server grow by {grown} KiB");

    // It reads again: first what was under way, then that it missed the rest.
    let resync = loop {
        match stopped.event().await {
            Event::Change(_) | Event::Bookmark(_) => {}
            Event::Resync(resync) => break resync,
            other @ (Event::SnapshotChunk(_) | Event::SnapshotEnd(_)) => {
                panic!("a resync was due: {other:?}")
            }
        }
    };
    assert_eq!(resync.reason(), ResyncReason::SlowReader);
    stopped.read_snapshot().await;
    assert_eq!(stopped.revision, steady.revision);
    // Then it is a reader like any other, and its old place is not held any more.
    client.detach("node-000", generations[0]).await.unwrap();
    assert_eq!(stopped.change().await, steady.change().await);
    let (first, _) = &steady.changes[0];
    let mut late = Watcher::open(&client, &session, first).await.unwrap();
    let Event::Resync(resync) = late.event().await else { panic!("a resync was due") };
    assert_eq!(resync.reason(), ResyncReason::RevisionUnknown);
}

#[tokio::test]
async fn large_declarations_that_change_all_the_time_fill_no_memory() {
    const NODES: usize = 4;
    const ROUNDS: usize = 400;

    let plane = Plane::start(PlaneOptions::default()).await;
    let client = plane.client().await;
    let session = client.session().await;
    // It keeps changes from being passed over, and never reads any.
    let _watcher = Watcher::snapshot(&narrow(&plane).await, &session).await;
    let declare = async |rounds: usize| {
        let mut declaring = JoinSet::new();
        for node in 0..NODES {
            let (client, session) = (client.clone(), session.clone());
            declaring.spawn(async move {
                let node_id = format!("node-{node}");
                let generation = client.online(&session, &node_id).await;
                for _ in 0..rounds {
                    let request = UpdateCapabilitiesRequest {
                        node_id: node_id.clone(),
                        generation,
                        declaration: Some(large(60_000)),
                        health: Some(ReportedHealth::Online.into()),
                        health_reason: String::new(),
                    };
                    client.nodes.clone().update_capabilities(request).await.unwrap();
                }
            });
        }
        declaring.join_all().await;
    };
    declare(ROUNDS / 4).await;
    let memory = plane.process.memory_kib();
    declare(ROUNDS).await;
    let grown = plane.process.memory_kib().saturating_sub(memory);
    assert!(grown < 32 * 1_024, "1,600 declarations of 60 KB made the server grow by {grown} KiB");
}

#[tokio::test]
async fn a_server_that_stops_ends_its_streams_with_a_refusal() {
    let mut plane = Plane::start(PlaneOptions::default()).await;
    let client = plane.client().await;
    let session = client.session().await;
    for index in 0..24 {
        let mut attaching = Attaching::new(&session, &format!("node-{index:02}"));
        attaching.0.declaration = Some(large(50_000));
        client.attach(&attaching).await.unwrap();
    }
    let mut watcher = Watcher::snapshot(&client, &session).await;
    // One that has not read its snapshot, and holds up the transport.
    let unread = Watcher::open(&narrow(&plane).await, &session, "").await.unwrap();
    let (batches, receiver) = mpsc::channel(1);
    let mut answers =
        client.nodes.clone().stream_heartbeats(ReceiverStream::new(receiver)).await.unwrap().into_inner();
    batches.send(StreamHeartbeatsRequest::default()).await.unwrap();
    answers.message().await.unwrap().unwrap();

    plane.process.signal("TERM");
    // What was under way comes first.
    let watched = loop {
        match watcher.message().await {
            Ok(Some(Event::Bookmark(_))) => {}
            other => break refusal(other),
        }
    };
    let beaten = refusal(timeout(DEADLINE, answers.message()).await.expect("the stream ends"));
    for refused in [watched, beaten] {
        assert_eq!(refused.code, "controller.standby");
        assert!(refused.retry_delay.is_some(), "a caller is told when to ask again");
    }
    let asked = tokio::time::Instant::now();
    let status = plane.process.ended().await;
    assert!(status.success(), "{status}");
    assert!(asked.elapsed() < Duration::from_secs(5), "it took {:?}", asked.elapsed());
    drop((unread, batches));
}
