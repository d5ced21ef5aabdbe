//! Silence: degraded past one threshold, offline past the next, and back by the first beat.

use std::time::Duration;

use contracts::wire::v1::{Beat, HeartbeatRequest, PresenceCause, PresenceHealth, ReportedHealth};
use tests::{Attached, Attaching, Client, Living, Plane, PlaneOptions, RosterWatch, Transition, eventually};

const BEAT: Duration = Duration::from_millis(900);
const DEGRADED_AFTER: Duration = BEAT.saturating_mul(2);
const OFFLINE_AFTER: Duration = BEAT.saturating_mul(4);
/// A sweep, and a proof of service: what a transition may lag behind its threshold.
const LAG: Duration = Duration::from_millis(900 / 3 + 900 / 5);
/// What a busy machine may add to it.
const BUSY: Duration = Duration::from_millis(1_500);

/// A server that was there for an hour, with a session.
async fn long_serving() -> (Plane, Client, String) {
    let plane = Plane::start(PlaneOptions::default().beat_every_ms(900)).await;
    plane.database.age_service().await;
    plane.database.record_transitions().await;
    let client = plane.client().await;
    let session = client.session().await;
    (plane, client, session)
}

fn steps(transitions: &[Transition]) -> Vec<(&str, &str, &str)> {
    transitions.iter().map(|step| (step.from.as_str(), step.to.as_str(), step.cause.as_str())).collect()
}

/// Went silent, and was found twice: never before a threshold, and each time soon after it.
async fn check_silence_was_found(plane: &Plane, node_id: &str) {
    let transitions = plane.database.transitions(node_id).await;
    assert_eq!(
        steps(&transitions),
        [("online", "degraded", "silence"), ("degraded", "offline", "silence")],
        "{node_id}"
    );
    for (transition, threshold) in transitions.iter().zip([DEGRADED_AFTER, OFFLINE_AFTER]) {
        assert!(transition.silent_for > threshold, "too early: {transition:?}");
        println!("{node_id} is {} after {:?} of {threshold:?}", transition.to, transition.silent_for);
        // An interruption of the service, as a very busy machine may cause it, stops the clock.
        if plane.database.is_service_unbroken().await {
            assert!(transition.silent_for < threshold + LAG + BUSY, "too late: {transition:?}");
        }
    }
}

#[tokio::test]
async fn a_silent_node_goes_degraded_and_then_offline_each_within_one_sweep_and_never_early() {
    let plane = Plane::start(PlaneOptions::default().beat_every_ms(900)).await;
    let client = plane.client().await;
    let session = client.session().await;
    let nodes = client.attach_all(&session, "living", 6).await;
    let living = Living::start(&client, &nodes, BEAT / 3);
    living.are_heard().await;
    plane.database.all_are("living-", "online").await;
    plane.database.record_transitions().await;
    plane.database.age_service().await;
    let watch = RosterWatch::start(&client, &session).await;
    for number in 1..=4 {
        let node_id = format!("silent-{number}");
        let generation = client.online(&session, &node_id).await;
        client.beat(&node_id, generation).await.expect("its last beat is heard");
    }

    plane.database.all_are("silent-", "offline").await;
    for number in 1..=4 {
        let node_id = format!("silent-{number}");
        check_silence_was_found(&plane, &node_id).await;
        watch.shows(&node_id, PresenceHealth::Offline).await;
        assert_eq!(
            watch.shown(&node_id),
            [
                (PresenceHealth::Online, PresenceCause::SelfReported),
                (PresenceHealth::Degraded, PresenceCause::Silence),
                (PresenceHealth::Offline, PresenceCause::Silence),
            ]
        );
    }
    assert!(plane.database.transitions("living-").await.is_empty(), "the living were left alone");
}

#[tokio::test]
async fn a_node_that_attaches_and_never_beats_goes_degraded_and_then_offline() {
    let (plane, client, session) = long_serving().await;
    client.online(&session, "mute").await;
    client.attach(&Attaching::new(&session, "mute-registering")).await.expect("it is let in");

    plane.database.all_are("mute", "offline").await;
    check_silence_was_found(&plane, "mute-registering").await;
    let node = client.node(&session, "mute-registering").await;
    assert_eq!(node.presence.expect("it has a presence").health(), PresenceHealth::Offline);
    // Silence says nothing about the slot.
    assert_eq!(node.slot_state(), contracts::wire::v1::SlotState::Registering);
}

#[tokio::test]
async fn beats_that_resume_between_the_thresholds_restore_online_without_passing_offline() {
    let (plane, client, session) = long_serving().await;
    let watch = RosterWatch::start(&client, &session).await;
    let node = client.attach_all(&session, "wavering", 1).await;

    for round in 1..=3 {
        watch.shows("wavering-1", PresenceHealth::Degraded).await;
        client.beat(&node[0].node_id, node[0].generation).await.expect("it is heard again");
        watch.shows("wavering-1", PresenceHealth::Online).await;
        let transitions = plane.database.transitions("wavering-1").await;
        let back = [("online", "degraded", "silence"), ("degraded", "online", "self_reported")];
        assert_eq!(steps(&transitions), back.repeat(round));
    }
}

#[tokio::test]
async fn an_offline_node_that_beats_is_online_again_without_a_new_attach() {
    let (plane, client, session) = long_serving().await;
    let watch = RosterWatch::start(&client, &session).await;
    let node = client.attach_all(&session, "late", 1).await;
    watch.shows("late-1", PresenceHealth::Offline).await;

    let ack = client.beat("late-1", node[0].generation).await.expect("its generation still holds");
    assert_eq!(ack.next_heartbeat_in.map(Duration::try_from), Some(Ok(BEAT)));
    watch.shows("late-1", PresenceHealth::Online).await;
    let shown = client.node(&session, "late-1").await;
    assert_eq!(shown.presence.expect("it has a presence").health(), PresenceHealth::Online);
    assert_eq!(shown.generation, node[0].generation);
    let last = plane.database.transitions("late-1").await.pop().expect("it changed");
    assert_eq!((last.from.as_str(), last.to.as_str()), ("offline", "online"));
}

#[tokio::test]
async fn a_degraded_node_says_whether_it_was_its_own_word_or_silence() {
    let (plane, client, session) = long_serving().await;
    let unwell = client.attach_all(&session, "unwell", 1).await;
    let beat_unwell = async |node: &Attached| {
        let beat = Beat { health: ReportedHealth::Degraded.into(), ..node.beat() };
        let request = HeartbeatRequest { beat: Some(beat) };
        client.nodes.clone().heartbeat(request).await.expect("it is heard");
    };
    beat_unwell(&unwell[0]).await;
    client.online(&session, "silent").await;

    let causes = async || {
        beat_unwell(&unwell[0]).await;
        let roster = client.roster(&session).await;
        let presences = roster.into_iter().map(|node| node.presence.expect("it has a presence"));
        presences.map(|presence| (presence.health(), presence.cause())).collect::<Vec<_>>()
    };
    let both = [
        (PresenceHealth::Degraded, PresenceCause::Silence),
        (PresenceHealth::Degraded, PresenceCause::SelfReported),
    ];
    eventually("both are degraded, each by its own cause", causes, |causes| *causes == both).await;

    // From here on it is silent too: its word stands until silence says more.
    plane.database.all_are("unwell", "offline").await;
    let transitions = plane.database.transitions("unwell").await;
    assert_eq!(
        steps(&transitions),
        [("online", "degraded", "self_reported"), ("degraded", "offline", "silence")]
    );
    assert!(transitions[1].silent_for > OFFLINE_AFTER, "{transitions:?}");
}

#[tokio::test]
async fn sweeps_write_presences_of_the_silent_and_nothing_else() {
    let plane = Plane::start(PlaneOptions::default().beat_every_ms(900)).await;
    plane.database.age_service().await;
    let client = plane.client().await;
    let session = client.session().await;
    let detached = client.attach_all(&session, "detached", 1).await;
    client.detach("detached-1", detached[0].generation).await.expect("it is let go");
    client.attach_all(&session, "silent", 3).await;
    let before = plane.database.snapshot().await;

    plane.database.all_are("silent-", "offline").await;
    let after = plane.database.snapshot().await;
    for table in ["sessions", "session_memberships", "participants", "runtime_nodes"] {
        assert_eq!(after.rows(table), before.rows(table));
    }
    for table in ["runtime_node_attachments", "attachment_spans"] {
        assert_eq!(after.rows(table), before.rows(table));
    }
    let untouched = before
        .rows("runtime_node_presence")
        .iter()
        .filter(|row| after.rows("runtime_node_presence").contains(row));
    let untouched: Vec<_> = untouched.collect();
    assert_eq!(untouched.len(), 1, "all but the detached one were written: {untouched:?}");
    assert!(untouched[0].contains("detached"), "{untouched:?}");
    let brake: Option<f64> = plane.metric("rollcall_presence_brake_holding").await;
    assert_eq!(brake, Some(0.0));
}
