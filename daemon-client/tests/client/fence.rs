//! The fence: the application is told in time, and told again when it is over.

use std::time::Duration;

use contracts::{Code, Refusal};
use daemon_client::Standing;
use tokio::time::Instant;

use crate::{
    node::{node, until, until_attached},
    server::{Running, Script},
};

const OFFLINE_AFTER: Duration = Duration::from_millis(1_500);

fn is_fenced(standing: &Standing) -> bool {
    matches!(standing, Standing::Fenced { .. })
}

#[tokio::test]
async fn a_node_that_is_not_acknowledged_fences_itself_in_time_and_comes_back() {
    let script = Script::new().offline_after(OFFLINE_AFTER);
    let server = Running::start(&script).await;
    let node = node(server.address());
    until_attached(&node).await;
    script.more_beats(2).await;
    script.refuse_beats(Refusal::new(Code::SystemUnavailable, "the database is away"));
    let refused_from = Instant::now();
    let fenced = until(&node, "fence", is_fenced).await;
    assert!(refused_from.elapsed() < OFFLINE_AFTER, "before the server can call it offline");
    assert!(!fenced.may_act(Instant::now()));
    assert!(matches!(fenced, Standing::Fenced { setback: Some(_), .. }), "and says why: {fenced:?}");

    script.accept_beats();
    let back = until_attached(&node).await;
    assert_eq!(back.attachment().unwrap().generation, 1);
    assert_eq!(script.attaches(), 1, "without a new attach");
}

#[tokio::test]
async fn the_fence_falls_while_a_beat_is_under_way() {
    let script = Script::new().offline_after(Duration::from_millis(400)).interval(Duration::from_millis(60));
    let server = Running::start(&script).await;
    let node = node(server.address());
    until_attached(&node).await;
    script.mute(true);
    let fenced = until(&node, "fence", is_fenced).await;
    let Standing::Fenced { attachment, since, .. } = fenced else { panic!("{fenced:?}") };
    assert_eq!(attachment.fence_after, Duration::from_millis(360));
    assert!(since <= Instant::now());
    script.mute(false);
    until_attached(&node).await;
}

#[tokio::test]
async fn a_repeated_attach_counts_from_the_first_try() {
    // The first try takes the slot, and its answer is lost; the second is told so.
    let script = Script::new().offline_after(Duration::from_millis(500)).interval(Duration::from_secs(60));
    let lost = tonic::Status::unavailable("the answer is lost");
    script.refuse_attach(lost);
    let wait = Refusal::new(Code::ControllerRecovering, "soon").with_retry_delay(Duration::from_millis(600));
    script.refuse_attach(wait);
    script.attaches_are_repeats();
    let server = Running::start(&script).await;
    let node = node(server.address());
    let mut standing = node.standing();
    let first = standing.wait_for(|standing| standing.attachment().is_some()).await.unwrap().clone();
    assert!(is_fenced(&first) || script.beats() > 0, "{first:?}");
    script.until("a beat at once", |script| script.beats() == 1).await;
    until_attached(&node).await;
}
