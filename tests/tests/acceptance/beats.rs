//! Beats: judged one by one, committed together, answered after the commit, and bounded.

use std::time::Duration;

use contracts::{
    limits::BEATS_PER_BATCH_MAX,
    refusal::RetryAdvice,
    wire::v1::{
        Beat, BeatResult, PresenceHealth, ReportedHealth, StreamHeartbeatsRequest, StreamHeartbeatsResponse,
        beat_result::Outcome,
    },
};
use sqlx::{Connection, Executor, PgConnection};
use tests::{Attached, Client, Plane, PlaneOptions, PrivatePostgres, eventually, refusal};
use tokio::{
    sync::mpsc,
    time::{Instant, timeout},
};
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Status, Streaming};

/// A stream of batches, as its caller holds it.
struct Batches {
    sender: mpsc::Sender<StreamHeartbeatsRequest>,
    answers: Streaming<StreamHeartbeatsResponse>,
}

impl Batches {
    async fn open(client: &Client) -> Self {
        let (sender, outgoing) = mpsc::channel(1);
        let answers = client.nodes.clone().stream_heartbeats(ReceiverStream::new(outgoing)).await;
        Self { sender, answers: answers.expect("the stream opens").into_inner() }
    }

    async fn send(&self, batch_id: u64, beats: Vec<Beat>) {
        self.sender.send(StreamHeartbeatsRequest { batch_id, beats }).await.expect("the stream is open");
    }

    async fn answer(&mut self) -> Result<StreamHeartbeatsResponse, Status> {
        Ok(self.answers.message().await?.expect("the stream goes on"))
    }

    async fn ask(&mut self, batch_id: u64, beats: Vec<Beat>) -> Vec<BeatResult> {
        self.send(batch_id, beats).await;
        let answer = self.answer().await.expect("the batch is answered");
        assert_eq!(answer.batch_id, batch_id);
        answer.results
    }
}

/// A server, a client, a session, and its nodes `node-1` and so on.
async fn serving(options: PlaneOptions, nodes: usize) -> (Plane, Client, String, Vec<Attached>) {
    let plane = Plane::start(options).await;
    let client = plane.client().await;
    let session = client.session().await;
    let nodes = client.attach_all(&session, "node", nodes).await;
    (plane, client, session, nodes)
}

fn code(result: &BeatResult) -> &str {
    match result.outcome.as_ref().expect("a result has its outcome") {
        Outcome::Ack(_) => "committed",
        Outcome::Refusal(refusal) => &refusal.code,
    }
}

#[tokio::test]
async fn refused_beats_of_a_batch_do_not_disturb_the_others() {
    let (plane, client, session, nodes) = serving(PlaneOptions::default(), 3).await;
    let detached = client.attach_all(&session, "detached", 1).await;
    client.detach("detached-1", detached[0].generation).await.expect("it is let go");
    let former = client.attach_all(&session, "twice", 1).await;
    let latter = client.online(&session, "twice-1").await;
    let beat = |node_id: &str, generation| Beat {
        node_id: node_id.to_owned(),
        generation,
        health: ReportedHealth::Online.into(),
    };
    let beats = vec![
        nodes[0].beat(),
        beat("", 1),
        beat("nobody", 1),
        nodes[1].beat(),
        former[0].beat(),
        detached[0].beat(),
        Beat { health: ReportedHealth::Unspecified.into(), ..nodes[2].beat() },
        Beat { health: 7, ..nodes[2].beat() },
        beat("node-3", 0),
        beat("node-3", u64::MAX),
        beat("node-3", nodes[2].generation + 1),
        beat("twice-1", latter),
    ];
    let before = plane.database.snapshot().await;

    let results = Batches::open(&client).await.ask(7, beats).await;
    let codes: Vec<_> = results.iter().map(code).collect();
    assert_eq!(
        codes,
        [
            "committed",
            "argument.invalid",
            "runtimenode.permission_denied",
            "committed",
            "runtimenode.generation_superseded",
            "runtimenode.not_attached",
            "argument.invalid",
            "argument.invalid",
            "argument.invalid",
            "argument.invalid",
            "runtimenode.not_attached",
            "committed",
        ]
    );
    let fields: Vec<_> = results
        .iter()
        .filter_map(|result| match result.outcome.as_ref()? {
            Outcome::Refusal(refusal) => Some(refusal.field.as_str()).filter(|field| !field.is_empty()),
            Outcome::Ack(_) => None,
        })
        .collect();
    assert_eq!(fields, ["beat.node_id", "beat.health", "beat.health", "beat.generation", "beat.generation"]);
    let after = plane.database.snapshot().await;
    let rewritten = before.rows("runtime_node_presence").iter();
    let rewritten = rewritten.filter(|row| !after.rows("runtime_node_presence").contains(row)).count();
    assert_eq!(rewritten, 3, "the three that were committed, and no other");
    assert_eq!(after.rows("runtime_node_attachments"), before.rows("runtime_node_attachments"));
}

#[tokio::test]
async fn a_beat_is_in_the_database_when_it_is_answered() {
    let (plane, client, _, nodes) = serving(PlaneOptions::default(), 1).await;
    let heard_at = async || -> i64 {
        sqlx::query_scalar(
            "select (extract(epoch from last_heartbeat_at) * 1000000)::bigint from runtime_node_presence
             where node_key > 0",
        )
        .fetch_one(&plane.database.pool)
        .await
        .expect("the presence is there")
    };
    let now = async || -> i64 {
        sqlx::query_scalar("select (extract(epoch from clock_timestamp()) * 1000000)::bigint")
            .fetch_one(&plane.database.pool)
            .await
            .expect("the database has a clock")
    };
    for _ in 0..50 {
        let before = now().await;
        client.beat("node-1", nodes[0].generation).await.expect("it is heard");
        assert!(heard_at().await >= before, "this very beat is there");
    }
    let mut batches = Batches::open(&client).await;
    for batch_id in 0..50 {
        let before = now().await;
        let results = batches.ask(batch_id, vec![nodes[0].beat()]).await;
        assert_eq!(code(&results[0]), "committed");
        assert!(heard_at().await >= before, "this very beat is there");
    }
}

#[tokio::test]
async fn of_several_beats_of_a_node_in_a_batch_the_last_counts_and_all_are_answered() {
    let (_plane, client, session, nodes) = serving(PlaneOptions::default(), 2).await;
    let mut batches = Batches::open(&client).await;
    let degraded = |node: &Attached| Beat { health: ReportedHealth::Degraded.into(), ..node.beat() };
    let beats = vec![degraded(&nodes[0]), nodes[1].beat(), nodes[0].beat(), degraded(&nodes[1])];
    let results = batches.ask(1, beats).await;
    assert_eq!(results.iter().map(code).collect::<Vec<_>>(), ["committed"; 4]);
    let roster = client.roster(&session).await;
    let healths: Vec<_> =
        roster.into_iter().map(|node| node.presence.expect("it has a presence").health()).collect();
    assert_eq!(healths, [PresenceHealth::Online, PresenceHealth::Degraded]);
}

#[tokio::test]
async fn a_batch_has_at_most_4096_beats() {
    let (_plane, client, _, nodes) = serving(PlaneOptions::default(), 1).await;
    let mut batches = Batches::open(&client).await;
    let results = batches.ask(1, vec![nodes[0].beat(); BEATS_PER_BATCH_MAX]).await;
    assert_eq!(results.len(), BEATS_PER_BATCH_MAX);
    assert!(results.iter().all(|result| code(result) == "committed"));
    assert!(batches.ask(2, Vec::new()).await.is_empty(), "an empty one is answered too");

    batches.send(3, vec![nodes[0].beat(); BEATS_PER_BATCH_MAX + 1]).await;
    let refused = refusal(batches.answer().await);
    assert_eq!((refused.code.as_str(), refused.field.as_deref()), ("argument.invalid", Some("beats")));
}

#[tokio::test]
async fn batches_are_answered_in_their_order() {
    let (_plane, client, _, nodes) = serving(PlaneOptions::default(), 5).await;
    let Batches { sender, mut answers } = Batches::open(&client).await;
    tokio::spawn(async move {
        for batch_id in 0..200 {
            // Of very different sizes, so that a later one could overtake.
            let beats = if batch_id % 2 == 0 { vec![nodes[0].beat(); 500] } else { vec![nodes[1].beat()] };
            sender.send(StreamHeartbeatsRequest { batch_id, beats }).await.expect("the stream is open");
        }
    });
    for batch_id in 0..200 {
        let answer = answers.message().await.expect("the stream holds").expect("it goes on");
        assert_eq!(answer.batch_id, batch_id);
        assert_eq!(answer.results.len(), if batch_id % 2 == 0 { 500 } else { 1 });
    }
    assert!(answers.message().await.expect("it ends in order").is_none());
}

#[tokio::test]
async fn a_full_lane_refuses_beats_with_a_delay_and_keeps_the_server_small() {
    let options = PlaneOptions::default().flag("--beats-queued-max", "4096").flag("--beat-lanes", "1");
    let (plane, client, session, nodes) = serving(options, 1).await;
    let mut holder = PgConnection::connect(&plane.database.url).await.expect("Postgres answers");
    let mut lock = holder.begin().await.expect("a transaction begins");
    lock.execute("lock table runtime_node_presence in access exclusive mode")
        .await
        .expect("the lock is taken");
    let locked_at = Instant::now();

    // The canary's beat may be in the lane already, so almost all of it.
    let first = Batches::open(&client).await;
    first.send(1, vec![nodes[0].beat(); BEATS_PER_BATCH_MAX - 8]).await;
    let fill = async || {
        let waiting = timeout(Duration::from_millis(300), client.beat("node-1", nodes[0].generation)).await;
        waiting.map(|answer| answer.expect_err("nothing is committed")).ok()
    };
    let refused = eventually("the lane is full", fill, Option::is_some).await.expect("it was refused");
    let refused = refusal::<()>(Err(refused));
    assert_eq!(refused.code, "resource.limit_exceeded");
    assert_eq!(refused.advice, RetryAdvice::SameRequest);
    assert_eq!(refused.retry_delay, Some(Duration::from_secs(1)));
    assert_eq!(refused.facts["resource"], "beats_queued_per_lane");
    assert_eq!(refused.facts["limit"], "4096");
    assert_eq!(refused.facts["current"], "4096");

    let before_kib = plane.process.memory_kib();
    let mut second = Batches::open(&client).await;
    let mut refused = 0;
    while locked_at.elapsed() < Duration::from_secs(2) || refused < 10 {
        let results = second.ask(refused, vec![nodes[0].beat(); BEATS_PER_BATCH_MAX]).await;
        assert!(results.iter().all(|result| code(result) != "committed"));
        refused += 1;
    }
    let grown_kib = plane.process.memory_kib().saturating_sub(before_kib);
    assert!(grown_kib < 48 * 1024, "grown by {grown_kib} KiB while {refused} batches were refused");
    println!("{refused} batches of 4096 beats were refused, {grown_kib} KiB grown");

    lock.rollback().await.expect("the lock is let go");
    let beat = async || client.beat("node-1", nodes[0].generation).await;
    eventually("beats are taken again", beat, Result::is_ok).await.expect("it is heard");
    assert!(second.ask(9, vec![nodes[0].beat(); 100]).await.iter().all(|result| code(result) == "committed"));
    let node = client.node(&session, "node-1").await;
    assert_eq!(node.presence.expect("it has a presence").health(), PresenceHealth::Online);
}

#[tokio::test]
async fn a_caller_that_reads_no_answers_neither_fills_the_server_nor_slows_another() {
    let (plane, client, _, nodes) = serving(PlaneOptions::default(), 2).await;
    let deaf_client = plane.client().await;
    let before_kib = plane.process.memory_kib();
    let mut deaf = Vec::new();
    let mut sent = 0_u64;
    for _ in 0..8 {
        // Never read from.
        let stream = Batches::open(&deaf_client).await;
        for batch_id in 0.. {
            let beats = vec![nodes[0].beat(); BEATS_PER_BATCH_MAX];
            let send = stream.sender.send(StreamHeartbeatsRequest { batch_id, beats });
            // Taken at once for as long as the server reads: then it is held up by its own answers.
            if timeout(Duration::from_millis(500), send).await.is_err() || batch_id == 400 {
                break;
            }
            sent += 1;
        }
        deaf.push(stream);
    }
    assert!(sent < 8 * 400, "the server stopped reading from those that do not read");

    let mut slowest = Duration::ZERO;
    for _ in 0..100 {
        let began = Instant::now();
        client.beat("node-2", nodes[1].generation).await.expect("it is heard");
        slowest = slowest.max(began.elapsed());
    }
    assert!(slowest < Duration::from_secs(2), "{slowest:?}");
    let grown_kib = plane.process.memory_kib().saturating_sub(before_kib);
    assert!(grown_kib < 64 * 1024, "grown by {grown_kib} KiB after {sent} batches");
    println!(
        "{sent} batches were taken, {grown_kib} KiB grown, the slowest beat of another took {slowest:?}"
    );
}

#[tokio::test]
async fn beats_of_many_callers_are_committed_together() {
    let (plane, client, _, nodes) = serving(PlaneOptions::default(), 40).await;
    let (callers, rounds) = (nodes.len(), 40);
    let mut beating = tokio::task::JoinSet::new();
    for node in nodes {
        let client = client.clone();
        beating.spawn(async move {
            for _ in 0..rounds {
                client.beat(&node.node_id, node.generation).await.expect("it is heard");
            }
        });
    }
    while let Some(done) = beating.join_next().await {
        done.expect("every beat was committed");
    }

    let beats = (callers * rounds) as f64;
    let counted = plane.metric("rollcall_beats_total{outcome=\"committed\"}").await;
    assert_eq!(counted, Some(beats));
    let batches = plane.metric("rollcall_beat_batch_size_count").await.expect("batches are counted");
    let size = plane.metric("rollcall_beat_batch_size_sum").await.expect("batches are counted");
    assert!(size >= beats, "{size} of {beats}");
    assert!(size / batches > 2.0, "{batches} batches for {size} beats of {callers} callers at once");
    println!("{beats} beats of {callers} callers in {batches} batches");
}

#[tokio::test]
async fn beats_touch_no_index() {
    // Of its own: an open transaction anywhere in a cluster keeps Postgres from pruning, and other tests hold some.
    let postgres = PrivatePostgres::start().await;
    let plane = Plane::start_on(postgres.database().await, PlaneOptions::default()).await;
    let client = plane.client().await;
    let session = client.session().await;
    let mut nodes = Vec::new();
    let mut attaching = tokio::task::JoinSet::new();
    for part in 0..8 {
        let (client, session) = (client.clone(), session.clone());
        attaching.spawn(async move { client.attach_all(&session, &format!("part-{part}"), 40).await });
    }
    while let Some(part) = attaching.join_next().await {
        nodes.extend(part.expect("all are let in"));
    }
    let updates = async || -> (i64, i64) {
        sqlx::query_as(
            "select n_tup_upd, n_tup_hot_upd from pg_stat_user_tables where relname = 'runtime_node_presence'",
        )
        .fetch_one(&plane.database.pool)
        .await
        .expect("Postgres counts")
    };
    let rounds = 30;
    let beats: Vec<_> = nodes.iter().map(Attached::beat).collect();
    let mut batches = Batches::open(&client).await;
    for batch_id in 0..rounds {
        let results = batches.ask(batch_id, beats.clone()).await;
        assert!(results.iter().all(|result| code(result) == "committed"));
    }

    let expected = i64::try_from(beats.len() as u64 * rounds).expect("a small number");
    let (all, hot) = eventually("the updates are counted", updates, |(all, _)| *all >= expected).await;
    assert!(hot * 100 >= all * 99, "{hot} of {all} updates were HOT");
    println!("{hot} of {all} updates were HOT");
    plane.database.pool.close().await;
    drop(plane);
    postgres.end().await;
}
