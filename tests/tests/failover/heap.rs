//! What standbys cost the table that every beat writes: nothing, for none of them waits inside Postgres.

use std::time::{Duration, Instant};

use contracts::ParticipantId;
use sqlx::{Connection, Executor, PgConnection};
use tests::{Client, DEADLINE, Database, Living, PrivatePostgres, token, user_scopes};
use tokio::time::sleep;
use uuid::Uuid;

use crate::{
    cluster::{Cluster, options, seed_fleet},
    rounds,
};

const FLEET: u32 = 2_000;
const STANDBYS: usize = 4;
/// Passes over the whole fleet until each page has had its turn to be pruned.
const TO_SETTLE: u64 = 20;
/// Passes that are measured, at the least.
const PASSES: u64 = 200;
/// Passes beside a session that waits, which are enough to see what it does.
const BESIDE_A_WAITER: u64 = 50;
/// How many times its settled size the table may have at the end. A page is half empty when it is filled first, so it
/// holds one dead version of each row before it has to be pruned, or is not allowed to be: twice the size. Whatever holds a
/// statement up for a moment keeps the versions of that moment, and a table does not shrink: twice that again.
const GROWTH_MAX: f64 = 4.0;

/// Waits until the fleet has beaten so often, for as long as it goes on.
async fn beaten(fleet: &Living, passes: u64) {
    let (mut seen, mut since) = (fleet.rounds(), Instant::now());
    while fleet.rounds() < passes {
        if fleet.rounds() > seen {
            (seen, since) = (fleet.rounds(), Instant::now());
        }
        assert!(since.elapsed() < DEADLINE, "the fleet beats no more, after {seen} of {passes} passes");
        sleep(Duration::from_millis(5)).await;
    }
}

/// Bytes of the table.
async fn size(database: &Database) -> f64 {
    let size: i64 = sqlx::query_scalar("select pg_relation_size('runtime_node_presence')")
        .fetch_one(&database.pool)
        .await
        .expect("the size can be read");
    size as f64
}

#[tokio::test(flavor = "multi_thread")]
async fn presences_stay_as_small_as_they_are_however_many_servers_stand_by() {
    // Its own Postgres: a transaction that writes in any database of a cluster keeps dead versions in all of them.
    let postgres = PrivatePostgres::start().await;
    let database = postgres.database().await;
    let owner = ParticipantId(Uuid::now_v7());
    let nodes = seed_fleet(&database, owner, FLEET).await;
    let cluster = Cluster::start(database, STANDBYS + 1, &options()).await;
    let database = &cluster.database;
    let active = &cluster.planes[cluster.active().await];
    let client = Client::connect(&active.url(), &token(owner, user_scopes())).await;
    let fleet = Living::start(&client, &nodes, Duration::from_millis(1));
    beaten(&fleet, TO_SETTLE).await;

    let (settled, began) = (size(database).await, Instant::now());
    let lasts = Duration::from_secs(rounds(0, 600) as u64);
    let mut passes = PASSES;
    beaten(&fleet, TO_SETTLE + passes).await;
    while began.elapsed() < lasts {
        passes += 1;
        beaten(&fleet, TO_SETTLE + passes).await;
    }
    let (flat, took) = (size(database).await, began.elapsed());
    assert_eq!(cluster.epoch().await, 1, "one leader all the time");
    cluster.has_standbys(STANDBYS).await;

    // What a standby would do that waited: the measure sees it.
    let mut holder = PgConnection::connect(&database.url).await.unwrap();
    holder.execute("select pg_advisory_lock(1)").await.unwrap();
    let mut waiter = PgConnection::connect(&database.url).await.unwrap();
    let waiting = tokio::spawn(async move { waiter.execute("select pg_advisory_lock(1)").await.map(drop) });
    database.has_blocked(1).await;
    let before = fleet.rounds();
    beaten(&fleet, before + BESIDE_A_WAITER).await;
    let swollen = size(database).await;
    drop(holder);
    waiting.await.unwrap().unwrap();

    println!(
        "{FLEET} presences, {STANDBYS} standbys: {} KiB settled, {} KiB after {passes} passes in {took:?}; {} KiB after \
         {BESIDE_A_WAITER} beside a session that waits inside Postgres",
        settled / 1_024.0,
        flat / 1_024.0,
        swollen / 1_024.0
    );
    assert!(flat <= settled * GROWTH_MAX, "{flat} bytes, {settled} settled");
    assert!(swollen > settled * GROWTH_MAX * 2.0, "{swollen} bytes, {settled} settled: it proves nothing");
    drop((fleet, client));
    let Cluster { database, planes } = cluster;
    drop(planes);
    database.pool.close().await;
    postgres.end().await;
}
