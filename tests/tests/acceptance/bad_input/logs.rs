//! Requests of logs that have one thing wrong each.

use contracts::{
    limits,
    wire::v1::{
        AppendEventsRequest, GetReplicationStatusRequest, Introduction, NewEvent, ReadEventsRequest,
        ReplicateRequest, replicate_request::Message,
    },
};
use prost_types::Timestamp;
use tests::Appending;

use super::requests::{BadRequests, generations, node_ids, page_tokens, texts, uuids, versions};

/// Everything that is wrong with appends, reads and replication; without the fault, each would be done or answered.
pub(super) fn bad_requests_of_logs(session_id: &str, node_id: &str, generation: u64, bad: &mut BadRequests) {
    bad_appends(session_id, node_id, generation, bad);
    let method = "EventLogService/ReadEvents";
    let read = ReadEventsRequest { session_id: session_id.to_owned(), ..Default::default() };
    for id in uuids() {
        bad.add(method, "session_id", &ReadEventsRequest { session_id: id, ..read.clone() });
    }
    bad.add(method, "page_size", &ReadEventsRequest { page_size: -1, ..read.clone() });
    bad.add(method, "after_seq", &ReadEventsRequest { after_seq: i64::MAX as u64 + 1, ..read.clone() });
    let tokens = ["0", "-1", "x", "9223372036854775808", "1 "].map(str::to_owned);
    for token in page_tokens().into_iter().chain(tokens) {
        bad.add(method, "page_token", &ReadEventsRequest { page_token: token, ..read.clone() });
    }
    let method = "EventLogService/GetReplicationStatus";
    for id in uuids() {
        bad.add(method, "session_id", &GetReplicationStatusRequest { session_id: id, recent_max: 0 });
    }
    let status = GetReplicationStatusRequest { session_id: session_id.to_owned(), recent_max: -1 };
    bad.add(method, "recent_max", &status);
    bad_introductions(session_id, node_id, generation, bad);
}

fn bad_appends(session_id: &str, node_id: &str, generation: u64, bad: &mut BadRequests) {
    let method = "EventLogService/AppendEvents";
    let append = Appending::new(session_id).event("a", "").by(node_id, generation).0;
    for id in uuids() {
        bad.add(method, "session_id", &AppendEventsRequest { session_id: id, ..append.clone() });
    }
    for id in node_ids().into_iter().filter(|id| !id.is_empty()) {
        bad.add(method, "node_id", &AppendEventsRequest { node_id: id, ..append.clone() });
    }
    for generation in generations() {
        let named = AppendEventsRequest { generation, node_id: "laptop-1".to_owned(), ..append.clone() };
        bad.add(method, "generation", &named);
    }
    bad.add(
        method,
        "generation",
        &AppendEventsRequest { node_id: String::new(), generation: 1, ..append.clone() },
    );
    let beyond = Some(i64::MAX as u64 + 1);
    bad.add(method, "expected_head", &AppendEventsRequest { expected_head: beyond, ..append.clone() });
    bad.add(method, "events", &AppendEventsRequest { events: Vec::new(), ..append.clone() });
    let many =
        (0..=limits::EVENTS_PER_APPEND_MAX).fold(Appending::new(session_id), |many, _| many.event("a", ""));
    bad.add(method, "events", &many.0);
    let twice = vec![append.events[0].clone(), append.events[0].clone()];
    bad.add(method, "events[1].event_id", &AppendEventsRequest { events: twice, ..append.clone() });

    let mut one = |field, change: &dyn Fn(&mut NewEvent)| {
        // Behind a good one, which is not written either.
        let mut changed = Appending(append.clone()).event("b", "").0;
        change(&mut changed.events[1]);
        bad.add(method, field, &changed);
    };
    for id in uuids() {
        one("events[1].event_id", &|event| event.event_id.clone_from(&id));
    }
    for version in versions().into_iter().chain([String::new()]) {
        one("events[1].envelope_version", &|event| event.envelope_version.clone_from(&version));
    }
    let types = ["", "A", "a.", ".a", "a..b", "a b", "1a", "a-b", "runtime_node.attached", "rollcall.x"];
    for event_type in types.map(str::to_owned).into_iter().chain(texts(limits::EVENT_TYPE_CHARS_MAX)) {
        one("events[1].type", &|event| event.r#type.clone_from(&event_type));
    }
    for key in texts(limits::EVENT_KEY_CHARS_MAX).into_iter().chain(["", " k"].map(str::to_owned)) {
        one("events[1].key", &|event| event.key = Some(key.clone()));
    }
    for content_type in texts(limits::CONTENT_TYPE_CHARS_MAX).into_iter().chain([String::new()]) {
        one("events[1].content_type", &|event| event.content_type.clone_from(&content_type));
    }
    one("events[1].payload", &|event| event.payload = vec![0; limits::EVENT_PAYLOAD_BYTES_MAX + 1]);
    for (seconds, nanos) in [(i64::MAX, 0), (i64::MIN, 0), (253_402_300_800, 0), (0, -1), (0, 1_000_000_000)]
    {
        one("events[1].occurred_at", &|event| event.occurred_at = Some(Timestamp { seconds, nanos }));
    }
}

fn bad_introductions(session_id: &str, node_id: &str, generation: u64, bad: &mut BadRequests) {
    let method = "EventLogService/Replicate";
    let introduction = Introduction {
        session_id: session_id.to_owned(),
        node_id: node_id.to_owned(),
        generation,
        ..Introduction::default()
    };
    bad.add(method, "introduction", &ReplicateRequest { message: None });
    let mut one = |field, introduction| {
        bad.add(method, field, &ReplicateRequest { message: Some(Message::Introduction(introduction)) });
    };
    for id in uuids() {
        one("introduction.session_id", Introduction { session_id: id, ..introduction.clone() });
    }
    for id in node_ids() {
        one("introduction.node_id", Introduction { node_id: id, ..introduction.clone() });
    }
    for generation in generations() {
        let named = Introduction { generation, node_id: "laptop-1".to_owned(), ..introduction.clone() };
        one("introduction.generation", named);
    }
}
