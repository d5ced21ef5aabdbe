//! The version floor of a session: who may write, who may only read, and that nobody is ejected.

use contracts::wire::v1::{
    Declaration, DeclarationOutcome, GetSessionRequest, RaiseVersionFloorRequest, RaiseVersionFloorResponse,
    ReportedHealth, Session, SlotState, UpdateCapabilitiesRequest, WatchRosterRequest, WatchRosterResponse,
    watch_roster_response::Event,
};
use control_plane::postgres::migrate::migrate;
use sqlx::AssertSqlSafe;
use tests::{Attaching, Client, DEADLINE, Database, Plane, PlaneOptions, refusal};
use tokio::{task::JoinSet, time::timeout};
use tonic::{Code, Status, Streaming};

const ONE_WITH_30_DIGITS: &str = "1.999999999999999999999999999999";

fn raise_to(session_id: &str, floor: &str) -> RaiseVersionFloorRequest {
    RaiseVersionFloorRequest {
        session_id: session_id.to_owned(),
        min_client_version: floor.to_owned(),
        ..Default::default()
    }
}

async fn send(
    client: &Client,
    request: RaiseVersionFloorRequest,
) -> Result<RaiseVersionFloorResponse, Status> {
    Ok(client.sessions.clone().raise_version_floor(request).await?.into_inner())
}

async fn raise(client: &Client, session_id: &str, floor: &str) -> Result<RaiseVersionFloorResponse, Status> {
    send(client, raise_to(session_id, floor)).await
}

async fn session(client: &Client, session_id: &str) -> Session {
    let request = GetSessionRequest { session_id: session_id.to_owned() };
    let answer = client.sessions.clone().get_session(request).await.expect("the session can be read");
    answer.into_inner().session.expect("an answer has its session")
}

/// The names of affected nodes.
fn names(answer: &RaiseVersionFloorResponse) -> Vec<&str> {
    answer.affected_nodes.iter().map(|node| node.node_id.as_str()).collect()
}

/// A watch of a session whose snapshot was read.
async fn watch(client: &Client, session_id: &str) -> Streaming<WatchRosterResponse> {
    let request = WatchRosterRequest { session_id: session_id.to_owned(), revision: String::new() };
    let mut events =
        client.nodes.clone().watch_roster(request).await.expect("it can be watched").into_inner();
    while !matches!(next(&mut events).await, Event::SnapshotEnd(_)) {}
    events
}

async fn next(events: &mut Streaming<WatchRosterResponse>) -> Event {
    events.message().await.expect("no error").expect("the watch goes on").event.expect("one is set")
}

/// The node of the next change, and whether it is read-only.
async fn changed(events: &mut Streaming<WatchRosterResponse>) -> (String, bool) {
    let change = async {
        loop {
            match next(events).await {
                Event::Change(change) => break change.node.expect("a change has its node"),
                // The test was slow.
                Event::Bookmark(_) => {}
                other @ (Event::SnapshotChunk(_) | Event::SnapshotEnd(_) | Event::Resync(_)) => {
                    panic!("not a change: {other:?}")
                }
            }
        }
    };
    let node = timeout(DEADLINE, change).await.expect("the watch hears of a change");
    (node.node_id, node.read_only)
}

#[tokio::test]
async fn without_a_floor_every_version_reads_and_writes() {
    let plane = Plane::start(PlaneOptions::default()).await;
    let client = plane.client().await;
    let id = client.session().await;
    for (node, version) in ["0.0", "0.1", "1.0", "1.4294967296", ONE_WITH_30_DIGITS].into_iter().enumerate() {
        let node_id = format!("node-{node}");
        let attached = client.attach(&Attaching::new(&id, &node_id).version(version)).await.unwrap();
        assert_eq!((attached.read_only, attached.min_client_version.as_str()), (false, ""), "{version}");
        let ack = client.beat(&node_id, attached.generation).await.unwrap();
        assert_eq!((ack.read_only, ack.min_client_version.as_str()), (false, ""), "{version}");
        let declared = client.declare(&node_id, attached.generation, &["codex"]).await.unwrap();
        assert_eq!(declared.state(), SlotState::Online, "{version}");
        let shown = client.node(&id, &node_id).await;
        assert_eq!((shown.read_only, shown.client_version.as_str()), (false, version));
    }
}

#[tokio::test]
async fn at_the_floor_and_above_a_node_writes_and_below_it_only_reads() {
    let plane = Plane::start(PlaneOptions::default()).await;
    let client = plane.client().await;
    for (floor, version, read_only) in [
        ("1.0", "1.0", false),
        ("1.0", "0.9", true),
        ("1.0", "0.999999999999999999999999999999", true),
        ("0.9", "0.10", false),
        ("0.10", "0.9", true),
        ("1.9", "1.10", false),
        ("1.10", "1.9", true),
        ("2.0", ONE_WITH_30_DIGITS, true),
        (ONE_WITH_30_DIGITS, ONE_WITH_30_DIGITS, false),
        (ONE_WITH_30_DIGITS, "1.999999999999999999999999999998", true),
        ("1.999999999999999999999999999998", ONE_WITH_30_DIGITS, false),
    ] {
        let case = format!("{version} under {floor}");
        let id = client.session_with_floor(floor).await;
        let node_id = format!("node {case}");
        let attached = client.attach(&Attaching::new(&id, &node_id).version(version)).await.unwrap();
        assert_eq!((attached.read_only, attached.min_client_version.as_str()), (read_only, floor), "{case}");
        let ack = client.beat(&node_id, attached.generation).await.unwrap();
        assert_eq!((ack.read_only, ack.min_client_version.as_str()), (read_only, floor), "{case}");
        assert_eq!(client.node(&id, &node_id).await.read_only, read_only, "{case}");
        let declared = client.declare(&node_id, attached.generation, &["codex"]).await;
        assert_eq!(declared.is_err(), read_only, "{case}");
    }
}

#[tokio::test]
async fn below_the_floor_a_node_stays_and_its_declarations_are_refused_without_a_trace() {
    let plane = Plane::start(PlaneOptions::default()).await;
    let client = plane.client().await;
    let id = client.session_with_floor("1.0").await;
    let old = Attaching::new(&id, "old").version("0.9").declaring(&["codex"]);
    let generation = client.attach(&old).await.unwrap().generation;

    for (declaration, health) in [
        (Some(Client::declaration(&["builder"])), None),
        (Some(Declaration::default()), None),
        (None, Some(ReportedHealth::Degraded.into())),
    ] {
        let update = UpdateCapabilitiesRequest {
            node_id: "old".to_owned(),
            generation,
            declaration,
            health,
            health_reason: String::new(),
        };
        let status = client.nodes.clone().update_capabilities(update.clone()).await.unwrap_err();
        assert_eq!(status.code(), Code::FailedPrecondition);
        let refused = plane.refuses(client.nodes.clone().update_capabilities(update)).await;
        assert_eq!(refused.code, "version.floor_exceeded");
        let fact = |name: &str| refused.facts.get(name).map(String::as_str);
        assert_eq!((fact("client_version"), fact("min_client_version")), (Some("0.9"), Some("1.0")));
    }
    // All else is open to it.
    let ack = client.beat("old", generation).await.unwrap();
    assert_eq!((ack.read_only, ack.min_client_version.as_str()), (true, "1.0"));
    let node = client.node(&id, "old").await;
    assert_eq!((node.slot_state(), node.read_only), (SlotState::Online, true));
    client.detach("old", generation).await.unwrap();
}

#[tokio::test]
async fn below_the_floor_the_first_declaration_is_taken_and_a_later_attach_keeps_it() {
    let plane = Plane::start(PlaneOptions::default()).await;
    let client = plane.client().await;
    let id = client.session_with_floor("1.0").await;
    let old = |keys: &[&str]| Attaching::new(&id, "old").version("0.9").declaring(keys);

    let undeclared = client.attach(&Attaching::new(&id, "old").version("0.9")).await.unwrap();
    assert_eq!(undeclared.declaration_outcome(), DeclarationOutcome::Absent);
    let first = client.attach(&old(&["codex"])).await.unwrap();
    assert_eq!(
        (first.declaration_outcome(), first.state(), first.read_only),
        (DeclarationOutcome::Stored, SlotState::Online, true)
    );
    for keys in [&["builder"] as &[_], &[]] {
        let kept = client.attach(&old(keys)).await.unwrap();
        assert_eq!(
            (kept.declaration_outcome(), kept.state(), kept.read_only),
            (DeclarationOutcome::KeptBelowFloor, SlotState::Online, true)
        );
        assert_eq!(client.node(&id, "old").await.declaration, Some(Client::declaration(&["codex"])));
    }
    // Upgraded, it says anew what it can do.
    let upgraded = client.attach(&old(&["builder"]).version("1.0")).await.unwrap();
    assert_eq!((upgraded.declaration_outcome(), upgraded.read_only), (DeclarationOutcome::Stored, false));
    assert_eq!(client.node(&id, "old").await.declaration, Some(Client::declaration(&["builder"])));
}

#[tokio::test]
async fn a_raised_floor_makes_attached_nodes_read_only_and_ejects_nobody() {
    let plane = Plane::start(PlaneOptions::default()).await;
    let client = plane.client().await;
    let (id, other) = (client.session().await, client.session().await);
    for (node_id, version) in [("above", "1.2"), ("at", "1.1"), ("below", "1.0")] {
        let attaching = Attaching::new(&id, node_id).version(version).declaring(&["codex"]);
        client.attach(&attaching).await.unwrap();
    }
    client.online(&other, "elsewhere").await;
    let mut events = watch(&client, &id).await;
    let before = plane.database.snapshot().await;

    let answer = raise(&client, &id, "1.1").await.unwrap();
    assert_eq!((answer.affected_nodes_count, names(&answer)), (1, vec!["below"]));
    assert_eq!(answer.affected_nodes[0].client_version, "1.0");
    let raised = answer.session.unwrap();
    assert_eq!((raised.min_client_version.as_str(), raised.active_nodes), ("1.1", 3));
    assert_eq!(raised, session(&client, &id).await);
    assert_eq!(changed(&mut events).await, ("below".to_owned(), true));

    let after = plane.database.snapshot().await;
    for table in ["runtime_nodes", "runtime_node_attachments", "runtime_node_presence", "attachment_spans"] {
        assert_eq!(after.rows(table), before.rows(table), "{table}");
    }
    for (node_id, read_only) in [("above", false), ("at", false), ("below", true)] {
        let ack = client.beat(node_id, 1).await.unwrap();
        assert_eq!((ack.read_only, ack.min_client_version.as_str()), (read_only, "1.1"), "{node_id}");
        let node = client.node(&id, node_id).await;
        assert_eq!((node.read_only, node.slot_state()), (read_only, SlotState::Online), "{node_id}");
        let declared = client.declare(node_id, 1, &["builder"]).await;
        assert_eq!(
            declared.map_err(|refused| refusal(Err::<(), _>(refused)).code).err().is_some(),
            read_only
        );
    }
    let ack = client.beat("elsewhere", 1).await.unwrap();
    assert_eq!((ack.read_only, ack.min_client_version.as_str()), (false, ""));

    // Raised once more, those that were read-only before are not affected again.
    let answer = raise(&client, &id, "1.2").await.unwrap();
    assert_eq!((answer.affected_nodes_count, names(&answer)), (1, vec!["at"]));
    // The nodes that left are none.
    client.detach("above", 1).await.unwrap();
    let answer = raise(&client, &id, "1.3").await.unwrap();
    assert_eq!((answer.affected_nodes_count, answer.session.unwrap().active_nodes), (0, 2));
}

#[tokio::test]
async fn a_floor_is_never_lowered_and_the_same_one_again_changes_nothing() {
    let plane = Plane::start(PlaneOptions::default()).await;
    let client = plane.client().await;
    let id = client.session_with_floor("2.9").await;
    client.attach(&Attaching::new(&id, "old").version("1.0")).await.unwrap();

    let steps =
        ["2.9", "2.10", "10.0", "999999999999999999999999999998.0", "999999999999999999999999999999.0"];
    for (at, floor) in steps.iter().enumerate() {
        raise(&client, &id, floor).await.unwrap();
        for validate_only in [false, true] {
            for lower in steps[..at].iter().chain(&["0.0"]) {
                let request = RaiseVersionFloorRequest { validate_only, ..raise_to(&id, lower) };
                let refused = plane.refuses(send(&client, request)).await;
                assert_eq!(refused.code, "version.floor_lowered", "{lower} under {floor}");
                assert_eq!(refused.facts.get("min_client_version").map(String::as_str), Some(*floor));
            }
            let request = RaiseVersionFloorRequest { validate_only, ..raise_to(&id, floor) };
            let same = plane.repeats(send(&client, request)).await;
            assert_eq!((same.affected_nodes_count, names(&same)), (0, vec![]));
            assert_eq!(same.session.unwrap(), session(&client, &id).await);
        }
    }
    let status = raise(&client, &id, "1.0").await.unwrap_err();
    assert_eq!(status.code(), Code::FailedPrecondition);
}

#[tokio::test]
async fn validate_only_tells_who_would_be_read_only_and_changes_nothing() {
    let plane = Plane::start(PlaneOptions::default()).await;
    let client = plane.client().await;
    let id = client.session_with_floor("0.5").await;
    let affected = ["a", "b", "c", "d", "e"];
    for (node_id, version) in
        affected.map(|node_id| (node_id, "0.9")).into_iter().chain([("f", "1.1"), ("g", "0.4")])
    {
        client.attach(&Attaching::new(&id, node_id).version(version)).await.unwrap();
    }
    client.attach(&Attaching::new(&id, "gone").version("0.9")).await.unwrap();
    client.detach("gone", 1).await.unwrap();
    let mut events = watch(&client, &id).await;
    let rosters = client.roster(&id).await;
    let stored = session(&client, &id).await;

    let ask = RaiseVersionFloorRequest { validate_only: true, ..raise_to(&id, "1.1") };
    let whole = plane.repeats(send(&client, ask.clone())).await;
    assert_eq!((whole.affected_nodes_count, names(&whole)), (5, affected.to_vec()));
    assert_eq!(whole.next_page_token, "");
    assert!(whole.affected_nodes.iter().all(|node| node.client_version == "0.9"));
    let would_be = whole.session.unwrap();
    assert_eq!((would_be.min_client_version.as_str(), would_be.active_nodes), ("1.1", 7));

    // Page by page the same ones, each page with the whole count.
    let (mut seen, mut pages, mut page_token) = (Vec::new(), Vec::new(), String::new());
    loop {
        let page = RaiseVersionFloorRequest { page_size: 2, page_token, ..ask.clone() };
        let answer = plane.repeats(send(&client, page)).await;
        assert_eq!(answer.affected_nodes_count, 5);
        pages.push(answer.affected_nodes.len());
        seen.extend(answer.affected_nodes.into_iter().map(|node| node.node_id));
        page_token = answer.next_page_token;
        if page_token.is_empty() {
            break;
        }
    }
    assert_eq!((seen.as_slice(), pages.as_slice()), (&affected.map(str::to_owned)[..], &[2, 2, 1][..]));

    assert_eq!(client.roster(&id).await, rosters);
    assert_eq!(session(&client, &id).await, stored);
    let ack = client.beat("a", 1).await.unwrap();
    assert_eq!((ack.read_only, ack.min_client_version.as_str()), (false, "0.5"));
    client.declare("a", 1, &["codex"]).await.unwrap();
    // The first that the watch hears of is this declaration.
    assert_eq!(changed(&mut events).await, ("a".to_owned(), false));
}

#[tokio::test]
async fn the_pages_of_affected_nodes_leave_nobody_out_whatever_the_collation_of_the_database() {
    let plain = Database::new().await;
    let name: String =
        sqlx::query_scalar("select current_database()::text").fetch_one(&plain.pool).await.unwrap();
    let create = format!(
        "create database {name}_en template template0 encoding 'UTF8' locale_provider icu icu_locale 'en'"
    );
    sqlx::query(AssertSqlSafe(create)).execute(&plain.pool).await.unwrap();
    let url = plain.url.replace(&name, &format!("{name}_en"));
    migrate(&url.parse().unwrap()).await.unwrap();
    let plane = Plane::start_on(Database::at(url).await, PlaneOptions::default()).await;
    let client = plane.client().await;
    let id = client.session().await;
    // In English a comes before B, in bytes after it.
    for node_id in ["a", "B", "c", "D"] {
        client.attach(&Attaching::new(&id, node_id)).await.unwrap();
    }

    let (mut seen, mut page_token) = (Vec::new(), String::new());
    for _ in 0..4 {
        let page = RaiseVersionFloorRequest {
            validate_only: true,
            page_size: 1,
            page_token,
            ..raise_to(&id, "2.0")
        };
        let answer = send(&client, page).await.unwrap();
        seen.extend(answer.affected_nodes.into_iter().map(|node| node.node_id));
        page_token = answer.next_page_token;
    }
    seen.sort();
    assert_eq!((seen, page_token), (["B", "D", "a", "c"].map(str::to_owned).to_vec(), String::new()));
}

#[tokio::test]
async fn the_rules_of_a_raise_are_checked_before_anything_else() {
    let plane = Plane::start(PlaneOptions::default()).await;
    let client = plane.client().await;
    let id = client.session().await;
    let check = async |field: &str, bad: RaiseVersionFloorRequest| {
        let refused = plane.refuses(send(&client, bad)).await;
        assert_eq!((refused.code.as_str(), refused.field.as_deref()), ("argument.invalid", Some(field)));
    };
    let long = format!("1.1{}", "0".repeat(62));
    assert_eq!(long.len(), 65);
    for version in ["", "1", "1.0.0", "01.0", "1.00", " 1.0", "1.0 ", "1.0-rc", "v1.0", "1.-1", "+1.0", &long]
    {
        check("min_client_version", raise_to(&id, version)).await;
        if !version.is_empty() {
            let create = contracts::wire::v1::CreateSessionRequest {
                session_id: String::new(),
                name: "test".to_owned(),
                min_client_version: version.to_owned(),
                ..Default::default()
            };
            let refused = plane.refuses(client.sessions.clone().create_session(create)).await;
            assert_eq!(refused.field.as_deref(), Some("min_client_version"), "{version:?}");
        }
    }
    check("page_size", RaiseVersionFloorRequest { page_size: -1, ..raise_to(&id, "1.0") }).await;
    check("page_token", RaiseVersionFloorRequest { page_token: "a".to_owned(), ..raise_to(&id, "1.0") })
        .await;
    check("session_id", raise_to("session-1", "1.0")).await;
    raise(&client, &id, &long[..64]).await.unwrap();
}

#[tokio::test]
async fn a_malformed_stored_floor_fails_closed_and_loud() {
    let plane = Plane::start(PlaneOptions::default()).await;
    let client = plane.client().await;
    let id = client.session_with_floor("1.0").await;
    let held = Attaching::new(&id, "held").declaring(&["codex"]);
    client.attach(&held).await.unwrap();
    sqlx::raw_sql(
        "alter table sessions drop constraint sessions_min_client_version_format;
         update sessions set min_client_version = '1.0.0'",
    )
    .execute(&plane.database.pool)
    .await
    .unwrap();

    let update = UpdateCapabilitiesRequest {
        node_id: "held".to_owned(),
        generation: 1,
        declaration: Some(Client::declaration(&["builder"])),
        health: None,
        health_reason: String::new(),
    };
    let refusals = [
        plane.refuses(client.attach(&Attaching::new(&id, "new").version("99.0"))).await,
        plane.refuses(client.attach(&Attaching::new(&id, "held").version("1.0"))).await,
        plane.refuses(client.nodes.clone().update_capabilities(update)).await,
        plane.refuses(raise(&client, &id, "3.0")).await,
    ];
    for refused in refusals {
        assert_eq!(refused.code, "system.internal_error");
        assert!(
            !refused.message.contains("1.0.0"),
            "the caller is told no more than the id: {}",
            refused.message
        );
        let correlation_id = &refused.facts["correlation_id"];
        assert!(refused.message.contains(correlation_id), "{}", refused.message);
        let log = plane.process.log();
        let line = log.iter().find(|line| line.contains(correlation_id)).expect("the log has it");
        assert!(line.contains(r#""level":"ERROR""#), "{line}");
        assert!(line.contains("sessions.min_client_version") && line.contains("1.0.0"), "{line}");
    }

    // Nobody is ejected, reads go on, and everybody is shown read-only.
    client.beat("held", 1).await.unwrap();
    assert!(client.node(&id, "held").await.read_only);
    let plane = plane.kill_and_restart().await;
    let client = plane.client().await;
    assert!(client.beat("held", 1).await.unwrap().read_only);
    // Mended, all is as before.
    sqlx::query("update sessions set min_client_version = '1.0'")
        .execute(&plane.database.pool)
        .await
        .unwrap();
    client.declare("held", 1, &["builder"]).await.unwrap();
    client.attach(&Attaching::new(&id, "new")).await.unwrap();
}

#[tokio::test]
async fn a_major_above_the_server_s_is_refused_at_attach() {
    let plane = Plane::start(PlaneOptions::default()).await;
    let client = plane.client().await;
    let id = client.session_with_floor("1.0").await;
    for version in ["2.0", "2.10", "10.0", "999999999999999999999999999999.0"] {
        let attaching = Attaching::new(&id, "newer").version(version);
        assert_eq!(client.attach(&attaching).await.unwrap_err().code(), Code::FailedPrecondition);
        let refused = plane.refuses(client.attach(&attaching)).await;
        assert_eq!(refused.code, "version.ceiling_exceeded", "{version}");
        let fact = |name: &str| refused.facts.get(name).map(String::as_str);
        assert_eq!((fact("client_version"), fact("server_version")), (Some(version), Some("1.0")));
    }
    // A MINOR above is no breaking step.
    client.attach(&Attaching::new(&id, "newer").version(ONE_WITH_30_DIGITS)).await.unwrap();
}

#[tokio::test]
async fn of_many_raises_at_once_the_highest_stays_and_nodes_are_told_of_it() {
    let plane = Plane::start(PlaneOptions::default()).await;
    let client = plane.client().await;
    for round in 0..5 {
        let id = client.session().await;
        let node_id = format!("node-{round}");
        client.attach(&Attaching::new(&id, &node_id).version("1.15")).await.unwrap();
        let mut raises = JoinSet::new();
        for minor in 0..20 {
            let (client, id) = (client.clone(), id.clone());
            raises.spawn(async move { raise(&client, &id, &format!("1.{minor}")).await });
        }
        let mut affected = 0;
        for answer in raises.join_all().await {
            match answer {
                Ok(answer) => affected += answer.affected_nodes_count,
                Err(status) => assert_eq!(refusal(Err::<(), _>(status)).code, "version.floor_lowered"),
            }
        }
        assert_eq!(affected, 1, "one of them made the node read-only");
        assert_eq!(session(&client, &id).await.min_client_version, "1.19");
        let ack = client.beat(&node_id, 1).await.unwrap();
        assert_eq!((ack.read_only, ack.min_client_version.as_str()), (true, "1.19"));
    }
}
