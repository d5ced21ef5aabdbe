//! Quotas: a participant at its bound is refused with a delay, and nobody else is.

use std::time::Duration;

use contracts::{
    refusal::{ReceivedRefusal, RetryAdvice},
    wire::v1::{
        ListSessionsRequest, SlotState, StreamHeartbeatsRequest, WatchRosterRequest, WatchRosterResponse,
    },
};
use tests::{Attaching, Client, Daemon, Plane, PlaneOptions, Proxy, eventually, refusal};
use tokio::{sync::mpsc, task::JoinSet, time::sleep};
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Status, Streaming};

fn check(refused: &ReceivedRefusal, resource: &str, limit: &str) {
    assert_eq!(refused.code, "resource.limit_exceeded");
    assert_eq!(refused.advice, RetryAdvice::SameRequest);
    let facts = ["resource", "limit", "current"].map(|fact| refused.facts[fact].as_str());
    assert_eq!(facts, [resource, limit, limit]);
    assert!(refused.retry_delay.is_some_and(|delay| !delay.is_zero()), "{refused:?}");
}

async fn refusals(plane: &Plane, resource: &str) -> f64 {
    let name = format!(r#"rollcall_quota_refusals_total{{limit="{resource}"}}"#);
    plane.metric(&name).await.expect("it is counted from the beginning")
}

async fn watch(client: &Client, session: &str) -> Result<Streaming<WatchRosterResponse>, Status> {
    let request = WatchRosterRequest { session_id: session.to_owned(), revision: String::new() };
    Ok(client.nodes.clone().watch_roster(request).await?.into_inner())
}

async fn ask(client: &Client) -> Result<(), Status> {
    client.sessions.clone().list_sessions(ListSessionsRequest::default()).await.map(drop)
}

#[tokio::test]
async fn calls_in_flight_are_bounded_for_each_participant_and_given_back_when_they_are_cancelled() {
    const RESOURCE: &str = "calls_in_flight_per_participant";
    let plane = Plane::start(PlaneOptions::default().flag("--participant-calls-max", "2")).await;
    let client = plane.client().await;
    let session = client.session().await;
    let (_, other) = plane.stranger().await;
    let mut lock = plane.database.pool.begin().await.unwrap();
    sqlx::query("select from sessions where id = $1::uuid for update")
        .bind(&session)
        .execute(&mut *lock)
        .await
        .unwrap();
    let attach = |node_id: &str| {
        let (client, attaching) = (client.clone(), Attaching::new(&session, node_id));
        tokio::spawn(async move { client.attach(&attaching).await })
    };
    let (one, two) = (attach("laptop-1"), attach("laptop-2"));
    plane.database.has_blocked(2).await;
    assert_eq!(refusals(&plane, RESOURCE).await, 0.0);
    // Over another connection all the same: what counts is who asks.
    let beside = plane.client().await;
    for refused in [refusal(ask(&client).await), refusal(ask(&beside).await)] {
        check(&refused, RESOURCE, "2");
    }
    assert_eq!(refusals(&plane, RESOURCE).await, 2.0);
    ask(&other).await.expect("another participant is let in");
    watch(&client, &session).await.expect("streams count apart");

    one.abort();
    let asked = async || ask(&client).await;
    eventually("the cancelled call counts no more", asked, Result::is_ok).await.unwrap();
    lock.rollback().await.unwrap();
    two.await.unwrap().expect("the call under way was not harmed");
    assert!(plane.database.is_service_unbroken().await, "the server's own beats count for nobody");
}

#[tokio::test]
async fn streams_are_bounded_for_each_participant_and_given_back_however_they_end() {
    const RESOURCE: &str = "streams_per_participant";
    let plane = Plane::start(PlaneOptions::default().flag("--participant-streams-max", "2")).await;
    let client = plane.client().await;
    let session = client.session().await;
    let (_, other) = plane.stranger().await;
    let others = other.session().await;
    let is_full = async || check(&refusal(watch(&client, &session).await), RESOURCE, "2");
    let opened = async || watch(&client, &session).await;

    // Two kinds, one bound. The caller ends the one and cancels the other.
    let (batches, outgoing) = mpsc::channel::<StreamHeartbeatsRequest>(1);
    let beats = client.nodes.clone().stream_heartbeats(ReceiverStream::new(outgoing)).await.unwrap();
    let watching = opened().await.unwrap();
    is_full().await;
    watch(&other, &others).await.expect("another participant is let in");
    ask(&client).await.expect("calls count apart");
    drop(batches);
    assert!(beats.into_inner().message().await.unwrap().is_none());
    let second = eventually("the stream that ended counts no more", opened, Result::is_ok).await.unwrap();
    is_full().await;
    drop(watching);
    let third = eventually("the stream that was cancelled counts no more", opened, Result::is_ok).await;
    is_full().await;
    drop((second, third));

    // Connections that are cut.
    let proxy = Proxy::before(&plane.address).await;
    let far = Client::connect(&format!("http://{}", proxy.address), plane.token()).await;
    let mut cut = Vec::new();
    for _ in 0..2 {
        let opened = async || watch(&far, &session).await;
        cut.push(eventually("there is room", opened, Result::is_ok).await.unwrap());
    }
    is_full().await;
    proxy.cut();
    let first = eventually("streams of a cut connection count no more", opened, Result::is_ok).await;
    let second = eventually("the second neither", opened, Result::is_ok).await;
    is_full().await;
    drop((first, second));
    assert!(refusals(&plane, RESOURCE).await >= 4.0);

    // Many that come and go leave nothing behind.
    for _ in 0..100 {
        drop(eventually("there is room", opened, Result::is_ok).await);
    }
}

#[tokio::test]
async fn attaches_are_bounded_over_time_for_each_participant() {
    const RESOURCE: &str = "attaches_at_once_per_participant";
    let options = PlaneOptions::default()
        .flag("--participant-attach-burst", "3")
        .flag("--participant-attach-rate", "1");
    let plane = Plane::start(options).await;
    let client = plane.client().await;
    let session = client.session().await;
    let (_, other) = plane.stranger().await;
    let others = other.session().await;
    // More at once than come back while they are asked for.
    let mut attaching = JoinSet::new();
    for number in 0..12 {
        let (client, attach) = (client.clone(), Attaching::new(&session, &format!("laptop-{number}")));
        attaching.spawn(async move { (attach.0.node_id.clone(), client.attach(&attach).await) });
    }
    let (attached, refused): (Vec<_>, Vec<_>) =
        attaching.join_all().await.into_iter().partition(|(_, attached)| attached.is_ok());
    assert!(attached.len() >= 3, "the burst is let in");
    let (late, refused) = refused.into_iter().next().expect("not all are let in");
    let refused = refusal(refused);
    check(&refused, RESOURCE, "3");
    let wait = refused.retry_delay.unwrap();
    assert!(wait <= Duration::from_secs(1), "{wait:?}");
    assert!(refusals(&plane, RESOURCE).await >= 1.0);
    assert_eq!(client.roster(&session).await.len(), attached.len(), "a refused attach leaves no trace");
    // Only attaches count, and only those of this participant.
    let (node_id, attached) = attached.into_iter().next().unwrap();
    client.beat(&node_id, attached.unwrap().generation).await.expect("beats are not attaches");
    other.online(&others, "desktop-1").await;
    sleep(wait).await;
    client.online(&session, &late).await;
}

#[tokio::test]
async fn daemons_that_come_all_at_once_wait_their_turn() {
    let options = PlaneOptions::default()
        .beat_every_ms(1_000)
        .flag("--participant-attach-burst", "1")
        .flag("--participant-attach-rate", "2");
    let plane = Plane::start(options).await;
    let client = plane.client().await;
    let session = client.session().await;
    let mut daemons: Vec<_> =
        (0..4).map(|number| Daemon::start(&plane, &session, &format!("laptop-{number}"))).collect();
    let online = async || {
        let roster = client.roster(&session).await;
        roster.iter().filter(|node| node.slot_state() == SlotState::Online).count()
    };
    eventually("all are online", online, |count| *count == 4).await;
    assert!(refusals(&plane, "attaches_at_once_per_participant").await >= 1.0);
    assert!(daemons.iter_mut().all(|daemon| daemon.process.is_running()));
    let nodes = client.roster(&session).await;
    assert!(nodes.iter().all(|node| node.generation == 1), "each attached once: {nodes:?}");
}
