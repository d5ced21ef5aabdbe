//! The mass-offline brake: when most of the fleet falls silent at once, nobody is called offline for a while.

use std::time::Duration;

use contracts::wire::v1::{ExplainNodeRequest, FindingKind, PresenceHealth};
use tests::{Attached, Client, Living, Plane, PlaneOptions, RosterWatch, eventually};

const BEAT: Duration = Duration::from_millis(900);
const OFFLINE_AFTER: Duration = BEAT.saturating_mul(4);
const HOLDING: &str = "rollcall_presence_brake_holding";

/// A fleet of this many nodes, named `<kind>-<n>`, of a server whose service is old enough. They fall silent at once,
/// when the last value is dropped.
async fn fleet(kind: &str, count: usize, hold: Duration) -> (Plane, Client, String, Vec<Attached>, Living) {
    let hold = format!("{}ms", hold.as_millis());
    let options = PlaneOptions::default().beat_every_ms(900).flag("--brake-hold", &hold);
    let plane = Plane::start(options).await;
    let client = plane.client().await;
    let session = client.session().await;
    let nodes = client.attach_all(&session, kind, count).await;
    let living = Living::start(&client, &nodes, BEAT / 3);
    living.are_heard().await;
    // Not before: until all are attached and beat, a busy machine may keep the first ones silent for too long.
    plane.database.all_are(kind, "online").await;
    plane.database.record_transitions().await;
    plane.database.age_service().await;
    (plane, client, session, nodes, living)
}

/// Since when the brake holds, as stored, and the transaction that wrote it.
async fn stored_hold(plane: &Plane) -> (Option<String>, String) {
    sqlx::query_as("select held_since::text, xmin::text from presence_brake")
        .fetch_one(&plane.database.pool)
        .await
        .expect("the brake can be read")
}

async fn brake_findings(client: &Client, node_id: &str) -> usize {
    let request = ExplainNodeRequest { node_id: node_id.to_owned() };
    let explained =
        client.admin.clone().explain_node(request).await.expect("it can be explained").into_inner();
    explained.findings.iter().filter(|finding| finding.kind() == FindingKind::Brake).count()
}

async fn offline(plane: &Plane) -> usize {
    let transitions = plane.database.transitions("").await;
    transitions.iter().filter(|transition| transition.to == "offline").count()
}

/// Waits until the brake holds, and gives what is stored of it.
async fn holds(plane: &Plane) -> Option<String> {
    let look = async || stored_hold(plane).await.0;
    eventually("the brake holds", look, Option::is_some).await
}

/// Nobody was called offline before the hold that began then was over.
async fn check_the_hold_was_kept(plane: &Plane, since: Option<&String>, hold: Duration) {
    let since = since.expect("the hold has a beginning");
    let first_offline = plane.database.first_offline_after(since).await;
    assert!(first_offline >= hold, "{first_offline:?} of {hold:?}");
}

#[tokio::test]
async fn when_all_of_forty_fall_silent_nobody_is_offline_until_the_hold_is_over() {
    let hold = OFFLINE_AFTER * 2;
    let (plane, client, session, _, living) = fleet("silent", 40, hold).await;
    let watch = RosterWatch::start(&client, &session).await;
    drop(living);

    let since = holds(&plane).await;
    plane.database.all_are("silent-", "degraded").await;
    let metric = async || plane.metric(HOLDING).await;
    eventually("the metric says so", metric, |value| *value == Some(1.0)).await;
    assert_eq!(brake_findings(&client, "silent-1").await, 1);

    plane.database.all_are("silent-", "offline").await;
    check_the_hold_was_kept(&plane, since.as_ref(), hold).await;
    eventually("the metric says that it let go", metric, |value| *value == Some(0.0)).await;
    eventually("nothing is stored", async || stored_hold(&plane).await.0, Option::is_none).await;
    assert_eq!(brake_findings(&client, "silent-1").await, 0);
    for number in 1..=40 {
        watch.shows(&format!("silent-{number}"), PresenceHealth::Offline).await;
        assert_eq!(watch.shown(&format!("silent-{number}")).len(), 3, "online, degraded, offline");
    }
}

#[tokio::test]
async fn nineteen_are_too_few_to_hold_anything_back() {
    let (plane, _client, _session, _, living) = fleet("silent", 19, OFFLINE_AFTER * 5 / 4).await;
    let before = stored_hold(&plane).await;
    drop(living);
    plane.database.all_are("silent-", "offline").await;
    assert_eq!(stored_hold(&plane).await, before, "the brake was never touched");
    assert_eq!(before.0, None);
}

#[tokio::test]
async fn half_of_the_fleet_is_not_most_of_it() {
    let (plane, client, session, _, _living) = fleet("living", 20, OFFLINE_AFTER * 5 / 4).await;
    let before = stored_hold(&plane).await;
    client.attach_all(&session, "silent", 20).await;
    plane.database.all_are("silent-", "offline").await;
    assert_eq!(stored_hold(&plane).await, before, "the brake was never touched");
    assert_eq!(plane.database.transitions("living-").await, []);
}

#[tokio::test]
async fn a_server_that_is_killed_during_the_hold_goes_on_with_it() {
    let hold = OFFLINE_AFTER * 3;
    let (mut plane, client, session, _, living) = fleet("silent", 40, hold).await;
    drop(living);
    let since = holds(&plane).await;
    for _ in 0..2 {
        plane = plane.kill_and_restart().await;
        let watch = RosterWatch::start(&client, &session).await;
        let metric = async || plane.metric(HOLDING).await;
        eventually("the next leader holds too", metric, |value| *value == Some(1.0)).await;
        assert_eq!(stored_hold(&plane).await.0, since, "the hold is the same one");
        assert_eq!(brake_findings(&client, "silent-1").await, 1);
        drop(watch);
    }
    plane.database.all_are("silent-", "offline").await;
    check_the_hold_was_kept(&plane, since.as_ref(), hold).await;
}

#[tokio::test]
async fn beats_that_resume_release_the_brake_and_nobody_was_offline() {
    let (plane, client, session, nodes, living) = fleet("silent", 40, OFFLINE_AFTER * 3).await;
    let watch = RosterWatch::start(&client, &session).await;
    drop(living);
    holds(&plane).await;
    plane.database.all_are("silent-", "degraded").await;

    let _living = Living::start(&client, &nodes, BEAT / 3);
    plane.database.all_are("silent-", "online").await;
    eventually("the brake is released", async || stored_hold(&plane).await.0, Option::is_none).await;
    let metric = async || plane.metric(HOLDING).await;
    eventually("the metric says so", metric, |value| *value == Some(0.0)).await;
    assert_eq!(offline(&plane).await, 0);
    for node in &nodes {
        let shown: Vec<_> = watch.shown(&node.node_id).into_iter().map(|(health, _)| health).collect();
        let expected = [PresenceHealth::Online, PresenceHealth::Degraded, PresenceHealth::Online];
        assert_eq!(shown, expected, "{}", node.node_id);
    }
}
