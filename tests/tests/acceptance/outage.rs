//! Outages of the database and of the way to it: nobody looks dead for them, and service comes back by itself.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use contracts::wire::v1::PresenceHealth;
use sqlx::{Connection, Executor, PgConnection};
use tests::{
    Attached, Attaching, Client, Database, Living, Plane, PlaneOptions, PrivatePostgres, RosterWatch,
    eventually,
};
use tokio::time::{Instant, sleep, sleep_until};

const BEAT: Duration = Duration::from_millis(900);
const OFFLINE_AFTER: Duration = BEAT.saturating_mul(4);

/// A server whose service is old enough, and twelve nodes that live, too few for the brake to help them.
struct Serving {
    plane: Plane,
    client: Client,
    session: String,
    nodes: Vec<Attached>,
    living: Living,
}

impl Serving {
    async fn on(database: Database) -> Self {
        let plane = Plane::start_on(database, PlaneOptions::default().beat_every_ms(900)).await;
        let client = plane.client().await;
        let session = client.session().await;
        let nodes = client.attach_all(&session, "living", 12).await;
        let living = Living::start(&client, &nodes, BEAT / 3);
        living.are_heard().await;
        // Not before: until all are attached and beat, a busy machine may keep the first ones silent for too long.
        plane.database.all_are("living-", "online").await;
        plane.database.record_transitions().await;
        plane.database.age_service().await;
        Self { plane, client, session, nodes, living }
    }
}

async fn epoch(database: &Database) -> i64 {
    sqlx::query_scalar("select epoch from leadership")
        .fetch_one(&database.pool)
        .await
        .expect("there is an epoch")
}

/// Waits until the one that is dead is shown offline, which takes as long as calling the living silent would.
async fn check_only_the_dead_is_called_silent(database: &Database, watch: &RosterWatch, nodes: &[Attached]) {
    watch.shows("dead-1", PresenceHealth::Offline).await;
    assert_eq!(database.transitions("living-").await, []);
    for node in nodes {
        let shown: Vec<_> = watch.shown(&node.node_id).into_iter().map(|(health, _)| health).collect();
        assert_eq!(shown, [PresenceHealth::Online], "{}", node.node_id);
    }
}

#[tokio::test]
async fn a_postgres_that_is_killed_or_restarted_makes_nobody_look_dead_and_loses_no_attach() {
    let postgres = PrivatePostgres::start().await;
    let Serving { mut plane, client, session, nodes, living } = Serving::on(postgres.database().await).await;
    let watch = RosterWatch::start(&client, &session).await;
    let attached = Arc::new(Mutex::new(Vec::new()));
    let attaching = tokio::spawn(attach_for_ever(client.clone(), session.clone(), Arc::clone(&attached)));
    let acknowledged = || attached.lock().expect("the list is readable").len();

    let mut epochs = vec![epoch(&plane.database).await];
    for signal in ["KILL", "INT"] {
        living.are_heard().await;
        let before = acknowledged();
        eventually("attaches go on", async || acknowledged(), |count| *count > before + 2).await;
        postgres.signal(signal);
        sleep_until(Instant::now() + OFFLINE_AFTER * 5 / 4).await;
        let revived = postgres.revive().await;
        living.are_heard().await;
        let before = acknowledged();
        eventually("attaches go on again", async || acknowledged(), |count| *count > before).await;
        revived.let_go().await;
        epochs.push(epoch(&plane.database).await);
    }
    attaching.abort();
    assert!(plane.process.is_running(), "the server stayed");
    assert!(epochs.is_sorted_by(|earlier, later| earlier < later), "{epochs:?}");

    client.online(&session, "dead-1").await;
    living.are_heard().await;
    check_only_the_dead_is_called_silent(&plane.database, &watch, &nodes).await;

    let stored: Vec<(String, i64)> = sqlx::query_as(
        "select node_id, attachment.generation from runtime_node_attachments attachment
         join runtime_nodes using (node_key) where attachment.state = 'online'",
    )
    .fetch_all(&plane.database.pool)
    .await
    .expect("attachments can be read");
    for (node_id, generation) in attached.lock().expect("the list is readable").iter() {
        let slot = stored.iter().find(|(stored, _)| stored == node_id).map(|(_, generation)| *generation);
        assert_eq!(slot, i64::try_from(*generation).ok(), "{node_id}");
    }
    drop((living, watch));
    plane.process.kill();
    plane.database.pool.close().await;
    postgres.end().await;
}

async fn attach_for_ever(client: Client, session: String, attached: Arc<Mutex<Vec<(String, u64)>>>) {
    for number in 0.. {
        let attaching = Attaching::new(&session, &format!("arriving-{number}")).declaring(&["codex"]);
        if let Ok(answer) = client.attach(&attaching).await {
            attached.lock().expect("the list is writable").push((attaching.0.node_id, answer.generation));
        }
        sleep(BEAT / 6).await;
    }
}

#[tokio::test]
async fn a_leader_whose_lock_connection_is_cut_leads_again_in_a_new_epoch() {
    let Serving { mut plane, client, session, nodes, living } = Serving::on(Database::new().await).await;
    let watch = RosterWatch::start(&client, &session).await;
    client.online(&session, "dead-1").await;
    let mut before = epoch(&plane.database).await;

    for cuts in 1..=2 {
        let cut: Vec<bool> = sqlx::query_scalar(
            "select pg_terminate_backend(pid) from pg_locks
             where locktype = 'advisory' and granted
               and database = (select oid from pg_database where datname = current_database())",
        )
        .fetch_all(&plane.database.pool)
        .await
        .expect("the lock's holder can be found");
        assert_eq!(cut, [true], "one connection holds the lock");
        let now =
            eventually("another epoch begins", async || epoch(&plane.database).await, |now| *now > before)
                .await;
        assert_eq!(now, before + 1);
        before = now;
        watch.has_snapshots(cuts + 1).await;
        living.are_heard().await;
    }
    assert!(plane.process.is_running(), "the server stayed");
    plane.active().await;
    check_only_the_dead_is_called_silent(&plane.database, &watch, &nodes).await;
}

/// Holds what this statement locks for longer than a node may be silent.
async fn hold_for_too_long(database: &Database, statement: &'static str) {
    let mut connection = PgConnection::connect(&database.url).await.expect("Postgres answers");
    let mut holder = connection.begin().await.expect("a transaction begins");
    holder.execute(statement).await.expect("the lock is taken");
    sleep_until(Instant::now() + OFFLINE_AFTER * 5 / 4).await;
    holder.rollback().await.expect("the lock is let go");
}

#[tokio::test]
async fn silence_does_not_count_while_no_beat_can_be_committed() {
    let Serving { plane, client, session, nodes, living } = Serving::on(Database::new().await).await;
    let watch = RosterWatch::start(&client, &session).await;
    client.online(&session, "dead-1").await;
    living.are_heard().await;

    // Before the lock, so that none of their beats waits for its end.
    drop(living);
    hold_for_too_long(&plane.database, "lock table runtime_node_presence in access exclusive mode").await;
    // Sweeps run before any of the living is back.
    sleep_until(Instant::now() + BEAT).await;
    let living = Living::start(&client, &nodes, BEAT / 3);
    living.are_heard().await;
    check_only_the_dead_is_called_silent(&plane.database, &watch, &nodes).await;
}

#[tokio::test]
async fn silence_does_not_count_while_one_lane_of_two_cannot_commit() {
    // One row, and with it the batch that its beat is in, and with that the lane of the even or the odd keys.
    tokio::join!(
        check_a_locked_row_makes_nobody_look_dead(
            "select from runtime_node_presence where node_key = 1 for update"
        ),
        check_a_locked_row_makes_nobody_look_dead(
            "select from runtime_node_presence where node_key = 2 for update"
        ),
    );
}

async fn check_a_locked_row_makes_nobody_look_dead(lock: &'static str) {
    let Serving { plane, client, session, nodes, living } = Serving::on(Database::new().await).await;
    let watch = RosterWatch::start(&client, &session).await;
    client.online(&session, "dead-1").await;
    living.are_heard().await;

    hold_for_too_long(&plane.database, lock).await;
    living.are_heard().await;
    check_only_the_dead_is_called_silent(&plane.database, &watch, &nodes).await;
}
