//! Appends: made once, in order, and repeated until they are answered.

use std::time::Duration;

use contracts::{
    Code, EventEnvelopeVersion, EventId, Refusal, Seq, limits,
    log::{ContentType, EventDraft, EventKey, EventType},
    wire::v1,
};
use daemon_client::{AppendError, Batch, BatchError, Outcome};
use uuid::Uuid;

use crate::{
    fixture::seq,
    node::{SESSION, node, until_attached},
    server::{Call, Running, Script, within},
};

fn draft(event_type: &str) -> EventDraft {
    EventDraft {
        id: EventId(Uuid::new_v4()),
        envelope_version: EventEnvelopeVersion::current(),
        event_type: EventType::parse("type", event_type).unwrap(),
        key: Some(EventKey::parse("key", "task/1").unwrap()),
        content_type: ContentType::parse("content_type", "application/json").unwrap(),
        payload: b"{}".to_vec(),
        occurred_at: Some(1_700_000_000_123_456),
    }
}

fn batch(events: usize) -> Batch {
    Batch::new((0..events).map(|_| draft("task.finished")).collect()).unwrap()
}

fn appends(script: &Script) -> Vec<v1::AppendEventsRequest> {
    let calls = script.calls().into_iter();
    calls
        .filter_map(|call| match call {
            Call::Append(append) => Some(append),
            Call::Attach(_)
            | Call::Beat(_)
            | Call::Update(_)
            | Call::Detach(_)
            | Call::Renew(_)
            | Call::Exchange(_) => None,
        })
        .collect()
}

#[tokio::test]
async fn events_are_appended_under_the_attachment() {
    let script = Script::new();
    let server = Running::start(&script).await;
    let node = node(server.address());
    let event = draft("task.finished");
    let appended = node.append(Batch::new(vec![event.clone()]).unwrap(), Some(seq(4))).await.unwrap();
    assert_eq!((appended.first, appended.last.seq, appended.repeated), (seq(1), seq(1), false));
    let requests = appends(&script);
    let expected = v1::AppendEventsRequest {
        session_id: SESSION.to_owned(),
        events: vec![event.into()],
        expected_head: Some(4),
        node_id: "laptop-1".to_owned(),
        generation: 1,
    };
    assert_eq!(requests, [expected]);
    let sent = requests[0].events[0].occurred_at.unwrap();
    assert_eq!((sent.seconds, sent.nanos), (1_700_000_000, 123_456_000));
}

#[tokio::test]
async fn an_append_whose_answer_is_lost_is_made_once() {
    let script = Script::new();
    let server = Running::start(&script).await;
    let node = node(server.address());
    script.log.lose_answer_of_append();
    script.log.refuse_append(Refusal::new(Code::ControllerRecovering, "in a moment"));
    let appended = node.append(batch(3), None).await.unwrap();
    assert!(appended.repeated);
    assert_eq!((appended.first, appended.last.seq), (seq(1), seq(3)));
    let requests = appends(&script);
    assert_eq!(requests.len(), 3);
    assert!(requests.iter().all(|request| request.events == requests[0].events), "the same ids each time");
    assert_eq!(script.log.appended(), 3);
}

#[tokio::test]
async fn an_append_outlives_an_outage_of_the_server() {
    let script = Script::new();
    let server = Running::start(&script).await;
    let node = node(server.address());
    until_attached(&node).await;
    let socket = server.socket;
    script.log.lose_answer_of_append();
    let appending = node.append(batch(2), None);
    let outage = async {
        script.until("append", |script| !appends(script).is_empty()).await;
        drop(server);
        tokio::time::sleep(Duration::from_millis(300)).await;
        Running::start_at(&script, socket).await
    };
    let (appended, _server) = within("answer", async { tokio::join!(appending, outage) }).await;
    assert!(appended.unwrap().repeated);
    assert_eq!(script.log.appended(), 2);
}

#[tokio::test]
async fn appends_go_one_after_the_other_in_their_order() {
    let script = Script::new();
    let server = Running::start(&script).await;
    let node = node(server.address());
    script.log.refuse_append(Refusal::new(Code::SystemUnavailable, "in a moment"));
    let (first, second) = tokio::join!(node.append(batch(2), None), node.append(batch(3), None));
    assert_eq!((first.unwrap().first, second.unwrap().first), (seq(1), seq(3)));
}

#[tokio::test]
async fn refusals_of_an_append_are_told_and_the_node_stays() {
    let script = Script::new();
    let server = Running::start(&script).await;
    let node = node(server.address());
    for code in [Code::LogHeadMismatch, Code::LogEventIdConflict, Code::RuntimeNodePermissionDenied] {
        script.log.refuse_append(Refusal::new(code, "no").with_fact("head", "9"));
        let error = node.append(batch(1), Some(Seq::ORIGIN)).await.unwrap_err();
        assert!(
            matches!(&error, AppendError::Refused(refusal)
            if refusal.known() == Some(code) && refusal.facts["head"] == "9"),
            "{error:?}"
        );
    }
    script.log.refuse_append(Refusal::new(Code::VersionFloorExceeded, "upgrade"));
    let error = node.append(batch(1), None).await.unwrap_err();
    assert!(matches!(error, AppendError::BelowFloor(_)), "{error:?}");
    script.more_beats(2).await;
    assert_eq!((script.attaches(), script.log.appended()), (1, 0));
    node.append(batch(1), None).await.unwrap();
}

#[tokio::test]
async fn an_append_of_a_lost_attachment_waits_for_the_next() {
    let script = Script::new();
    let server = Running::start(&script).await;
    let node = node(server.address());
    until_attached(&node).await;
    script.generation(2);
    script.log.appends_by(2);
    script.refuse_beats(Refusal::new(Code::RuntimeNodeNotAttached, "attach first"));
    let appending = node.append(batch(1), None);
    let lifted = async {
        script.until("another attach", |script| script.attaches() > 1).await;
        script.accept_beats();
    };
    let (appended, ()) = within("answer", async { tokio::join!(appending, lifted) }).await;
    appended.unwrap();
    assert_eq!(appends(&script).last().unwrap().generation, 2);
}

#[tokio::test]
async fn whoever_stops_waiting_gives_the_append_up() {
    let script = Script::new();
    let server = Running::start(&script).await;
    let node = node(server.address());
    let in_a_while =
        Refusal::new(Code::SystemUnavailable, "in a while").with_retry_delay(Duration::from_secs(300));
    script.log.refuse_append(in_a_while);
    let given_up = batch(1);
    tokio::select! {
        answer = node.append(given_up, None) => panic!("{answer:?}"),
        () = script.until("try", |script| appends(script).len() == 1) => {}
    }
    // It would wait behind the other one.
    let appended = within("answer", node.append(batch(2), None)).await.unwrap();
    assert_eq!((appended.first, appends(&script).len()), (seq(1), 2));
}

#[tokio::test]
async fn an_append_to_a_client_that_ended_says_so() {
    let script = Script::new();
    script.refuse_attach(Refusal::new(Code::RuntimeNodeAttachRevoked, "no"));
    let server = Running::start(&script).await;
    let node = node(server.address());
    let error = node.append(batch(1), None).await.unwrap_err();
    assert!(matches!(error, AppendError::Ended(Outcome::Revoked(_))), "{error:?}");
}

#[test]
fn a_batch_that_no_server_would_take_is_none() {
    let of = |events: usize| Batch::new((0..events).map(|_| draft("task.finished")).collect());
    assert_eq!(of(0), Err(BatchError::Count { found: 0 }));
    assert!(of(limits::EVENTS_PER_APPEND_MAX).is_ok());
    let found = limits::EVENTS_PER_APPEND_MAX + 1;
    assert_eq!(of(found), Err(BatchError::Count { found }));
    let twice = draft("task.finished");
    assert_eq!(Batch::new(vec![twice.clone(), twice]), Err(BatchError::Repeated { index: 1 }));
    let reserved = Batch::new(vec![draft("task.finished"), draft("runtime_node.attached")]);
    assert!(matches!(reserved, Err(BatchError::Event { index: 1, .. })));
    let large = |bytes: usize| EventDraft { payload: vec![0; bytes], ..draft("task.finished") };
    assert!(Batch::new(vec![large(limits::EVENT_PAYLOAD_BYTES_MAX)]).is_ok());
    let too_large = Batch::new(vec![large(limits::EVENT_PAYLOAD_BYTES_MAX + 1)]);
    assert!(matches!(too_large, Err(BatchError::Event { index: 0, .. })));
    let all = Batch::new((0..4).map(|_| large(limits::EVENT_PAYLOAD_BYTES_MAX)).collect());
    assert!(matches!(all, Err(BatchError::Bytes { .. })), "each may be sent, and not all at once");
}
