//! Nodes that were cut off while others went on.

use std::time::Instant;

use contracts::wire::v1::ReplicaState;
use tests::{Database, Entry, Plane, PlaneOptions};

use crate::{
    appending::{append_followed, append_many},
    kept_node::{are_equal, behind_proxies},
    paths::{CHECKPOINT_EVERY, forgetful},
    size,
    status::{find, has_its_checkpoint, in_sync, is, since_connected},
};

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_was_cut_off_catches_up_with_what_the_others_appended() {
    let plane = Plane::start(PlaneOptions::default()).await;
    let client = plane.client().await;
    let session = client.session().await;
    let nodes = behind_proxies(&plane, &client, &session, &["near", "far"]).await;
    let [(_, near), (way, far)] = &nodes[..] else { unreachable!() };
    way.cut();
    is(&client, &session, "far", ReplicaState::Disconnected).await;
    let count = size(5_000, 100_000);
    let began = Instant::now();
    append_many(&client, &session, count).await;
    let appended = began.elapsed();
    in_sync(&client, &session, &["near"]).await;
    let followed = began.elapsed();
    way.pass();
    let began = Instant::now();
    is(&client, &session, "far", ReplicaState::InSync).await;
    let caught_up = began.elapsed();
    let status = in_sync(&client, &session, &["near", "far"]).await;
    let happened = since_connected(&status, "far");
    assert!(happened.iter().any(|event| event.name == "plan_catchup"), "{happened:#?}");
    assert!(happened.iter().all(|event| !event.name.contains("rebuild")), "{happened:#?}");
    let whole: Vec<_> = client.events(&session).await.iter().map(Entry::from).collect();
    are_equal(&client, &session, &whole, &[near, far]).await;
    println!(
        "{count} events: appended in {appended:?}, followed in {followed:?}, caught up with in {caught_up:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_beyond_retention_is_rebuilt_from_a_checkpoint_and_its_tail() {
    let status = rebuilt_beyond_retention(async |_| {}).await;
    assert!(status.iter().any(|event| event.starts_with("plan_rebuild_snapshot_tail ")), "{status:#?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_checkpoint_that_does_not_hold_is_not_used_and_the_base_is_the_state_as_it_is() {
    let status = rebuilt_beyond_retention(async |database| {
        let damage = "update session_base_events set payload = payload || 'x'::bytea";
        let damaged = sqlx::query(damage).execute(&database.pool).await.expect("it can be damaged");
        assert!(damaged.rows_affected() > 0, "there is a checkpoint");
    })
    .await;
    assert!(status.iter().any(|event| event.starts_with("plan_rebuild_full_base ")), "{status:#?}");
    let refused = status.iter().find(|event| event.starts_with("snapshot_pin_failed "));
    assert!(refused.is_some_and(|event| event.ends_with("is not what its digest says")), "{status:#?}");
    assert!(
        status
            .iter()
            .all(|event| !event.starts_with("exec_rebuild_started") || event.contains("of the state"))
    );
}

/// Gives what happened to the replica since it came back.
async fn rebuilt_beyond_retention(before_it_comes_back: impl AsyncFnOnce(&Database)) -> Vec<String> {
    let plane = Plane::start(forgetful()).await;
    let client = plane.client().await;
    let session = client.session().await;
    let nodes = behind_proxies(&plane, &client, &session, &["near", "far"]).await;
    let [(_, near), (way, far)] = &nodes[..] else { unreachable!() };
    way.cut();
    is(&client, &session, "far", ReplicaState::Disconnected).await;
    append_followed(&client, &session, size(2_000, 20_000), "near").await;
    is(&client, &session, "far", ReplicaState::NeedsRebuild).await;
    let tail = async || crate::status::status(&client, &session).await.tail.map_or(0, |tail| tail.seq);
    tests::eventually("the log is pruned", tail, |tail| *tail > far.folder.held().end()).await;
    has_its_checkpoint(&client, &session, CHECKPOINT_EVERY).await;
    before_it_comes_back(&plane.database).await;
    way.pass();
    let began = Instant::now();
    let status = in_sync(&client, &session, &["near", "far"]).await;
    println!("rebuilt in {:?}", began.elapsed());
    assert_eq!(find(&status, "far").expect("it is known").reason, "");
    let whole = near.verified();
    assert!(far.verified().begins > 0, "it has a base");
    are_equal(&client, &session, &whole.events, &[near, far]).await;
    let happened = since_connected(&status, "far").into_iter();
    happened.map(|event| format!("{} {}", event.name, event.detail)).collect()
}
