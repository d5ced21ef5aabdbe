//! A standby of Postgres that was promoted without the last commits.

use contracts::wire::v1::{GetReplicationStatusResponse, ReplicaState};
use serde_json::Value;
use tests::{Entry, Plane, PlaneOptions, PrivatePostgres};

use crate::{
    appending::append_many,
    kept_node::{are_equal, behind_proxies},
    status::{in_sync, is, since_connected},
};

/// Events that are lost.
const LOST: usize = 40;

#[tokio::test(flavor = "multi_thread")]
async fn replicas_of_lost_events_find_out_by_hash_keep_them_aside_and_go_on() {
    let postgres = PrivatePostgres::start().await;
    let database = postgres.database().await;
    let plane = Plane::start_on(database.clone(), PlaneOptions::default()).await;
    let client = plane.client().await;
    let session = client.session().await;
    let names = ["early", "late", "equal"];
    let nodes = behind_proxies(&plane, &client, &session, &names).await;
    let [(early_way, early), (late_way, late), (equal_way, equal)] = &nodes[..] else { unreachable!() };
    append_many(&client, &session, 100).await;

    let replication = database.proxy().await;
    let standby = postgres.standby(&database, &replication).await;
    let received = standby.received().await;
    let head = async || {
        sqlx::query_scalar::<_, i64>("select coalesce(max(head), 0) from session_logs")
            .fetch_one(&received.pool)
            .await
            .expect("the standby can be read")
            .unsigned_abs()
    };
    let kept = client.say(&session, "drill.kept").await;
    tests::eventually("the standby has it", head, |head| *head == kept).await;
    in_sync(&client, &session, &names).await;
    equal_way.cut();
    is(&client, &session, "equal", ReplicaState::Disconnected).await;
    replication.cut();
    append_many(&client, &session, LOST).await;
    in_sync(&client, &session, &["early", "late"]).await;
    let lost: Vec<_> =
        client.events(&session).await[usize::try_from(kept).unwrap()..].iter().map(Entry::from).collect();
    assert_eq!(lost.len(), LOST);
    early_way.cut();
    late_way.cut();
    let options = plane.options_here();
    let Plane { mut process, .. } = plane;
    process.kill();
    postgres.signal("QUIT");
    standby.promote().await;
    assert_eq!(head().await, kept, "the last commits are lost");

    // One comes back while the log is shorter than it is, the other when it is longer, with other events there.
    let plane = Plane::start_on(received.clone(), options).await;
    let client = plane.client().await;
    early_way.pass();
    let status = in_sync(&client, &session, &["early"]).await;
    shows(&status, "early", &["plan_truncate_only", "truncation_recorded", "exec_completed"]);
    append_many(&client, &session, 2 * LOST).await;
    late_way.pass();
    equal_way.pass();
    let status = in_sync(&client, &session, &names).await;
    shows(
        &status,
        "late",
        &["plan_catchup", "truncation_recorded", "exec_catchup_started", "exec_completed"],
    );
    shows(&status, "equal", &["plan_catchup", "exec_completed"]);

    let whole: Vec<_> = client.events(&session).await.iter().map(Entry::from).collect();
    assert_ne!(whole[usize::try_from(kept).unwrap()], lost[0], "another event is there");
    are_equal(&client, &session, &whole, &[early, late, equal]).await;
    for node in [early, late] {
        let aside = node.verified().aside;
        assert_eq!(aside.len(), 1, "{}", node.name);
        assert!(aside[0].1 == lost, "{} kept what was lost", node.name);
        node.daemon.process.logged("events that the log has not are cut off, and kept aside").await;
        let told = node.folder.look("aside");
        let told: Value = serde_json::from_slice(&told.stdout).unwrap();
        assert_eq!((&told[0]["events"], &told[0]["begins"]["seq"]), (&LOST.into(), &kept.into()), "{told}");
    }
    assert!(equal.verified().aside.is_empty());
    println!("{LOST} events were lost with a primary: two replicas that had them keep them aside");

    drop((client, plane, nodes, replication));
    for pool in [&database.pool, &received.pool] {
        pool.close().await;
    }
    standby.end().await;
    postgres.end().await;
}

fn shows(status: &GetReplicationStatusResponse, node: &str, expected: &[&str]) {
    let happened: Vec<_> = since_connected(status, node).iter().map(|event| event.name.as_str()).collect();
    let mut names = happened.iter();
    let in_order = expected.iter().all(|expected| names.any(|name| name == expected));
    assert!(in_order, "{node}: {expected:?} are not among {happened:?}");
}
