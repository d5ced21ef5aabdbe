//! Lists read all pages.

use contracts::wire::v1::AffectedNode;
use serde_json::json;

use crate::cli::{
    fake_server::{FakeServer, Prepared, SESSION, node, session},
    invocation,
    tests::rollcall,
};

#[tokio::test]
async fn nodes_of_all_pages_are_listed() {
    let nodes = (0..7).map(|number| node(&format!("node-{number}"))).collect();
    let server = FakeServer::start(Prepared { nodes, page_size: 3, ..Prepared::default() }).await;

    let (captured, code) = rollcall(&["node", "list", &server.addr()]).await;
    assert_eq!(code, 0, "{}", captured.notes());
    let names: Vec<_> =
        captured.data().lines().map(|line| line.split(' ').next().unwrap_or_default().to_owned()).collect();
    assert_eq!(names, ["NODE", "node-0", "node-1", "node-2", "node-3", "node-4", "node-5", "node-6"]);
    assert_eq!(server.calls(), ["list_nodes"; 3]);

    let (captured, _) = rollcall(&["node", "list", "--json", &server.addr()]).await;
    let nodes = captured.json();
    assert_eq!(nodes["nodes"].as_array().unwrap().len(), 7);
    assert_eq!(nodes["nodes"][6]["node_id"], "node-6");
}

#[tokio::test]
async fn sessions_of_all_pages_are_listed() {
    let sessions = vec![session(SESSION, "demo"), session("0198c5a2-6f1e-7c3a-9b54-2f8e1d0c7a62", "farm")];
    let server = FakeServer::start(Prepared { sessions, page_size: 1, ..Prepared::default() }).await;
    let (captured, code) = rollcall(&["session", "list", "--json", &server.addr()]).await;
    assert_eq!(code, 0, "{}", captured.notes());
    let names: Vec<_> = captured.json()["sessions"]
        .as_array()
        .unwrap()
        .iter()
        .map(|session| session["name"].clone())
        .collect();
    assert_eq!(names, ["demo", "farm"]);
}

#[tokio::test]
async fn a_dry_run_names_all_affected_nodes() {
    let affected_nodes = (0..5)
        .map(|number| AffectedNode { node_id: format!("node-{number}"), client_version: "1.0".into() })
        .collect();
    let prepared = Prepared {
        sessions: vec![session(SESSION, "demo")],
        affected_nodes,
        page_size: 2,
        ..Prepared::default()
    };
    let server = FakeServer::start(prepared).await;

    let (captured, code) =
        rollcall(&["session", "raise-floor", SESSION, "1.2", "--dry-run", &server.addr()]).await;
    assert_eq!(code, 0, "{}", captured.notes());
    assert_eq!(
        captured.data(),
        "NODE    VERSION\nnode-0  1.0\nnode-1  1.0\nnode-2  1.0\nnode-3  1.0\nnode-4  1.0\n"
    );
    assert_eq!(
        captured.notes(),
        format!("dry run: floor 1.2 would make 5 nodes of {SESSION} (demo) read-only\n")
    );
    assert_eq!(server.calls().len(), 3);

    // A raise that is none names one page, and says that there are more.
    let (captured, _) = rollcall(&["session", "raise-floor", SESSION, "1.2", &server.addr()]).await;
    assert_eq!(captured.data(), "NODE    VERSION\nnode-0  1.0\nnode-1  1.0\n");
    assert_eq!(
        captured.notes(),
        format!(
            "the floor of {SESSION} (demo) is 1.2; 5 nodes became read-only\nand 3 more\n\
             hint: see them all with `rollcall node list --session {SESSION}`\n"
        )
    );

    let arguments = ["session", "raise-floor", SESSION, "1.2", "--dry-run", "--json", &server.addr()];
    let (captured, _) = rollcall(&arguments).await;
    let raised = captured.json();
    assert_eq!(
        (&raised["dry_run"], &raised["affected_nodes_count"], &raised["session"]["min_client_version"]),
        (&json!(true), &json!(5), &json!("1.2"))
    );
    assert_eq!(raised["affected_nodes"].as_array().unwrap().len(), 5);
}

#[tokio::test]
async fn an_empty_list_says_what_to_do_next() {
    let server = FakeServer::start(Prepared::default()).await;
    for (arguments, next) in [
        (&["node", "list"][..], format!("{} session create --name demo", invocation::rollcall())),
        (&["node", "list", "--session", SESSION], format!("{} --session", invocation::daemon())),
        (&["session", "list"], format!("{} session create --name demo", invocation::rollcall())),
    ] {
        let addr = server.addr();
        let (captured, code) = rollcall(&[arguments, &[&addr]].concat()).await;
        assert_eq!((captured.data().as_str(), code), ("", 0));
        assert!(captured.notes().contains(&next), "{}", captured.notes());
    }
}
