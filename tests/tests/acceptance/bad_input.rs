//! What is malformed is refused by name on every RPC, writes nothing, and harms nobody.

use std::{collections::BTreeSet, time::Duration};

use contracts::{
    limits,
    refusal::ReceivedRefusal,
    wire::v1::{
        Beat, DetachRequest, ExchangeJoinTokenRequest, ReportedHealth, SlotState, StreamHeartbeatsRequest,
        StreamHeartbeatsResponse, beat_result::Outcome,
    },
};
use control_plane::auth::tokens::Scope;
use prost::Message;
use sqlx::AssertSqlSafe;
use tests::{Client, Database, Plane, PlaneOptions, Raw, RawAnswer, framed, methods, token, user_scopes};
use tokio::{sync::mpsc, time::timeout};
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::Endpoint;

mod logs;
mod requests;

use logs::bad_requests_of_logs;
use requests::*;

/// The one method whose argument proves who calls: what is wrong with it is refused like a bad token, by no field.
const EXCHANGE: &str = "/rollcall.v1.TokenService/ExchangeJoinToken";

/// A control plane on which nothing changes by itself for an hour, with one node online.
struct Calm {
    plane: Plane,
    client: Client,
    session: String,
    generation: u64,
}

impl Calm {
    async fn start() -> Self {
        let options = PlaneOptions::default().flag("--degraded-after", "1h").flag("--offline-after", "2h");
        let plane = Plane::start(options).await;
        let client = plane.client().await;
        let session = client.session().await;
        let generation = client.online(&session, "laptop-1").await;
        Self { plane, client, session, generation }
    }

    fn bad_requests(&self) -> Vec<Bad> {
        let mut bad = BadRequests::default();
        bad_requests_of_nodes(&self.session, "laptop-1", self.generation, &mut bad);
        bad_reads(&self.session, &mut bad);
        bad_changes_of_sessions(&self.session, &mut bad);
        bad_changes_of_members(&self.session, &mut bad);
        bad_changes_of_nodes(&self.session, "laptop-1", &mut bad);
        bad_requests_of_tokens(&mut bad);
        bad_requests_of_the_leader(&mut bad);
        bad_maintenance(&mut bad);
        bad_requests_of_logs(&self.session, "laptop-1", self.generation, &mut bad);
        bad.0
    }

    /// With the node's owner's token that also is an admin's, so that every method gets as far as its arguments.
    async fn raw(&self) -> Raw {
        let token = token(self.plane.participant(), user_scopes().with(Scope::Admin));
        Raw::connect(&self.plane.url(), Some(&token)).await
    }

    async fn is_unharmed(&self) {
        assert_eq!(self.client.node(&self.session, "laptop-1").await.slot_state(), SlotState::Online);
        self.client.beat("laptop-1", self.generation).await.expect("the node may still beat");
    }
}

/// Rows and contents of each table, but for what the server itself writes all the time.
async fn contents(database: &Database) -> Vec<(String, i64, String)> {
    let tables: Vec<String> = sqlx::query_scalar(
        "select table_name::text from information_schema.tables
         where table_schema = 'public' and table_type = 'BASE TABLE' and table_name not in ('service_windows', 'past_service')
         order by 1",
    )
    .fetch_all(&database.pool)
    .await
    .expect("tables can be listed");
    assert!(tables.len() > 8, "{tables:?}");
    let mut contents = Vec::new();
    for table in tables {
        let rows = match table.as_str() {
            "runtime_node_presence" => "(select * from runtime_node_presence where node_key > 0)",
            // It is renewed all the time.
            "leadership" => "(select epoch, token, state from leadership)",
            other => other,
        };
        let count = format!(
            "select count(*), coalesce(md5(string_agg(rows::text, '|' order by rows::text)), '')
             from {rows} rows"
        );
        let counted = sqlx::query_as(AssertSqlSafe(count)).fetch_one(&database.pool).await;
        let (rows, digest) = counted.expect("a table can be read");
        contents.push((table, rows, digest));
    }
    contents
}

/// The refusal in an answer, wherever it is: in the status, or in the result of a beat.
fn refusal_in(answer: RawAnswer) -> ReceivedRefusal {
    let status = answer.status.as_ref().expect("an answer has a status");
    if let Some(refusal) = ReceivedRefusal::from_status(status) {
        return refusal;
    }
    let results = answer.messages.first().map(|message| {
        StreamHeartbeatsResponse::decode(message.clone()).expect("the answer of a stream is a batch").results
    });
    match results.unwrap_or_default().into_iter().next().and_then(|result| result.outcome) {
        Some(Outcome::Refusal(refusal)) => refusal.into(),
        outcome => panic!("it was to be refused: {answer:?}, {outcome:?}"),
    }
}

#[tokio::test]
async fn every_method_of_the_contract_has_bad_input_here() {
    let mut bad = BadRequests::default();
    bad_requests_of_nodes("", "", 1, &mut bad);
    bad_reads("", &mut bad);
    bad_changes_of_sessions("", &mut bad);
    bad_changes_of_members("", &mut bad);
    bad_changes_of_nodes("", "", &mut bad);
    bad_requests_of_tokens(&mut bad);
    bad_maintenance(&mut bad);
    bad_requests_of_logs("", "", 1, &mut bad);
    bad_requests_of_the_leader(&mut bad);
    let mut covered: BTreeSet<_> = bad.0.into_iter().map(|bad| bad.path).collect();
    assert!(covered.insert(EXCHANGE.to_owned()), "it has a test of its own");
    let empty = methods().into_iter().filter(|method| !method.has_fields).map(|method| method.path);
    covered.extend(empty);
    let there_are: BTreeSet<_> = methods().into_iter().map(|method| method.path).collect();
    assert_eq!(covered, there_are);
    assert!(there_are.len() >= 16, "{there_are:?}");
}

#[tokio::test]
async fn every_bad_argument_is_refused_by_its_field_and_writes_nothing() {
    let calm = Calm::start().await;
    let before = contents(&calm.plane.database).await;
    let raw = calm.raw().await;
    for bad in calm.bad_requests() {
        let answer = raw.call(&bad.path, "application/grpc", framed(&bad.message)).await;
        let refused =
            refusal_in(answer.unwrap_or_else(|error| panic!("{} {}: {error}", bad.path, bad.shown)));
        assert_eq!(
            (refused.code.as_str(), refused.field.as_deref()),
            ("argument.invalid", Some(bad.field)),
            "{} {}: {}",
            bad.path,
            bad.shown,
            refused.message
        );
        assert!(refused.message.starts_with(bad.field), "{}: {}", bad.path, refused.message);
        assert!(refused.message.len() < 500, "what was sent is not sent back: {}", refused.message);
    }
    assert_eq!(contents(&calm.plane.database).await, before);
    calm.is_unharmed().await;
}

#[tokio::test]
async fn whatever_is_sent_for_a_join_token_is_refused_alike_and_writes_nothing() {
    let calm = Calm::start().await;
    let before = contents(&calm.plane.database).await;
    let raw = calm.raw().await;
    let digits = "0123456789abcdef";
    let shaped = format!("rcjoin_{}_{}", uuid::Uuid::now_v7(), digits.repeat(4));
    let mut refusals = Vec::new();
    for join_token in texts(limits::REASON_CHARS_MAX).into_iter().chain([
        String::new(),
        "rcjoin__".to_owned(),
        shaped.to_uppercase(),
        format!("{shaped} "),
        format!("{shaped}\0"),
        "x".repeat(64 * 1024),
        shaped,
    ]) {
        let message = ExchangeJoinTokenRequest { join_token, ..Default::default() }.encode_to_vec();
        refusals.push(refusal_in(raw.call(EXCHANGE, "application/grpc", framed(&message)).await.unwrap()));
    }
    assert_eq!(refusals[0].code, "auth.token_invalid");
    assert!(refusals.iter().all(|refused| *refused == refusals[0]), "{refusals:?}");
    assert_eq!(contents(&calm.plane.database).await, before);
    calm.is_unharmed().await;
}

/// Bodies that are no message of ours, to be refused as a whole.
fn bodies(method: &tests::Method) -> Vec<(&'static str, Vec<u8>)> {
    let zeros = vec![0; 10 * 1024 * 1024];
    let mut bodies = vec![
        ("a message of garbage", framed(&[0xff; 64])),
        ("a message cut short", framed(&[0x0a, 0x7f])),
        ("a group that never ends", framed(&[0x0b; 200])),
        ("a length beyond the end", [&[0, 0, 0, 0, 100], [0x0a; 10].as_slice()].concat()),
        ("a head cut short", vec![0, 0, 0]),
        ("no frame at all", b"GET / HTTP/1.1\r\n\r\n".to_vec()),
        ("compression that was not agreed on", [&[1, 0, 0, 0, 2], b"xx".as_slice()].concat()),
        ("a flag that does not exist", [&[7, 0, 0, 0, 2], b"xx".as_slice()].concat()),
        ("a message of 10 MiB", framed(&zeros)),
        ("a message that claims 4 GiB", [&[0, 0xff, 0xff, 0xff, 0xff], [0; 64].as_slice()].concat()),
    ];
    if method.has_fields {
        // Field 1, a text or something else: of two bytes that are no UTF-8, and no message either.
        bodies.push(("invalid UTF-8", framed(&[0x0a, 0x02, 0xff, 0xfe])));
    }
    if !method.takes_stream {
        // An empty stream is a stream.
        bodies.push(("nothing", Vec::new()));
    }
    bodies
}

#[tokio::test]
async fn every_method_refuses_what_is_no_message_and_stays_small() {
    let calm = Calm::start().await;
    let before = contents(&calm.plane.database).await;
    calm.is_unharmed().await;
    let memory = calm.plane.process.memory_kib();
    for method in methods() {
        for (what, body) in bodies(&method) {
            // A connection each: some of these end it.
            let answer = calm.raw().await.call(&method.path, "application/grpc", body).await;
            let refused =
                refusal_in(answer.unwrap_or_else(|error| panic!("{} {what}: {error}", method.path)));
            assert_eq!(
                (refused.code.as_str(), refused.field.as_deref()),
                ("argument.invalid", Some("request")),
                "{} {what}: {}",
                method.path,
                refused.message
            );
        }
    }
    let (_, presences): (Vec<_>, Vec<_>) = contents(&calm.plane.database)
        .await
        .into_iter()
        .zip(before)
        .filter(|(now, then)| now != then)
        .unzip();
    let changed: Vec<_> = presences.iter().map(|(table, ..)| table.as_str()).collect();
    assert_eq!(changed, ["runtime_node_presence"], "only the one good beat wrote");
    let grown = calm.plane.process.memory_kib().saturating_sub(memory);
    assert!(grown < 32 * 1_024, "bad messages made the server grow by {grown} KiB");
    calm.is_unharmed().await;
}

#[tokio::test]
async fn what_is_not_grpc_is_refused_as_http() {
    let calm = Calm::start().await;
    let before = contents(&calm.plane.database).await;
    let raw = calm.raw().await;
    for method in methods() {
        for content_type in [
            "application/json",
            "text/plain",
            "application/x-www-form-urlencoded",
            "application/grpc+json",
            "application/grpc-web",
        ] {
            let body = framed(
                &DetachRequest {
                    node_id: "laptop-1".to_owned(),
                    generation: calm.generation,
                    reason: String::new(),
                }
                .encode_to_vec(),
            );
            let answer = raw.call(&method.path, content_type, body).await.unwrap();
            assert_eq!(answer.http, 415, "{} {content_type}: {answer:?}", method.path);
        }
    }
    assert_eq!(contents(&calm.plane.database).await, before);
    calm.is_unharmed().await;
}

#[tokio::test]
async fn a_bad_message_ends_its_stream_and_no_other() {
    let calm = Calm::start().await;
    let (batches, receiver) = mpsc::channel(1);
    let mut nodes = calm.client.nodes.clone();
    let mut answers = nodes.stream_heartbeats(ReceiverStream::new(receiver)).await.unwrap().into_inner();
    let beat = Beat {
        node_id: "laptop-1".to_owned(),
        generation: calm.generation,
        health: ReportedHealth::Online.into(),
    };
    let good = StreamHeartbeatsRequest { batch_id: 7, beats: vec![beat] };
    batches.send(good.clone()).await.unwrap();
    assert_eq!(answers.message().await.unwrap().unwrap().batch_id, 7);

    let raw = calm.raw().await;
    let path = "/rollcall.v1.RuntimeNodeService/StreamHeartbeats";
    for second in [framed(&[0xff; 64]), framed(&vec![0; 10 * 1024 * 1024])] {
        let body = [framed(&good.encode_to_vec()), second].concat();
        let answer = raw.call(path, "application/grpc", body).await.unwrap();
        assert_eq!(answer.messages.len(), 1, "what came before it is answered");
        let refused = ReceivedRefusal::from_status(answer.status.as_ref().unwrap()).unwrap();
        assert_eq!((refused.code.as_str(), refused.field.as_deref()), ("argument.invalid", Some("request")));
    }

    batches.send(StreamHeartbeatsRequest { batch_id: 8, ..good }).await.unwrap();
    assert_eq!(answers.message().await.unwrap().unwrap().batch_id, 8);
}

#[tokio::test]
async fn a_stream_that_never_reads_holds_up_only_itself() {
    let calm = Calm::start().await;
    let memory = calm.plane.process.memory_kib();
    let endpoint = Endpoint::from_shared(calm.plane.url()).unwrap();
    let endpoint = endpoint.initial_stream_window_size(65_535).initial_connection_window_size(65_535);
    let narrow = Client::over(endpoint.connect().await.unwrap(), calm.plane.token());
    let (batches, receiver) = mpsc::channel(1);
    let unread = narrow.nodes.clone().stream_heartbeats(ReceiverStream::new(receiver)).await.unwrap();
    // Near the bound of a message, and refused without a look at the database.
    let beat = Beat { node_id: "x".repeat(200), ..Beat::default() };
    let batch = StreamHeartbeatsRequest { batch_id: 1, beats: vec![beat; limits::BEATS_PER_BATCH_MAX] };
    let mut sent = 0;
    while let Ok(taken) = timeout(Duration::from_secs(1), batches.send(batch.clone())).await {
        taken.unwrap();
        sent += 1;
        assert!(sent < 50, "the server reads on from a caller that does not read");
    }
    calm.is_unharmed().await;
    let grown = calm.plane.process.memory_kib().saturating_sub(memory);
    assert!(grown < 64 * 1_024, "a stream that is not read made the server grow by {grown} KiB");
    drop(unread);
}

#[tokio::test]
async fn streams_that_never_write_cost_little_and_disturb_nobody() {
    let calm = Calm::start().await;
    let memory = calm.plane.process.memory_kib();
    let mut silent = Vec::new();
    for _ in 0..3 {
        let client = calm.plane.client().await;
        for _ in 0..100 {
            let (batches, receiver) = mpsc::channel(1);
            let answers =
                client.nodes.clone().stream_heartbeats(ReceiverStream::new(receiver)).await.unwrap();
            silent.push((batches, answers));
        }
    }
    calm.is_unharmed().await;
    let grown = calm.plane.process.memory_kib().saturating_sub(memory);
    assert!(grown < 16 * 1_024, "300 silent streams made the server grow by {grown} KiB");
    // And each of them still works.
    let (batches, answers) = silent.pop().unwrap();
    batches.send(StreamHeartbeatsRequest { batch_id: 3, beats: Vec::new() }).await.unwrap();
    assert_eq!(answers.into_inner().message().await.unwrap().unwrap().batch_id, 3);
}
