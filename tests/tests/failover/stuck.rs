//! Holders that keep the lock and do not work: stopped processes, clients that do not read, duties that hang.

use std::time::{Duration, Instant};

use contracts::wire::v1::CreateSessionRequest;
use sqlx::{Connection, Executor, PgConnection};
use tests::{Database, Plane, eventually, refusal};

use crate::{
    at_most,
    cluster::{Cluster, is_active, options},
};

/// A lease that the drill of the product's own defaults uses.
const DEFAULT_LEASE: &str = "10s";

#[tokio::test(flavor = "multi_thread")]
async fn a_stopped_leader_is_evicted_within_its_lease_and_writes_nothing_when_it_wakes() {
    let options = options().flag("--lease", DEFAULT_LEASE);
    let cluster = Cluster::start(Database::new().await, 2, &options).await;
    let client = cluster.planes[0].client().await;
    let session = client.session().await;
    let generation = client.online(&session, "laptop-1").await;
    let former = cluster.active().await;
    let stopped = Instant::now();
    cluster.planes[former].process.signal("STOP");
    let (next, led) = cluster.other_than(former).await;
    println!("SIGSTOP, lease {DEFAULT_LEASE}: another one leads after {:?}", led - stopped);
    at_most(led - stopped, Duration::from_secs(15));

    // What the woken one still believes is refused by itself or by the fence, from the first request on.
    let late = tokio::spawn({
        let client = client.clone();
        async move { client.beat("laptop-1", generation).await }
    });
    let create = CreateSessionRequest { name: "late".to_owned(), ..CreateSessionRequest::default() };
    let created = tokio::spawn({
        let mut sessions = client.sessions.clone();
        async move { sessions.create_session(create).await }
    });
    cluster.planes[former].process.signal("CONT");
    for refused in [refusal(late.await.unwrap()), refusal(created.await.unwrap())] {
        assert_eq!(refused.code, "controller.standby", "{refused:?}");
    }
    eventually("it stands by", async || is_active(&cluster.planes[former]).await, |active| !active).await;
    assert_eq!(cluster.active().await, next);
    let late: i64 = sqlx::query_scalar("select count(*) from sessions where name = 'late'")
        .fetch_one(&cluster.database.pool)
        .await
        .unwrap();
    assert_eq!(late, 0);
    cluster.planes[next].client().await.beat("laptop-1", generation).await.expect("the node goes on");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_winner_that_is_stopped_before_its_term_begins_is_evicted() {
    let mut cluster = Cluster::start(Database::new().await, 3, &options()).await;
    let former = cluster.active().await;
    let epoch = cluster.epoch().await;
    // Nobody gets past the lock to the epoch while this is held, which is less than the second that a winner waits.
    let mut holder = PgConnection::connect(&cluster.database.url).await.unwrap();
    holder.execute("begin").await.unwrap();
    holder.execute("select from leadership for update").await.unwrap();
    cluster.kill(former);
    let backend = "select pid from pg_locks where locktype = 'advisory' and granted and objsubid = 1
        and database = (select oid from pg_database where datname = current_database())";
    let find =
        async || sqlx::query_scalar::<_, i32>(backend).fetch_optional(&cluster.database.pool).await.unwrap();
    let held = eventually("another one has the lock", find, Option::is_some).await;
    let stopped = cluster.stop_all_but(former);
    holder.execute("rollback").await.unwrap();
    assert_eq!(find().await, held, "it was stopped with the lock in its hand");
    // Wake those that do not hold it: they evict the one that does.
    let winner = cluster.announced(&stopped).await;
    for number in stopped.iter().filter(|number| **number != winner) {
        cluster.planes[*number].process.signal("CONT");
    }
    let (next, _) = cluster.other_than(winner).await;
    assert_ne!(next, winner);
    assert_eq!(cluster.epoch().await, epoch + 1);
    cluster.planes[winner].process.signal("CONT");
    eventually("the winner stands by", async || is_active(&cluster.planes[winner]).await, |active| !active)
        .await;
    assert_eq!(cluster.active().await, next);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fenced_transaction_that_never_ends_holds_a_takeover_up_for_two_seconds_at_most() {
    let mut cluster = Cluster::start(Database::new().await, 2, &options()).await;
    let former = cluster.active().await;
    // As a write of the leader whose client does not read on.
    let term: String = sqlx::query_scalar("select epoch || '/' || token from leadership")
        .fetch_one(&cluster.database.pool)
        .await
        .unwrap();
    let mut stuck = PgConnection::connect(&cluster.database.url).await.unwrap();
    sqlx::query("select set_config('rollcall.epoch', $1, false)")
        .bind(term)
        .execute(&mut stuck)
        .await
        .unwrap();
    stuck.execute("begin").await.unwrap();
    stuck
        .execute("insert into participants (id) values ('00000000-0000-0000-0000-00000000dead')")
        .await
        .unwrap();

    let killed = Instant::now();
    cluster.kill(former);
    let (_, led) = cluster.other_than(former).await;
    println!("a transaction that never ends: another one leads after {:?}", led - killed);
    at_most(led - killed, Duration::from_secs(2));
    assert!(stuck.execute("commit").await.is_err(), "its session was ended");
    let written: i64 = sqlx::query_scalar(
        "select count(*) from participants where id = '00000000-0000-0000-0000-00000000dead'",
    )
    .fetch_one(&cluster.database.pool)
    .await
    .unwrap();
    assert_eq!(written, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sweep_that_hangs_makes_the_leader_give_its_place_away() {
    let database = Database::new().await;
    let proxy = database.proxy().await;
    let former = Plane::start_on(database.through(&proxy), options()).await;
    let next = Plane::launch(database.clone(), former.options_beside()).await;
    // Requests and duties write over these connections; beats and the lock have their own, and go on.
    proxy.stall_only("rollcall writes");
    next.active().await;
    let abdicated = former.process.logged("a duty hangs").await;
    assert_eq!((&abdicated["duty"], &abdicated["gives_away"]), (&"sweep".into(), &true.into()));
    proxy.pass();
    eventually("it stands by", async || is_active(&former).await, |active| !active).await;
    let shown = next.cli_as_admin(&["leader", "show", "--json"]);
    let shown: serde_json::Value = serde_json::from_slice(&shown.stdout).unwrap();
    assert_eq!(shown["abdications"][0]["duty"], "sweep", "{shown}");
    assert_eq!(shown["abdications"][0]["epoch"], 1);
}
