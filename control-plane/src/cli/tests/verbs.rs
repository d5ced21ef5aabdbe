//! What each verb prints when all is well.

use contracts::wire::v1::{ArchiveSessionRequest, CloseSessionRequest, CreateSessionRequest};

use crate::cli::{
    fake_server::{FakeServer, Prepared, SESSION, node, session},
    invocation,
    tests::rollcall,
};

const REQUEST: &str = "5f0c3a52-93d5-4a26-8f58-0f6a3f2f6f10";

async fn server() -> FakeServer {
    FakeServer::start(Prepared {
        sessions: vec![session(SESSION, "demo")],
        nodes: vec![node("laptop-1")],
        ..Prepared::default()
    })
    .await
}

#[tokio::test]
async fn create_prints_the_id_and_the_next_step() {
    let server = server().await;
    let arguments =
        ["session", "create", "--name", "demo", "--id", SESSION, "--token", "t0k3n", &server.addr()];
    let (captured, code) = rollcall(&arguments).await;
    assert_eq!((captured.data(), code), (format!("{SESSION}\n"), 0));
    assert_eq!(
        captured.notes(),
        format!(
            "next, attach a daemon:\n  {} --session {SESSION} --node-id laptop-1 --capability codex\n",
            invocation::daemon()
        )
    );
    assert_eq!(server.tokens(), ["Bearer t0k3n"]);
}

#[tokio::test]
async fn create_brings_an_id_of_its_own_so_that_a_repeat_makes_no_second_session() {
    let server = server().await;
    let arguments = ["session", "create", "--name", "demo", "--floor", "1.2", "--json", &server.addr()];
    let (captured, code) = rollcall(&arguments).await;
    assert_eq!(code, 0);
    let made = captured.json();
    let id = made["session_id"].as_str().unwrap();
    assert!(contracts::SessionId::parse_new("session_id", id).is_ok(), "{id}");
    assert_eq!(made["min_client_version"], "1.2");
    assert_eq!(captured.notes(), "");
}

#[tokio::test]
async fn archive_and_close_say_what_they_did_on_stderr() {
    let server = server().await;
    let (captured, code) = rollcall(&["session", "archive", SESSION, &server.addr()]).await;
    assert_eq!((captured.data().as_str(), code), ("", 0));
    assert_eq!(captured.notes(), format!("archived {SESSION} (demo); 3 nodes attached\n"));

    let (captured, code) = rollcall(&["session", "close", SESSION, "--yes", &server.addr()]).await;
    assert_eq!((captured.data().as_str(), code), ("", 0));
    assert_eq!(captured.notes(), format!("closed {SESSION} (demo) for ever; 3 nodes detached\n"));

    let (captured, _) = rollcall(&["session", "close", SESSION, "--yes", "--json", &server.addr()]).await;
    let closed = captured.json();
    assert_eq!((&closed["session"]["state"], &closed["detached_nodes"]), (&"closed".into(), &3.into()));
    assert_eq!(closed["dry_run"], false);
    assert!(closed["request_id"].is_string());
    assert!(!server.requests::<CloseSessionRequest>().iter().any(|request| request.validate_only));

    let dry = ["--dry-run", "--reason", "done", "--request-id", REQUEST, &server.addr()];
    let (captured, _) = rollcall(&[&["session", "archive", SESSION][..], &dry].concat()).await;
    assert_eq!(captured.notes(), format!("dry run: {SESSION} (demo) would be archived; 3 nodes attached\n"));
    let (captured, _) = rollcall(&[&["session", "close", SESSION][..], &dry].concat()).await;
    let expected = format!("dry run: {SESSION} (demo) would be closed for ever, and 3 nodes detached\n");
    assert_eq!(captured.notes(), expected);
    let (captured, _) = rollcall(&[&["session", "create", "--name", "demo"][..], &dry].concat()).await;
    assert_eq!(captured.data(), "");
    assert!(captured.notes().starts_with("dry run: "), "{}", captured.notes());
    let asked = server.requests::<CloseSessionRequest>().pop().unwrap();
    let expected = CloseSessionRequest {
        session_id: SESSION.into(),
        reason: "done".into(),
        validate_only: true,
        request_id: REQUEST.into(),
    };
    assert_eq!(asked, expected);
    let asked = server.requests::<CreateSessionRequest>().pop().unwrap();
    assert!(asked.validate_only && asked.request_id == REQUEST && asked.reason == "done");
    let asked = server.requests::<ArchiveSessionRequest>().pop().unwrap();
    assert!(asked.validate_only && asked.request_id == REQUEST && asked.reason == "done");
}

#[tokio::test]
async fn get_shows_the_node_and_its_slots() {
    let server = server().await;
    let (captured, code) = rollcall(&["node", "get", "laptop-1", &server.addr()]).await;
    assert_eq!(code, 0);
    let lines = captured.data();
    let lines: Vec<_> = lines.lines().collect();
    assert_eq!(lines[0], "node        laptop-1");
    assert!(lines[2].starts_with("first seen  2023-11-14T22:13:20Z ("), "{lines:?}");
    assert!(lines[5].starts_with("NODE ") && lines[6].starts_with("laptop-1 "), "{lines:?}");

    let (captured, _) = rollcall(&["node", "get", "laptop-1", "--json", &server.addr()]).await;
    let shown = captured.json();
    assert_eq!((&shown["node_id"], &shown["generation"]), (&"laptop-1".into(), &4.into()));
    assert_eq!(shown["slots"][0]["slot_state"], "online");
}

#[tokio::test]
async fn explain_begins_with_the_answer() {
    let server = server().await;
    let (captured, code) = rollcall(&["node", "explain", "laptop-1", &server.addr()]).await;
    assert_eq!(code, 0);
    assert_eq!(
        captured.data(),
        "laptop-1 is read-only: its version 1.0 is below the floor 1.2\n\n\
         FINDING      AT  EVIDENCE\n\
         below_floor  -   the floor of the session is 1.2\n"
    );
    let (captured, _) = rollcall(&["node", "explain", "laptop-1", "--json", &server.addr()]).await;
    assert_eq!(captured.json()["findings"][0]["kind"], "below_floor");
}
