//! Appends to logs, reads of them, and whether the logs of a database hold.

use contracts::{
    LogPoint, SessionId,
    log::{Event, verify_chain},
    wire::v1::{self, AppendEventsRequest, AppendEventsResponse, NewEvent, ReadEventsRequest},
};
use serde_json::Value;
use tonic::Status;
use uuid::Uuid;

use crate::{Client, Database};

/// An append, of no events at first, by a participant.
#[derive(Clone, Debug)]
pub struct Appending(pub AppendEventsRequest);

impl Appending {
    /// To this session.
    pub fn new(session_id: &str) -> Self {
        Self(AppendEventsRequest { session_id: session_id.to_owned(), ..AppendEventsRequest::default() })
    }

    /// By this node.
    #[must_use]
    pub fn by(mut self, node_id: &str, generation: u64) -> Self {
        node_id.clone_into(&mut self.0.node_id);
        self.0.generation = generation;
        self
    }

    /// With one more event, of a new id, without a key.
    #[must_use]
    pub fn event(mut self, event_type: &str, payload: &str) -> Self {
        self.0.events.push(NewEvent {
            event_id: Uuid::new_v4().to_string(),
            envelope_version: "1.0".to_owned(),
            r#type: event_type.to_owned(),
            key: None,
            content_type: "text/plain".to_owned(),
            payload: payload.into(),
            occurred_at: None,
        });
        self
    }

    /// The last event has this key.
    #[must_use]
    pub fn key(mut self, key: &str) -> Self {
        self.0.events.last_mut().expect("there is an event").key = Some(key.to_owned());
        self
    }

    /// Only if the log ends there.
    #[must_use]
    pub fn expecting(mut self, head: u64) -> Self {
        self.0.expected_head = Some(head);
        self
    }
}

impl Client {
    /// Appends.
    pub async fn append(&self, appending: &Appending) -> Result<AppendEventsResponse, Status> {
        Ok(self.log.clone().append_events(appending.0.clone()).await?.into_inner())
    }

    /// Appends one event, which must succeed, and gives its number.
    pub async fn say(&self, session_id: &str, event_type: &str) -> u64 {
        let appended = self.append(&Appending::new(session_id).event(event_type, "")).await;
        appended.expect("the event is taken").first_seq
    }

    /// A page of a log.
    pub async fn read(
        &self,
        session_id: &str,
        after_seq: u64,
        page_size: i32,
    ) -> Result<v1::ReadEventsResponse, Status> {
        let request = ReadEventsRequest {
            session_id: session_id.to_owned(),
            after_seq,
            page_size,
            page_token: String::new(),
        };
        Ok(self.log.clone().read_events(request).await?.into_inner())
    }

    /// All that is retained of a log, whose chain must hold from its tail to its head.
    pub async fn events(&self, session_id: &str) -> Vec<Event> {
        let session = SessionId::parse("session_id", session_id).expect("the session is one");
        let mut events = Vec::new();
        let mut page = self.read(session_id, 0, 1_000).await.expect("the log can be read");
        let tail = LogPoint::parse(&page.tail.clone().expect("a log has a tail")).expect("it is one");
        loop {
            let parsed = page.events.into_iter().map(|event| Event::parse(session, event));
            events.extend(parsed.map(|event| event.expect("an event is well-formed")));
            let head = LogPoint::parse(&page.head.expect("a log has a head")).expect("it is one");
            if page.next_page_token.is_empty() {
                assert_eq!(verify_chain(tail, &events), Ok(head));
                return events;
            }
            let request = ReadEventsRequest {
                session_id: session_id.to_owned(),
                page_token: page.next_page_token,
                page_size: 1_000,
                ..ReadEventsRequest::default()
            };
            let answer = self.log.clone().read_events(request).await;
            page = answer.expect("the log can be read").into_inner();
        }
    }

    /// What was told of nodes in a log: the type, the node, and the facts.
    pub async fn told(&self, session_id: &str) -> Vec<(String, String, Value)> {
        let events = self.events(session_id).await.into_iter();
        let of_nodes = events.filter(|event| event.event_type.as_str().starts_with("runtime_node."));
        of_nodes
            .map(|event| {
                let facts: Value = serde_json::from_slice(&event.payload).expect("the facts are JSON");
                let node = facts["node_id"].as_str().expect("they name the node").to_owned();
                assert_eq!(event.key.expect("it has a key").as_str(), format!("runtime_node/{node}"));
                (event.event_type.as_str().to_owned(), node, facts)
            })
            .collect()
    }
}

impl Database {
    /// Checks, of all logs at one moment, what is true of them after each commit: they are gapless and chained, end
    /// where they say, their states are their latest events, what is counted is there, and positions have no gap.
    pub async fn logs_hold(&self) {
        for (rule, query) in RULES {
            let broken: Vec<String> =
                sqlx::query_scalar(query).fetch_all(&self.pool).await.expect("the logs can be read");
            assert!(broken.is_empty(), "{rule}: {broken:?}");
        }
    }
}

/// Each selects what breaks it, as text. Nothing was pruned.
const RULES: [(&str, &str); 6] = [
    (
        "each event follows the one before it",
        "select format('%s %s', session_id, seq) from (
           select session_id, seq, prev_hash, lag(hash) over log as before, row_number() over log as number
           from session_events window log as (partition by session_id order by seq)) event
         where seq <> number or (seq > 1 and prev_hash <> before)",
    ),
    (
        "a log ends where it says",
        "select format('%s %s', session_id, head) from session_logs log
         left join lateral (select seq, hash from session_events event where event.session_id = log.session_id
                            order by seq desc limit 1) last on true
         where head <> coalesce(last.seq, 0) or head_hash <> coalesce(last.hash, tail_hash)",
    ),
    (
        "the state is the latest event of each key",
        "select format('%s %s %s', coalesce(latest.session_id, state.session_id), latest.key, state.key)
         from (select distinct on (session_id, key) session_id, key, seq, hash, payload from session_events
               where key is not null order by session_id, key, seq desc) latest
         full join session_state state using (session_id, key)
         where (latest.seq, latest.hash, latest.payload) is distinct from (state.seq, state.hash, state.payload)",
    ),
    (
        "keys and bytes are counted",
        "select format('%s %s %s', session_id, state_keys, retained_bytes) from session_logs log
         where state_keys <> (select count(*) from session_state where session_id = log.session_id)
            or retained_bytes <> (select coalesce(sum(octet_length(payload)), 0) from session_events
                                  where session_id = log.session_id)",
    ),
    (
        "positions have no gap",
        "select format('%s of %s', count(*), max(position)) from session_events
         having count(*) <> coalesce(max(position), 0)
             or coalesce(max(position), 0) <> (select last from log_position)",
    ),
    (
        "positions rise with the numbers of a log",
        "select format('%s %s', session_id, seq) from (
           select session_id, seq, position, lag(position) over log as before
           from session_events window log as (partition by session_id order by seq)) event
         where position <= before",
    ),
];
