//! A failover of Postgres itself: a streaming standby that did not get the last commits is promoted, and the servers
//! are led to it.

use std::time::Instant;

use contracts::wire::v1::SlotState;
use serde_json::Value;
use sqlx::{Connection, Executor, PgConnection};
use tests::{Client, Daemon, Database, Plane, PlaneOptions, PrivatePostgres, Proxy, eventually, refusal};

use crate::cluster::{Cluster, is_active};

/// How far the epoch rises when commits may be lost.
const EPOCH_JUMP: i64 = 1_000_000;
const JUMPED: &str = "this is another Postgres";

/// Nobody is called silent who beats in this cadence on a machine that is busy.
fn options() -> PlaneOptions {
    PlaneOptions::default().beat_every_ms(1_500).flag("--lease", "2s")
}

async fn epoch(database: &Database) -> i64 {
    let epoch = sqlx::query_scalar("select epoch from leadership").fetch_one(&database.pool);
    epoch.await.expect("there is an epoch")
}

async fn term(database: &Database) -> String {
    let term = sqlx::query_scalar("select epoch || '/' || token from leadership");
    term.fetch_one(&database.pool).await.expect("there is a term")
}

/// Waits until the standby has all that the primary has.
async fn has_caught_up(primary: &Database) {
    let behind = async || {
        sqlx::query_scalar::<_, bool>(
            "select coalesce(bool_and(replay_lsn >= pg_current_wal_insert_lsn()), false) from pg_stat_replication",
        )
        .fetch_one(&primary.pool)
        .await
        .expect("the replication can be seen")
    };
    eventually("the standby has caught up", behind, |caught_up| *caught_up).await;
}

/// Waits until nobody receives from the primary.
async fn is_alone(primary: &Database) {
    let receivers = async || {
        sqlx::query_scalar::<_, i64>("select count(*) from pg_stat_replication")
            .fetch_one(&primary.pool)
            .await
            .expect("the replication can be seen")
    };
    eventually("nobody receives any more", receivers, |count| *count == 0).await;
}

/// How often a server said that commits may be lost, and in which epochs.
fn jumps(planes: &[Plane]) -> Vec<i64> {
    let lines = planes.iter().flat_map(|plane| plane.process.log());
    let parsed = lines.filter_map(|line| serde_json::from_str::<Value>(&line).ok());
    let jumped = parsed.filter(|line| {
        line["level"] == "ERROR" && line["message"].as_str().is_some_and(|text| text.starts_with(JUMPED))
    });
    jumped.map(|line| line["epoch"].as_i64().expect("it says which epoch")).collect()
}

async fn is_online(client: &Client, session: &str, node_id: &str) {
    let look = async || client.roster(session).await.into_iter().find(|node| node.node_id == node_id);
    eventually(&format!("{node_id} is online"), look, |node| {
        node.as_ref().is_some_and(|node| node.slot_state() == SlotState::Online)
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_promoted_standby_that_lost_the_last_commits_is_led_in_a_far_higher_epoch_and_service_goes_on() {
    let first = PrivatePostgres::start().await;
    let primary = first.database().await;
    primary.record_transitions().await;
    let replication = primary.proxy().await;
    let second = first.standby(&primary, &replication).await;
    let received = second.received().await;
    let way: Proxy = primary.proxy().await;
    let mut cluster = Cluster::start(primary.through(&way), 2, &options()).await;
    let addresses: Vec<_> = cluster.planes.iter().map(Plane::url).collect();
    let addresses = addresses.join(",");
    let active = cluster.active().await;
    let client = cluster.planes[active].client().await;
    let session = client.session().await;
    let steady = Daemon::start_at(&addresses, cluster.planes[0].token(), &session, "steady", &[]);
    is_online(&client, &session, "steady").await;
    let kept = client.online(&session, "kept").await;
    has_caught_up(&primary).await;

    // What the standby never hears of: two terms, attaches, a slot that changed hands.
    replication.cut();
    is_alone(&primary).await;
    for _ in 0..2 {
        let before = cluster.epoch().await;
        cluster.end_lock_session().await;
        eventually("another term begins", async || cluster.epoch().await, |now| *now > before).await;
        cluster.has_standbys(1).await;
    }
    let client = cluster.planes[cluster.active().await].client().await;
    let fresh = Daemon::start_at(&addresses, cluster.planes[0].token(), &session, "fresh", &[]);
    is_online(&client, &session, "fresh").await;
    let arrived = client.online(&session, "arrived").await;
    assert_eq!(client.online(&session, "kept").await, kept + 1, "another instance took it over");
    let lost_term = term(&primary).await;
    let lost_epoch = epoch(&primary).await;
    let known_epoch = epoch(&received).await;
    assert!(known_epoch < lost_epoch, "terms are lost: {known_epoch}, {lost_epoch}");
    assert_eq!(received.pool.execute("select from runtime_nodes").await.unwrap().rows_affected(), 2);

    first.signal("KILL");
    let killed = Instant::now();
    way.lead_to_socket(received.socket());
    cluster.database.pool = received.pool.clone();
    // The servers are led there before it is a primary: it grants the lock, and takes no write.
    for plane in &cluster.planes {
        let told = async || plane.http("/health/active").await;
        eventually("it stands by", told, |told| *told == (503, "standby\n".to_owned())).await;
    }
    let refused = async || second.log().matches("cannot execute UPDATE in a read-only transaction").count();
    let before = refused().await;
    eventually("it was asked to take a leader", refused, |count| *count >= before + 4).await;
    for plane in &cluster.planes {
        assert_eq!(plane.http("/health/ready").await.0, 200, "it serves reads from there");
    }
    assert_eq!(epoch(&received).await, known_epoch);
    assert_eq!(cluster.active_now().await, None);
    let promoting = Instant::now();
    second.promote().await;
    let promoted = Instant::now();
    let next = cluster.active().await;
    println!(
        "Postgres killed, its standby promoted after {:?} (which took {:?}): active {:?} later",
        promoted - killed,
        promoted - promoting,
        promoted.elapsed()
    );

    // The terms that are lost are given to nobody again.
    let now = epoch(&received).await;
    println!("epoch {known_epoch} is known, {lost_epoch} was the last, {now} is the next");
    assert!(now > lost_epoch && now >= known_epoch + EPOCH_JUMP, "{now}");
    assert_eq!(jumps(&cluster.planes), [known_epoch + EPOCH_JUMP], "it is told once");
    let told = cluster.planes[next].metric("rollcall_leadership_epoch_jumps_total").await;
    assert_eq!(told, Some(1.0));
    let mut late = PgConnection::connect(&received.url).await.unwrap();
    sqlx::query("select set_config('rollcall.epoch', $1, false)")
        .bind(&lost_term)
        .execute(&mut late)
        .await
        .unwrap();
    let write = late.execute("insert into participants (id) values (gen_random_uuid())").await.unwrap_err();
    assert_eq!(write.as_database_error().and_then(|error| error.code()).as_deref(), Some("RC001"));

    // Who lost nothing goes on, and who lost an attach is told to attach again.
    let client = cluster.planes[next].client().await;
    assert_eq!(refusal(client.beat("kept", kept + 1).await).code, "runtimenode.not_attached");
    assert_eq!(refusal(client.beat("arrived", arrived).await).code, "runtimenode.permission_denied");
    for node_id in ["kept", "arrived"] {
        let generation = client.online(&session, node_id).await;
        client.beat(node_id, generation).await.expect("it beats");
        client.declare(node_id, generation, &["codex", "more"]).await.expect("it declares");
    }
    for daemon in ["steady", "fresh"] {
        is_online(&client, &session, daemon).await;
    }
    let fresh_generation = client.node(&session, "fresh").await.generation;
    println!("the daemon whose attach was lost is back after {:?}", promoted.elapsed());
    assert_eq!(client.node(&session, "steady").await.generation, 1, "it did not attach again");
    assert_eq!(fresh_generation, 1, "nobody knew of it");
    let elsewhere = client.session().await;
    client.online(&elsewhere, "later").await;
    assert_eq!(received.transitions("steady").await, [], "nobody was called silent for it");

    // From here on it is an ordinary Postgres.
    let before = epoch(&received).await;
    cluster.kill(next);
    cluster.other_than(next).await;
    assert_eq!(epoch(&received).await, before + 1);
    assert_eq!(jumps(&cluster.planes).len(), 1);
    assert!(is_active(&cluster.planes[1 - next]).await);
    let Cluster { database, planes } = cluster;
    drop((client, steady, fresh, planes, late));
    for pool in [&database.pool, &primary.pool, &received.pool] {
        pool.close().await;
    }
    drop(way);
    first.end().await;
    second.end().await;
}
