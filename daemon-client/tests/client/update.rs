//! Changes of declaration and health while attached.

use std::time::Duration;

use contracts::{Code, Refusal, wire::v1};
use daemon_client::{Health, HealthReport, Outcome, Standing, Update, UpdateError};

use crate::{
    node::{declaration, node, until, until_attached, until_ended},
    server::{Call, Running, Script},
};

fn degraded() -> HealthReport {
    HealthReport { health: Health::Degraded, reason: "disk is full".to_owned() }
}

fn updates(script: &Script) -> Vec<v1::UpdateCapabilitiesRequest> {
    script
        .calls()
        .into_iter()
        .filter_map(|call| match call {
            Call::Update(update) => Some(update),
            Call::Attach(_)
            | Call::Beat(_)
            | Call::Detach(_)
            | Call::Renew(_)
            | Call::Exchange(_)
            | Call::Append(_) => None,
        })
        .collect()
}

#[tokio::test]
async fn health_is_updated_and_carried_by_beats() {
    let script = Script::new();
    let server = Running::start(&script).await;
    let node = node(server.address());
    let updated = node.update(Update::Health(degraded())).await.unwrap();
    assert_eq!(updated.slot_state, v1::SlotState::Degraded);
    until(&node, "degraded", |standing| {
        standing.attachment().is_some_and(|attachment| attachment.slot_state == v1::SlotState::Degraded)
    })
    .await;
    script.more_beats(2).await;
    let degraded = v1::ReportedHealth::Degraded as i32;
    assert!(matches!(script.calls().last(), Some(Call::Beat(beat)) if beat.health == degraded));
    assert_eq!(updates(&script)[0].health_reason, "disk is full");
    assert!(updates(&script)[0].declaration.is_none());
}

#[tokio::test]
async fn a_declaration_that_was_accepted_is_kept_for_the_next_attach() {
    let script = Script::new();
    let server = Running::start(&script).await;
    let node = node(server.address());
    script.refuse_update(Refusal::new(Code::SystemUnavailable, "in a moment"));
    node.update(Update::Declaration(declaration("builder"))).await.unwrap();
    assert_eq!(updates(&script).len(), 2, "what may succeed is repeated");

    script.refuse_beats(Refusal::new(Code::RuntimeNodeNotAttached, "attach first"));
    script.until("another attach", |script| script.attaches() > 1).await;
    let calls = script.calls();
    let Some(Call::Attach(attach)) = calls.iter().rfind(|call| matches!(call, Call::Attach(_))) else {
        panic!("{calls:?}")
    };
    assert_eq!(attach.declaration.as_ref().unwrap().capabilities[0].key, "builder");
}

#[tokio::test]
async fn the_floor_is_reported_and_the_node_stays_attached() {
    let script = Script::new();
    let server = Running::start(&script).await;
    let node = node(server.address());
    until_attached(&node).await;
    script.read_only(true);
    script.refuse_update(Refusal::new(Code::VersionFloorExceeded, "upgrade"));
    let error = node.update(Update::Declaration(declaration("builder"))).await.unwrap_err();
    assert!(
        matches!(&error, UpdateError::Refused(refusal)
        if refusal.known() == Some(Code::VersionFloorExceeded)),
        "{error:?}"
    );
    let standing = until(&node, "read-only", |standing| {
        standing.attachment().is_some_and(|attachment| attachment.read_only)
    })
    .await;
    assert!(matches!(standing, Standing::Attached { .. }));
    script.more_beats(2).await;
    assert_eq!(script.attaches(), 1);
}

#[tokio::test]
async fn a_refused_update_changes_nothing_else() {
    let script = Script::new();
    let server = Running::start(&script).await;
    let node = node(server.address());
    script.refuse_update(Refusal::new(Code::RuntimeNodeCapabilityUpdateConflict, "declare first"));
    let both = Update::Both(declaration("builder"), degraded());
    assert!(matches!(node.update(both.clone()).await, Err(UpdateError::Refused(_))));
    script.more_beats(1).await;
    node.update(both).await.unwrap();
}

#[tokio::test]
async fn an_update_of_a_lost_attachment_waits_for_the_next() {
    let script = Script::new().interval(Duration::from_secs(30));
    let server = Running::start(&script).await;
    let node = node(server.address());
    script.refuse_update(Refusal::new(Code::RuntimeNodeNotAttached, "attach first"));
    node.update(Update::Health(degraded())).await.unwrap();
    assert_eq!(script.attaches(), 2);
}

#[tokio::test]
async fn an_update_by_a_superseded_node_ends_it() {
    let script = Script::new();
    let server = Running::start(&script).await;
    let node = node(server.address());
    script
        .refuse_update(Refusal::new(Code::RuntimeNodeGenerationSuperseded, "a newer attach holds the slot"));
    let error = node.update(Update::Health(degraded())).await.unwrap_err();
    assert!(matches!(error, UpdateError::Ended(Outcome::Superseded(_))), "{error:?}");
    assert!(matches!(until_ended(&node).await, Outcome::Superseded(_)));
    let error = node.update(Update::Health(degraded())).await.unwrap_err();
    assert!(matches!(error, UpdateError::Ended(Outcome::Superseded(_))), "{error:?}");
}
