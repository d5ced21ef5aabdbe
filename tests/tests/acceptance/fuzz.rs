//! Chance against the wire: whatever is sent to whichever method is answered or refused by name, and harms nobody.
//!
//! Each case is made from its method and number, but for the ids of what there is. One that failed is tried again,
//! alone, by
//!
//! ```text
//! FUZZ_CASE='/rollcall.v1.SessionService/GetSession 17' cargo test -p tests --test acceptance -- fuzz::
//! ```

use std::sync::Arc;

use contracts::{
    Code,
    refusal::ReceivedRefusal,
    wire::v1::{CreateJoinTokenRequest, IssueTokenRequest, StreamHeartbeatsResponse, beat_result::Outcome},
};
use control_plane::auth::tokens::Scope;
use prost::Message;
use rand::{Rng, SeedableRng, rngs::StdRng};
use tests::{
    Client, Known, Method, Noise, Plane, PlaneOptions, Raw, RawAnswer, framed, methods, token, user_scopes,
};
use tokio::task::JoinSet;
use uuid::Uuid;

/// Cases of each method.
const CASES: u64 = 200;
/// How many of them have one text spoilt and are good otherwise.
const SPOILT: u64 = 50;
/// What all cases together may make the server grow by. A leak of every message would be many times as much.
const GROWTH_KIB_MAX: u64 = 48 * 1_024;

/// What one case sends.
#[derive(Debug)]
struct Case {
    /// With the admin's token, or the node's.
    is_admin: bool,
    body: Vec<u8>,
}

impl Case {
    fn new(method: &Method, number: u64, noise: &Noise, known: &Known) -> Self {
        let digest =
            method.path.bytes().fold(number, |sum, byte| sum.wrapping_mul(31).wrapping_add(byte.into()));
        let mut rng = StdRng::seed_from_u64(digest);
        if number < SPOILT {
            let text = rng.random_range(0..6);
            let message = noise.spoilt(&mut rng, &method.request, known, text);
            return Self { is_admin: true, body: framed(&message) };
        }
        let messages = if method.takes_stream { rng.random_range(1..4) } else { 1 };
        let mut body = Vec::new();
        for _ in 0..messages {
            let message = match rng.random_range(0..10) {
                0 => (0..rng.random_range(0..200)).map(|_| rng.random()).collect(),
                _ => noise.message(&mut rng, &method.request, known),
            };
            body.extend(framed(&message));
        }
        // Now and then the frame itself.
        if rng.random_bool(0.02) {
            let at = rng.random_range(0..body.len());
            body[at] = rng.random();
        }
        Self { is_admin: rng.random_bool(0.8), body }
    }
}

/// A session with a node for one method to ruin.
async fn scene(plane: &Plane, client: &Client, number: usize) -> Known {
    let session = client.session().await;
    let node_id = format!("victim-{number}");
    let generation = client.online(&session, &node_id).await;
    let gone = format!("gone-{number}");
    let last = client.online(&session, &gone).await;
    client.detach(&gone, last).await.expect("it can be detached");
    let admin = plane.admin().await;
    let issue = IssueTokenRequest { scopes: vec![1], ..Default::default() };
    let issued = admin.tokens.clone().issue_token(issue).await.expect("an admin makes tokens").into_inner();
    let participant_id = plane.participant().to_string();
    let join = CreateJoinTokenRequest { participant_id, scopes: vec![1], uses: 1_000, ..Default::default() };
    let join = admin.tokens.clone().create_join_token(join).await.expect("and join tokens").into_inner();
    let texts = vec![
        ("session_id", session),
        ("node_id", format!("new-{number}")),
        ("node_id", gone),
        ("node_id", node_id),
        ("participant_id", String::new()),
        ("participant_id", plane.participant().to_string()),
        ("participant_id", Uuid::now_v7().to_string()),
        ("client_version", "1.0".to_owned()),
        ("client_version", "1.7".to_owned()),
        ("min_client_version", "1.3".to_owned()),
        ("contract_version", "1.0".to_owned()),
        ("reason", "chance".to_owned()),
        ("health_reason", "chance".to_owned()),
        ("page_token", String::new()),
        ("revision", String::new()),
        ("name", "chance".to_owned()),
        ("event_id", Uuid::now_v7().to_string()),
        ("event_id", Uuid::now_v7().to_string()),
        ("event_id", Uuid::now_v7().to_string()),
        ("event_id", Uuid::now_v7().to_string()),
        ("envelope_version", "1.0".to_owned()),
        ("type", "chance.happened".to_owned()),
        ("key", "chance".to_owned()),
        ("content_type", "text/plain".to_owned()),
        ("token_id", issued.token.expect("an answer has its token").token_id),
        ("join_token", join.join_token),
    ];
    Known {
        texts,
        numbers: vec![("generation", generation), ("page_size", 0), ("seconds", 3_600), ("nanos", 0)],
    }
}

/// The codes of all refusals in an answer.
fn codes(method: &Method, answer: &RawAnswer) -> Result<Vec<String>, String> {
    if answer.http != 200 {
        return Err(format!("HTTP status {}", answer.http));
    }
    let mut codes = Vec::new();
    match &answer.status {
        // A stream that was left while it went on.
        None if method.gives_stream && !answer.messages.is_empty() => {}
        None => return Err("no status".to_owned()),
        Some(status) if status.code() == tonic::Code::Ok => {}
        Some(status) => {
            let refused = ReceivedRefusal::from_status(status);
            codes.push(refused.ok_or_else(|| format!("no refusal of Rollcall's: {status:?}"))?.code);
        }
    }
    if method.path.ends_with("/StreamHeartbeats") {
        for message in &answer.messages {
            let batch =
                StreamHeartbeatsResponse::decode(message.clone()).map_err(|error| error.to_string())?;
            for result in batch.results {
                match result.outcome.ok_or("a beat without a result")? {
                    Outcome::Ack(_) => {}
                    Outcome::Refusal(refused) => codes.push(refused.code),
                }
            }
        }
    }
    Ok(codes)
}

/// What is the same for all cases.
struct Chance {
    url: String,
    admin_token: String,
    node_token: String,
    noise: Noise,
    /// The one case to try.
    replayed: Option<String>,
}

/// How many cases there were, and how many of them got past their token and their arguments.
struct Tried {
    sent: u64,
    got_far: u64,
}

impl Chance {
    async fn try_all(&self, method: &Method, known: &Known) -> Tried {
        let admin = Raw::connect(&self.url, Some(&self.admin_token)).await;
        let node = Raw::connect(&self.url, Some(&self.node_token)).await;
        let mut tried = Tried { sent: 0, got_far: 0 };
        for number in 0..CASES {
            let name = format!("{} {number}", method.path);
            if self.replayed.as_ref().is_some_and(|replayed| *replayed != name) {
                continue;
            }
            let Case { is_admin, body } = Case::new(method, number, &self.noise, known);
            let raw = if is_admin { &admin } else { &node };
            // A watch goes on for ever.
            let answer = if method.gives_stream && !method.takes_stream {
                raw.begin(&method.path, body).await
            } else {
                raw.call(&method.path, "application/grpc", body).await
            };
            let codes = answer.and_then(|answer| codes(method, &answer));
            let codes = codes.unwrap_or_else(|error| panic!("FUZZ_CASE='{name}': {error}"));
            for code in &codes {
                let is_fault = Code::parse(code).is_none_or(|code| code == Code::SystemInternalError);
                assert!(!is_fault, "FUZZ_CASE='{name}': {code}");
            }
            tried.sent += 1;
            let is_early = |code: &String| code == "argument.invalid" || code.starts_with("auth.");
            tried.got_far += u64::from(!codes.iter().any(is_early));
        }
        // Or the cases have become too simple.
        let is_enough = self.replayed.is_some() || tried.got_far >= CASES / 20;
        assert!(
            is_enough,
            "only {} of {} got past the arguments of {}",
            tried.got_far, tried.sent, method.path
        );
        tried
    }
}

/// Rows of the bystander.
async fn untouched(plane: &Plane, session: &str) -> Vec<String> {
    let snapshot = plane.database.snapshot().await;
    let tables = ["sessions", "session_memberships", "runtime_node_attachments", "attachment_spans"];
    let mut rows: Vec<_> = tables
        .iter()
        .flat_map(|table| snapshot.rows(table))
        .filter(|row| row.contains(session))
        .cloned()
        .collect();
    rows.extend(snapshot.rows("runtime_nodes").iter().filter(|row| row.contains("bystander")).cloned());
    rows
}

#[tokio::test]
async fn whatever_chance_sends_is_answered_by_name_and_harms_nobody() {
    let options = PlaneOptions::default().flag("--degraded-after", "1h").flag("--offline-after", "2h");
    let mut plane = Plane::start(options).await;
    let client = plane.client().await;
    let (_, other) = plane.stranger().await;
    let theirs = other.session().await;
    let bystander = other.online(&theirs, "bystander").await;
    let before = untouched(&plane, &theirs).await;
    assert!(before.len() >= 5, "{before:?}");

    let chance = Arc::new(Chance {
        url: plane.url(),
        admin_token: token(plane.participant(), user_scopes().with(Scope::Admin)),
        node_token: token(plane.participant(), Scope::Node),
        noise: Noise::new(),
        replayed: std::env::var("FUZZ_CASE").ok(),
    });
    let memory = plane.process.memory_kib();
    let (mut sent, mut got_far) = (0, 0);
    // These hold back all others, so they come by themselves.
    let is_alone = |path: &str| path.ends_with("/SetMaintenance") || path.ends_with("/StepDown");
    let (alone, together): (Vec<_>, Vec<_>) =
        methods().into_iter().partition(|method| is_alone(&method.path));
    for (index, methods) in together.chunks(4).chain(alone.chunks(1)).enumerate() {
        plane.active().await;
        let mut trying = JoinSet::new();
        for (number, method) in methods.iter().enumerate() {
            let known = scene(&plane, &client, index * 4 + number).await;
            let (chance, method) = (Arc::clone(&chance), method.clone());
            trying.spawn(async move { chance.try_all(&method, &known).await });
        }
        while let Some(tried) = trying.join_next().await {
            let tried = tried.expect("a case failed, see above");
            sent += tried.sent;
            got_far += tried.got_far;
        }
        assert!(plane.process.is_running());
    }
    plane.admin().await.set_maintenance(None).await;
    let grown = plane.process.memory_kib().saturating_sub(memory);
    println!("{sent} cases, {got_far} of them past their arguments, {grown} KiB more");
    assert!(sent > 0, "there is no such case");
    assert!(grown < GROWTH_KIB_MAX, "the server grew by {grown} KiB");
    let log = plane.process.log();
    let bad = |line: &&String| line.contains("panicked") || line.contains(r#""level":"ERROR""#);
    assert_eq!(log.iter().filter(bad).collect::<Vec<_>>(), Vec::<&String>::new());
    assert_eq!(untouched(&plane, &theirs).await, before, "what belongs to others was touched");
    other.beat("bystander", bystander).await.expect("the bystander lives");
}
