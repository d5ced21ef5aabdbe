//! Exchanges that are interrupted in the middle: by another server, and by another instance of the node.

use contracts::{
    Code,
    wire::v1::{BaseSource, ReplicaState, StepDownRequest, plan::Outcome, replicate_response::Message},
};
use tests::{Appending, Entry, Plane, PlaneOptions};

use crate::{
    appending::{append_followed, append_many},
    by_hand::{ByHand, acknowledged, base_received, introduction, place},
    kept_node::{KeptNode, are_equal, behind_proxies},
    paths::{CHECKPOINT_EVERY, forgetful},
    size,
    status::{find, has_its_checkpoint, in_sync, is, since_connected, status, until},
};

/// Two servers on one database; the first leads.
async fn two(options: PlaneOptions) -> [Plane; 2] {
    let first = Plane::start(options.flag("--lease", "10s")).await;
    let second = Plane::launch(first.database.clone(), first.options_beside()).await;
    let waits = async || {
        sqlx::query_scalar::<_, i64>(
            "select count(*) from pg_stat_activity
             where datname = current_database() and application_name = 'rollcall lock'",
        )
        .fetch_one(&first.database.pool)
        .await
        .expect("activity can be read")
    };
    tests::eventually("the second one stands by", waits, |sessions| *sessions == 2).await;
    [first, second]
}

#[tokio::test(flavor = "multi_thread")]
async fn a_catch_up_that_a_takeover_interrupts_is_ended_by_name_and_finished_by_the_new_leader() {
    let [first, second] = two(PlaneOptions::default()).await;
    let client = first.client().await;
    let session = client.session().await;
    let by_hand = client.online(&session, "by-hand").await;
    append_many(&client, &session, size(5_000, 50_000)).await;
    // In the middle: it was sent what the window holds, and acknowledges nothing.
    let mut replica = ByHand::introduced(&client, introduction(&session, "by-hand", by_hand)).await;
    let plan = replica.plan().await;
    let Some(Outcome::CatchUp(catch_up)) = plan.outcome else { panic!("{plan:?}") };
    replica.events_to(1_000).await;
    let under_way = is(&client, &session, "by-hand", ReplicaState::CatchingUp).await;
    assert_eq!(under_way.pins.len(), 1, "{under_way:?}");
    assert_eq!(under_way.recovery.map(|recovery| recovery.target), Some(catch_up.target));
    let addresses = format!("{},{}", first.url(), second.url());
    let kept = KeptNode::start(&first, &addresses, &session, "kept");
    until(&client, &session, "the other one is known", |status| find(status, "kept").is_some()).await;

    let mut leadership = first.admin().await.leadership;
    leadership.step_down(StepDownRequest::default()).await.expect("it steps down");
    let ended = replica.ends().await;
    assert!(
        [Code::ControllerStandby.to_string(), Code::SystemUnavailable.to_string()].contains(&ended.code),
        "{ended:?}"
    );
    second.active().await;
    let client = second.client().await;
    let mut replica = ByHand::introduced(&client, introduction(&session, "by-hand", by_hand)).await;
    let again = replica.plan().await;
    assert_ne!(again.recovery_id, plan.recovery_id);
    let events = replica.events_to(1_000).await;
    // What belongs to the former recovery is refused, though its place is right.
    replica.say(acknowledged(&plan.recovery_id, place(&events[0]))).await;
    assert_eq!(replica.ends().await.code, Code::ReplicationOutOfStep.to_string());
    let mut finished = ByHand::in_sync(&client, &session, "by-hand", by_hand).await;
    let number = client.say(&session, "after").await;
    let live = finished.stream.events_to(number).await;
    finished.stream.say(acknowledged("", place(live.last().expect("it was heard")))).await;
    in_sync(&client, &session, &["by-hand", "kept"]).await;
    let whole: Vec<_> = client.events(&session).await.iter().map(Entry::from).collect();
    are_equal(&client, &session, &whole, &[&kept]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rebuild_that_a_takeover_interrupts_is_done_by_the_new_leader() {
    let [first, second] = two(forgetful()).await;
    let client = first.client().await;
    let session = client.session().await;
    let nodes = behind_proxies(&first, &client, &session, &["near"]).await;
    let [(_way, near)] = <[_; 1]>::try_from(nodes).unwrap_or_else(|_| unreachable!("one was started"));
    append_followed(&client, &session, 1_000, "near").await;
    let tail = async || status(&client, &session).await.tail.map_or(0, |tail| tail.seq);
    tests::eventually("the log is pruned", tail, |tail| *tail > 0).await;
    let whole = near.verified();
    // An empty one cannot have what was pruned.
    let lost = client.online(&session, "lost").await;
    let mut replica = ByHand::introduced(&client, introduction(&session, "lost", lost)).await;
    let plan = replica.plan().await;
    let Some(Outcome::Rebuild(rebuild)) = plan.outcome else { panic!("{plan:?}") };
    loop {
        if let Message::BaseEnd(_) = replica.hear().await.expect("the base comes") {
            break;
        }
    }
    let under_way = is(&client, &session, "lost", ReplicaState::Rebuilding).await;
    assert!(!under_way.pins.is_empty(), "{under_way:?}");

    // What is not written down of an acknowledgement dies with its server, and so little is held here that the replica
    // would count as too far behind.
    let client = second.client().await;
    until(&client, &session, "what is acknowledged is written down", |status| {
        let head = status.head.as_ref().map(|head| head.seq);
        let near = find(status, "near").and_then(|near| near.acknowledged.as_ref());
        near.map(|at| at.seq) == head
    })
    .await;
    let mut first = first;
    first.process.kill();
    second.active().await;
    assert!(status(&client, &session).await.replicas.iter().all(|replica| replica.pins.is_empty()));
    let mut replica = ByHand::introduced(&client, introduction(&session, "lost", lost)).await;
    let again = replica.plan().await;
    assert!(matches!(again.outcome, Some(Outcome::Rebuild(_))) && again.recovery_id != plan.recovery_id);
    // The base of the former leader is not this one's.
    replica.say(base_received(&plan.recovery_id, rebuild.at.expect("a base has a place"))).await;
    assert_eq!(replica.ends().await.code, Code::ReplicationOutOfStep.to_string());

    // Another instance of the node, with a replica of its own, is rebuilt by the new leader.
    let lost = KeptNode::start(&second, &second.address, &session, "lost");
    let status = in_sync(&client, &session, &["lost"]).await;
    assert!(lost.verified().begins > 0);
    let happened = since_connected(&status, "lost");
    assert!(happened.iter().any(|event| event.name == "exec_rebuild_completed"), "{happened:#?}");
    let near = KeptNode::start_on(&second, near, &session);
    in_sync(&client, &session, &["lost", "near"]).await;
    let now = near.verified();
    assert!(now.events.starts_with(&whole.events), "what it had is there");
    are_equal(&client, &session, &now.events, &[&lost, &near]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_comes_from_elsewhere_takes_its_replica_over_and_the_old_plan_is_cancelled() {
    let plane = Plane::start(PlaneOptions::default()).await;
    let client = plane.client().await;
    let session = client.session().await;
    let node = "roaming";
    let generation = client.online(&session, node).await;
    append_many(&client, &session, 3_000).await;
    let mut former = ByHand::introduced(&client, introduction(&session, node, generation)).await;
    let plan = former.plan().await;
    former.events_to(1_000).await;
    let under_way = is(&client, &session, node, ReplicaState::CatchingUp).await;
    assert_eq!(under_way.pins.len(), 1, "{under_way:?}");

    // Another instance, by another connection.
    let client = plane.client().await;
    let generation = client.online(&session, node).await;
    let latter = ByHand::in_sync(&client, &session, node, generation).await;
    assert_ne!(latter.recovery_id, plan.recovery_id);
    let ended = former.ends().await;
    let codes = [Code::ReplicationStreamSuperseded, Code::RuntimeNodeGenerationSuperseded];
    assert!(codes.iter().any(|code| code.to_string() == ended.code), "{ended:?}");
    let status = in_sync(&client, &session, &[node]).await;
    assert_eq!(status.replicas.len(), 1, "it is the same replica");
    assert!(status.replicas[0].pins.is_empty());
    let count = |name: &str| status.recent.iter().filter(|event| event.name == name).count();
    assert_eq!(
        (count("sender_added"), count("session_created"), count("plan_cancelled"), count("exec_completed")),
        (1, 2, 1, 1),
        "{:#?}",
        status.recent
    );
    assert!(count("exec_resources_released") >= 1, "{:#?}", status.recent);
    drop(latter);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_goes_away_in_a_rebuild_leaves_nothing_held_and_nothing_stored() {
    let plane = Plane::start(forgetful()).await;
    let client = plane.client().await;
    let session = client.session().await;
    // A base that does not fit what may be on its way.
    let payload = "x".repeat(200 * 1024);
    for number in 0..80 {
        let append = Appending::new(&session).event("drill.large", &payload).key(&format!("large/{number}"));
        client.append(&append).await.expect("the event is taken");
    }
    append_many(&client, &session, 400).await;
    let tail = async || status(&client, &session).await.tail.map_or(0, |tail| tail.seq);
    tests::eventually("the log is pruned", tail, |tail| *tail > 0).await;
    let generation = client.online(&session, "leaving").await;
    let made = async || {
        sqlx::query_scalar::<_, i64>("select count(*) from session_bases where kind = 'full_base'")
            .fetch_one(&plane.database.pool)
            .await
            .expect("bases can be counted")
    };
    let mut from_the_state = 0;
    for _ in 0..20 {
        // What its attach told is in the log before the checkpoint. One that is found damaged is soon made again.
        has_its_checkpoint(&client, &session, CHECKPOINT_EVERY).await;
        let damage = "update session_base_events set payload = payload || 'x'::bytea";
        sqlx::query(damage).execute(&plane.database.pool).await.expect("it can be damaged");
        // A connection of its own, which goes away with it.
        let client = plane.client().await;
        let mut replica = ByHand::introduced(&client, introduction(&session, "leaving", generation)).await;
        let plan = replica.plan().await;
        let Some(Outcome::Rebuild(rebuild)) = &plan.outcome else { panic!("{plan:?}") };
        // Another checkpoint may be made after the damage, by the pruner.
        let is_from_the_state = rebuild.source() == BaseSource::Full;
        let under_way = is(&client, &session, "leaving", ReplicaState::Rebuilding).await;
        assert!(!under_way.pins.is_empty(), "{under_way:?}");
        assert_eq!(made().await, i64::from(is_from_the_state));
        drop((replica, client));
        let left = is(&plane.client().await, &session, "leaving", ReplicaState::NeedsRebuild).await;
        assert!(left.pins.is_empty() && left.recovery.is_none(), "{left:?}");
        tests::eventually("its base is deleted", made, |bases| *bases == 0).await;
        from_the_state += usize::from(is_from_the_state);
        if from_the_state == 3 {
            return;
        }
    }
    panic!("the state was sent {from_the_state} times, the rest was from checkpoints");
}
