//! What is malformed is refused by name on every RPC, writes nothing, and harms nobody.

use std::{collections::BTreeSet, time::Duration};

use contracts::{
    limits,
    refusal::ReceivedRefusal,
    wire::v1::{
        ArchiveSessionRequest, AttachRequest, Beat, Capability, CloseSessionRequest, CreateSessionRequest,
        Declaration, DetachRequest, ExplainNodeRequest, GetNodeRequest, GetRosterRequest, GetSessionRequest,
        HeartbeatRequest, IdempotencyClass, ListNodesRequest, ListSessionsRequest, RaiseVersionFloorRequest,
        ReportedHealth, SlotState, StreamHeartbeatsRequest, StreamHeartbeatsResponse, Tool,
        UpdateCapabilitiesRequest, WatchRosterRequest, beat_result::Outcome,
    },
};
use prost::Message;
use prost_types::{ListValue, Struct, Value, value::Kind};
use sqlx::AssertSqlSafe;
use tests::{Attaching, Client, Database, Plane, PlaneOptions, Raw, RawAnswer, framed, methods};
use tokio::{sync::mpsc, time::timeout};
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::Endpoint;
use uuid::Uuid;

/// A request that is to be refused for this field.
struct Bad {
    path: String,
    field: &'static str,
    message: Vec<u8>,
    shown: String,
}

/// Collects bad requests; each begins as a good one that has one thing wrong.
#[derive(Default)]
struct BadRequests(Vec<Bad>);

impl BadRequests {
    fn add(&mut self, method: &str, field: &'static str, request: &(impl Message + std::fmt::Debug)) {
        let shown = format!("{request:?}").chars().take(300).collect();
        let path = format!("/rollcall.v1.{method}");
        self.0.push(Bad { path, field, message: request.encode_to_vec(), shown });
    }
}

fn node_ids() -> Vec<String> {
    let mut ids = texts(limits::NODE_ID_CHARS_MAX);
    ids.extend(["", " laptop-1", "laptop-1\t"].map(str::to_owned));
    ids
}

/// Texts that no field takes: too long, in ASCII and beyond, or with characters that are none.
fn texts(chars_max: usize) -> Vec<String> {
    let too_long = ["x", "\u{e9}", "\u{1f9ed}"].map(|letter| letter.repeat(chars_max + 1));
    let controls = ["a\0b", "a\u{7}b", "a\u{1b}[31m", "a\nb", "a\u{85}b"].map(str::to_owned);
    too_long.into_iter().chain(controls).collect()
}

fn uuids() -> Vec<String> {
    let id = Uuid::now_v7();
    vec![
        String::new(),
        "laptop-1".to_owned(),
        Uuid::nil().to_string(),
        id.simple().to_string(),
        id.braced().to_string(),
        id.urn().to_string(),
        format!("{id} "),
        format!("{id}\0"),
        id.to_string().replace('-', "_"),
        "x".repeat(257),
    ]
}

fn versions() -> Vec<String> {
    let texts = [
        "1",
        "1.",
        ".1",
        "1.0.0",
        "01.0",
        "1.00",
        "+1.0",
        "-1.0",
        "v1.0",
        "1.0 ",
        "1,0",
        "1.0\0",
        "\u{661}.0",
    ];
    let too_long = format!("1.{}", "1".repeat(limits::VERSION_CHARS_MAX));
    texts.into_iter().map(str::to_owned).chain([too_long]).collect()
}

fn generations() -> [u64; 3] {
    [0, u64::MAX, i64::MAX as u64 + 1]
}

const HEALTHS: [i32; 4] = [0, 99, -1, i32::MAX];

fn page_tokens() -> [String; 2] {
    ["x".repeat(limits::TOKEN_CHARS_MAX + 1), "\0".to_owned()]
}

fn capability(key: &str) -> Capability {
    Capability { key: key.to_owned(), contract_version: "1.0".to_owned(), ..Capability::default() }
}

fn tool(name: &str) -> Tool {
    Tool {
        name: name.to_owned(),
        idempotency_class: IdempotencyClass::Idempotent.into(),
        description: String::new(),
    }
}

fn details(name: &str, kind: Kind) -> Option<Struct> {
    Some(Struct { fields: [(name.to_owned(), Value { kind: Some(kind) })].into() })
}

fn nested(levels: usize) -> Option<Struct> {
    let list = |inner| Kind::ListValue(ListValue { values: vec![Value { kind: Some(inner) }] });
    details("deep", (0..levels).fold(Kind::BoolValue(true), |inner, _| list(inner)))
}

/// Declarations that break a bound or a rule, with the field that is at fault.
fn declarations() -> Vec<(&'static str, Declaration)> {
    let keys = |count| (0..count).map(|index| capability(&format!("key-{index}"))).collect();
    let mut bad = vec![
        ("declaration.capabilities", keys(limits::CAPABILITIES_MAX + 1)),
        ("declaration.capabilities[1].key", vec![capability("twice"), capability("twice")]),
        ("declaration.capabilities[0].key", vec![capability("")]),
        ("declaration.capabilities[0].key", vec![capability(" codex")]),
    ];
    let mut one = |field, change: &dyn Fn(&mut Capability)| {
        let mut changed = capability("codex");
        change(&mut changed);
        bad.push((field, vec![changed]));
    };
    for key in texts(limits::CAPABILITY_KEY_CHARS_MAX) {
        one("declaration.capabilities[0].key", &|it| it.key.clone_from(&key));
    }
    for version in versions().into_iter().chain([String::new()]) {
        one("declaration.capabilities[0].contract_version", &|it| it.contract_version.clone_from(&version));
    }
    let features = (0..=limits::FEATURES_MAX).map(|index| index.to_string()).collect::<Vec<_>>();
    one("declaration.capabilities[0].features", &|it| it.features.clone_from(&features));
    for feature in texts(limits::FEATURE_CHARS_MAX).into_iter().chain([String::new()]) {
        one("declaration.capabilities[0].features", &|it| it.features = vec![feature.clone()]);
    }
    let tools = (0..=limits::TOOLS_MAX).map(|index| tool(&index.to_string())).collect::<Vec<_>>();
    one("declaration.capabilities[0].tools", &|it| it.tools.clone_from(&tools));
    one("declaration.capabilities[0].tools[1].name", &|it| it.tools = vec![tool("twice"), tool("twice")]);
    for name in texts(limits::TOOL_NAME_CHARS_MAX).into_iter().chain([String::new()]) {
        one("declaration.capabilities[0].tools[0].name", &|it| it.tools = vec![tool(&name)]);
    }
    one("declaration.capabilities[0].tools[0].idempotency_class", &|it| {
        it.tools = vec![Tool { idempotency_class: 0, ..tool("shell") }];
    });
    for description in texts(limits::TOOL_DESCRIPTION_CHARS_MAX) {
        one("declaration.capabilities[0].tools[0].description", &|it| {
            it.tools = vec![Tool { description: description.clone(), ..tool("shell") }];
        });
    }
    for bad_details in [
        details("a\0b", Kind::BoolValue(true)),
        details("text", Kind::StringValue("a\0b".to_owned())),
        details("number", Kind::NumberValue(f64::NAN)),
        details("number", Kind::NumberValue(f64::INFINITY)),
        nested(limits::DETAILS_DEPTH_MAX + 1),
    ] {
        one("declaration.capabilities[0].details", &|it| it.details.clone_from(&bad_details));
    }
    let large = details("text", Kind::StringValue("x".repeat(limits::DECLARATION_BYTES_MAX)));
    one("declaration", &|it| it.details.clone_from(&large));
    bad.into_iter().map(|(field, capabilities)| (field, Declaration { capabilities })).collect()
}

/// Everything that is wrong with requests of nodes; without the fault, each would do something to this node.
fn bad_requests_of_nodes(session_id: &str, node_id: &str, generation: u64, bad: &mut BadRequests) {
    let attach = Attaching::new(session_id, node_id).declaring(&["other"]).0;
    let method = "RuntimeNodeService/Attach";
    for id in uuids() {
        bad.add(method, "session_id", &AttachRequest { session_id: id.clone(), ..attach.clone() });
        bad.add(method, "instance_id", &AttachRequest { instance_id: id.clone(), ..attach.clone() });
        if !id.is_empty() {
            bad.add(method, "participant_id", &AttachRequest { participant_id: id, ..attach.clone() });
        }
    }
    for id in node_ids() {
        bad.add(method, "node_id", &AttachRequest { node_id: id, ..attach.clone() });
    }
    for version in versions().into_iter().chain([String::new()]) {
        bad.add(method, "client_version", &AttachRequest { client_version: version, ..attach.clone() });
    }
    for health in HEALTHS {
        bad.add(method, "health", &AttachRequest { health, ..attach.clone() });
    }
    for (field, declaration) in declarations() {
        bad.add(method, field, &AttachRequest { declaration: Some(declaration), ..attach.clone() });
    }

    let beat = Beat { node_id: node_id.to_owned(), generation, health: ReportedHealth::Degraded.into() };
    let mut beats = Vec::new();
    for node_id in node_ids() {
        beats.push(("beat.node_id", Beat { node_id, ..beat.clone() }));
    }
    for generation in generations() {
        beats.push(("beat.generation", Beat { generation, ..beat.clone() }));
    }
    for health in HEALTHS {
        beats.push(("beat.health", Beat { health, ..beat.clone() }));
    }
    bad.add("RuntimeNodeService/Heartbeat", "beat", &HeartbeatRequest { beat: None });
    for (field, beat) in beats {
        bad.add("RuntimeNodeService/Heartbeat", field, &HeartbeatRequest { beat: Some(beat.clone()) });
        let batch = StreamHeartbeatsRequest { batch_id: 1, beats: vec![beat] };
        bad.add("RuntimeNodeService/StreamHeartbeats", field, &batch);
    }
    let batch = StreamHeartbeatsRequest { batch_id: 1, beats: vec![beat; limits::BEATS_PER_BATCH_MAX + 1] };
    bad.add("RuntimeNodeService/StreamHeartbeats", "beats", &batch);

    let update = UpdateCapabilitiesRequest {
        node_id: node_id.to_owned(),
        generation,
        declaration: Some(Client::declaration(&["other"])),
        health: Some(ReportedHealth::Degraded.into()),
        health_reason: "disk".to_owned(),
    };
    let method = "RuntimeNodeService/UpdateCapabilities";
    for node_id in node_ids() {
        bad.add(method, "node_id", &UpdateCapabilitiesRequest { node_id, ..update.clone() });
    }
    for generation in generations() {
        bad.add(method, "generation", &UpdateCapabilitiesRequest { generation, ..update.clone() });
    }
    for health in HEALTHS {
        bad.add(method, "health", &UpdateCapabilitiesRequest { health: Some(health), ..update.clone() });
    }
    for health_reason in texts(limits::REASON_CHARS_MAX).into_iter().chain([" ".to_owned()]) {
        bad.add(method, "health_reason", &UpdateCapabilitiesRequest { health_reason, ..update.clone() });
    }
    for (field, declaration) in declarations() {
        bad.add(
            method,
            field,
            &UpdateCapabilitiesRequest { declaration: Some(declaration), ..update.clone() },
        );
    }
    for health in [None, Some(ReportedHealth::Online.into())] {
        bad.add(method, "health_reason", &UpdateCapabilitiesRequest { health, ..update.clone() });
    }
    let nothing =
        UpdateCapabilitiesRequest { declaration: None, health: None, health_reason: String::new(), ..update };
    bad.add(method, "declaration", &nothing);

    let detach = DetachRequest { node_id: node_id.to_owned(), generation, reason: String::new() };
    let method = "RuntimeNodeService/Detach";
    for node_id in node_ids() {
        bad.add(method, "node_id", &DetachRequest { node_id, ..detach.clone() });
    }
    for generation in generations() {
        bad.add(method, "generation", &DetachRequest { generation, ..detach.clone() });
    }
    for reason in texts(limits::REASON_CHARS_MAX).into_iter().chain([" ".to_owned()]) {
        bad.add(method, "reason", &DetachRequest { reason, ..detach.clone() });
    }
}

fn bad_reads(session_id: &str, bad: &mut BadRequests) {
    let session_id = session_id.to_owned();
    let watch = WatchRosterRequest { session_id: session_id.clone(), revision: String::new() };
    let roster = GetRosterRequest { session_id: session_id.clone(), page_size: 0, page_token: String::new() };
    for id in uuids() {
        bad.add(
            "RuntimeNodeService/GetRoster",
            "session_id",
            &GetRosterRequest { session_id: id.clone(), ..roster.clone() },
        );
        bad.add(
            "RuntimeNodeService/WatchRoster",
            "session_id",
            &WatchRosterRequest { session_id: id.clone(), ..watch.clone() },
        );
        bad.add("SessionService/GetSession", "session_id", &GetSessionRequest { session_id: id.clone() });
        if !id.is_empty() {
            bad.add(
                "NodeAdminService/ListNodes",
                "session_id",
                &ListNodesRequest { session_id: id, ..ListNodesRequest::default() },
            );
        }
    }
    for revision in ["x", "1", "1.x", "1.2.3", "\0", "-1.1", &"1".repeat(limits::TOKEN_CHARS_MAX + 1)] {
        let request = WatchRosterRequest { revision: revision.to_owned(), ..watch.clone() };
        bad.add("RuntimeNodeService/WatchRoster", "revision", &request);
    }
    for page_size in [-1, i32::MIN] {
        bad.add(
            "RuntimeNodeService/GetRoster",
            "page_size",
            &GetRosterRequest { page_size, ..roster.clone() },
        );
        bad.add(
            "SessionService/ListSessions",
            "page_size",
            &ListSessionsRequest { page_size, page_token: String::new() },
        );
        bad.add(
            "NodeAdminService/ListNodes",
            "page_size",
            &ListNodesRequest { page_size, ..ListNodesRequest::default() },
        );
    }
    for page_token in page_tokens() {
        bad.add(
            "RuntimeNodeService/GetRoster",
            "page_token",
            &GetRosterRequest { page_token: page_token.clone(), ..roster.clone() },
        );
        bad.add(
            "NodeAdminService/ListNodes",
            "page_token",
            &ListNodesRequest { page_token, ..ListNodesRequest::default() },
        );
    }
    for page_token in page_tokens().into_iter().chain(["garbage".to_owned(), format!("{} ", Uuid::now_v7())])
    {
        bad.add(
            "SessionService/ListSessions",
            "page_token",
            &ListSessionsRequest { page_size: 0, page_token },
        );
    }
    for node_id in node_ids() {
        bad.add("NodeAdminService/GetNode", "node_id", &GetNodeRequest { node_id: node_id.clone() });
        bad.add("NodeAdminService/ExplainNode", "node_id", &ExplainNodeRequest { node_id });
    }
}

fn bad_changes_of_sessions(session_id: &str, bad: &mut BadRequests) {
    let create = CreateSessionRequest {
        session_id: Uuid::now_v7().to_string(),
        name: "demo".to_owned(),
        min_client_version: String::new(),
    };
    let raise = RaiseVersionFloorRequest {
        session_id: session_id.to_owned(),
        min_client_version: "1.5".to_owned(),
        ..RaiseVersionFloorRequest::default()
    };
    let (creation, raising) = ("SessionService/CreateSession", "SessionService/RaiseVersionFloor");
    for id in uuids() {
        bad.add(
            "SessionService/ArchiveSession",
            "session_id",
            &ArchiveSessionRequest { session_id: id.clone() },
        );
        bad.add("SessionService/CloseSession", "session_id", &CloseSessionRequest { session_id: id.clone() });
        bad.add(raising, "session_id", &RaiseVersionFloorRequest { session_id: id.clone(), ..raise.clone() });
        if !id.is_empty() {
            bad.add(creation, "session_id", &CreateSessionRequest { session_id: id, ..create.clone() });
        }
    }
    let of_version_4 = Uuid::new_v4().to_string();
    bad.add(creation, "session_id", &CreateSessionRequest { session_id: of_version_4, ..create.clone() });
    let names = texts(limits::SESSION_NAME_CHARS_MAX);
    for name in names.into_iter().chain(["", " ", " demo", "demo "].map(str::to_owned)) {
        bad.add(creation, "name", &CreateSessionRequest { name, ..create.clone() });
    }
    for min_client_version in versions() {
        let floor = min_client_version.clone();
        bad.add(
            creation,
            "min_client_version",
            &CreateSessionRequest { min_client_version, ..create.clone() },
        );
        let request = RaiseVersionFloorRequest { min_client_version: floor, ..raise.clone() };
        bad.add(raising, "min_client_version", &request);
    }
    let none = RaiseVersionFloorRequest { min_client_version: String::new(), ..raise.clone() };
    bad.add(raising, "min_client_version", &none);
    bad.add(raising, "page_size", &RaiseVersionFloorRequest { page_size: -1, ..raise.clone() });
    // A token belongs to a dry run.
    let token = RaiseVersionFloorRequest { page_token: "laptop-1".to_owned(), ..raise.clone() };
    bad.add(raising, "page_token", &token);
    for page_token in page_tokens() {
        let request = RaiseVersionFloorRequest { page_token, validate_only: true, ..raise.clone() };
        bad.add(raising, "page_token", &request);
    }
}

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
        bad.0
    }

    async fn raw(&self) -> Raw {
        Raw::connect(&self.plane.url(), Some(self.plane.token())).await
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
         where table_schema = 'public' and table_type = 'BASE TABLE' and table_name <> 'service_windows'
         order by 1",
    )
    .fetch_all(&database.pool)
    .await
    .expect("tables can be listed");
    assert!(tables.len() > 8, "{tables:?}");
    let mut contents = Vec::new();
    for table in tables {
        let rows = if table == "runtime_node_presence" {
            "(select * from runtime_node_presence where node_key > 0)".to_owned()
        } else {
            table.clone()
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
    let covered: BTreeSet<_> = bad.0.into_iter().map(|bad| bad.path).collect();
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

/// Bodies that are no message of ours, to be refused as a whole.
fn bodies(method: &tests::Method) -> Vec<(&'static str, Vec<u8>)> {
    let zeros = vec![0; 10 * 1024 * 1024];
    let mut bodies = vec![
        ("a message of garbage", framed(&[0xff; 64])),
        ("a message cut short", framed(&[0x0a, 0x7f])),
        // Field 1, a text or something else: of two bytes that are no UTF-8, and no message either.
        ("invalid UTF-8", framed(&[0x0a, 0x02, 0xff, 0xfe])),
        ("a group that never ends", framed(&[0x0b; 200])),
        ("a length beyond the end", [&[0, 0, 0, 0, 100], [0x0a; 10].as_slice()].concat()),
        ("a head cut short", vec![0, 0, 0]),
        ("no frame at all", b"GET / HTTP/1.1\r\n\r\n".to_vec()),
        ("compression that was not agreed on", [&[1, 0, 0, 0, 2], b"xx".as_slice()].concat()),
        ("a flag that does not exist", [&[7, 0, 0, 0, 2], b"xx".as_slice()].concat()),
        ("a message of 10 MiB", framed(&zeros)),
        ("a message that claims 4 GiB", [&[0, 0xff, 0xff, 0xff, 0xff], [0; 64].as_slice()].concat()),
    ];
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
