//! Events and their chain. The vectors are a promise: stored logs and replicas hold these hashes.

use contracts::{
    EventEnvelopeVersion, EventHash, EventId, LogPoint, NodeId, ParticipantId, Seq, SessionId,
    log::{
        Actor, Append, BrokenChain, ContentType, Event, EventDraft, EventKey, EventType, NodeChange,
        OwnEvent, digest_of_base, verify_chain,
    },
    wire::v1,
};
use proptest::prelude::*;
use uuid::Uuid;

const SESSION: SessionId = SessionId(Uuid::from_u128(0x0193_e4a0_7c5b_7d11_8f3a_2b6c_4d5e_6f70));
const APPEND: Append = Append { session_id: SESSION, epoch: 7, recorded_at: 1_700_000_000_123_456 };

fn draft(id: u128, key: Option<&str>, payload: &[u8]) -> EventDraft {
    EventDraft {
        id: EventId(Uuid::from_u128(id)),
        envelope_version: EventEnvelopeVersion::current(),
        event_type: EventType::parse("type", "task.finished").expect("a type"),
        key: key.map(|key| EventKey::parse("key", key).expect("a key")),
        content_type: ContentType::parse("content_type", "application/json").expect("a content type"),
        payload: payload.to_vec(),
        occurred_at: Some(-1),
    }
}

/// Three events, one of each kind of actor, with and without a key.
fn log() -> Vec<Event> {
    let actors = [
        Actor::Server,
        Actor::Participant(ParticipantId(Uuid::from_u128(2))),
        Actor::Node(NodeId::parse("node_id", "laptop-1").expect("a name")),
    ];
    let drafts = [draft(1, None, b""), draft(2, Some("task/1"), b"{}"), draft(3, Some("task/2"), &[0, 255])];
    let mut head = LogPoint::origin(SESSION);
    let mut events = Vec::new();
    for (actor, draft) in actors.into_iter().zip(drafts) {
        let event = Event::append(head, APPEND, actor, draft).expect("a place");
        head = event.point();
        events.push(event);
    }
    events
}

#[test]
fn the_chain_is_as_promised() {
    let hashes: Vec<_> = log().iter().map(|event| event.hash.to_string()).collect();
    assert_eq!(
        LogPoint::origin(SESSION).hash.to_string(),
        "e3cc2cc89a27e68ba2b2da7612fcd2fd1ccb6d29053754b8e09641020558104e"
    );
    assert_eq!(
        hashes,
        [
            "1616a7b48a09f2a62a83a1047c2f77c1104b6adabed3b3d4ce41174ac42e865c",
            "012445daed73f01284f580ef513c0404e93bac6998d9e0d680cb4ea4ebf6b95a",
            "12d0a296d1c77aa9ac1d67f7380cbbec908c0d1df1d438398adaedebf7a7d61c"
        ]
    );
    let digest = digest_of_base(log()[1..].iter().map(|event| event.hash));
    assert_eq!(
        EventHash::from_bytes(*digest.as_bytes()).to_string(),
        "afe8d4e0b3bff739565acf625c72a6458da5d1b531dd22c7db76c5f79e450a1e"
    );
}

/// The bytes written out by hand, so that the form above is what the code does.
#[test]
fn the_canonical_bytes_are_those_of_the_table() {
    let event = &log()[1];
    let text = |text: &str| [&u32::try_from(text.len()).unwrap().to_be_bytes(), text.as_bytes()].concat();
    let canonical = [
        SESSION.0.as_bytes().to_vec(),
        2_u64.to_be_bytes().to_vec(),
        Uuid::from_u128(2).as_bytes().to_vec(),
        7_u64.to_be_bytes().to_vec(),
        text("1.0"),
        text("task.finished"),
        [vec![1], text("task/1")].concat(),
        text("participant/00000000-0000-0000-0000-000000000002"),
        text("application/json"),
        text("{}"),
        (-1_i64).to_be_bytes().to_vec(),
        1_700_000_000_123_456_i64.to_be_bytes().to_vec(),
        event.prev_hash.as_bytes().to_vec(),
    ]
    .concat();
    assert_eq!(event.hash.as_bytes(), &blake3::derive_key("rollcall session log 1: event", &canonical));
}

#[test]
fn a_chain_holds_from_its_origin_and_breaks_where_it_was_touched() {
    let origin = LogPoint::origin(SESSION);
    let events = log();
    assert_eq!(verify_chain(origin, &events), Ok(events[2].point()));
    assert_eq!(verify_chain(events[0].point(), &events[1..]), Ok(events[2].point()));
    assert_eq!(verify_chain(events[2].point(), []), Ok(events[2].point()));

    let gap = BrokenChain::Gap { after: events[0].seq, found: events[2].seq };
    assert_eq!(verify_chain(origin, [&events[0], &events[2]]), Err(gap));
    let elsewhere = LogPoint { seq: Seq::ORIGIN, hash: events[1].hash };
    assert_eq!(verify_chain(elsewhere, &events), Err(BrokenChain::Previous(events[0].seq)));
    let mut touched = events.clone();
    touched[1].payload.push(b' ');
    assert_eq!(verify_chain(origin, &touched), Err(BrokenChain::Content(events[1].seq)));
}

/// Each field counts: two events that differ in one have different hashes.
#[test]
fn every_field_is_in_the_hash() {
    let event = log().remove(1);
    let touches: [fn(&mut Event); 13] = [
        |event| event.session_id = SessionId(Uuid::from_u128(9)),
        |event| event.seq = Seq::new(9).unwrap(),
        |event| event.id = EventId(Uuid::from_u128(9)),
        |event| event.epoch += 1,
        |event| event.envelope_version = "1.1".parse().unwrap(),
        |event| event.event_type = EventType::parse("type", "task.begun").unwrap(),
        |event| event.key = None,
        |event| event.actor = Actor::Server,
        |event| event.content_type = ContentType::parse("content_type", "text/plain").unwrap(),
        |event| event.payload.clear(),
        |event| event.occurred_at += 1,
        |event| event.recorded_at += 1,
        |event| event.prev_hash = EventHash::from_bytes([0; 32]),
    ];
    for (field, touch) in touches.iter().enumerate() {
        let mut other = event.clone();
        touch(&mut other);
        assert!(!other.is_what_its_hash_says(), "field {field}");
    }
}

/// Bytes that move from one field into the next make another event.
#[test]
fn fields_do_not_run_into_each_other() {
    let hash_of = |key: &str, payload: &[u8]| {
        let event =
            Event::append(LogPoint::origin(SESSION), APPEND, Actor::Server, draft(1, Some(key), payload));
        event.unwrap().hash
    };
    assert_ne!(hash_of("a", b"b"), hash_of("ab", b""));
}

#[test]
fn events_survive_the_wire() {
    for event in log() {
        assert_eq!(Event::parse(SESSION, v1::Event::from(event.clone())), Ok(event));
    }
}

#[test]
fn a_repeat_says_the_same_and_an_absent_time_is_any_time() {
    let event = log().remove(0);
    let same = draft(1, None, b"");
    assert!(event.says(&same, &Actor::Server));
    assert!(event.says(&EventDraft { occurred_at: None, ..same.clone() }, &Actor::Server));
    assert!(!event.says(&EventDraft { occurred_at: Some(0), ..same.clone() }, &Actor::Server));
    assert!(!event.says(&draft(1, None, b"x"), &Actor::Server));
    assert!(!event.says(&same, &Actor::Node("laptop-1".parse().unwrap())));
}

#[test]
fn what_the_control_plane_tells_of_nodes_parses_and_is_its_own() {
    for change in NodeChange::ALL {
        assert_eq!(EventType::parse("type", change.as_str()), Ok(change.event_type()));
        assert!(change.event_type().is_reserved());
    }
    let longest = NodeId::parse("node_id", &"n".repeat(256)).unwrap();
    let key = EventKey::of_node(&longest);
    assert_eq!(EventKey::parse("key", key.as_str()), Ok(key));
    assert_eq!(ContentType::parse("content_type", "application/json"), Ok(ContentType::json()));
}

fn new_event() -> v1::NewEvent {
    v1::NewEvent {
        event_id: Uuid::from_u128(1).to_string(),
        envelope_version: "1.0".to_owned(),
        r#type: "task.finished".to_owned(),
        key: None,
        content_type: "text/plain".to_owned(),
        payload: Vec::new(),
        occurred_at: None,
    }
}

#[track_caller]
fn check_refused(touch: impl FnOnce(&mut v1::NewEvent), field: &str) {
    let mut event = new_event();
    touch(&mut event);
    assert_eq!(OwnEvent::parse(event).map_err(|violation| violation.field), Err(field.to_owned()));
}

#[test]
fn what_clients_send_is_parsed_once() {
    assert!(OwnEvent::parse(new_event()).is_ok());
    check_refused(|event| event.event_id.clear(), "event_id");
    check_refused(|event| event.envelope_version = "1".to_owned(), "envelope_version");
    for bad in [
        "",
        "Task",
        "task.",
        ".task",
        "task..x",
        "task finished",
        "1task",
        "runtime_node.attached",
        "rollcall.x",
    ] {
        check_refused(|event| event.r#type = bad.to_owned(), "type");
    }
    check_refused(|event| event.r#type = "a".repeat(129), "type");
    check_refused(|event| event.key = Some(String::new()), "key");
    check_refused(|event| event.key = Some("a".repeat(513)), "key");
    check_refused(|event| event.content_type.clear(), "content_type");
    check_refused(|event| event.payload = vec![0; 256 * 1024 + 1], "payload");
    let bad_times = [(i64::MAX, 0), (i64::MIN, 0), (0, -1), (0, 1_000_000_000)];
    for (seconds, nanos) in bad_times {
        let at = prost_types::Timestamp { seconds, nanos };
        check_refused(|event| event.occurred_at = Some(at), "occurred_at");
    }
}

proptest! {
    #[test]
    fn parsing_an_event_never_panics(
        seq: u64, texts in prop::collection::vec(".{0,20}", 6), bytes in prop::collection::vec(any::<u8>(), 0..40),
        seconds: i64, nanos: i32,
    ) {
        let at = Some(prost_types::Timestamp { seconds, nanos });
        let [event_id, envelope_version, r#type, key, actor, content_type] = <[String; 6]>::try_from(texts).unwrap();
        let event = v1::Event {
            seq, event_id, epoch: seq, envelope_version, r#type, key: Some(key), actor, content_type,
            payload: bytes.clone(), occurred_at: at, recorded_at: at, prev_hash: bytes.clone(), hash: bytes,
        };
        let _ = Event::parse(SESSION, event);
    }

    #[test]
    fn times_survive_the_wire_to_the_microsecond(micros in -62_135_596_800_000_000_i64..=253_402_300_799_999_999) {
        let to = Append { recorded_at: micros, ..APPEND };
        let draft = EventDraft { occurred_at: None, ..draft(1, None, b"") };
        let event = Event::append(LogPoint::origin(SESSION), to, Actor::Server, draft).unwrap();
        prop_assert_eq!(event.occurred_at, micros);
        prop_assert_eq!(Event::parse(SESSION, v1::Event::from(event.clone())), Ok(event));
    }
}
