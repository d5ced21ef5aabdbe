//! What the control plane tells of nodes in the logs of their sessions.

use contracts::wire::v1::{
    CloseSessionRequest, DetachNodeRequest, ForgetNodeRequest, PresenceHealth, ReportedHealth,
    RevokeNodeRequest, SlotState, TransferNodeRequest, UpdateCapabilitiesRequest, revoke_node_request::Scope,
};
use serde_json::Value;
use tests::{Attaching, Client, Plane, PlaneOptions, eventually};
use uuid::Uuid;

/// What was told last, in a word, with the generation and the state.
async fn last(client: &Client, session: &str) -> (usize, String, u64, String) {
    let told = client.told(session).await;
    let (kind, _, facts) = told.last().expect("something was told").clone();
    let text = |name: &str| facts[name].as_str().unwrap_or_default().to_owned();
    let kind = kind.trim_start_matches("runtime_node.").to_owned();
    (told.len(), kind, facts["generation"].as_u64().expect("a generation"), text("state"))
}

fn is(count: usize, kind: &str, generation: u64, state: &str) -> (usize, String, u64, String) {
    (count, kind.to_owned(), generation, state.to_owned())
}

#[tokio::test]
async fn each_change_of_a_slot_is_told_once_and_what_changes_nothing_is_not() {
    let plane = Plane::start(PlaneOptions::default()).await;
    let client = plane.client().await;
    let session = client.session().await;
    let attaching = Attaching::new(&session, "laptop-1");
    let one = client.attach(&attaching).await.unwrap().generation;
    assert_eq!(last(&client, &session).await, is(1, "attached", one, "registering"));
    let (_, _, facts) = client.told(&session).await.remove(0);
    assert_eq!(facts["instance_id"], attaching.0.instance_id);
    assert_eq!(facts["participant_id"], plane.participant().to_string());

    client.attach(&attaching).await.unwrap();
    client.beat("laptop-1", one).await.unwrap();
    assert_eq!(last(&client, &session).await.0, 1, "a repeat and a beat tell nothing");
    client.declare("laptop-1", one, &["codex", "shell"]).await.unwrap();
    assert_eq!(last(&client, &session).await, is(2, "capabilities_changed", one, "online"));
    assert_eq!(client.told(&session).await[1].2["capabilities"], serde_json::json!(["codex", "shell"]));
    client.declare("laptop-1", one, &["codex", "shell"]).await.unwrap();
    assert_eq!(last(&client, &session).await.0, 2);
    let unwell = UpdateCapabilitiesRequest {
        node_id: "laptop-1".to_owned(),
        generation: one,
        declaration: None,
        health: Some(ReportedHealth::Degraded.into()),
        health_reason: "disk".to_owned(),
    };
    for _ in 0..2 {
        client.nodes.clone().update_capabilities(unwell.clone()).await.unwrap();
        assert_eq!(last(&client, &session).await, is(3, "capabilities_changed", one, "degraded"));
    }
    // Another instance takes the slot over, with what is stored.
    let two = client.attach(&Attaching::new(&session, "laptop-1")).await.unwrap().generation;
    assert_eq!(last(&client, &session).await, is(4, "attached", two, "registering"));
    client.declare("laptop-1", two, &["codex", "shell"]).await.unwrap();
    assert_eq!(last(&client, &session).await, is(5, "capabilities_changed", two, "online"));
    for _ in 0..2 {
        client.detach("laptop-1", two).await.unwrap();
        assert_eq!(last(&client, &session).await, is(6, "detached", two, "offline"));
    }

    // By others, with their reason, and not when it is only tried.
    let three = client.online(&session, "laptop-1").await;
    let detach = |validate_only| DetachNodeRequest {
        node_id: "laptop-1".to_owned(),
        reason: "tidying up".to_owned(),
        validate_only,
        ..DetachNodeRequest::default()
    };
    client.admin.clone().detach_node(detach(true)).await.unwrap();
    assert_eq!(last(&client, &session).await, is(7, "attached", three, "online"));
    for _ in 0..2 {
        client.admin.clone().detach_node(detach(false)).await.unwrap();
        assert_eq!(last(&client, &session).await, is(8, "detached", three, "offline"));
    }
    let events = client.events(&session).await;
    let told = events.last().unwrap();
    assert_eq!(told.actor.to_string(), format!("participant/{}", plane.participant()));
    let facts: Value = serde_json::from_slice(&told.payload).unwrap();
    assert_eq!((&facts["cause"], &facts["reason"]), (&"detached".into(), &"tidying up".into()));
    assert_eq!(events[0].actor.to_string(), "node/laptop-1");
    let four = client.online(&session, "laptop-1").await;
    for _ in 0..2 {
        client.revoke_node("laptop-1", Some(&session)).await.unwrap();
        assert_eq!(last(&client, &session).await, is(10, "revoked", four + 1, "revoked"));
    }
    plane.database.logs_hold().await;
}

#[tokio::test]
async fn whatever_ends_slots_tells_of_each_in_its_session() {
    let plane = Plane::start(PlaneOptions::default()).await;
    let (client, admin) = (plane.client().await, plane.admin().await);
    let (one, two) = (client.session().await, client.session().await);
    for number in 0..5 {
        client.online(&one, &format!("one-{number}")).await;
        client.online(&two, &format!("two-{number}")).await;
    }
    let transfer = TransferNodeRequest {
        node_id: "two-0".to_owned(),
        participant_id: Uuid::now_v7().to_string(),
        ..TransferNodeRequest::default()
    };
    admin.admin.clone().transfer_node(transfer).await.unwrap();
    let revoke = RevokeNodeRequest {
        node_id: "two-1".to_owned(),
        scope: Some(Scope::Everywhere(true)),
        reason: "stolen".to_owned(),
        ..RevokeNodeRequest::default()
    };
    admin.admin.clone().revoke_node(revoke).await.unwrap();
    client.detach_node("two-2").await.unwrap();
    let forget = ForgetNodeRequest { node_id: "two-2".to_owned(), ..ForgetNodeRequest::default() };
    admin.admin.clone().forget_node(forget).await.unwrap();
    let ends: Vec<_> = client.told(&two).await[5..]
        .iter()
        .map(|(kind, node, facts)| (kind.clone(), node.clone(), facts["cause"].as_str().unwrap().to_owned()))
        .collect();
    let end = |kind: &str, node: &str, cause: &str| {
        (format!("runtime_node.{kind}"), node.to_owned(), cause.to_owned())
    };
    assert_eq!(
        ends,
        [
            end("detached", "two-0", "transferred"),
            end("revoked", "two-1", "revoked"),
            end("detached", "two-2", "detached"),
        ]
    );
    let close = CloseSessionRequest { session_id: one.clone(), ..CloseSessionRequest::default() };
    client.sessions.clone().close_session(close).await.unwrap();
    let told = client.told(&one).await;
    let mut ended: Vec<_> =
        told[5..].iter().map(|(_, node, facts)| (node.as_str(), &facts["cause"])).collect();
    ended.sort_by_key(|(node, _)| node.to_owned());
    let expected: Vec<_> = (0..5).map(|number| format!("one-{number}")).collect();
    assert_eq!(ended.iter().map(|(node, _)| *node).collect::<Vec<_>>(), expected);
    assert!(ended.iter().all(|(_, cause)| **cause == "session_closed"), "{ended:?}");
    plane.database.logs_hold().await;
}

#[tokio::test]
async fn what_is_told_is_written_by_the_transaction_that_did_it_and_the_state_is_the_roster() {
    let plane = Plane::start(PlaneOptions::default()).await;
    let client = plane.client().await;
    let session = client.session().await;
    for number in 0..12_u64 {
        let node_id = format!("node-{number}");
        let generation = client.online(&session, &node_id).await;
        match number % 4 {
            0 => {}
            1 => client.detach(&node_id, generation).await.unwrap(),
            2 => drop(client.declare(&node_id, generation, &["other"]).await.unwrap()),
            _ => drop(client.revoke_node(&node_id, Some(&session)).await.unwrap()),
        }
    }
    let apart: Vec<String> = sqlx::query_scalar(
        "select node.node_id from runtime_node_attachments slot join runtime_nodes node using (node_key)
         left join session_state state
           on state.session_id = slot.session_id and state.key = 'runtime_node/' || node.node_id
         where state.xmin is distinct from slot.xmin",
    )
    .fetch_all(&plane.database.pool)
    .await
    .unwrap();
    assert_eq!(apart, Vec::<String>::new());
    for node in client.roster(&session).await {
        let told = client.told(&session).await;
        let (_, _, facts) = told.into_iter().rfind(|(_, told, _)| *told == node.node_id).unwrap();
        let state = node.slot_state().as_str_name().trim_start_matches("SLOT_STATE_").to_lowercase();
        assert_eq!((&facts["state"], &facts["generation"]), (&state.into(), &node.generation.into()));
    }
}

#[tokio::test]
async fn a_sweep_tells_nothing() {
    let plane = Plane::start(PlaneOptions::default().beat_every_ms(300)).await;
    let client = plane.client().await;
    let session = client.session().await;
    client.online(&session, "silent").await;
    let shown = async || client.node(&session, "silent").await;
    let is_offline = |node: &contracts::wire::v1::RuntimeNode| {
        node.presence.is_some_and(|presence| presence.health() == PresenceHealth::Offline)
    };
    let node = eventually("it is silent", shown, is_offline).await;
    assert_eq!(node.slot_state(), SlotState::Online);
    assert_eq!(client.events(&session).await.len(), 1);
}
