//! A watch: snapshot, changes, cuts, resumption.

use contracts::{
    Code, Refusal,
    wire::v1::{
        ResyncReason, RosterBookmark, RosterChange, RosterResync, RosterSnapshotChunk, RosterSnapshotEnd,
        RuntimeNode, watch_roster_response::Event,
    },
};
use serde_json::{Value, json};

use crate::cli::{
    fake_server::{Ending, FakeServer, Prepared, SESSION, WatchScript, node, session},
    tests::{Captured, run},
};

fn snapshot(revision: &str, nodes: Vec<RuntimeNode>) -> Vec<Event> {
    vec![
        Event::SnapshotChunk(RosterSnapshotChunk { nodes }),
        Event::SnapshotEnd(RosterSnapshotEnd { revision: revision.into() }),
    ]
}

fn change(revision: &str, node: RuntimeNode) -> Event {
    Event::Change(RosterChange { revision: revision.into(), node: Some(node) })
}

fn read_only(id: &str) -> RuntimeNode {
    RuntimeNode { read_only: true, ..node(id) }
}

fn script(events: Vec<Event>, ending: Ending) -> WatchScript {
    WatchScript { events, ending }
}

async fn serving(watches: Vec<WatchScript>) -> FakeServer {
    let sessions = vec![session(SESSION, "demo")];
    FakeServer::start(Prepared { sessions, watches, page_size: 10, ..Prepared::default() }).await
}

/// Watches until `last` was printed.
async fn watch(server: &FakeServer, more: &[&str], last: &str) -> (Captured, u8) {
    let (output, captured) = Captured::output();
    let addr = server.addr();
    let arguments = [&["node", "watch", &addr], more].concat();
    let code = run(&arguments, output, captured.has_data(last)).await;
    (captured, code)
}

fn lines_without_time(text: &str) -> Vec<String> {
    text.lines().map(|line| line.split_once("  ").map_or(line, |(_, rest)| rest).to_owned()).collect()
}

#[tokio::test]
async fn a_watch_goes_on_where_it_was_cut() {
    let mut first = snapshot("r1", vec![node("laptop-1")]);
    first.push(change("r2", read_only("laptop-1")));
    let server = serving(vec![
        script(first, Ending::Closes),
        script(vec![change("r3", node("laptop-2"))], Ending::Stays),
    ])
    .await;
    let (captured, code) = watch(&server, &[], "laptop-2  ").await;
    assert_eq!(code, 0);
    assert_eq!(server.revisions(), ["", "r2"]);
    let data = captured.data();
    let lines: Vec<_> = data.lines().collect();
    assert!(lines[0].starts_with("NODE ") && lines[1].starts_with("laptop-1 "), "{data}");
    assert_eq!(
        lines_without_time(&lines[2..].join("\n")),
        [
            "laptop-1  read-only no -> yes",
            "laptop-2  slot online, health online, read-only no, version 1.0, generation 4",
        ]
    );
    assert_eq!(
        captured.notes(),
        format!(
            "watching for changes, Ctrl-C ends\n\
             the connection was lost: the server ended the stream\n\
             trying again in 250ms\n\
             connected again to http://{}, going on from revision r2\n",
            server.address
        )
    );
}

#[tokio::test]
async fn a_watch_survives_a_killed_server() {
    let server = serving(vec![script(snapshot("r1", vec![node("laptop-1")]), Ending::Stays)]).await;
    let (output, captured) = Captured::output();
    let addr = server.addr();
    let arguments = ["node", "watch", &addr, "--session", SESSION];
    let story = async {
        captured.has_data("laptop-1").await;
        let address = server.kill();
        let watches = vec![script(vec![change("r2", read_only("laptop-1"))], Ending::Stays)];
        let next = FakeServer::start_at(address, Prepared { watches, ..Prepared::default() }).await;
        captured.has_data("read-only no -> yes").await;
        assert_eq!(next.revisions(), ["r1"]);
    };
    let code = run(&arguments, output, story).await;
    assert_eq!(code, 0, "{}", captured.notes());
    assert!(captured.notes().contains("going on from revision r1"), "{}", captured.notes());
}

#[tokio::test]
async fn after_a_resync_only_what_happened_in_between_is_told() {
    let mut second = vec![Event::Resync(RosterResync { reason: ResyncReason::RevisionUnknown.into() })];
    second.extend(snapshot("s1", vec![node("a"), read_only("b")]));
    let server = serving(vec![
        script(snapshot("r1", vec![node("a"), node("b"), node("c")]), Ending::Closes),
        script(second, Ending::Stays),
    ])
    .await;
    let (captured, code) = watch(&server, &[], "no longer").await;
    assert_eq!(code, 0);
    let data = captured.data();
    let lines: Vec<_> = data.lines().skip(4).collect();
    assert_eq!(
        lines_without_time(&lines.join("\n")),
        ["b  read-only no -> yes", "c  no longer in the roster"]
    );
    assert!(
        captured.notes().contains("changes were missed (revision_unknown); reading the roster anew"),
        "{}",
        captured.notes()
    );
}

#[tokio::test]
async fn programs_read_one_object_a_line() {
    let mut first = snapshot("r1", vec![node("a")]);
    first.push(Event::Bookmark(RosterBookmark { revision: "r2".into() }));
    first.push(Event::Resync(RosterResync { reason: ResyncReason::SlowReader.into() }));
    first.push(Event::SnapshotChunk(RosterSnapshotChunk { nodes: Vec::new() }));
    let mut second = snapshot("s1", Vec::new());
    second.push(change("s2", read_only("a")));
    let server = serving(vec![script(first, Ending::Closes), script(second, Ending::Stays)]).await;
    let (captured, code) = watch(&server, &["--json"], "\"s2\"").await;
    assert_eq!(code, 0);
    assert_eq!(server.revisions(), ["", ""], "a snapshot that was cut is read anew");
    let mut lines: Vec<Value> =
        captured.data().lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    for line in &mut lines {
        if let Some(nodes) = line.get_mut("nodes") {
            *nodes = json!(nodes.as_array().unwrap().len());
        }
        if let Some(node) = line.get_mut("node") {
            *node = node["node_id"].take();
        }
    }
    assert_eq!(
        lines,
        [
            json!({"event": "snapshot_chunk", "nodes": 1}),
            json!({"event": "snapshot_end", "revision": "r1"}),
            json!({"event": "bookmark", "revision": "r2"}),
            json!({"event": "resync", "reason": "slow_reader"}),
            json!({"event": "snapshot_chunk", "nodes": 0}),
            json!({"event": "resync", "reason": "connection_lost"}),
            json!({"event": "snapshot_chunk", "nodes": 0}),
            json!({"event": "snapshot_end", "revision": "s1"}),
            json!({"event": "change", "revision": "s2", "node": "a"}),
        ]
    );
}

#[tokio::test]
async fn a_refusal_ends_the_watch_and_a_takeover_does_not() {
    let standby = Refusal::new(Code::SystemUnavailable, "the server is stopping");
    let expired = Refusal::new(Code::AuthTokenInvalid, "the token has expired");
    let server = serving(vec![
        script(snapshot("r1", vec![node("a")]), Ending::Refuses(standby)),
        script(Vec::new(), Ending::Refuses(expired)),
    ])
    .await;
    let (captured, code) = watch(&server, &[], "never").await;
    assert_eq!(code, 1);
    assert!(captured.notes().contains("the connection was lost: the server is stopping\n"));
    assert!(captured.notes().contains("code: auth.token_invalid"), "{}", captured.notes());
}

#[tokio::test]
async fn a_choice_between_sessions_is_the_callers() {
    let sessions = vec![session(SESSION, "demo"), session("0198c5a2-6f1e-7c3a-9b54-2f8e1d0c7a62", "farm")];
    let server = FakeServer::start(Prepared { sessions, page_size: 1, ..Prepared::default() }).await;
    let (captured, code) = watch(&server, &[], "never").await;
    assert_eq!(code, 2);
    assert!(captured.notes().contains("--session"), "{}", captured.notes());
    assert!(captured.notes().contains("farm"), "{}", captured.notes());
}
