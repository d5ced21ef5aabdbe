//! What a generation is worth, and in which order a call is refused.

use contracts::{
    refusal::ReceivedRefusal,
    wire::v1::{
        Beat, PresenceCause, PresenceHealth, ReportedHealth, SlotState, StreamHeartbeatsRequest,
        UpdateCapabilitiesRequest, beat_result::Outcome,
    },
};
use tests::{Attaching, Client, Plane, PlaneOptions};
use tonic::{Code, Status};
use uuid::Uuid;

/// The results of one batch of healthy beats on a stream: nothing for an acknowledgement, else the refusal.
async fn stream(client: &Client, beats: &[(&str, u64)]) -> Result<Vec<Option<ReceivedRefusal>>, Status> {
    let beats = beats.iter().map(|(node_id, generation)| Beat {
        node_id: (*node_id).to_owned(),
        generation: *generation,
        health: ReportedHealth::Online.into(),
    });
    let batch = StreamHeartbeatsRequest { batch_id: 7, beats: beats.collect() };
    let mut answers = client.nodes.clone().stream_heartbeats(tokio_stream::once(batch)).await?.into_inner();
    let answer = answers.message().await?.expect("each batch is answered");
    assert_eq!(answer.batch_id, 7);
    let results = answer.results.into_iter().map(|result| match result.outcome.expect("one is set") {
        Outcome::Ack(_) => None,
        Outcome::Refusal(refusal) => Some(refusal.into()),
    });
    Ok(results.collect())
}

/// Codes of the refusals of a beat, a beat on a stream, a declaration and a detach; none leaves a trace.
async fn refused_at_all(plane: &Plane, client: &Client, node_id: &str, generation: u64) -> [String; 4] {
    let beat = plane.refuses(client.beat(node_id, generation)).await;
    let streamed = plane.repeats(stream(client, &[(node_id, generation)])).await.remove(0);
    let declaration = plane.refuses(client.declare(node_id, generation, &["codex"])).await;
    let detach = plane.refuses(client.detach(node_id, generation)).await;
    [beat.code, streamed.expect("it is refused").code, declaration.code, detach.code]
}

#[tokio::test]
async fn an_old_generation_neither_beats_nor_declares_nor_detaches() {
    let plane = Plane::start(PlaneOptions::default()).await;
    let client = plane.client().await;
    let session = client.session().await;
    let old = client.online(&session, "laptop-1").await;
    let new = client.online(&session, "laptop-1").await;
    assert_eq!((old, new), (1, 2));

    let codes = refused_at_all(&plane, &client, "laptop-1", old).await;
    assert_eq!(codes, ["runtimenode.generation_superseded"; 4]);
    assert_eq!(client.beat("laptop-1", old).await.unwrap_err().code(), Code::Aborted);
    client.beat("laptop-1", new).await.unwrap();

    // In another session it is as old as here.
    client.detach("laptop-1", new).await.unwrap();
    client.online(&client.session().await, "laptop-1").await;
    for generation in [old, new] {
        let codes = refused_at_all(&plane, &client, "laptop-1", generation).await;
        assert_eq!(codes, ["runtimenode.generation_superseded"; 4], "{generation}");
    }
}

#[tokio::test]
async fn a_zombie_in_a_batch_disturbs_nobody() {
    let plane = Plane::start(PlaneOptions::default()).await;
    let client = plane.client().await;
    let session = client.session().await;
    for node_id in ["well", "taken-over", "gone"] {
        assert_eq!(client.online(&session, node_id).await, 1);
    }
    client.online(&session, "taken-over").await;
    client.detach("gone", 1).await.unwrap();

    let beats = [("well", 1), ("taken-over", 1), ("gone", 1), ("taken-over", 2), ("unknown", 1), ("well", 0)];
    let results = stream(&client, &beats).await.unwrap();
    let codes: Vec<_> =
        results.iter().map(|result| result.as_ref().map(|refusal| refusal.code.as_str())).collect();
    assert_eq!(
        codes,
        [
            None,
            Some("runtimenode.generation_superseded"),
            Some("runtimenode.not_attached"),
            None,
            Some("runtimenode.permission_denied"),
            Some("argument.invalid"),
        ]
    );
    assert_eq!(results[5].as_ref().unwrap().field.as_deref(), Some("beat.generation"));
}

#[tokio::test]
async fn after_a_detach_a_late_beat_revives_nothing() {
    let plane = Plane::start(PlaneOptions::default()).await;
    let client = plane.client().await;
    let session = client.session().await;
    let generation = client.online(&session, "laptop-1").await;
    client.beat("laptop-1", generation).await.unwrap();
    let heard = client.node(&session, "laptop-1").await.presence.unwrap().last_heartbeat_at;

    client.detach("laptop-1", generation).await.unwrap();
    let node = client.node(&session, "laptop-1").await;
    assert_eq!((node.slot_state(), node.generation), (SlotState::Offline, generation));
    let presence = node.presence.unwrap();
    assert_eq!((presence.health(), presence.cause()), (PresenceHealth::Offline, PresenceCause::Detached));
    assert_eq!(presence.last_heartbeat_at, heard, "a detach is no contact");
    let emptied: bool =
        sqlx::query_scalar("select generation is null from runtime_node_presence where node_key > 0")
            .fetch_one(&plane.database.pool)
            .await
            .unwrap();
    assert!(emptied);

    assert_eq!(client.beat("laptop-1", generation).await.unwrap_err().code(), Code::FailedPrecondition);
    let beat = plane.refuses(client.beat("laptop-1", generation)).await;
    let declaration = plane.refuses(client.declare("laptop-1", generation, &["codex"])).await;
    let streamed = plane.repeats(stream(&client, &[("laptop-1", generation)])).await.remove(0).unwrap();
    for refused in [beat, declaration, streamed] {
        assert_eq!(refused.code, "runtimenode.not_attached");
    }
}

#[tokio::test]
async fn a_repeated_detach_succeeds_and_changes_nothing() {
    let plane = Plane::start(PlaneOptions::default()).await;
    let client = plane.client().await;
    let session = client.session().await;
    let old = client.online(&session, "laptop-1").await;
    let new = client.online(&session, "laptop-1").await;
    client.detach("laptop-1", new).await.unwrap();

    plane.repeats(client.detach("laptop-1", new)).await;
    plane.repeats(client.detach("laptop-1", new)).await;
    // Its own only: the one that was superseded before never held what was given back.
    let codes = refused_at_all(&plane, &client, "laptop-1", old).await;
    assert_eq!(codes, ["runtimenode.not_attached"; 4]);
}

#[tokio::test]
async fn a_generation_that_was_never_given_is_not_attached() {
    let plane = Plane::start(PlaneOptions::default()).await;
    let client = plane.client().await;
    let session = client.session().await;
    let given = client.online(&session, "laptop-1").await;

    for generation in [given + 1, i64::MAX.cast_unsigned()] {
        let codes = refused_at_all(&plane, &client, "laptop-1", generation).await;
        assert_eq!(codes, ["runtimenode.not_attached"; 4], "{generation}");
    }
    for generation in [0, 1 << 63, u64::MAX] {
        let codes = refused_at_all(&plane, &client, "laptop-1", generation).await;
        assert_eq!(codes, ["argument.invalid"; 4], "{generation}");
    }
    client.beat("laptop-1", given).await.unwrap();
}

#[tokio::test]
async fn a_call_that_is_wrong_in_many_ways_is_refused_for_the_first_in_order() {
    let plane = Plane::start(PlaneOptions::default()).await;
    let client = plane.client().await;
    let session = client.session_with_floor("1.0").await;
    let foreign = Uuid::now_v7();
    client.attach(&Attaching::new(&session, "laptop-1").version("0.9")).await.unwrap();
    client.attach(&Attaching::new(&session, "laptop-1").version("0.9")).await.unwrap();
    let undeclared_online = |generation, reason: &str| UpdateCapabilitiesRequest {
        node_id: "laptop-1".to_owned(),
        generation,
        declaration: Some(Client::declaration(&[])),
        health: Some(ReportedHealth::Online.into()),
        health_reason: reason.to_owned(),
    };
    let update = async |request: UpdateCapabilitiesRequest| {
        plane.refuses(client.nodes.clone().update_capabilities(request)).await.code
    };

    // The argument before permission: nobody owns this node.
    let unknown = UpdateCapabilitiesRequest { node_id: "unknown".to_owned(), ..undeclared_online(0, "") };
    assert_eq!(update(unknown.clone()).await, "argument.invalid");
    // Permission before everything that would tell about the node.
    assert_eq!(
        update(UpdateCapabilitiesRequest { generation: 1, ..unknown }).await,
        "runtimenode.permission_denied"
    );
    // The argument before the generation, the generation before the floor, the floor before the conflict.
    assert_eq!(update(undeclared_online(1, "no reason goes with online")).await, "argument.invalid");
    assert_eq!(update(undeclared_online(1, "")).await, "runtimenode.generation_superseded");
    assert_eq!(update(undeclared_online(2, "")).await, "version.floor_exceeded");
    // Not attached before the floor, and before the generation.
    client.detach("laptop-1", 2).await.unwrap();
    assert_eq!(update(undeclared_online(2, "")).await, "runtimenode.not_attached");
    assert_eq!(update(undeclared_online(1, "")).await, "runtimenode.not_attached");

    // At attach: a superseded instance before the session's state, and that before the version.
    let holder = Attaching::new(&session, "laptop-2");
    client.attach(&holder).await.unwrap();
    client.online(&session, "laptop-2").await;
    let archive =
        contracts::wire::v1::ArchiveSessionRequest { session_id: session.clone(), ..Default::default() };
    client.sessions.clone().archive_session(archive).await.unwrap();
    let attach = async |attaching: &Attaching| plane.refuses(client.attach(attaching)).await.code;
    assert_eq!(attach(&holder.version("2.0")).await, "runtimenode.generation_superseded");
    assert_eq!(attach(&Attaching::new(&session, "laptop-3").version("2.0")).await, "session.not_active");

    // Revoked before all of that.
    sqlx::query("update runtime_nodes set revoked_at = now() where node_id = 'laptop-1'")
        .execute(&plane.database.pool)
        .await
        .unwrap();
    assert_eq!(
        attach(&Attaching::new(&session, "laptop-1").version("2.0")).await,
        "runtimenode.attach_revoked"
    );
    for generation in [1, 2, 3] {
        let codes = refused_at_all(&plane, &client, "laptop-1", generation).await;
        assert_eq!(codes, ["runtimenode.attach_revoked"; 4], "{generation}");
    }
    // And permission before revoked.
    sqlx::raw_sql(sqlx::AssertSqlSafe(format!(
        "insert into participants (id) values ('{foreign}');
         update runtime_nodes set participant_id = '{foreign}' where node_id = 'laptop-1'"
    )))
    .execute(&plane.database.pool)
    .await
    .unwrap();
    let codes = refused_at_all(&plane, &client, "laptop-1", 2).await;
    assert_eq!(codes, ["runtimenode.permission_denied"; 4]);
}
