//! Service time: our outage is not theirs, and no rhythm of outages keeps the dead alive.

use std::time::Duration;

use contracts::wire::v1::PresenceHealth;
use control_plane::{presence::sweep::sweep, settings::Cadence};
use sqlx::{AssertSqlSafe, Executor};
use tests::{Client, Database, Living, Plane, PlaneOptions, RosterWatch};
use tokio::time::{Instant, sleep_until};

/// The cadence of the product.
fn cadence() -> Cadence {
    let [beat, sweep, degraded, offline, hold] = [15, 5, 30, 60, 60].map(Duration::from_secs);
    Cadence::new(beat, sweep, degraded, offline, hold).expect("the product's own durations fit")
}

/// A database with presences and windows as a test puts them, at an instant that stands still.
struct Still {
    database: Database,
}

impl Still {
    /// With service for the last hour, up to the instant.
    async fn new() -> Self {
        let still = Self::without_service().await;
        still.run("insert into service_windows (epoch, opened_at, counts_from, proven_until)
                   select 1, at - interval '1 hour', at - interval '1 hour' + interval '15 s', at from instant").await;
        still
    }

    async fn without_service() -> Self {
        let still = Self { database: Database::new().await };
        still.run("create table instant as select date_trunc('second', clock_timestamp()) as at").await;
        still
    }

    async fn run(&self, sql: &'static str) {
        self.database.pool.execute(sql).await.unwrap_or_else(|error| panic!("{sql}: {error}"));
    }

    /// Adds a node that was heard this long ago.
    async fn node(&self, key: i64, heard_ago: &str, health: &str, cause: &str) {
        sqlx::query(
            "insert into runtime_node_presence (node_key, generation, last_heartbeat_at, health_state, health_cause)
             select $1, 1, at - $2::interval, $3, $4 from instant",
        )
        .bind(key)
        .bind(heard_ago)
        .bind(health)
        .bind(cause)
        .execute(&self.database.pool)
        .await
        .expect("a presence can be put there");
    }

    /// One pass; tells how many presences it changed.
    async fn sweep(&self) -> usize {
        let swept = sweep(&self.database.pool, &cadence()).await.expect("the pass succeeds");
        assert!(!swept.held);
        swept.transitions.len()
    }

    async fn presence(&self, key: i64) -> String {
        sqlx::query_scalar(
            "select health_state || ' by ' || health_cause from runtime_node_presence where node_key = $1",
        )
        .bind(key)
        .fetch_one(&self.database.pool)
        .await
        .expect("the presence is there")
    }

    /// All rows of all tables, each with the transaction that wrote it.
    async fn everything(&self) -> Vec<String> {
        let mut rows = Vec::new();
        for table in [
            "runtime_node_presence",
            "service_windows",
            "presence_brake",
            "leadership",
            "runtime_nodes",
            "sessions",
            "runtime_node_attachments",
            "attachment_spans",
            "session_memberships",
            "participants",
        ] {
            let select = format!("select '{table} ' || xmin || ' ' || to_jsonb(t)::text from {table} t");
            let lines: Vec<String> =
                sqlx::query_scalar(AssertSqlSafe(select)).fetch_all(&self.database.pool).await.expect("rows");
            rows.extend(lines);
        }
        rows.sort();
        rows
    }
}

#[tokio::test]
async fn one_pass_finds_each_silence_at_its_threshold_and_a_second_one_nothing() {
    let still = Still::new().await;
    still.node(1, "10 s", "online", "self_reported").await;
    still.node(2, "30 s", "online", "self_reported").await;
    still.node(3, "30.000001 s", "online", "self_reported").await;
    still.node(4, "45 s", "online", "self_reported").await;
    still.node(5, "45 s", "degraded", "self_reported").await;
    still.node(6, "60 s", "degraded", "silence").await;
    still.node(7, "60.000001 s", "degraded", "silence").await;
    still.node(8, "90 s", "online", "self_reported").await;
    still.node(9, "90 s", "degraded", "self_reported").await;
    still.node(10, "40 s", "offline", "silence").await;
    still.node(11, "40 s", "offline", "detached").await;
    let mut before = still.everything().await;

    assert_eq!(still.sweep().await, 5);
    for (key, expected) in [
        (1, "online by self_reported"),
        (2, "online by self_reported"),
        (3, "degraded by silence"),
        (4, "degraded by silence"),
        (5, "degraded by self_reported"),
        (6, "degraded by silence"),
        (7, "offline by silence"),
        (8, "offline by silence"),
        (9, "offline by silence"),
        (10, "offline by silence"),
        (11, "offline by detached"),
    ] {
        assert_eq!(still.presence(key).await, expected, "node {key}");
    }
    let after = still.everything().await;
    before.retain(|row| !after.contains(row));
    assert_eq!(before.len(), 5, "nothing but the five was written: {before:?}");

    assert_eq!(still.sweep().await, 0);
    assert_eq!(still.everything().await, after, "the second pass wrote nothing");
}

#[tokio::test]
async fn a_pass_over_many_silent_nodes_takes_several_bounded_statements() {
    let still = Still::new().await;
    // As many again are heard, so that the brake lets the silent be found.
    still
        .run("insert into runtime_node_presence (node_key, generation, last_heartbeat_at, health_state, health_cause)
              select key, 1, at - case when key % 2 = 0 then interval '90 s' else interval '1 s' end, 'online',
                     'self_reported'
              from generate_series(1, 240000) key, instant")
        .await;

    assert_eq!(still.sweep().await, 120_000);
    let statements: Vec<i64> = sqlx::query_scalar(
        "select count(*) from runtime_node_presence where health_state = 'offline' group by xmin::text order by 1",
    )
    .fetch_all(&still.database.pool)
    .await
    .expect("rows can be counted");
    assert_eq!(statements, [20_000, 50_000, 50_000]);
    assert_eq!(still.sweep().await, 0);
}

#[tokio::test]
async fn a_row_that_is_locked_is_skipped_and_found_by_the_next_pass() {
    let still = Still::new().await;
    still.node(1, "45 s", "online", "self_reported").await;
    still.node(2, "90 s", "online", "self_reported").await;
    let mut beat = still.database.pool.begin().await.expect("a transaction begins");
    beat.execute("select from runtime_node_presence where node_key = 2 for no key update")
        .await
        .expect("a lock");

    assert_eq!(still.sweep().await, 1);
    assert_eq!(still.presence(2).await, "online by self_reported");
    beat.rollback().await.expect("the lock is let go");
    assert_eq!(still.sweep().await, 1);
    assert_eq!(still.presence(2).await, "offline by silence");
}

#[tokio::test]
async fn without_a_window_of_service_nobody_is_silent() {
    let still = Still::without_service().await;
    still.node(1, "3 hours", "online", "self_reported").await;
    assert_eq!(still.sweep().await, 0);

    // Service that lasted up to the first threshold and not a moment longer finds nobody offline.
    still
        .run(
            "insert into service_windows (epoch, opened_at, counts_from, proven_until)
              select 1, at - interval '45 s', at - interval '30 s', at from instant",
        )
        .await;
    assert_eq!(still.sweep().await, 1);
    assert_eq!(still.presence(1).await, "degraded by silence");
}

#[tokio::test]
async fn up_58_s_and_down_12_s_for_ever_still_finds_the_dead_and_never_the_living() {
    let still = Still::without_service().await;
    let second = "interval '1 s' * ";
    // The dead was heard last when the first window was 50 s old.
    still.node(1, "-50 s", "online", "self_reported").await;
    still.node(2, "0 s", "online", "self_reported").await;
    let (mut degraded_at, mut offline_at) = (None, None);
    for now in 50_i32..400 {
        let (cycle, in_cycle) = (now / 70, now % 70);
        if in_cycle >= 58 {
            continue;
        }
        // As the server does it: a new window when service begins, else one that goes on; beats every 15 s.
        let step = format!(
            "insert into service_windows (epoch, opened_at, counts_from, proven_until)
                 select {epoch}, at + {second}{opened}, at + {second}({opened} + 15), at + {second}{now} from instant
                 where not exists (select from service_windows where epoch = {epoch});
             update service_windows set proven_until = at + {second}{now} from instant where epoch = {epoch};
             update runtime_node_presence set last_heartbeat_at = at + {second}{now} from instant
                 where node_key = 2 and extract(epoch from at + {second}{now} - last_heartbeat_at) >= 15",
            epoch = cycle + 1,
            opened = cycle * 70,
        );
        still.database.pool.execute(AssertSqlSafe(step)).await.expect("time goes on");
        still.sweep().await;
        assert_eq!(still.presence(2).await, "online by self_reported", "the living at {now}");
        match still.presence(1).await.as_str() {
            "online by self_reported" => {}
            "degraded by silence" => degraded_at = degraded_at.or(Some(now)),
            "offline by silence" => offline_at = offline_at.or(Some(now)),
            other => panic!("{other}"),
        }
    }
    // 8 s are left of the first window after its last beat (the proof of its 58th second did not come), and each
    // later one counts from its 15th second on.
    assert_eq!((degraded_at, offline_at), (Some(70 + 15 + 24), Some(140 + 15 + 12)));
}

const BEAT: Duration = Duration::from_millis(900);
const OFFLINE_AFTER: Duration = BEAT.saturating_mul(4);

/// A server whose service is old enough, twelve nodes that live (too few for the brake to help them) and one that is
/// dead.
struct Fleet {
    plane: Plane,
    client: Client,
    session: String,
    nodes: Vec<tests::Attached>,
    living: Living,
}

impl Fleet {
    async fn new() -> Self {
        let plane = Plane::start(PlaneOptions::default().beat_every_ms(900)).await;
        let client = plane.client().await;
        let session = client.session().await;
        let nodes = client.attach_all(&session, "living", 12).await;
        let living = Living::start(&client, &nodes, BEAT / 3);
        living.are_heard().await;
        // Not before: until all are attached and beat, a busy machine may keep the first ones silent for too long.
        plane.database.all_are("living-", "online").await;
        plane.database.record_transitions().await;
        plane.database.age_service().await;
        client.online(&session, "dead-1").await;
        Self { plane, client, session, nodes, living }
    }
}

/// None of the living was ever anything but online, neither as stored nor as shown.
async fn check_the_living_were_never_called_silent(
    database: &Database,
    watch: &RosterWatch,
    nodes: &[tests::Attached],
) {
    assert_eq!(database.transitions("living-").await, []);
    for node in nodes {
        let shown: Vec<_> = watch.shown(&node.node_id).into_iter().map(|(health, _)| health).collect();
        assert_eq!(shown, [PresenceHealth::Online], "{}", node.node_id);
    }
}

#[tokio::test]
async fn after_an_outage_of_the_server_whoever_resumes_within_a_cadence_is_never_shown_silent() {
    let Fleet { mut plane, client, session, nodes, living } = Fleet::new().await;
    plane.process.kill();
    drop(living);
    let down_until = Instant::now() + OFFLINE_AFTER * 3 / 2;
    let watch = RosterWatch::start_in_advance(&client, &session);
    sleep_until(down_until).await;

    let plane = plane.kill_and_restart().await;
    let resume_at = Instant::now() + BEAT;
    watch.has_snapshots(1).await;
    sleep_until(resume_at).await;
    let living = Living::start(&client, &nodes, BEAT / 3);
    living.are_heard().await;
    watch.shows("dead-1", PresenceHealth::Offline).await;
    living.are_heard().await;
    check_the_living_were_never_called_silent(&plane.database, &watch, &nodes).await;
    let waits: Vec<i64> = sqlx::query_scalar(
        "select distinct (extract(epoch from counts_from - opened_at) * 1000)::bigint from service_windows",
    )
    .fetch_all(&plane.database.pool)
    .await
    .expect("windows can be read");
    assert_eq!(waits, [900], "each window counts from one cadence after it opened");
}

#[tokio::test]
async fn a_server_that_was_frozen_for_longer_than_a_node_may_be_silent_calls_nobody_silent() {
    let Fleet { plane, client, session, nodes, living } = Fleet::new().await;
    let watch = RosterWatch::start(&client, &session).await;
    living.are_heard().await;
    drop(living);
    plane.process.signal("STOP");
    sleep_until(Instant::now() + OFFLINE_AFTER * 5 / 4).await;
    plane.process.signal("CONT");

    // Sweeps run before any of the living is back.
    sleep_until(Instant::now() + BEAT).await;
    let living = Living::start(&client, &nodes, BEAT / 3);
    living.are_heard().await;
    watch.shows("dead-1", PresenceHealth::Offline).await;
    living.are_heard().await;
    check_the_living_were_never_called_silent(&plane.database, &watch, &nodes).await;
}

#[tokio::test]
async fn a_service_that_is_killed_again_and_again_still_finds_the_dead_and_never_the_living() {
    // Up for three cadences, of which two count, and down for one: no stretch is as long as the threshold.
    const BEAT: Duration = Duration::from_millis(700);
    const OFFLINE_AFTER: Duration = BEAT.saturating_mul(4);
    let mut plane = Plane::start(PlaneOptions::default().beat_every_ms(700)).await;
    let client = plane.client().await;
    let session = client.session().await;
    let nodes = client.attach_all(&session, "living", 12).await;
    let living = Living::start(&client, &nodes, BEAT / 3);
    living.are_heard().await;
    plane.database.all_are("living-", "online").await;
    plane.database.record_transitions().await;
    let watch = RosterWatch::start(&client, &session).await;
    client.online(&session, "dead-1").await;
    watch.shows("dead-1", PresenceHealth::Online).await;

    let mut longest = 0.0_f64;
    let mut cycles = 0;
    let mut up_since = Instant::now();
    while watch.shown("dead-1").last().map(|(health, _)| *health) != Some(PresenceHealth::Offline) {
        assert!(cycles < 12, "the dead is not found");
        cycles += 1;
        sleep_until(up_since + BEAT * 3).await;
        plane.process.kill();
        longest = longest.max(longest_stretch_since_death(&plane.database).await);
        sleep_until(Instant::now() + BEAT).await;
        let cut_off = watch.snapshots();
        plane = plane.kill_and_restart().await;
        up_since = Instant::now();
        watch.has_snapshots(cut_off + 1).await;
    }
    assert!(
        longest < OFFLINE_AFTER.as_secs_f64(),
        "no single stretch of service was long enough: {longest} s"
    );
    let transitions = plane.database.transitions("dead-").await;
    assert_eq!(transitions.len(), 2, "degraded, then offline: {transitions:?}");
    living.are_heard().await;
    check_the_living_were_never_called_silent(&plane.database, &watch, &nodes).await;
    println!("offline after {cycles} cycles, the longest stretch was {longest} s");
}

/// Seconds of the longest stretch of service that counted since the dead was heard last.
async fn longest_stretch_since_death(database: &Database) -> f64 {
    sqlx::query_scalar(
        "select coalesce(max(extract(epoch from proven_until - greatest(counts_from, last_heartbeat_at))), 0)::float8
         from service_windows, runtime_node_presence join runtime_nodes using (node_key) where node_id = 'dead-1'",
    )
    .fetch_one(&database.pool)
    .await
    .expect("windows can be read")
}
