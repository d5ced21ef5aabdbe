//! Faults of the one connection that holds the lock, and of all of them.

use std::time::{Duration, Instant};

use tests::{Database, Plane, PrivatePostgres, Proxy, eventually};

use crate::{
    at_most,
    cluster::{Cluster, is_active, lock_holders, options},
    roaming::Roaming,
};

#[tokio::test(flavor = "multi_thread")]
async fn a_lock_session_that_postgres_ends_ends_the_term() {
    let cluster = Cluster::start(Database::new().await, 2, &options()).await;
    let client = cluster.planes[0].client().await;
    let session = client.session().await;
    let nodes = client.attach_all(&session, "living", 1).await;
    let roaming = Roaming::all(&cluster, &nodes).await;
    let epoch = cluster.epoch().await;
    let cut = Instant::now();
    cluster.end_lock_session().await;
    let epochs = async || cluster.epoch().await;
    eventually("another term begins", epochs, |now| *now > epoch).await;
    let heard = roaming[0].heard_after(Instant::now()).await;
    println!(
        "pg_terminate_backend of the lock: no beat was acknowledged for {:?}",
        roaming[0].longest_gap_since(cut)
    );
    assert!(heard > cut);
    assert_eq!(roaming[0].lost_slots(), [""; 0]);
    let actives = async || {
        let mut count = 0;
        for plane in &cluster.planes {
            count += usize::from(is_active(plane).await);
        }
        count
    };
    assert_eq!(eventually("one leads", actives, |count| *count == 1).await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lock_connection_that_is_stalled_ends_the_term_before_anybody_else_leads() {
    let database = Database::new().await;
    let proxy = database.proxy().await;
    let former = Plane::start_on(database.through(&proxy), options()).await;
    let next = Plane::launch(database.clone(), former.options_beside()).await;
    let stalled = Instant::now();
    proxy.stall_only("rollcall lock");
    // Half a lease of trust, and the other half until it is evicted.
    eventually("it no longer leads", async || is_active(&former).await, |active| !active).await;
    let distrusted = stalled.elapsed();
    next.active().await;
    println!(
        "a stalled lock connection, lease 2s: stepped back after {distrusted:?}, another leads after {:?}",
        stalled.elapsed()
    );
    // Before the two seconds after which another one may evict it.
    at_most(distrusted, Duration::from_millis(1_600));
    proxy.pass();
    assert!(!is_active(&former).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_is_cut_off_from_postgres_stands_by_and_another_leads() {
    let database = Database::new().await;
    for cut in [Proxy::cut as fn(&Proxy), Proxy::stall] {
        let proxy = database.proxy().await;
        let former = Plane::start_on(database.through(&proxy), options()).await;
        let next = Plane::launch(database.clone(), former.options_beside()).await;
        let began = Instant::now();
        cut(&proxy);
        next.active().await;
        println!("all connections cut or stalled: another one leads after {:?}", began.elapsed());
        let client = former.client().await;
        let refused = tests::refusal(client.beat("nobody", 1).await);
        assert!(["controller.standby", "system.unavailable"].contains(&refused.code.as_str()), "{refused:?}");
        // It finds out when it verifies the lock next, or by a write.
        eventually("it stands by", async || is_active(&former).await, |active| !active).await;
        proxy.pass();
        drop(next);
        // It finds its way back.
        former.active().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_postgres_that_is_restarted_at_once_or_in_order_loses_no_acknowledged_write() {
    let postgres = PrivatePostgres::start().await;
    let cluster = Cluster::start(postgres.database().await, 2, &options()).await;
    let client = cluster.planes[0].client().await;
    let session = client.session().await;
    let nodes = client.attach_all(&session, "living", 3).await;
    for signal in ["INT", "QUIT"] {
        let epoch = cluster.epoch().await;
        let roaming = Roaming::all(&cluster, &nodes).await;
        let ended = Instant::now();
        postgres.signal(signal);
        let revived = postgres.revive().await;
        let back = Instant::now();
        let mut heard = back;
        for node in &roaming {
            heard = heard.max(node.heard_after(back).await);
            assert_eq!(node.lost_slots(), [""; 0]);
        }
        println!(
            "Postgres ended by SIG{signal}: back after {:?}, beats after {:?}",
            back - ended,
            heard - ended
        );
        assert!(cluster.epoch().await > epoch);
        drop(roaming);
        revived.let_go().await;
        cluster.has_standbys(1).await;
    }
    drop(client);
    let Cluster { database, planes } = cluster;
    drop(planes);
    database.pool.close().await;
    postgres.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_lock_is_held_once_however_often_it_is_verified() {
    // A session that takes a lock twice has to let go of it twice, and pg_locks does not tell: what it asked for does.
    let parameters = [("fsync", "off"), ("log_statement", "all"), ("log_line_prefix", "%p ")];
    let postgres = PrivatePostgres::start_with(&parameters).await;
    let cluster = Cluster::start(postgres.database().await, 1, &options().flag("--lease", "1s")).await;
    let held = async || {
        let held = lock_holders(&cluster.database).await;
        assert_eq!(held.len(), 1);
        held[0]
    };
    let renewals = async || {
        sqlx::query_scalar::<_, i64>("select renewals from leadership")
            .fetch_one(&cluster.database.pool)
            .await
            .unwrap()
    };
    let holder = held().await;
    let from = renewals().await;
    // An hour of the default interval is 3,600 of them; a part of all tests sees fewer.
    let wanted = i64::try_from(crate::rounds(30, 3_600)).unwrap();
    while renewals().await < from + wanted {
        assert_eq!(held().await, holder);
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let asked = |session: i32, statement: &str| {
        let log = postgres.log();
        let of_session = log.lines().filter(|line| line.starts_with(&format!("{session} ")));
        of_session.filter(|line| line.contains(statement)).count()
    };
    let verified = asked(holder, "update leadership set renewals");
    println!("{verified} verifications: tried once, held once");
    assert!(verified as i64 >= wanted, "{verified}");
    assert_eq!(asked(holder, "pg_try_advisory_lock"), 1);
    assert_eq!(cluster.epoch().await, 1);
    // One release frees it: another session gets it at once.
    let done = cluster.planes[0].cli_as_admin(&["leader", "step-down", "--without-standby"]);
    assert!(done.status.success(), "{done:?}");
    eventually("the next term begins", async || cluster.epoch().await, |epoch| *epoch == 2).await;
    assert_eq!(asked(holder, "pg_advisory_unlock"), 1);
    let Cluster { database, planes } = cluster;
    drop(planes);
    database.pool.close().await;
    postgres.end().await;
}
