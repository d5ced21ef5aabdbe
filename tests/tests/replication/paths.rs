//! The three ways back into sync, at once.

use serde_json::Value;
use tests::{Plane, PlaneOptions};

use contracts::wire::v1::ReplicaState;

use crate::{
    appending::{append_followed, append_many},
    kept_node::{are_equal, behind_proxies},
    status::{in_sync, is, since_connected},
};

/// Events between two checkpoints of [`forgetful`] servers.
pub(crate) const CHECKPOINT_EVERY: u64 = 50;

/// A server that keeps little of a log, and holds little for replicas.
pub(crate) fn forgetful() -> PlaneOptions {
    PlaneOptions::default()
        .flag("--retain-log-events", "200")
        .flag("--replica-hold-bytes", "2000")
        .flag("--log-interval", "200ms")
        .flag("--reconnect-grace", "0s")
        .flag("--checkpoint-every", &CHECKPOINT_EVERY.to_string())
}

#[tokio::test(flavor = "multi_thread")]
async fn three_nodes_with_three_histories_come_into_sync_by_three_ways() {
    let plane = Plane::start(forgetful()).await;
    let client = plane.client().await;
    let session = client.session().await;
    let names = ["equal", "behind", "lost"];
    let nodes = behind_proxies(&plane, &client, &session, &names).await;
    let [(equal_way, equal), (behind_way, behind), (lost_way, lost)] = &nodes[..] else { unreachable!() };

    append_many(&client, &session, 50).await;
    in_sync(&client, &session, &names).await;
    lost_way.cut();
    is(&client, &session, "lost", ReplicaState::Disconnected).await;
    append_followed(&client, &session, 600, "equal").await;
    let given_up = is(&client, &session, "lost", ReplicaState::NeedsRebuild).await;
    assert!(given_up.reason.starts_with("over_retention: ") && given_up.pins.is_empty(), "{given_up:?}");
    in_sync(&client, &session, &["equal", "behind"]).await;
    behind_way.cut();
    is(&client, &session, "behind", ReplicaState::Disconnected).await;
    append_many(&client, &session, 20).await;
    in_sync(&client, &session, &["equal"]).await;
    equal_way.cut();
    is(&client, &session, "equal", ReplicaState::Disconnected).await;
    let apart = plane.cli(&["log", "status", &session, "--json"]);
    let apart: Value = serde_json::from_slice(&apart.stdout).unwrap();
    assert_eq!(
        (&apart["counts"]["disconnected"], &apart["counts"]["needs_rebuild"]),
        (&2.into(), &1.into()),
        "{apart}"
    );

    for (way, _) in &nodes {
        way.pass();
    }
    let together = in_sync(&client, &session, &names).await;
    let happened = |node: &str| {
        let events = since_connected(&together, node).into_iter();
        events.map(|event| format!("{} {}", event.name, event.detail)).collect::<Vec<_>>()
    };
    let shows = |node, expected: &str| {
        let happened = happened(node);
        assert!(happened.iter().any(|event| event.starts_with(expected)), "{node}: {happened:#?}");
    };
    shows("equal", "handshake zero_gap: ");
    shows("behind", "plan_catchup gap_within_retention: ");
    shows("lost", "plan_rebuild_snapshot_tail ");
    assert!(!happened("behind").iter().any(|event| event.contains("rebuild")), "{:?}", happened("behind"));

    let table = plane.cli(&["log", "status", &session, "--recent", "1000"]);
    let table = String::from_utf8(table.stdout).unwrap();
    for expected in ["3: 3 in sync, ", "lost    in_sync", "plan_rebuild_snapshot_tail", "exec_completed"] {
        assert!(table.contains(expected), "{expected:?} is not in\n{table}");
    }
    let json = plane.cli(&["log", "status", &session, "--json", "--recent", "5"]);
    let json: Value = serde_json::from_slice(&json.stdout).unwrap();
    assert_eq!((&json["counts"]["in_sync"], json["recent"].as_array().unwrap().len()), (&3.into(), 5));
    for replica in json["replicas"].as_array().unwrap() {
        assert_eq!((&replica["state"], &replica["lag"]), (&"in_sync".into(), &0.into()), "{json}");
        assert_eq!(
            (&replica["pins"], &replica["acknowledged_seq"]),
            (&Value::Array(vec![]), &json["head"]["seq"])
        );
    }

    let whole = equal.verified();
    assert_eq!((whole.begins, behind.verified().begins), (0, 0));
    assert!(lost.verified().begins > 50, "it has a base by now");
    are_equal(&client, &session, &whole.events, &[equal, behind, lost]).await;
    println!(
        "a log of {} events: one replica came back by a look, one by 20 events, one by a base of {} and {} events",
        whole.end(),
        lost.verified().base.len(),
        lost.verified().events.len()
    );
}
