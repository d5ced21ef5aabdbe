//! Attach, beat, detach, and the ends that the server decides.

use std::time::{Duration, Instant};

use contracts::{Code, Refusal, wire::v1};
use daemon_client::{Detachment, Outcome, Setback, Standing};

use crate::{
    node::{SESSION, config, node, until, until_attached, until_ended},
    server::{Call, Running, Script},
};

#[tokio::test]
async fn a_node_attaches_beats_and_detaches() {
    let script = Script::new();
    let server = Running::start(&script).await;
    let node = node(server.address());
    let standing = until_attached(&node).await;
    assert_eq!(standing.attachment().unwrap().generation, 1);
    assert!(standing.may_act(tokio::time::Instant::now()));
    script.more_beats(3).await;
    assert_eq!(node.detach("done").await, Outcome::Detached(Detachment::Acknowledged));

    let calls = script.calls();
    let Call::Attach(attach) = &calls[0] else { panic!("{calls:?}") };
    assert_eq!((attach.session_id.as_str(), attach.node_id.as_str()), (SESSION, "laptop-1"));
    assert_eq!(attach.declaration.as_ref().unwrap().capabilities[0].key, "codex");
    assert!(attach.instance_id.parse::<contracts::InstanceId>().is_ok());
    let online = v1::ReportedHealth::Online.into();
    let beat = v1::Beat { node_id: "laptop-1".to_owned(), generation: 1, health: online };
    assert_eq!(calls[1], Call::Beat(beat));
    let detach =
        v1::DetachRequest { node_id: "laptop-1".to_owned(), generation: 1, reason: "done".to_owned() };
    assert_eq!(calls.last(), Some(&Call::Detach(detach)));
}

#[tokio::test]
async fn dropping_the_handle_detaches() {
    let script = Script::new();
    let server = Running::start(&script).await;
    let node = node(server.address());
    until_attached(&node).await;
    let mut standing = node.standing();
    drop(node);
    let ended = standing.wait_for(|standing| standing.outcome().is_some()).await.unwrap().clone();
    assert_eq!(ended, Standing::Ended(Outcome::Detached(Detachment::Acknowledged)));
    assert_eq!(script.count(|call| matches!(call, Call::Detach(_))), 1);
}

#[tokio::test]
async fn a_detach_of_a_server_that_is_gone_gives_up_in_time() {
    let script = Script::new();
    let server = Running::start(&script).await;
    let node = node(server.address());
    until_attached(&node).await;
    drop(server);
    let asked_at = Instant::now();
    let outcome = node.detach("").await;
    assert!(matches!(outcome, Outcome::Detached(Detachment::Unacknowledged(_))), "{outcome:?}");
    assert!(asked_at.elapsed() < Duration::from_secs(4));
}

#[tokio::test]
async fn a_stop_in_the_middle_of_an_attach_gives_the_slot_back() {
    let script = Script::new();
    script.attach_takes(Duration::from_millis(300));
    let server = Running::start(&script).await;
    let node = node(server.address());
    script.until("attach", |script| script.attaches() == 1).await;
    assert_eq!(node.detach("changed my mind").await, Outcome::Detached(Detachment::Acknowledged));
}

#[tokio::test]
async fn a_stop_before_any_attach_has_nothing_to_detach() {
    let script = Script::new();
    let slow = Refusal::new(Code::RuntimeNodeAttachConflict, "held elsewhere");
    script.refuse_attach(slow.with_retry_delay(Duration::from_secs(60)));
    let server = Running::start(&script).await;
    let node = node(server.address());
    until(&node, "conflict", |standing| matches!(standing, Standing::Connecting { setback: Some(_) })).await;
    assert_eq!(node.detach("").await, Outcome::Detached(Detachment::NotAttached));
}

#[tokio::test]
async fn a_superseded_node_stops_and_attaches_no_more() {
    let script = Script::new();
    let server = Running::start(&script).await;
    let node = node(server.address());
    until_attached(&node).await;
    script.refuse_beats(Refusal::new(Code::RuntimeNodeGenerationSuperseded, "a newer attach holds the slot"));
    let outcome = until_ended(&node).await;
    assert!(
        matches!(&outcome, Outcome::Superseded(refusal)
        if refusal.known() == Some(Code::RuntimeNodeGenerationSuperseded)),
        "{outcome:?}"
    );
    assert_eq!(node.detach("").await, outcome, "the first outcome stays");
    assert_eq!(script.attaches(), 1);
    assert_eq!(script.count(|call| matches!(call, Call::Detach(_))), 0, "the slot is another's");
}

#[tokio::test]
async fn final_refusals_of_an_attach_are_outcomes() {
    let script = Script::new();
    let server = Running::start(&script).await;
    for (code, is_expected) in [
        (
            Code::RuntimeNodeGenerationSuperseded,
            (|o| matches!(o, Outcome::Superseded(_))) as fn(&Outcome) -> bool,
        ),
        (Code::RuntimeNodeAttachRevoked, |o| matches!(o, Outcome::Revoked(_))),
        (Code::SessionNotActive, |o| matches!(o, Outcome::SessionNotActive(_))),
        (Code::RuntimeNodePermissionDenied, |o| matches!(o, Outcome::PermissionDenied(_))),
        (Code::AuthTokenInvalid, |o| matches!(o, Outcome::TokenInvalid(_))),
        (Code::AuthTokenExpired, |o| matches!(o, Outcome::TokenInvalid(_))),
        (Code::AuthTokenRevoked, |o| matches!(o, Outcome::TokenInvalid(_))),
        (Code::VersionFloorExceeded, |o| matches!(o, Outcome::UpgradeRequired(_))),
        (Code::ArgumentInvalid, |o| matches!(o, Outcome::Refused(_))),
    ] {
        script.refuse_attach(Refusal::new(code, "no"));
        let node = node(server.address());
        let outcome = until_ended(&node).await;
        assert!(is_expected(&outcome), "{code}: {outcome:?}");
    }
}

#[tokio::test]
async fn a_conflict_is_told_and_waited_out() {
    let script = Script::new();
    script.refuse_attach(Refusal::new(Code::RuntimeNodeAttachConflict, "active in another session"));
    script.refuse_attach(Refusal::new(Code::RuntimeNodeAttachConflict, "active in another session"));
    let server = Running::start(&script).await;
    let node = node(server.address());
    let mut standing = node.standing();
    let told = standing.wait_for(|standing| {
        matches!(standing, Standing::Connecting { setback: Some(Setback::Refused(refusal)) }
            if refusal.known() == Some(Code::RuntimeNodeAttachConflict))
    });
    told.await.unwrap();
    until_attached(&node).await;
    assert_eq!(script.attaches(), 3);
}

#[tokio::test]
async fn a_wait_that_the_server_asks_for_is_kept() {
    let script = Script::new();
    let advised = Duration::from_millis(700);
    script.refuse_attach(Refusal::new(Code::ControllerRecovering, "soon").with_retry_delay(advised));
    let server = Running::start(&script).await;
    let started_at = Instant::now();
    let node = node(server.address());
    until_attached(&node).await;
    assert!(started_at.elapsed() >= advised);
    assert_eq!(script.attaches(), 2);
}

#[tokio::test]
async fn a_status_that_is_not_rollcalls_ends_nothing() {
    let script = Script::new();
    script.refuse_attach(tonic::Status::permission_denied("a proxy"));
    script.refuse_attach(tonic::Status::unavailable("no healthy upstream"));
    let server = Running::start(&script).await;
    let node = node(server.address());
    until_attached(&node).await;
}

#[tokio::test]
async fn a_node_that_the_server_forgot_attaches_again_as_the_same_instance() {
    let script = Script::new();
    let server = Running::start(&script).await;
    let node = node(server.address());
    until_attached(&node).await;
    script.generation(2);
    script.refuse_beats(Refusal::new(Code::RuntimeNodeNotAttached, "attach first"));
    script.until("another attach", |script| script.attaches() > 1).await;
    script.accept_beats();
    until(
        &node,
        "attachment",
        |standing| matches!(standing, Standing::Attached { attachment, .. } if attachment.generation == 2),
    )
    .await;
    script.more_beats(1).await;
    let instances: Vec<String> = script
        .calls()
        .into_iter()
        .filter_map(|call| match call {
            Call::Attach(attach) => Some(attach.instance_id),
            Call::Beat(_)
            | Call::Update(_)
            | Call::Detach(_)
            | Call::Renew(_)
            | Call::Exchange(_)
            | Call::Append(_) => None,
        })
        .collect();
    assert!(instances.iter().all(|instance| *instance == instances[0]));
}

#[tokio::test]
async fn each_start_is_an_instance_of_its_own() {
    let script = Script::new();
    let server = Running::start(&script).await;
    let nodes = [node(server.address()), node(server.address())];
    for node in &nodes {
        until_attached(node).await;
    }
    let instances: Vec<Call> =
        script.calls().into_iter().filter(|call| matches!(call, Call::Attach(_))).collect();
    assert_ne!(instances[0], instances[1]);
}

#[tokio::test]
async fn read_only_follows_the_beats() {
    let script = Script::new();
    let server = Running::start(&script).await;
    let node = daemon_client::start(config(server.address()));
    until_attached(&node).await;
    for read_only in [true, false] {
        script.read_only(read_only);
        let standing = until(&node, "floor", |standing| {
            standing.attachment().is_some_and(|attachment| attachment.read_only == read_only)
        })
        .await;
        assert_eq!(standing.attachment().unwrap().min_client_version.is_some(), read_only);
    }
    assert_eq!(script.attaches(), 1);
}

#[test]
fn the_death_of_the_task_is_an_outcome() {
    let script = Script::new();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let (node, _server) = runtime.block_on(async {
        let server = Running::start(&script).await;
        let node = node(server.address());
        until_attached(&node).await;
        (node, server)
    });
    drop(runtime);
    assert_eq!(*node.standing().borrow(), Standing::Ended(Outcome::TaskDied));
}
