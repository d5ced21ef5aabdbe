//! Holders that keep the lock and do not work: stopped processes, clients that do not read, duties that hang.

use std::time::{Duration, Instant};

use contracts::wire::v1::CreateSessionRequest;
use sqlx::{Connection, Executor, PgConnection};
use tests::{Database, Plane, eventually, refusal};

use crate::{
    at_most,
    cluster::{Cluster, is_active, lock_holders, options},
    roaming::Roaming,
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
    let cluster = Cluster::start(Database::new().await, 3, &options()).await;
    let former = cluster.active().await;
    let epoch = cluster.epoch().await;
    // Nobody gets past the lock to the epoch while this is held, which is less than the second that a winner waits.
    let mut holder = PgConnection::connect(&cluster.database.url).await.unwrap();
    holder.execute("begin").await.unwrap();
    holder.execute("select from leadership for update").await.unwrap();
    let find = async || lock_holders(&cluster.database).await.first().copied();
    // Postgres may need a moment to notice that the session of a killed process is over.
    let of_former = find().await;
    cluster.planes[former].process.signal("KILL");
    let is_another = |held: &Option<i32>| held.is_some() && *held != of_former;
    let held = eventually("another one has the lock", find, is_another).await;
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

/// Stalls the connections of this name of a server that leads with this lease, and waits for another one to lead, which
/// says then that a leader gave its place away for this duty.
async fn check_a_duty_that_hangs(connections: &'static str, duty: &str, lease: &str) {
    let database = Database::new().await;
    let proxy = database.proxy().await;
    let options = options().flag("--lease", lease);
    let former = Plane::start_on(database.through(&proxy), options).await;
    let next = Plane::launch(database.clone(), former.options_beside()).await;
    let stalled = Instant::now();
    proxy.stall_only(connections);
    next.active().await;
    println!("{connections} stalled, lease {lease}: another one leads after {:?}", stalled.elapsed());
    let abdicated = former.process.logged("a duty hangs").await;
    assert_eq!((&abdicated["duty"], &abdicated["gives_away"]), (&duty.into(), &true.into()));
    proxy.pass();
    eventually("it stands by", async || is_active(&former).await, |active| !active).await;
    let shown = next.cli_as_admin(&["leader", "show", "--json"]);
    let shown: serde_json::Value = serde_json::from_slice(&shown.stdout).expect("it is JSON");
    assert_eq!(shown["abdications"][0]["duty"], duty, "{shown}");
    assert_eq!(shown["abdications"][0]["epoch"], 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sweep_that_hangs_makes_the_leader_give_its_place_away() {
    // Requests and duties write over these connections; beats and the lock have their own, and go on.
    check_a_duty_that_hangs("rollcall writes", "sweep", "2s").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sweep_that_hangs_makes_the_leader_give_its_place_away_with_the_lease_of_the_product() {
    check_a_duty_that_hangs("rollcall writes", "sweep", DEFAULT_LEASE).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_commit_of_beats_that_hangs_makes_the_leader_give_its_place_away() {
    check_a_duty_that_hangs("rollcall beats", "beats", "2s").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_commit_of_beats_that_hangs_makes_the_leader_give_its_place_away_with_the_lease_of_the_product() {
    check_a_duty_that_hangs("rollcall beats", "beats", DEFAULT_LEASE).await;
}

/// Holds the table that only the sweep reads; gives the session that does.
async fn hold_the_sweep(database: &Database) -> PgConnection {
    database.age_service().await;
    let mut holder = PgConnection::connect(&database.url).await.expect("Postgres answers");
    holder.execute("begin").await.expect("Postgres does it");
    holder.execute("lock table presence_brake").await.expect("the table can be locked");
    holder
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sweep_that_hangs_on_every_server_passes_leadership_on_once() {
    // A statement may take longer than this lease: a pass that waits for a lock hangs before it fails.
    let cluster = Cluster::start(Database::new().await, 2, &options()).await;
    let client = cluster.planes[0].client().await;
    let session = client.session().await;
    let nodes = client.attach_all(&session, "living", 1).await;
    let roaming = Roaming::all(&cluster, &nodes).await;
    let former = cluster.active().await;
    let locked = Instant::now();
    let holder = hold_the_sweep(&cluster.database).await;
    let (next, led) = cluster.other_than(former).await;
    let gives_away = async |plane: &Plane| plane.process.logged("a duty hangs").await["gives_away"].clone();
    assert_eq!(gives_away(&cluster.planes[former]).await, true);
    // It hangs there, too, and stays: nobody else would do better.
    assert_eq!(gives_away(&cluster.planes[next]).await, false);
    let failures = async || {
        let name = r#"rollcall_duty_failures_total{duty="sweep"}"#;
        cluster.planes[next].metric(name).await.unwrap_or(0.0)
    };
    eventually("passes fail", failures, |count| *count >= 2.0).await;
    println!(
        "a table that the sweep needs is locked, lease 2s: another one leads after {:?}, and still does after {:?}",
        led - locked,
        locked.elapsed()
    );
    assert_eq!((cluster.epoch().await, cluster.active().await), (2, next));
    roaming[0].heard_after(Instant::now()).await;
    assert_eq!(roaming[0].lost_slots(), [""; 0]);
    drop(holder);
    check_the_sweep_works(&cluster.planes[next]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sweep_that_fails_for_longer_than_a_lease_passes_leadership_to_nobody() {
    // A statement is given up long before this lease is over: each pass fails, and none hangs.
    let options = options().flag("--lease", DEFAULT_LEASE);
    let cluster = Cluster::start(Database::new().await, 2, &options).await;
    let client = cluster.planes[0].client().await;
    let session = client.session().await;
    let nodes = client.attach_all(&session, "living", 1).await;
    let roaming = Roaming::all(&cluster, &nodes).await;
    let active = cluster.active().await;
    let locked = Instant::now();
    let holder = hold_the_sweep(&cluster.database).await;
    let failures = async || {
        let name = r#"rollcall_duty_failures_total{duty="sweep"}"#;
        cluster.planes[active].metric(name).await.unwrap_or(0.0)
    };
    // Three seconds each.
    eventually("passes fail", failures, |count| *count >= 4.0).await;
    println!("the same, lease {DEFAULT_LEASE}: nobody else leads after {:?}", locked.elapsed());
    assert!(locked.elapsed() > Duration::from_secs(10), "longer than the lease: {:?}", locked.elapsed());
    assert_eq!((cluster.epoch().await, cluster.active().await), (1, active));
    let failing = cluster.planes[active].metric(r#"rollcall_duty_failing{duty="sweep"}"#).await;
    assert_eq!(failing, Some(1.0), "it is told");
    roaming[0].heard_after(Instant::now()).await;
    drop(holder);
    check_the_sweep_works(&cluster.planes[active]).await;
}

async fn check_the_sweep_works(plane: &Plane) {
    let failing = async || plane.metric(r#"rollcall_duty_failing{duty="sweep"}"#).await;
    eventually("the sweep works again", failing, |failing| *failing == Some(0.0)).await;
}
