//! A node's one active slot: who gets it, who keeps it, and what a refused attach leaves behind.

use contracts::wire::v1::{DeclarationOutcome, PresenceHealth, ReportedHealth, SlotState};
use sqlx::Connection;
use tests::{Attaching, Client, Plane, PlaneOptions, eventually, refusal};
use tokio::task::JoinSet;
use tonic::Code;
use uuid::Uuid;

/// Attaches all at once and gives the generations of those let in and the refusal codes of the others.
async fn race(client: &Client, attaches: Vec<Attaching>) -> (Vec<u64>, Vec<String>) {
    let mut racing = JoinSet::new();
    for attaching in attaches {
        let client = client.clone();
        racing.spawn(async move { client.attach(&attaching).await });
    }
    let (mut winners, mut refusals) = (Vec::new(), Vec::new());
    for result in racing.join_all().await {
        match result {
            Ok(attached) => winners.push(attached.generation),
            Err(status) => refusals.push(refusal(Err::<(), _>(status)).code),
        }
    }
    winners.sort_unstable();
    (winners, refusals)
}

#[tokio::test]
async fn a_second_session_for_an_active_node_is_refused() {
    let plane = Plane::start(PlaneOptions::default()).await;
    let client = plane.client().await;
    let (first, second) = (client.session().await, client.session().await);
    let attaching = Attaching::new(&first, "laptop-1");
    client.attach(&attaching).await.unwrap();

    let mut elsewhere = attaching.clone();
    elsewhere.0.session_id.clone_from(&second);
    for attempt in [elsewhere, Attaching::new(&second, "laptop-1")] {
        let status = client.attach(&attempt).await.unwrap_err();
        assert_eq!(status.code(), Code::FailedPrecondition);
        let refused = plane.refuses(client.attach(&attempt)).await;
        assert_eq!(refused.code, "runtimenode.attach_conflict");
        assert!(!refused.message.contains(&first), "the other session is not named: {}", refused.message);
    }
    assert!(client.roster(&second).await.is_empty());
}

#[tokio::test]
async fn of_fifty_attaches_of_one_node_to_fifty_sessions_exactly_one_wins() {
    let plane = Plane::start(PlaneOptions::default()).await;
    let client = plane.client().await;
    let mut sessions = Vec::new();
    for _ in 0..50 {
        sessions.push(client.session().await);
    }
    // A fresh node each time, then one that comes back from a detach.
    for (node_id, earlier) in [("fresh-1", 0), ("fresh-2", 0), ("again", 0), ("again", 1), ("again", 2)] {
        let attaches = sessions.iter().map(|session| Attaching::new(session, node_id)).collect();
        let (winners, refusals) = race(&client, attaches).await;

        assert_eq!(winners, [earlier + 1], "{node_id}");
        assert_eq!(refusals, ["runtimenode.attach_conflict"; 49], "{node_id}");
        let (active, open_spans, spans): (i64, i64, i64) = sqlx::query_as(
            "select (select count(*) from runtime_node_attachments
                     where node_key = node.node_key and state in ('registering', 'online', 'degraded')),
                    (select count(*) from attachment_spans where node_key = node.node_key and ended_at is null),
                    (select count(*) from attachment_spans where node_key = node.node_key)
             from runtime_nodes node where node_id = $1",
        )
        .bind(node_id)
        .fetch_one(&plane.database.pool)
        .await
        .unwrap();
        assert_eq!((active, open_spans, spans), (1, 1, earlier.cast_signed() + 1), "{node_id}");
        client.beat(node_id, winners[0]).await.unwrap();
        client.detach(node_id, winners[0]).await.unwrap();
    }
}

#[tokio::test]
async fn of_many_instances_that_attach_one_node_to_one_session_at_once_each_gets_its_turn_and_one_stays() {
    let plane = Plane::start(PlaneOptions::default()).await;
    let client = plane.client().await;
    let session = client.session().await;
    for round in 0..5 {
        let attaches = (0..20).map(|_| Attaching::new(&session, "laptop-1")).collect();
        let (winners, refusals) = race(&client, attaches).await;

        assert_eq!(refusals, Vec::<String>::new());
        assert_eq!(winners, (round * 20 + 1..=round * 20 + 20).collect::<Vec<u64>>());
        let node = client.node(&session, "laptop-1").await;
        assert_eq!(node.generation, round * 20 + 20);
    }
    // Each held it until the next one came.
    let unbroken: bool = sqlx::query_scalar(
        "select bool_and(ended_at is not distinct from next) from (
           select ended_at, lead(started_at) over (order by generation) as next from attachment_spans) span",
    )
    .fetch_one(&plane.database.pool)
    .await
    .unwrap();
    assert!(unbroken);
}

#[tokio::test]
async fn one_instance_that_attaches_many_times_at_once_gets_one_generation() {
    let plane = Plane::start(PlaneOptions::default()).await;
    let client = plane.client().await;
    let attaching = Attaching::new(&client.session().await, "laptop-1").declaring(&["codex"]);

    let (winners, refusals) = race(&client, vec![attaching; 20]).await;
    assert_eq!((winners, refusals), (vec![1; 20], Vec::new()));
    let after = plane.database.snapshot().await;
    assert_eq!(after.rows("attachment_spans").len(), 1);
    assert_eq!(after.rows("runtime_node_attachments").len(), 1);
}

#[tokio::test]
async fn the_instance_that_holds_the_slot_attaches_again_and_nothing_changes() {
    let plane = Plane::start(PlaneOptions::default()).await;
    let client = plane.client().await;
    let session = client.session().await;
    let mut unwell = Attaching::new(&session, "degraded").declaring(&["codex"]);
    unwell.0.health = ReportedHealth::Degraded.into();
    for (attaching, state) in [
        (Attaching::new(&session, "registering"), SlotState::Registering),
        (Attaching::new(&session, "online").declaring(&["codex"]), SlotState::Online),
        (unwell, SlotState::Degraded),
    ] {
        let mut first = client.attach(&attaching).await.unwrap();
        assert_eq!(first.state(), state);
        let again = plane.repeats(client.attach(&attaching)).await;
        assert_eq!(again.declaration_outcome(), DeclarationOutcome::Repeated);
        first.declaration_outcome = again.declaration_outcome;
        assert_eq!(again, first);
        client.beat(&attaching.0.node_id, first.generation).await.unwrap();
    }
}

#[tokio::test]
async fn a_new_instance_takes_the_slot_over_and_starts_at_registering() {
    let plane = Plane::start(PlaneOptions::default()).await;
    let client = plane.client().await;
    let session = client.session().await;
    let first = client.attach(&Attaching::new(&session, "laptop-1").declaring(&["codex"])).await.unwrap();
    assert_eq!((first.state(), first.generation), (SlotState::Online, 1));

    let second = client.attach(&Attaching::new(&session, "laptop-1").version("0.9")).await.unwrap();
    assert_eq!(
        (second.state(), second.generation, second.declaration_outcome()),
        (SlotState::Registering, 2, DeclarationOutcome::Absent)
    );
    assert_eq!((&second.attachment_id, second.attached_at), (&first.attachment_id, first.attached_at));
    let node = client.node(&session, "laptop-1").await;
    assert_eq!((node.slot_state(), node.client_version.as_str()), (SlotState::Registering, "0.9"));
    assert_eq!(node.declaration, Some(Client::declaration(&["codex"])), "what was declared is kept");

    let third = client.attach(&Attaching::new(&session, "laptop-1").declaring(&["builder"])).await.unwrap();
    assert_eq!((third.state(), third.generation), (SlotState::Online, 3));
    assert_eq!((&third.attachment_id, third.attached_at), (&first.attachment_id, first.attached_at));
    let node = client.node(&session, "laptop-1").await;
    assert_eq!(node.declaration, Some(Client::declaration(&["builder"])));
    assert_eq!(client.roster(&session).await.len(), 1);
}

#[tokio::test]
async fn a_detached_slot_is_reactivated_by_its_own_instance_and_by_a_new_one() {
    let plane = Plane::start(PlaneOptions::default()).await;
    let client = plane.client().await;
    let session = client.session().await;
    let attaching = Attaching::new(&session, "laptop-1");
    let first = client.attach(&attaching.clone().declaring(&["codex"])).await.unwrap();

    for (generation, attaching) in [(2, attaching), (3, Attaching::new(&session, "laptop-1"))] {
        client.detach("laptop-1", generation - 1).await.unwrap();
        assert_eq!(client.node(&session, "laptop-1").await.slot_state(), SlotState::Offline);
        let back = client.attach(&attaching).await.unwrap();
        assert_eq!((back.generation, back.state()), (generation, SlotState::Registering));
        assert_eq!((back.attachment_id, back.attached_at), (first.attachment_id.clone(), first.attached_at));
        let node = client.node(&session, "laptop-1").await;
        assert_eq!(node.presence.unwrap().health(), PresenceHealth::Online);
        assert_eq!(node.declaration, Some(Client::declaration(&["codex"])));
        client.beat("laptop-1", generation).await.unwrap();
    }
}

#[tokio::test]
async fn a_superseded_instance_is_refused_for_ever() {
    let plane = Plane::start(PlaneOptions::default()).await;
    let client = plane.client().await;
    let (session, other) = (client.session().await, client.session().await);
    let old = Attaching::new(&session, "laptop-1").declaring(&["codex"]);
    client.attach(&old).await.unwrap();
    let newer = Attaching::new(&session, "laptop-1");
    let held = client.attach(&newer).await.unwrap();
    let mut old_elsewhere = old.clone();
    old_elsewhere.0.session_id = other;

    for newer_is in ["attached", "detached", "attached again"] {
        for attaching in [&old, &old_elsewhere] {
            let status = client.attach(attaching).await.unwrap_err();
            assert_eq!(status.code(), Code::Aborted);
            let refused = plane.refuses(client.attach(attaching)).await;
            assert_eq!(refused.code, "runtimenode.generation_superseded", "the newer one is {newer_is}");
        }
        match newer_is {
            "attached" => client.detach("laptop-1", held.generation).await.unwrap(),
            _ => assert!(client.attach(&newer).await.is_ok()),
        }
    }
    // The other direction: an instance that was never superseded moves freely.
    let generation = client.node(&session, "laptop-1").await.generation;
    client.detach("laptop-1", generation).await.unwrap();
    let mut moved = newer;
    moved.0.session_id = old_elsewhere.0.session_id;
    assert_eq!(client.attach(&moved).await.unwrap().generation, generation + 1);
}

#[tokio::test]
async fn attach_beat_declare_and_detach_write_neither_the_session_nor_a_membership() {
    let plane = Plane::start(PlaneOptions::default()).await;
    let client = plane.client().await;
    let session = client.session_with_floor("1.0").await;
    let before = plane.database.snapshot().await;
    assert_eq!((before.rows("sessions").len(), before.rows("session_memberships").len()), (1, 1));

    let first = client.online(&session, "laptop-1").await;
    let second = client.online(&session, "laptop-2").await;
    client.beat("laptop-1", first).await.unwrap();
    client.declare("laptop-1", first, &["builder"]).await.unwrap();
    client.online(&session, "laptop-1").await;
    client.detach("laptop-2", second).await.unwrap();
    assert_eq!(client.roster(&session).await.len(), 2);

    let after = plane.database.snapshot().await;
    for table in ["sessions", "session_memberships", "participants"] {
        assert_eq!(after.rows(table), before.rows(table));
    }
}

#[tokio::test]
async fn attach_is_contact() {
    let plane = Plane::start(PlaneOptions::default()).await;
    let client = plane.client().await;
    let session = client.session().await;
    let mut unwell = Attaching::new(&session, "unwell");
    unwell.0.health = ReportedHealth::Degraded.into();
    let answer = client.attach(&unwell).await.unwrap();
    client.attach(&Attaching::new(&session, "well")).await.unwrap();

    assert_eq!(answer.next_heartbeat_in.unwrap().seconds, 15);
    assert_eq!(answer.offline_after.unwrap().seconds, 60);
    let presences: Vec<(String, String, String, i64, bool)> = sqlx::query_as(
        "select node_id, health_state, health_cause, presence.generation,
                last_heartbeat_at between first_seen_at and clock_timestamp()
         from runtime_node_presence presence join runtime_nodes using (node_key) order by node_id",
    )
    .fetch_all(&plane.database.pool)
    .await
    .unwrap();
    let row =
        |node: &str, health: &str| (node.to_owned(), health.to_owned(), "self_reported".to_owned(), 1, true);
    assert_eq!(presences, [row("unwell", "degraded"), row("well", "online")]);
}

#[tokio::test]
async fn a_malformed_attach_is_refused_with_its_field_and_leaves_no_trace() {
    let plane = Plane::start(PlaneOptions::default()).await;
    let client = plane.client().await;
    let good = Attaching::new(&client.session().await, "laptop-1");
    let check = async |field: &str, change: &dyn Fn(&mut Attaching)| {
        let mut bad = good.clone();
        change(&mut bad);
        let refused = plane.refuses(client.attach(&bad)).await;
        assert_eq!((refused.code.as_str(), refused.field.as_deref()), ("argument.invalid", Some(field)));
    };

    check("session_id", &|bad| bad.0.session_id.clear()).await;
    check("session_id", &|bad| bad.0.session_id = "session-1".to_owned()).await;
    check("session_id", &|bad| bad.0.session_id = Uuid::nil().to_string()).await;
    check("node_id", &|bad| bad.0.node_id.clear()).await;
    check("node_id", &|bad| bad.0.node_id = "x".repeat(257)).await;
    check("node_id", &|bad| bad.0.node_id = " laptop-1".to_owned()).await;
    check("node_id", &|bad| bad.0.node_id = "laptop\u{0}1".to_owned()).await;
    check("instance_id", &|bad| bad.0.instance_id.clear()).await;
    check("instance_id", &|bad| bad.0.instance_id = Uuid::nil().to_string()).await;
    check("health", &|bad| bad.0.health = ReportedHealth::Unspecified.into()).await;
    check("health", &|bad| bad.0.health = 3).await;
    check("participant_id", &|bad| bad.0.participant_id = "me".to_owned()).await;
    for version in ["", "1", "1.0.0", "01.0", "1.00", " 1.0", "1.0 ", "1.0-rc", "v1.0", "1.", "-1.0", "١.٠"]
    {
        check("client_version", &|bad| version.clone_into(&mut bad.0.client_version)).await;
    }
    check("client_version", &|bad| bad.0.client_version = format!("1.1{}", "0".repeat(62))).await;

    // The longest of each are let in.
    let longest = "ü".repeat(256);
    let mut edge = Attaching::new(&good.0.session_id, &longest).version(&format!("1.1{}", "0".repeat(61)));
    edge.0.participant_id = plane.participant().to_string();
    client.attach(&edge).await.unwrap();
    assert_eq!(client.node(&good.0.session_id, &longest).await.client_version, edge.0.client_version);
}

#[tokio::test]
async fn a_participant_other_than_the_token_s_is_refused() {
    let plane = Plane::start(PlaneOptions::default()).await;
    let client = plane.client().await;
    let mut attaching = Attaching::new(&client.session().await, "laptop-1");
    attaching.0.participant_id = Uuid::now_v7().to_string();

    assert_eq!(client.attach(&attaching).await.unwrap_err().code(), Code::PermissionDenied);
    let refused = plane.refuses(client.attach(&attaching)).await;
    assert_eq!(refused.code, "auth.principal_mismatch");
}

#[tokio::test]
async fn a_session_that_is_not_there_one_of_others_and_a_node_of_others_are_denied_alike() {
    let plane = Plane::start(PlaneOptions::default()).await;
    let client = plane.client().await;
    let (session, foreign) = (client.session().await, Uuid::now_v7());
    sqlx::raw_sql(sqlx::AssertSqlSafe(format!(
        "insert into participants (id) values ('{foreign}');
         insert into sessions (id, name) values ('{foreign}', 'not yours');
         insert into session_memberships (session_id, participant_id, role, state)
         values ('{foreign}', '{foreign}', 'owner', 'active');
         insert into runtime_nodes (node_id, participant_id) values ('not-yours', '{foreign}')"
    )))
    .execute(&plane.database.pool)
    .await
    .unwrap();

    let mut answers = Vec::new();
    for attaching in [
        Attaching::new(&Uuid::now_v7().to_string(), "laptop-1"),
        Attaching::new(&foreign.to_string(), "laptop-1"),
        Attaching::new(&session, "not-yours"),
    ] {
        let refused = plane.refuses(client.attach(&attaching)).await;
        assert_eq!(refused.code, "runtimenode.permission_denied");
        let status = client.attach(&attaching).await.unwrap_err();
        answers.push((status.code(), status.message().to_owned(), status.details().to_vec()));
    }
    assert_eq!(answers[0].0, Code::PermissionDenied);
    assert_eq!(answers[1], answers[0]);
    assert_eq!(answers[2], answers[0]);
}

#[tokio::test]
async fn a_full_session_refuses_the_next_node_and_takes_its_own_back() {
    let plane = Plane::start(PlaneOptions::default().flag("--session-nodes-max", "3")).await;
    let client = plane.client().await;
    let session = client.session().await;
    let first = client.online(&session, "node-1").await;
    client.online(&session, "node-2").await;
    let held = Attaching::new(&session, "node-3");
    client.attach(&held).await.unwrap();

    let fourth = Attaching::new(&session, "node-4");
    assert_eq!(client.attach(&fourth).await.unwrap_err().code(), Code::ResourceExhausted);
    let refused = plane.refuses(client.attach(&fourth)).await;
    assert_eq!(refused.code, "resource.limit_exceeded");
    let fact = |name: &str| refused.facts.get(name).map(String::as_str);
    assert_eq!(fact("resource"), Some("active_nodes_per_session"));
    assert_eq!((fact("limit"), fact("current")), (Some("3"), Some("3")));

    // Who is in is not refused: neither a repeat nor a new instance.
    client.attach(&held).await.unwrap();
    client.online(&session, "node-3").await;
    // A slot that is given back is the next one's, and then its former holder waits.
    client.detach("node-1", first).await.unwrap();
    client.attach(&fourth).await.unwrap();
    let refused = plane.refuses(client.attach(&Attaching::new(&session, "node-1"))).await;
    assert_eq!(refused.code, "resource.limit_exceeded");
    // Another session is not full.
    client.online(&client.session().await, "node-1").await;
}

#[tokio::test]
async fn of_twenty_nodes_that_attach_at_once_exactly_as_many_get_in_as_the_session_holds() {
    let plane = Plane::start(PlaneOptions::default().flag("--session-nodes-max", "3")).await;
    let client = plane.client().await;
    for round in 0..3 {
        let session = client.session().await;
        let attaches =
            (0..20).map(|node| Attaching::new(&session, &format!("node-{round}-{node}"))).collect();
        let (winners, refusals) = race(&client, attaches).await;

        assert_eq!(winners.len(), 3);
        assert_eq!(refusals, ["resource.limit_exceeded"; 17]);
        assert_eq!(client.roster(&session).await.len(), 3);
    }
    let nodes: i64 = sqlx::query_scalar("select count(*) from runtime_nodes")
        .fetch_one(&plane.database.pool)
        .await
        .unwrap();
    assert_eq!(nodes, 9, "a refused node is not known");
}

#[tokio::test]
async fn a_caller_that_goes_away_in_the_middle_of_an_attach_leaves_a_whole_one() {
    let plane = Plane::start(PlaneOptions::default()).await;
    let client = plane.client().await;
    let session = client.session().await;
    let attaching = Attaching::new(&session, "laptop-1").declaring(&["codex"]);

    // The session's row is held, so the attach waits for it inside the database.
    let mut connection = plane.database.pool.acquire().await.unwrap();
    let mut holding = connection.begin().await.unwrap();
    sqlx::query("select from sessions for update").execute(&mut *holding).await.unwrap();
    let caller = tokio::spawn({
        let (url, token, attaching) = (plane.url(), plane.token().to_owned(), attaching.clone());
        async move { Client::connect(&url, &token).await.attach(&attaching).await }
    });
    let waiting = async || {
        sqlx::query_scalar::<_, i64>(
            "select count(*) from pg_stat_activity
             where datname = current_database() and wait_event_type = 'Lock' and query like '%sessions%'",
        )
        .fetch_one(&plane.database.pool)
        .await
        .unwrap()
    };
    eventually("the attach waits", waiting, |waiting| *waiting == 1).await;
    caller.abort();
    assert!(caller.await.unwrap_err().is_cancelled());
    eventually(
        "the server saw the caller go",
        async || {
            let name = r#"rollcall_rpc_seconds_count{service="RuntimeNodeService",method="Attach",code="Cancelled"}"#;
            plane.metric(name).await
        },
        |cancelled| *cancelled == Some(1.0),
    )
    .await;
    holding.rollback().await.unwrap();

    eventually("the attach is there", async || client.roster(&session).await, |roster| roster.len() == 1)
        .await;
    let whole: (i64, i64, i64, String, i64) = sqlx::query_as(
        "select node.generation, attachment.generation, presence.generation, attachment.state,
                (select count(*) from attachment_spans span
                 where span.attachment_id = attachment.id and span.generation = 1 and span.ended_at is null)
         from runtime_nodes node join runtime_node_attachments attachment using (node_key)
         join runtime_node_presence presence using (node_key)",
    )
    .fetch_one(&plane.database.pool)
    .await
    .unwrap();
    assert_eq!(whole, (1, 1, 1, "online".to_owned(), 1));
    // Whoever asks again learns the generation, and it beats.
    let again = plane.repeats(client.attach(&attaching)).await;
    assert_eq!(again.declaration_outcome(), DeclarationOutcome::Repeated);
    let busy = async || client.beat("laptop-1", again.generation).await.map_err(|status| status.code());
    // The view of the server follows the commit by a moment.
    eventually("the attached node beats", busy, |beat| *beat != Err(Code::Unavailable)).await.unwrap();
    assert_eq!(client.node(&session, "laptop-1").await.slot_state(), SlotState::Online);
}

#[tokio::test]
async fn an_attach_whose_wait_in_the_database_is_cut_leaves_nothing() {
    let plane = Plane::start(PlaneOptions::default()).await;
    let client = plane.client().await;
    let session = client.session().await;
    let before = plane.database.snapshot().await;
    let mut connection = plane.database.pool.acquire().await.unwrap();
    let mut holding = connection.begin().await.unwrap();
    sqlx::query("select from sessions for update").execute(&mut *holding).await.unwrap();

    let attaching = Attaching::new(&session, "laptop-1").declaring(&["codex"]);
    // The server's statement timeout ends it.
    let refused = refusal(client.attach(&attaching).await);
    assert!(refused.code.starts_with("system."), "{}", refused.code);
    assert_eq!(plane.database.snapshot().await, before);
    holding.rollback().await.unwrap();
    assert_eq!(client.attach(&attaching).await.unwrap().generation, 1);
}
