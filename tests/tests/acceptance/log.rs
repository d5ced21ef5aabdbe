//! Appends to the log of a session, and reads of it.

use std::{collections::HashMap, process::Output};

use contracts::{
    Code,
    refusal::ReceivedRefusal,
    wire::v1::{
        ArchiveSessionRequest, CloseSessionRequest, MemberRole, MemberState, RaiseVersionFloorRequest,
        ReadEventsRequest,
    },
};
use prost_types::Timestamp;
use serde_json::Value;
use sqlx::{AssertSqlSafe, Postgres, Transaction};
use tests::{Appending, Attaching, Client, Plane, PlaneOptions, refusal};
use tokio::task::JoinSet;
use uuid::Uuid;

/// The numbers of the events of a type.
async fn numbers(client: &Client, session: &str, event_type: &str) -> Vec<u64> {
    let events = client.events(session).await;
    events
        .iter()
        .filter(|event| event.event_type.as_str() == event_type)
        .map(|event| event.seq.get())
        .collect()
}

async fn do_by_hand(plane: &Plane, statement: String) {
    sqlx::raw_sql(AssertSqlSafe(statement)).execute(&plane.database.pool).await.expect("it can be done");
}

/// Holds what a statement locks until it is rolled back.
async fn hold(plane: &Plane, statement: String) -> Transaction<'static, Postgres> {
    let mut held = plane.database.pool.begin().await.expect("a transaction begins");
    sqlx::raw_sql(AssertSqlSafe(statement)).execute(&mut *held).await.expect("it is locked");
    held
}

#[tokio::test]
async fn two_nodes_and_a_participant_that_append_at_once_make_one_gapless_log() {
    const EACH: usize = 40;
    let plane = Plane::start(PlaneOptions::default()).await;
    let client = plane.client().await;
    let session = client.session().await;
    let (one, two) = (client.online(&session, "laptop-1").await, client.online(&session, "laptop-2").await);
    let authors = [
        ("person", Appending::new(&session)),
        ("one", Appending::new(&session).by("laptop-1", one)),
        ("two", Appending::new(&session).by("laptop-2", two)),
    ];
    let mut appending = JoinSet::new();
    for (name, empty) in authors {
        let client = plane.client().await;
        appending.spawn(async move {
            let mut given = Vec::new();
            for number in 0..EACH {
                let append = empty.clone().event(&format!("said.{name}"), &number.to_string());
                // Some bring several events.
                let append = if number % 3 == 0 { append.event("more", "").key(name) } else { append };
                let appended = client.append(&append).await.expect("it is taken");
                assert!(!appended.repeated);
                given.push(appended.first_seq);
            }
            (name, given)
        });
    }
    let given: HashMap<_, _> = appending.join_all().await.into_iter().collect();
    for (name, given) in &given {
        assert_eq!(
            &numbers(&client, &session, &format!("said.{name}")).await,
            given,
            "in the order of {name}"
        );
    }
    let events = client.events(&session).await;
    let expected: Vec<_> = (1..=events.len() as u64).collect();
    assert_eq!(events.iter().map(|event| event.seq.get()).collect::<Vec<_>>(), expected);
    let of_nodes = 2;
    assert_eq!(events.len(), of_nodes + 3 * (EACH + EACH.div_ceil(3)));
    let actors: Vec<_> = events[of_nodes..].iter().map(|event| event.actor.to_string()).collect();
    for actor in
        [format!("participant/{}", plane.participant()), "node/laptop-1".into(), "node/laptop-2".into()]
    {
        assert_eq!(
            actors.iter().filter(|other| **other == actor).count(),
            EACH + EACH.div_ceil(3),
            "{actor}"
        );
    }
    plane.database.logs_hold().await;
}

#[tokio::test]
async fn an_append_that_is_sent_twice_at_once_is_one_and_both_are_answered_alike() {
    let plane = Plane::start(PlaneOptions::default()).await;
    let (client, beside) = (plane.client().await, plane.client().await);
    let session = client.session().await;
    for round in 0..30 {
        let append = Appending::new(&session).event("a.b", &round.to_string()).event("c", "").key("k");
        let (first, second) = tokio::join!(client.append(&append), beside.append(&append));
        let (first, second) = (first.unwrap(), second.unwrap());
        assert_eq!((first.first_seq, &first.last), (second.first_seq, &second.last));
        assert_eq!(first.first_seq, round * 2 + 1);
        assert!(first.repeated != second.repeated, "one of them was first: {first:?} {second:?}");
        let again = plane.repeats(client.append(&append)).await;
        assert_eq!((again.first_seq, again.last, again.repeated), (first.first_seq, first.last, true));
    }
    assert_eq!(client.events(&session).await.len(), 60);
    plane.database.logs_hold().await;
}

#[tokio::test]
async fn an_append_that_expects_another_head_is_refused_with_where_the_log_ends() {
    let plane = Plane::start(PlaneOptions::default()).await;
    let client = plane.client().await;
    let session = client.session().await;
    let append = |head| Appending::new(&session).event("a", "").expecting(head);
    assert_eq!(plane.refuses(client.append(&append(1))).await.facts["head"], "0");
    assert_eq!(client.append(&append(0)).await.unwrap().first_seq, 1);
    for stale in [0, 2, i64::MAX as u64] {
        let refused = plane.refuses(client.append(&append(stale))).await;
        let hash = client.events(&session).await.pop().unwrap().hash;
        assert_eq!(refused.code, "log.head_mismatch");
        assert_eq!(
            (&refused.facts["head"], &refused.facts["head_hash"]),
            (&"1".to_owned(), &hash.to_string())
        );
    }
    // Of many that saw the same end, one decides what comes next.
    let mut racing = JoinSet::new();
    for _ in 0..10 {
        let (client, append) = (plane.client().await, append(1));
        racing.spawn(async move { client.append(&append).await });
    }
    let (won, lost): (Vec<_>, Vec<_>) = racing.join_all().await.into_iter().partition(Result::is_ok);
    assert_eq!((won.len(), lost.len()), (1, 9));
    for lost in lost {
        assert_eq!(refusal(lost).facts["head"], "2");
    }
    // A repeat is a repeat, wherever the log ends by now.
    let first = append(2);
    client.append(&first).await.unwrap();
    client.say(&session, "b").await;
    assert!(client.append(&first).await.unwrap().repeated);
}

#[tokio::test]
async fn what_is_no_repeat_of_a_whole_append_is_refused_under_a_known_id() {
    let plane = Plane::start(PlaneOptions::default()).await;
    let client = plane.client().await;
    let session = client.session().await;
    let generation = client.online(&session, "laptop-1").await;
    let first = Appending::new(&session).event("a", "1").event("b", "2");
    client.append(&first).await.unwrap();
    let changed = |change: fn(&mut Appending)| {
        let mut append = first.clone();
        change(&mut append);
        append
    };
    for (append, culprit) in [
        (changed(|append| append.0.events[0].payload = b"x".to_vec()), 0),
        (changed(|append| append.0.events[1].r#type = "c".to_owned()), 1),
        (changed(|append| append.0.events[1].key = Some("k".to_owned())), 1),
        (changed(|append| append.0.events[1].envelope_version = "1.1".to_owned()), 1),
        (changed(|append| append.0.events[0].occurred_at = Some(Timestamp { seconds: 1, nanos: 0 })), 0),
        (changed(|append| append.0.events.reverse()), 0),
        (first.clone().event("c", ""), 0),
        (first.clone().by("laptop-1", generation), 0),
    ] {
        let refused = plane.refuses(client.append(&append)).await;
        assert_eq!(refused.code, "log.event_id_conflict");
        assert_eq!(refused.facts["event_id"], first.0.events[culprit].event_id, "{append:?}");
    }
    // In another session the ids are free.
    let elsewhere = client.session().await;
    let mut append = first.clone();
    append.0.session_id = elsewhere.clone();
    assert!(!client.append(&append).await.unwrap().repeated);
    assert_eq!(numbers(&client, &elsewhere, "b").await, [2]);
}

#[tokio::test]
async fn what_the_server_does_not_know_passes_through_unharmed() {
    let plane = Plane::start(PlaneOptions::default()).await;
    let client = plane.client().await;
    let session = client.session().await;
    let mut append = Appending::new(&session);
    let at = [
        Timestamp { seconds: -62_135_596_800, nanos: 0 },
        Timestamp { seconds: 253_402_300_799, nanos: 999_999_000 },
        Timestamp { seconds: -1, nanos: 1_000 },
    ];
    for (number, version) in ["1.99", "7.0", "99999999999999999999999.1"].into_iter().enumerate() {
        append = append.event("never.heard_of_it9", "");
        let event = append.0.events.last_mut().unwrap();
        event.envelope_version = version.to_owned();
        event.payload = (0..=255).cycle().take(number * 100_000).collect();
        event.content_type = "application/x-nobody-knows".to_owned();
        event.occurred_at = Some(at[number]);
        event.key = (number > 0).then(|| format!("{}\u{1f9ed} b", "k".repeat(509)));
    }
    client.append(&append).await.unwrap();
    let page = client.read(&session, 0, 0).await.unwrap();
    for (sent, stored) in append.0.events.iter().zip(&page.events) {
        let seen = (&stored.event_id, &stored.envelope_version, &stored.r#type, &stored.key);
        assert_eq!(seen, (&sent.event_id, &sent.envelope_version, &sent.r#type, &sent.key));
        let seen = (&stored.content_type, &stored.payload, &stored.occurred_at);
        assert_eq!(seen, (&sent.content_type, &sent.payload, &sent.occurred_at));
    }
    assert_eq!(client.events(&session).await.len(), 3);
    plane.database.logs_hold().await;
}

#[tokio::test]
async fn below_the_floor_a_node_appends_nothing_and_reads_all() {
    let plane = Plane::start(PlaneOptions::default()).await;
    let client = plane.client().await;
    let session = client.session_with_floor("1.2").await;
    let attached = client.attach(&Attaching::new(&session, "old").version("1.1")).await.unwrap();
    let newer = client.attach(&Attaching::new(&session, "new").version("1.2")).await.unwrap();
    let by = |node, generation| Appending::new(&session).by(node, generation).event("a", "");
    let refused = plane.refuses(client.append(&by("old", attached.generation))).await;
    assert_eq!(refused.code, "version.floor_exceeded");
    assert_eq!(refused.facts["min_client_version"], "1.2");
    let before_the_raise = by("new", newer.generation);
    client.append(&before_the_raise).await.unwrap();
    client.say(&session, "by.a_person").await;

    let raise = RaiseVersionFloorRequest {
        session_id: session.clone(),
        min_client_version: "2.0".to_owned(),
        ..RaiseVersionFloorRequest::default()
    };
    client.sessions.clone().raise_version_floor(raise).await.unwrap();
    let refused = plane.refuses(client.append(&by("new", newer.generation))).await;
    assert_eq!(refused.code, "version.floor_exceeded");
    // What was acknowledged before stays so.
    assert!(plane.repeats(client.append(&before_the_raise)).await.repeated);
    assert_eq!(numbers(&client, &session, "a").await.len(), 1);

    do_by_hand(&plane, "alter table sessions drop constraint sessions_min_client_version_format".into())
        .await;
    do_by_hand(&plane, format!("update sessions set min_client_version = 'x' where id = '{session}'")).await;
    let refused = plane.refuses(client.append(&by("new", newer.generation))).await;
    assert_eq!(refused.code, "system.internal_error", "a floor that cannot be read lets no node pass");
}

#[tokio::test]
async fn a_node_appends_only_where_and_while_its_generation_holds_its_slot() {
    let plane = Plane::start(PlaneOptions::default()).await;
    let client = plane.client().await;
    let (session, elsewhere) = (client.session().await, client.session().await);
    let generation = client.online(&session, "laptop-1").await;
    let by = |session: &str, generation| Appending::new(session).by("laptop-1", generation).event("a", "");
    let code = async |append: Appending| plane.refuses(client.append(&append)).await.code;
    let appended = by(&session, generation);
    client.append(&appended).await.unwrap();

    assert_eq!(code(by(&elsewhere, generation)).await, "runtimenode.not_attached");
    assert_eq!(code(by(&session, generation + 7)).await, "runtimenode.not_attached");
    let newer = client.online(&session, "laptop-1").await;
    assert_eq!(code(by(&session, generation)).await, "runtimenode.generation_superseded");
    assert_eq!(code(appended.clone()).await, "runtimenode.generation_superseded");
    let mut by_the_newer = appended.clone();
    by_the_newer.0.generation = newer;
    assert!(client.append(&by_the_newer).await.unwrap().repeated, "the same node says the same");
    client.detach("laptop-1", newer).await.unwrap();
    assert_eq!(code(by(&session, newer)).await, "runtimenode.not_attached");
    let third = client.online(&elsewhere, "laptop-1").await;
    client.append(&by(&elsewhere, third)).await.unwrap();
    assert_eq!(code(by(&session, third)).await, "runtimenode.not_attached");
    client.revoke_node("laptop-1", Some(&elsewhere)).await.unwrap();
    assert_eq!(code(by(&elsewhere, third)).await, "runtimenode.attach_revoked");
    plane.admin().await.revoke_node("laptop-1", None).await.unwrap();
    assert_eq!(code(by(&session, third)).await, "runtimenode.attach_revoked");
    plane.database.logs_hold().await;
}

#[tokio::test]
async fn an_archived_or_closed_session_takes_no_events_and_is_read() {
    let plane = Plane::start(PlaneOptions::default()).await;
    let client = plane.client().await;
    let session = client.session().await;
    let generation = client.online(&session, "laptop-1").await;
    let said = Appending::new(&session).event("a", "");
    client.append(&said).await.unwrap();
    let archive = ArchiveSessionRequest { session_id: session.clone(), ..Default::default() };
    client.sessions.clone().archive_session(archive).await.unwrap();
    let by_node = Appending::new(&session).by("laptop-1", generation).event("b", "");
    for append in [&by_node, &Appending::new(&session).event("b", "")] {
        let refused = plane.refuses(client.append(append)).await;
        assert_eq!(
            (refused.code.as_str(), &refused.facts["state"]),
            ("session.not_active", &"archived".into())
        );
    }
    assert!(client.append(&said).await.unwrap().repeated);
    let close = CloseSessionRequest { session_id: session.clone(), ..Default::default() };
    client.sessions.clone().close_session(close).await.unwrap();
    let refused = plane.refuses(client.append(&Appending::new(&session).event("b", ""))).await;
    assert_eq!(refused.facts["state"], "closed");
    assert_eq!(numbers(&client, &session, "a").await, [2]);
}

#[tokio::test]
async fn a_log_is_read_in_pages_bounded_in_number_and_in_bytes() {
    let plane = Plane::start(PlaneOptions::default()).await;
    let client = plane.client().await;
    let session = client.session().await;
    assert_eq!(client.events(&session).await, [], "nothing was ever appended");
    for _ in 0..3 {
        let append = (0..10).fold(Appending::new(&session), |append, n| append.event("a", &n.to_string()));
        client.append(&append).await.unwrap();
    }
    let page = client.read(&session, 7, 10).await.unwrap();
    let read: Vec<_> = page.events.iter().map(|event| event.seq).collect();
    assert_eq!((read, page.next_page_token.as_str()), ((8..=17).collect(), "17"));
    assert_eq!((page.head.unwrap().seq, page.tail.unwrap().seq), (30, 0));
    let next = ReadEventsRequest {
        session_id: session.clone(),
        after_seq: 1,
        page_token: page.next_page_token,
        page_size: 13,
    };
    let page = client.log.clone().read_events(next).await.unwrap().into_inner();
    assert_eq!((page.events[0].seq, page.events.len(), page.next_page_token.as_str()), (18, 13, ""));
    for beyond in [30, 31, i64::MAX as u64] {
        let page = client.read(&session, beyond, 10).await.unwrap();
        assert_eq!((page.events.len(), page.next_page_token.as_str()), (0, ""));
    }

    let large = client.session().await;
    for _ in 0..20 {
        client.append(&Appending::new(&large).event("large", &"x".repeat(256 * 1_024))).await.unwrap();
    }
    let page = client.read(&large, 0, 1_000).await.unwrap();
    assert!((2..8).contains(&page.events.len()), "{} events", page.events.len());
    assert!(!page.next_page_token.is_empty());
    assert_eq!(client.events(&large).await.len(), 20);
}

#[tokio::test]
async fn events_below_the_tail_are_said_to_be_pruned() {
    let plane = Plane::start(PlaneOptions::default()).await;
    let client = plane.client().await;
    let session = client.session().await;
    let append =
        (0..10).fold(Appending::new(&session), |append, n| append.event("a", "").key(&format!("k{n}")));
    client.append(&append).await.unwrap();
    let prune = format!(
        "update session_logs log set tail = 4, tail_hash = event.hash from session_events event
         where log.session_id = '{session}' and event.session_id = log.session_id and event.seq = 4;
         delete from session_events where session_id = '{session}' and seq <= 4"
    );
    do_by_hand(&plane, prune).await;
    for after in [1, 3] {
        let refused = refusal(client.read(&session, after, 0).await);
        assert_eq!((refused.code.as_str(), refused.facts["tail"].as_str()), ("log.events_pruned", "4"));
    }
    let read = async |after| client.read(&session, after, 0).await.unwrap().events[0].seq;
    assert_eq!((read(0).await, read(4).await, read(7).await), (5, 5, 8));
    assert_eq!(client.events(&session).await.len(), 6);
    // What is pruned is not known any more; what is retained still is.
    let mut repeat = append.clone();
    repeat.0.events.drain(..4);
    assert!(client.append(&repeat).await.unwrap().repeated);
    assert_eq!(refusal(client.append(&append).await).code, "log.event_id_conflict");
    let keys: i64 = sqlx::query_scalar("select count(*) from session_state")
        .fetch_one(&plane.database.pool)
        .await
        .unwrap();
    assert_eq!(keys, 10, "the state is not pruned");
}

#[tokio::test]
async fn the_keys_of_a_state_are_bounded_for_clients_and_never_for_nodes_that_attach() {
    let plane = Plane::start(PlaneOptions::default()).await;
    let client = plane.client().await;
    let session = client.session().await;
    client.append(&Appending::new(&session).event("a", "").key("old")).await.unwrap();
    do_by_hand(&plane, "update session_logs set state_keys = 99999".to_owned()).await;
    let two = Appending::new(&session).event("a", "").key("x").event("a", "").key("y");
    let refused = plane.refuses(client.append(&two)).await;
    assert_eq!(
        (refused.code.as_str(), refused.facts["resource"].as_str(), refused.facts["limit"].as_str()),
        ("resource.limit_exceeded", "state_keys_per_session", "100000")
    );
    client.append(&Appending::new(&session).event("a", "").key("x")).await.unwrap();
    let full = plane.refuses(client.append(&Appending::new(&session).event("a", "").key("y"))).await;
    assert_eq!(full.facts["current"], "100000");
    client.append(&Appending::new(&session).event("b", "").key("old").event("c", "")).await.unwrap();
    client.online(&session, "laptop-1").await;
    let keys: i64 = sqlx::query_scalar("select state_keys from session_logs")
        .fetch_one(&plane.database.pool)
        .await
        .unwrap();
    assert_eq!(keys, 100_001);
}

#[tokio::test]
async fn a_log_that_somebody_holds_holds_up_no_other_and_loses_nothing() {
    let plane = Plane::start(PlaneOptions::default()).await;
    let client = plane.client().await;
    let (held, free) = (client.session().await, client.session().await);
    client.say(&held, "a").await;
    let lock = hold(&plane, format!("select from session_logs where session_id = '{held}' for update")).await;
    let mut waiting = JoinSet::new();
    for number in 0..5 {
        let (client, append) = (client.clone(), Appending::new(&held).event("b", &number.to_string()));
        // A statement waits for 3 seconds at most, and a busy machine may take longer for all this.
        waiting.spawn(async move { while client.append(&append).await.is_err() {} });
    }
    plane.database.has_blocked(1).await;
    for number in 1..=20 {
        assert_eq!(client.say(&free, "c").await, number);
    }
    assert!(waiting.try_join_next().is_none());
    lock.rollback().await.unwrap();
    waiting.join_all().await;
    assert_eq!(numbers(&client, &held, "b").await, [2, 3, 4, 5, 6]);
    plane.database.logs_hold().await;
}

#[tokio::test]
async fn refused_appends_disturb_none_of_those_that_are_written_with_them() {
    let plane = Plane::start(PlaneOptions::default()).await;
    let client = plane.client().await;
    let (_, stranger) = plane.stranger().await;
    let session = client.session().await;
    client.say(&session, "a").await;
    // While the position is held, all that comes after the first is written together.
    let lock = hold(&plane, "select from log_position for update".to_owned()).await;
    let first = tokio::spawn({
        let (client, append) = (client.clone(), Appending::new(&session).event("first", ""));
        async move { client.append(&append).await }
    });
    plane.database.has_blocked(1).await;
    let mut waiting = JoinSet::new();
    for number in 0..40 {
        let append = Appending::new(&session).event("b", &number.to_string());
        let (client, append) = match number % 4 {
            0 => (client.clone(), append),
            1 => (client.clone(), append.expecting(0)),
            2 => (client.clone(), append.by("nobody", 1)),
            _ => (stranger.clone(), append),
        };
        waiting.spawn(async move {
            client.append(&append).await.map_err(|status| ReceivedRefusal::from_status(&status))
        });
    }
    lock.rollback().await.unwrap();
    first.await.unwrap().unwrap();
    let mut codes: HashMap<String, usize> = HashMap::new();
    for answer in waiting.join_all().await {
        let code =
            answer.map_or_else(|refused| refused.expect("it is a refusal").code, |_| "taken".to_owned());
        *codes.entry(code).or_default() += 1;
    }
    let expected =
        [("taken", 10), (Code::LogHeadMismatch.entry().code, 10), ("runtimenode.permission_denied", 20)];
    assert_eq!(codes, expected.map(|(code, count)| (code.to_owned(), count)).into());
    assert_eq!(numbers(&client, &session, "b").await.len(), 10);
    plane.database.logs_hold().await;
}

/// Changes of what appends are judged by wait for those that are judged already, and count for all later ones.
#[tokio::test]
async fn what_an_append_is_judged_by_does_not_change_before_its_commit() {
    let plane = Plane::start(PlaneOptions::default()).await;
    let owner = plane.client().await;
    for change in ["archive", "close", "raise", "suspend", "remove", "detach", "revoke", "transfer"] {
        let (member, client) = plane.stranger().await;
        let session = owner.session().await;
        owner.welcome(&session, member, MemberRole::Collaborator).await;
        let generation = client.online(&session, change).await;
        let lock = hold(&plane, "select from log_position for update".to_owned()).await;
        let append = Appending::new(&session).by(change, generation);
        let appending = tokio::spawn({
            let (client, append) = (client.clone(), append.clone().event("a", ""));
            async move { client.append(&append).await }
        });
        plane.database.has_blocked(1).await;
        let changing =
            tokio::spawn(make(change, session.clone(), member, owner.clone(), plane.admin().await));
        plane.database.has_blocked(2).await;
        assert!(!changing.is_finished(), "{change}");
        lock.rollback().await.unwrap();
        appending.await.unwrap().expect("it was judged before the change");
        changing.await.unwrap();
        let refused = plane.refuses(client.append(&append.event("b", ""))).await;
        assert_ne!(refused.code, "system.internal_error", "{change}");
        assert_eq!(numbers(&owner, &session, "a").await.len(), 1);
    }
    plane.database.logs_hold().await;
}

async fn make(
    change: &str,
    session_id: String,
    member: contracts::ParticipantId,
    owner: Client,
    admin: Client,
) {
    let mut sessions = owner.sessions.clone();
    let made = match change {
        "archive" => {
            let request = ArchiveSessionRequest { session_id, ..Default::default() };
            sessions.archive_session(request).await.map(drop)
        }
        "close" => {
            let request = CloseSessionRequest { session_id, ..Default::default() };
            sessions.close_session(request).await.map(drop)
        }
        "raise" => {
            let min_client_version = "9.0".to_owned();
            let request = RaiseVersionFloorRequest { session_id, min_client_version, ..Default::default() };
            sessions.raise_version_floor(request).await.map(drop)
        }
        "suspend" => {
            let (role, state) = (MemberRole::Collaborator, MemberState::Suspended);
            owner.set_member(&session_id, member, role, state).await.map(drop)
        }
        "remove" => owner.remove_member(&session_id, member).await,
        "detach" => owner.detach_node(change).await.map(drop),
        "revoke" => owner.revoke_node(change, Some(&session_id)).await.map(drop),
        "transfer" => {
            let (node_id, participant_id) = (change.to_owned(), Uuid::now_v7().to_string());
            let request =
                contracts::wire::v1::TransferNodeRequest { node_id, participant_id, ..Default::default() };
            admin.admin.clone().transfer_node(request).await.map(drop)
        }
        other => panic!("nobody knows how to {other}"),
    };
    made.expect("it can be changed");
}

#[tokio::test]
async fn the_first_events_of_many_sessions_at_once_all_get_in() {
    let plane = Plane::start(PlaneOptions::default()).await;
    let client = plane.client().await;
    let mut saying = JoinSet::new();
    for _ in 0..30 {
        let session = client.session().await;
        for _ in 0..3 {
            let (client, session) = (client.clone(), session.clone());
            saying.spawn(async move { client.say(&session, "first").await });
        }
        let (client, session) = (client.clone(), session.clone());
        saying.spawn(async move { client.online(&session, &format!("node-of-{session}")).await });
    }
    assert_eq!(saying.join_all().await.len(), 120);
    plane.database.logs_hold().await;
}

fn printed(output: &Output) -> (String, String) {
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).expect("it prints text");
    (text(&output.stdout), text(&output.stderr))
}

#[tokio::test]
async fn a_log_is_appended_to_read_and_verified_by_the_command_line() {
    let plane = Plane::start(PlaneOptions::default()).await;
    let client = plane.client().await;
    let session = client.session().await;
    let id = Uuid::new_v4().to_string();
    let append = ["log", "append", &session, "--type", "task.begun", "--key", "task/7", "--event-id", &id];
    let payload = [&append[..], &["--payload", r#"{"by": "ann"}"#]].concat();
    let appended = plane.cli(&payload);
    assert_eq!(printed(&appended), ("1\n".to_owned(), format!("appended event {id} at 1\n")));
    assert_eq!(printed(&plane.cli(&payload)).1, format!("event {id} was there already, at 1\n"));
    let refused = plane.cli(&[&append[..], &["--expected-head", "7"]].concat());
    assert_eq!(refused.status.code(), Some(1));
    assert!(printed(&refused).1.contains("log.event_id_conflict"), "{refused:?}");
    let bad = plane.cli(&["log", "append", &session, "--type", "rollcall.mine"]);
    assert_eq!(bad.status.code(), Some(2), "{bad:?}");
    for number in 0..700 {
        let append = Appending::new(&session).event("more", &number.to_string());
        client.append(&append).await.unwrap();
    }

    let (table, notes) = printed(&plane.cli(&["log", "read", &session, "--limit", "2"]));
    let lines: Vec<_> = table.lines().collect();
    assert!(lines[0].starts_with("SEQ  RECORDED AT") && lines.len() == 3, "{table}");
    assert!(lines[1].starts_with("1 ") && lines[1].ends_with(r#"{"by": "ann"}"#), "{table}");
    assert_eq!(notes, "the log ends at 701\nhint: go on with --after 2, or see more with --limit\n");
    let read = plane.cli(&["log", "read", &session, "--after", "1", "--limit", "1000", "--json"]);
    let read: Value = serde_json::from_slice(&read.stdout).unwrap();
    let events = read["events"].as_array().unwrap();
    assert_eq!(
        (events.len(), &events[699]["payload"], &read["has_more"]),
        (700, &"699".into(), &false.into())
    );
    let status = plane.cli(&["log", "status", &session, "--json"]);
    let status: Value = serde_json::from_slice(&status.stdout).unwrap();
    assert_eq!((&status["head"]["seq"], &status["retained_events"]), (&701.into(), &701.into()));
    assert_eq!(status["head"]["hash"], events[699]["hash"]);
    let verified = plane.cli(&["log", "verify", &session]);
    assert_eq!(verified.status.code(), Some(0));
    assert!(printed(&verified).0.starts_with("701 events hold, from 0 ("), "{verified:?}");

    for (damage, place) in [
        ("update session_events set payload = 'x' where seq = 603", "event 603 is not what its hash says"),
        ("delete from session_events where seq = 550", "event 551 follows 549"),
        ("update session_events set prev_hash = hash where seq = 3", "event 3 continues another log"),
    ] {
        do_by_hand(&plane, damage.to_owned()).await;
        let broken = plane.cli(&["log", "verify", &session]);
        assert_eq!(broken.status.code(), Some(1));
        assert!(printed(&broken).1.contains(place), "{broken:?}");
    }
}
