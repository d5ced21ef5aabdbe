//! Sessions: made once, listed, archived, closed, and who may call at all.

use contracts::wire::v1::{
    ArchiveSessionRequest, CloseSessionRequest, CloseSessionResponse, CreateSessionRequest,
    GetSessionRequest, ListSessionsRequest, RaiseVersionFloorRequest, Session, SessionState, SlotState,
};
use prost_types::Timestamp;
use sqlx::Connection;
use tests::{
    Attaching, Client, Plane, PlaneOptions, Raw, eventually, forged_token, framed, methods, refusal,
};
use tokio::task::JoinSet;
use tonic::{Code, Status};
use uuid::Uuid;

fn creation(id: &str, name: &str, floor: &str) -> CreateSessionRequest {
    CreateSessionRequest {
        session_id: id.to_owned(),
        name: name.to_owned(),
        min_client_version: floor.to_owned(),
        ..Default::default()
    }
}

async fn create(client: &Client, request: CreateSessionRequest) -> Result<Session, Status> {
    let answer = client.sessions.clone().create_session(request).await?;
    Ok(answer.into_inner().session.expect("an answer has its session"))
}

async fn get(client: &Client, id: &str) -> Result<Session, Status> {
    let answer = client.sessions.clone().get_session(GetSessionRequest { session_id: id.to_owned() }).await?;
    Ok(answer.into_inner().session.expect("an answer has its session"))
}

async fn archive(client: &Client, id: &str) -> Result<Session, Status> {
    let request = ArchiveSessionRequest { session_id: id.to_owned(), ..Default::default() };
    let answer = client.sessions.clone().archive_session(request).await?;
    Ok(answer.into_inner().session.expect("an answer has its session"))
}

async fn close(client: &Client, id: &str) -> Result<CloseSessionResponse, Status> {
    let request = CloseSessionRequest { session_id: id.to_owned(), ..Default::default() };
    Ok(client.sessions.clone().close_session(request).await?.into_inner())
}

/// A session of somebody else.
async fn foreign_session(plane: &Plane) -> String {
    let id = Uuid::now_v7().to_string();
    sqlx::raw_sql(sqlx::AssertSqlSafe(format!(
        "insert into participants (id) values ('{id}');
         insert into sessions (id, name) values ('{id}', 'not yours');
         insert into session_memberships (session_id, participant_id, role, state)
         values ('{id}', '{id}', 'owner', 'active')"
    )))
    .execute(&plane.database.pool)
    .await
    .expect("a session can be put there");
    id
}

#[tokio::test]
async fn a_session_is_made_with_its_owner_and_shown_as_it_is() {
    let plane = Plane::start(PlaneOptions::default()).await;
    let client = plane.client().await;
    let chosen = Uuid::now_v7().to_string();
    let made = create(&client, creation(&chosen, "nightly builds", "1.2")).await.unwrap();
    assert_eq!((made.session_id.as_str(), made.name.as_str()), (chosen.as_str(), "nightly builds"));
    assert_eq!((made.state(), made.min_client_version.as_str()), (SessionState::Active, "1.2"));
    assert_eq!((made.active_nodes, made.created_at), (0, made.updated_at));
    assert_eq!(get(&client, &chosen).await.unwrap(), made);

    let member: (Uuid, String, String) = sqlx::query_as(
        "select participant_id, role, state from session_memberships where session_id = $1::uuid",
    )
    .bind(&chosen)
    .fetch_one(&plane.database.pool)
    .await
    .unwrap();
    let participant = plane.participant().0;
    assert_eq!(member, (participant, "owner".to_owned(), "active".to_owned()));

    let chosen_by_server = create(&client, creation("", "nightly builds", "")).await.unwrap();
    let id: Uuid = chosen_by_server.session_id.parse().unwrap();
    assert_eq!(id.get_version_num(), 7);
    assert_eq!(chosen_by_server.min_client_version, "");
}

#[tokio::test]
async fn of_twenty_creations_of_one_id_at_once_there_is_one_session_and_one_answer() {
    let plane = Plane::start(PlaneOptions::default()).await;
    let client = plane.client().await;
    for round in 1..=3 {
        let request = creation(&Uuid::now_v7().to_string(), "test", "1.0");
        let mut creating = JoinSet::new();
        for _ in 0..20 {
            let (client, request) = (client.clone(), request.clone());
            creating.spawn(async move { create(&client, request).await });
        }
        let answers: Result<Vec<_>, _> = creating.join_all().await.into_iter().collect();
        let answers = answers.unwrap();
        assert!(answers.iter().all(|answer| *answer == answers[0]), "{answers:?}");
        let held = plane.database.snapshot().await;
        assert_eq!((held.rows("sessions").len(), held.rows("session_memberships").len()), (round, round));
    }
}

#[tokio::test]
async fn a_creation_is_repeated_with_its_id_and_refused_with_another_s() {
    let plane = Plane::start(PlaneOptions::default()).await;
    let client = plane.client().await;
    let id = Uuid::now_v7().to_string();
    let made = create(&client, creation(&id, "test", "1.0")).await.unwrap();

    let again = plane.repeats(create(&client, creation(&id, "test", "1.0"))).await;
    assert_eq!(again, made);
    let upper = plane.repeats(create(&client, creation(&id.to_uppercase(), "test", "1.0"))).await;
    assert_eq!(upper, made);
    let foreign = foreign_session(&plane).await;
    for request in [
        creation(&id, "another name", "1.0"),
        creation(&id, "test", "1.1"),
        creation(&foreign, "not yours", ""),
        creation(&foreign, "another name", ""),
    ] {
        assert_eq!(create(&client, request.clone()).await.unwrap_err().code(), Code::FailedPrecondition);
        let refused = plane.refuses(create(&client, request.clone())).await;
        assert_eq!(refused.code, "session.create_conflict", "{request:?}");
    }
}

#[tokio::test]
async fn a_malformed_creation_is_refused_with_its_field() {
    let plane = Plane::start(PlaneOptions::default()).await;
    let client = plane.client().await;
    let check = async |field: &str, bad: CreateSessionRequest| {
        let refused = plane.refuses(create(&client, bad)).await;
        assert_eq!((refused.code.as_str(), refused.field.as_deref()), ("argument.invalid", Some(field)));
    };

    check("session_id", creation(&Uuid::new_v4().to_string(), "test", "")).await;
    check("session_id", creation(&Uuid::nil().to_string(), "test", "")).await;
    check("session_id", creation(&Uuid::now_v7().simple().to_string(), "test", "")).await;
    check("session_id", creation("session-1", "test", "")).await;
    check("name", creation("", "", "")).await;
    check("name", creation("", " test", "")).await;
    check("name", creation("", "te\nst", "")).await;
    check("name", creation("", &"x".repeat(129), "")).await;
    check("min_client_version", creation("", "test", "1")).await;
    create(&client, creation("", &"ü".repeat(128), "")).await.unwrap();
}

#[tokio::test]
async fn sessions_are_listed_page_by_page_oldest_first_and_only_one_s_own() {
    let plane = Plane::start(PlaneOptions::default()).await;
    let client = plane.client().await;
    let list = async |page_size: i32, page_token: &str| {
        let request = ListSessionsRequest { page_size, page_token: page_token.to_owned() };
        Ok::<_, Status>(client.sessions.clone().list_sessions(request).await?.into_inner())
    };
    assert_eq!(list(0, "").await.unwrap().sessions, vec![]);
    let mut made = Vec::new();
    for _ in 0..5 {
        made.push(client.session().await);
    }
    foreign_session(&plane).await;
    archive(&client, &made[1]).await.unwrap();
    close(&client, &made[2]).await.unwrap();

    let whole = list(0, "").await.unwrap();
    let ids: Vec<_> = whole.sessions.iter().map(|session| session.session_id.clone()).collect();
    assert_eq!((ids, whole.next_page_token.as_str()), (made.clone(), ""));
    let states: Vec<_> = whole.sessions.iter().map(Session::state).collect();
    let active = SessionState::Active;
    assert_eq!(states, [active, SessionState::Archived, SessionState::Closed, active, active]);
    assert_eq!(list(5, "").await.unwrap(), whole, "a page that holds all has no next one");

    let (mut seen, mut sizes, mut token) = (Vec::new(), Vec::new(), String::new());
    loop {
        let page = list(2, &token).await.unwrap();
        sizes.push(page.sessions.len());
        seen.extend(page.sessions);
        token = page.next_page_token;
        if token.is_empty() {
            break;
        }
        if sizes.len() == 1 {
            // What is made meanwhile comes last, and moves nothing.
            made.push(client.session().await);
        }
    }
    assert_eq!(sizes, [2, 2, 2]);
    assert_eq!(seen[..5], whole.sessions);
    assert!(seen.iter().map(|session| &session.session_id).eq(made.iter()), "{seen:?}");

    for (field, answer) in [("page_size", list(-1, "").await), ("page_token", list(0, "garbage").await)] {
        let refused = refusal(answer);
        assert_eq!((refused.code.as_str(), refused.field.as_deref()), ("argument.invalid", Some(field)));
    }
}

#[tokio::test]
async fn an_archived_session_takes_no_new_nodes_and_keeps_its_own() {
    let plane = Plane::start(PlaneOptions::default()).await;
    let client = plane.client().await;
    let id = client.session().await;
    let held = Attaching::new(&id, "held").declaring(&["codex"]);
    client.attach(&held).await.unwrap();
    client.online(&id, "gone").await;
    client.detach("gone", 1).await.unwrap();
    let before = plane.database.snapshot().await;

    let archived = archive(&client, &id).await.unwrap();
    assert_eq!((archived.state(), archived.active_nodes), (SessionState::Archived, 1));
    let at = |time: Option<_>| time.map(|Timestamp { seconds, nanos }| (seconds, nanos));
    assert!(at(archived.updated_at) > at(archived.created_at), "{archived:?}");
    let after = plane.database.snapshot().await;
    for table in ["runtime_nodes", "runtime_node_attachments", "runtime_node_presence", "attachment_spans"] {
        assert_eq!(after.rows(table), before.rows(table), "{table}");
    }
    for node_id in ["new", "gone"] {
        let attaching = Attaching::new(&id, node_id);
        assert_eq!(client.attach(&attaching).await.unwrap_err().code(), Code::FailedPrecondition);
        let refused = plane.refuses(client.attach(&attaching)).await;
        assert_eq!(refused.code, "session.not_active");
        assert_eq!(refused.facts.get("state").map(String::as_str), Some("archived"));
    }

    // The node that is there goes on.
    plane.repeats(client.attach(&held)).await;
    client.beat("held", 1).await.unwrap();
    assert_eq!(client.declare("held", 1, &["builder"]).await.unwrap().state(), SlotState::Online);
    // Once more changes nothing.
    let again = plane.repeats(archive(&client, &id)).await;
    assert_eq!(again, archived);
    client.detach("held", 1).await.unwrap();
    assert_eq!(get(&client, &id).await.unwrap().active_nodes, 0);
}

#[tokio::test]
async fn closing_a_session_detaches_its_nodes_and_frees_them_for_others() {
    let plane = Plane::start(PlaneOptions::default()).await;
    let client = plane.client().await;
    let (id, other) = (client.session().await, client.session().await);
    let held = Attaching::new(&id, "laptop-1").declaring(&["codex"]);
    client.attach(&held).await.unwrap();
    client.attach(&Attaching::new(&id, "laptop-2")).await.unwrap();
    client.online(&id, "gone").await;
    client.detach("gone", 1).await.unwrap();
    client.online(&other, "elsewhere").await;

    let closed = close(&client, &id).await.unwrap();
    assert_eq!(closed.detached_nodes, 2);
    let session = closed.session.unwrap();
    assert_eq!((session.state(), session.active_nodes), (SessionState::Closed, 0));
    assert_eq!(get(&client, &id).await.unwrap(), session);
    let ended: Vec<(String, String, String, Option<i64>, String)> = sqlx::query_as(
        "select node_id, state, end_cause, presence.generation, health_state || ' ' || health_cause
         from runtime_nodes join runtime_node_attachments attachment using (node_key)
         join attachment_spans span on span.attachment_id = attachment.id
         join runtime_node_presence presence on presence.node_key = attachment.node_key
         where attachment.session_id = $1::uuid order by node_id",
    )
    .bind(&id)
    .fetch_all(&plane.database.pool)
    .await
    .unwrap();
    let row = |node: &str, cause: &str| {
        (node.to_owned(), "offline".to_owned(), cause.to_owned(), None, "offline detached".to_owned())
    };
    let closed_and = |node| row(node, "session_closed");
    assert_eq!(ended, [row("gone", "detached"), closed_and("laptop-1"), closed_and("laptop-2")]);

    for node_id in ["laptop-1", "laptop-2"] {
        let refused = plane.refuses(client.beat(node_id, 1)).await;
        assert_eq!(refused.code, "runtimenode.not_attached");
        let refused = plane.refuses(client.declare(node_id, 1, &["builder"])).await;
        assert_eq!(refused.code, "runtimenode.not_attached");
        plane.repeats(client.detach(node_id, 1)).await;
    }
    for attaching in [held, Attaching::new(&id, "laptop-1"), Attaching::new(&id, "new")] {
        let refused = plane.refuses(client.attach(&attaching)).await;
        assert_eq!(refused.code, "session.not_active");
        assert_eq!(refused.facts.get("state").map(String::as_str), Some("closed"));
    }
    assert_eq!(client.online(&other, "laptop-1").await, 2);
    client.beat("laptop-1", 2).await.unwrap();
    client.beat("elsewhere", 1).await.unwrap();
}

#[tokio::test]
async fn a_closed_session_stays_closed() {
    let plane = Plane::start(PlaneOptions::default()).await;
    let client = plane.client().await;
    let id = client.session().await;
    archive(&client, &id).await.unwrap();
    let closed = close(&client, &id).await.unwrap();

    let again = plane.repeats(close(&client, &id)).await;
    assert_eq!((again.detached_nodes, again.session), (0, closed.session));
    let refused = plane.refuses(archive(&client, &id)).await;
    assert_eq!(refused.code, "session.not_active");
}

#[tokio::test]
async fn attaches_that_race_with_the_close_of_their_session_are_detached_by_it_or_refused() {
    let plane = Plane::start(PlaneOptions::default()).await;
    let client = plane.client().await;
    for round in 0..5 {
        let id = client.session().await;
        let mut attaching = JoinSet::new();
        for node in 0..20 {
            let (client, id) = (client.clone(), id.clone());
            attaching.spawn(async move {
                client.attach(&Attaching::new(&id, &format!("node-{round}-{node}"))).await
            });
        }
        let closed = close(&client, &id).await.unwrap();
        let attached = attaching.join_all().await;
        let refused =
            attached.into_iter().filter_map(Result::err).map(|status| refusal(Err::<(), _>(status)).code);
        let refused: Vec<_> = refused.collect();
        assert_eq!(closed.detached_nodes + refused.len() as i64, 20);
        assert!(refused.iter().all(|code| code == "session.not_active"), "{refused:?}");
        assert!(client.roster(&id).await.iter().all(|node| node.slot_state() == SlotState::Offline));
    }
    let open: i64 = sqlx::query_scalar("select count(*) from attachment_spans where ended_at is null")
        .fetch_one(&plane.database.pool)
        .await
        .unwrap();
    assert_eq!(open, 0);
}

#[tokio::test]
async fn closing_a_session_locks_presences_in_the_order_that_beats_do() {
    let plane = Plane::start(PlaneOptions::default()).await;
    let client = plane.client().await;
    let (first, second) = (client.session().await, client.session().await);
    for node_id in ["node-1", "node-2", "node-3"] {
        client.online(&first, node_id).await;
    }
    close(&client, &first).await.unwrap();
    // Slots and presences lie in the other order than their keys.
    for node_id in ["node-3", "node-2", "node-1"] {
        client.online(&second, node_id).await;
    }

    let mut connection = plane.database.pool.acquire().await.unwrap();
    let mut holding = connection.begin().await.unwrap();
    let lowest: i64 = sqlx::query_scalar(
        "select node_key from runtime_node_presence where node_key > 0 order by node_key limit 1 for update",
    )
    .fetch_one(&mut *holding)
    .await
    .unwrap();
    let closing = tokio::spawn({
        let (client, second) = (client.clone(), second.clone());
        async move { close(&client, &second).await }
    });
    let waiting = async || {
        sqlx::query_scalar::<_, i64>(
            "select count(*) from pg_stat_activity
             where datname = current_database() and wait_event_type = 'Lock' and query like '%presence%'",
        )
        .fetch_one(&plane.database.pool)
        .await
        .unwrap()
    };
    eventually("the close waits for the lowest key", waiting, |waiting| *waiting == 1).await;
    let free: Vec<i64> = sqlx::query_scalar(
        "select node_key from runtime_node_presence where node_key > $1 for update skip locked",
    )
    .bind(lowest)
    .fetch_all(&plane.database.pool)
    .await
    .unwrap();
    assert_eq!(free.len(), 2, "whoever waits for the lowest key holds no higher one");
    holding.rollback().await.unwrap();
    assert_eq!(closing.await.unwrap().unwrap().detached_nodes, 3);
}

#[tokio::test]
async fn a_session_that_is_not_there_and_one_of_others_look_alike() {
    let plane = Plane::start(PlaneOptions::default()).await;
    let client = plane.client().await;
    let (unknown, foreign) = (Uuid::now_v7().to_string(), foreign_session(&plane).await);

    let mut denials = Vec::new();
    let mut not_found = Vec::new();
    for id in [&unknown, &foreign] {
        let attaching = Attaching::new(id, "laptop-1");
        let refused = plane.refuses(client.attach(&attaching)).await;
        assert_eq!(refused.code, "runtimenode.permission_denied");
        denials.push(client.attach(&attaching).await.unwrap_err());
        let refusals = [
            plane.refuses(get(&client, id)).await,
            plane.refuses(archive(&client, id)).await,
            plane.refuses(close(&client, id)).await,
        ];
        for refused in refusals {
            assert_eq!(refused.code, "session.not_found");
        }
        not_found.push(get(&client, id).await.unwrap_err());
    }
    for pair in [denials, not_found] {
        let seen = |status: &Status| (status.code(), status.message().to_owned(), status.details().to_vec());
        assert_eq!(seen(&pair[0]), seen(&pair[1]));
    }
}

#[tokio::test]
async fn without_the_token_no_method_does_anything() {
    let plane = Plane::start(PlaneOptions::default()).await;
    let client = plane.client().await;
    let id = client.session().await;
    client.online(&id, "laptop-1").await;
    let before = plane.database.snapshot().await;

    let good = plane.token();
    let forged = forged_token(plane.participant());
    let tokens =
        [None, Some(""), Some("token"), Some(&good[..good.len() - 1]), Some(&forged), Some(&good[36..])];
    // The one method that needs no token.
    let mut methods = methods();
    methods.retain(|method| !method.path.ends_with("/ExchangeJoinToken"));
    assert!(methods.len() >= 16, "{methods:?}");
    for token in tokens {
        let raw = Raw::connect(&plane.url(), token).await;
        for method in &methods {
            let answer = raw.call(&method.path, "application/grpc", framed(&[])).await.unwrap();
            let status = answer.status.expect("it is answered with a status");
            let received =
                contracts::refusal::ReceivedRefusal::from_status(&status).expect("it is a refusal");
            assert_eq!(
                (status.code(), received.code.as_str()),
                (Code::Unauthenticated, "auth.token_invalid"),
                "{} with {token:?}",
                method.path
            );
            assert!(answer.messages.is_empty());
        }
    }
    assert_eq!(plane.database.snapshot().await, before);
}

#[tokio::test]
async fn each_verb_on_sessions_may_be_tried_first_and_repeated_under_its_id() {
    let plane = Plane::start(PlaneOptions::default()).await;
    let owner = plane.client().await;
    let request_id = || Uuid::new_v4().to_string();
    let create =
        CreateSessionRequest { name: "demo".to_owned(), request_id: request_id(), ..Default::default() };
    let dry = CreateSessionRequest { validate_only: true, ..create.clone() };
    let would_be = plane.repeats(owner.sessions.clone().create_session(dry)).await.into_inner();
    assert_eq!(would_be.session.unwrap().name, "demo");
    // The server chose the id, and chooses no second one.
    let made = owner.sessions.clone().create_session(create.clone()).await.unwrap().into_inner();
    assert_eq!(plane.repeats(owner.sessions.clone().create_session(create)).await.into_inner(), made);
    let session_id = made.session.unwrap().session_id;
    owner.online(&session_id, "laptop-1").await;

    let raise = RaiseVersionFloorRequest {
        session_id: session_id.clone(),
        min_client_version: "1.5".to_owned(),
        request_id: request_id(),
        ..Default::default()
    };
    let dry = RaiseVersionFloorRequest { validate_only: true, ..raise.clone() };
    let would_be = plane.repeats(owner.sessions.clone().raise_version_floor(dry)).await.into_inner();
    assert_eq!(would_be.affected_nodes_count, 1);
    let raised = owner.sessions.clone().raise_version_floor(raise.clone()).await.unwrap().into_inner();
    assert_eq!(raised.affected_nodes_count, 1);
    let again = plane.repeats(owner.sessions.clone().raise_version_floor(raise)).await.into_inner();
    assert_eq!(again, raised, "whom it affected then");

    let archive = ArchiveSessionRequest {
        session_id: session_id.clone(),
        request_id: request_id(),
        ..Default::default()
    };
    let dry = ArchiveSessionRequest { validate_only: true, ..archive.clone() };
    let would_be = plane.repeats(owner.sessions.clone().archive_session(dry)).await.into_inner();
    assert_eq!(would_be.session.unwrap().state(), SessionState::Archived);
    let archived = owner.sessions.clone().archive_session(archive.clone()).await.unwrap().into_inner();
    assert_eq!(plane.repeats(owner.sessions.clone().archive_session(archive)).await.into_inner(), archived);

    let close = CloseSessionRequest {
        session_id: session_id.clone(),
        reason: "tidying up".to_owned(),
        request_id: request_id(),
        ..Default::default()
    };
    let dry = CloseSessionRequest { validate_only: true, ..close.clone() };
    let would_be = plane.repeats(owner.sessions.clone().close_session(dry)).await.into_inner();
    assert_eq!((would_be.session.unwrap().state(), would_be.detached_nodes), (SessionState::Closed, 1));
    let closed = owner.sessions.clone().close_session(close.clone()).await.unwrap().into_inner();
    assert_eq!(closed.detached_nodes, 1);
    let again = plane.repeats(owner.sessions.clone().close_session(close.clone())).await.into_inner();
    assert_eq!(again, closed, "not none, as a second closing would detach");
    let anew = CloseSessionRequest { request_id: String::new(), ..close };
    let anew = plane.repeats(owner.sessions.clone().close_session(anew)).await.into_inner();
    assert_eq!(anew.detached_nodes, 0);
    let why: String = sqlx::query_scalar("select end_reason from attachment_spans")
        .fetch_one(&plane.database.pool)
        .await
        .unwrap();
    assert_eq!(why, "tidying up");
}
