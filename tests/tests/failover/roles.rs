//! The role gate: what a server answers, to every call there is and to probes, while it stands by, recovers and leads.

use std::time::Duration;

use contracts::{
    refusal::{ReceivedRefusal, RetryAdvice},
    wire::v1::{
        ExplainNodeRequest, GetLeadershipRequest, GetMaintenanceRequest, GetNodeRequest,
        GetReplicationStatusRequest, GetRosterRequest, GetSessionRequest, ListAuditEntriesRequest,
        ListMembersRequest, ListNodesRequest, ListSessionsRequest, ReadEventsRequest, WatchRosterRequest,
    },
};
use control_plane::auth::tokens::Scope;
use prost::Message;
use sqlx::{Connection, Executor, PgConnection};
use tests::{
    Database, Method, Plane, PlaneOptions, Proxy, Raw, RawAnswer, eventually, framed, methods, token,
};
use tokio::time::{Instant, timeout};
use tonic::transport::Endpoint;
use tonic_health::pb::{
    HealthCheckRequest, health_check_response::ServingStatus, health_client::HealthClient,
};

/// How long an answer may take. Nothing that is served or refused by role waits for anything.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(10);
const NODE: &str = "laptop-1";
/// The one call that only looks and still needs the leader: its changes are told from the leader's view.
const WATCH: &str = "RuntimeNodeService/WatchRoster";

/// Every service, with whether it is for writes: those serve at the active server alone.
const SERVICES: [(&str, bool); 9] = [
    ("AuditService", false),
    ("EventLogService", true),
    ("LeadershipService", false),
    ("MaintenanceService", false),
    ("MembershipService", true),
    ("NodeAdminService", true),
    ("RuntimeNodeService", true),
    ("SessionService", true),
    ("TokenService", true),
];

/// What a server is, as one test after the other meets it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Standing<'a> {
    Standby { active: &'a str },
    Recovering,
    Active,
}

/// A good request for a call that only looks; none for one that writes. So a new call counts as a write, and is to be
/// refused, until a request for it stands here.
fn look(method: &str, session_id: &str) -> Option<Vec<u8>> {
    let (session_id, node_id) = (session_id.to_owned(), NODE.to_owned());
    let request = match method {
        "RuntimeNodeService/GetRoster" => {
            GetRosterRequest { session_id, ..Default::default() }.encode_to_vec()
        }
        WATCH => WatchRosterRequest { session_id, revision: String::new() }.encode_to_vec(),
        "SessionService/GetSession" => GetSessionRequest { session_id }.encode_to_vec(),
        "SessionService/ListSessions" => ListSessionsRequest::default().encode_to_vec(),
        "MembershipService/ListMembers" => {
            ListMembersRequest { session_id, ..Default::default() }.encode_to_vec()
        }
        "NodeAdminService/ListNodes" => ListNodesRequest::default().encode_to_vec(),
        "NodeAdminService/GetNode" => GetNodeRequest { node_id }.encode_to_vec(),
        "NodeAdminService/ExplainNode" => ExplainNodeRequest { node_id }.encode_to_vec(),
        "AuditService/ListAuditEntries" => ListAuditEntriesRequest::default().encode_to_vec(),
        "EventLogService/ReadEvents" => {
            ReadEventsRequest { session_id, ..Default::default() }.encode_to_vec()
        }
        "EventLogService/GetReplicationStatus" => {
            GetReplicationStatusRequest { session_id, recent_max: 0 }.encode_to_vec()
        }
        "MaintenanceService/GetMaintenance" => GetMaintenanceRequest {}.encode_to_vec(),
        "LeadershipService/GetLeadership" => GetLeadershipRequest {}.encode_to_vec(),
        _ => return None,
    };
    Some(request)
}

fn name_of(method: &Method) -> &str {
    method.path.strip_prefix("/rollcall.v1.").expect("a method is of the package")
}

async fn ask(raw: &Raw, method: &Method, request: &[u8]) -> RawAnswer {
    let answer = timeout(ANSWER_TIMEOUT, raw.begin(&method.path, framed(request))).await;
    let answer = answer.unwrap_or_else(|_| panic!("{} hangs", method.path));
    answer.unwrap_or_else(|error| panic!("{}: {error}", method.path))
}

fn refused(answer: &RawAnswer) -> Option<ReceivedRefusal> {
    answer.status.as_ref().and_then(ReceivedRefusal::from_status)
}

/// What a call is told that this server does not serve in its role; false where it serves it.
fn is_refused_by_role(refused: Option<&ReceivedRefusal>, standing: Standing<'_>, method: &str) -> bool {
    let Some(refused) = refused.filter(|refused| refused.code.starts_with("controller.")) else {
        return false;
    };
    match standing {
        Standing::Standby { active } => {
            assert_eq!(refused.code, "controller.standby", "{method}");
            assert_eq!(refused.advice, RetryAdvice::Elsewhere, "{method}");
            assert_eq!(
                refused.facts.get("active_address").map(String::as_str),
                Some(active),
                "{method}: {refused:?}"
            );
        }
        Standing::Recovering => {
            assert_eq!(refused.code, "controller.recovering", "{method}");
            assert_eq!(refused.advice, RetryAdvice::SameRequest, "{method}");
            assert!(
                refused.retry_delay.is_some_and(|delay| !delay.is_zero()),
                "{method} is told when to ask again: {refused:?}"
            );
        }
        Standing::Active => panic!("{method} is refused by the active server: {refused:?}"),
    }
    true
}

/// Sends something to every call there is, and what only looks a good request.
async fn check_every_call(plane: &Plane, by: &Asker, standing: Standing<'_>) {
    let raw = Raw::connect(&plane.url(), Some(&by.token)).await;
    let (mut served, mut turned_away, mut slowest) = (0, 0, Duration::ZERO);
    for method in methods() {
        let name = name_of(&method);
        if standing == Standing::Active && name == "LeadershipService/StepDown" {
            continue;
        }
        let looked = look(name, &by.session_id);
        let began = Instant::now();
        let answer = ask(&raw, &method, looked.as_deref().unwrap_or_default()).await;
        slowest = slowest.max(began.elapsed());
        let refused = refused(&answer);
        let by_role = is_refused_by_role(refused.as_ref(), standing, name);
        turned_away += usize::from(by_role);
        let only_at_the_leader = looked.is_none() || name == WATCH;
        assert_eq!(
            by_role,
            only_at_the_leader && standing != Standing::Active,
            "{name}, {standing:?}: {refused:?}"
        );
        if looked.is_some() && !by_role {
            assert!(
                refused.is_none() && !answer.messages.is_empty(),
                "{name} is answered, {standing:?}: {answer:?}"
            );
            served += 1;
        }
    }
    println!("{standing:?}: {served} looks served, {turned_away} calls turned away, slowest {slowest:?}");
}

/// What probes are told.
async fn check_probes(plane: &Plane, standing: Standing<'_>) {
    let (word, status) = match standing {
        Standing::Standby { .. } => ("standby\n", 503),
        Standing::Recovering => ("recovering\n", 200),
        Standing::Active => ("active\n", 200),
    };
    assert_eq!(plane.http("/health/live").await, (200, "live\n".to_owned()), "{standing:?}");
    assert_eq!(plane.http("/health/ready").await, (200, "ready\n".to_owned()), "{standing:?}");
    assert_eq!(plane.http("/health/active").await, (status, word.to_owned()));

    let channel = Endpoint::from_shared(plane.url()).expect("the URL is one").connect().await;
    let mut health = HealthClient::new(channel.expect("the server accepts connections"));
    let at_the_leader_alone =
        if standing == Standing::Active { ServingStatus::Serving } else { ServingStatus::NotServing };
    let services = SERVICES.map(|(service, writes)| (format!("rollcall.v1.{service}"), writes));
    for (service, writes) in services.into_iter().chain([(String::new(), true)]) {
        let expected = if writes { at_the_leader_alone } else { ServingStatus::Serving };
        let request = HealthCheckRequest { service: service.clone() };
        // Told by a task of its own, a moment after the role.
        let look = async || health.check(request.clone()).await.map(|answer| answer.into_inner().status());
        eventually(&format!("{service:?} is {expected:?}"), look, |told| {
            told.as_ref().is_ok_and(|told| *told == expected)
        })
        .await
        .expect("it was told");
    }
}

/// Who asks, and where there is something to see.
struct Asker {
    token: String,
    session_id: String,
    generation: u64,
}

impl Asker {
    /// Makes a session with a node at this server, which leads.
    async fn at(plane: &Plane) -> Self {
        let client = plane.client().await;
        let session_id = client.session().await;
        let generation = client.online(&session_id, NODE).await;
        // Something to see in the audit.
        plane.admin().await.set_maintenance(Some("a drill")).await;
        plane.admin().await.set_maintenance(None).await;
        Self { token: token(plane.participant(), Scope::Admin), session_id, generation }
    }
}

/// The cadence of the product, in which nobody falls silent during a test, and a lease that a test can outlast.
fn options() -> PlaneOptions {
    PlaneOptions::default().flag("--lease", "2s")
}

async fn knows_who_leads(standby: &Plane, active: &Plane) {
    let client = standby.client().await;
    let told = async || tests::refusal(client.beat(NODE, 1).await);
    eventually("the standby knows who leads", told, |refused| {
        refused.facts.get("active_address") == Some(&active.url())
    })
    .await;
}

#[test]
fn every_service_is_judged() {
    let mut there_are: Vec<_> = methods()
        .iter()
        .map(|method| name_of(method).split('/').next().expect("a name has a service").to_owned())
        .collect();
    there_are.dedup();
    there_are.sort();
    assert_eq!(there_are, SERVICES.map(|(service, _)| service));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_standby_serves_each_look_and_sends_each_write_to_the_active_server() {
    let active = Plane::start_on(Database::new().await, options()).await;
    let asker = Asker::at(&active).await;
    let standby = Plane::launch(active.database.clone(), active.options_beside()).await;
    knows_who_leads(&standby, &active).await;
    let before = active.database.snapshot().await;
    let url = active.url();
    check_every_call(&standby, &asker, Standing::Standby { active: &url }).await;
    check_probes(&standby, Standing::Standby { active: &url }).await;
    assert_eq!(active.database.snapshot().await, before, "nothing was written");
    check_every_call(&active, &asker, Standing::Active).await;
    check_probes(&active, Standing::Active).await;
}

/// What keeps a recovery from its end.
#[derive(Clone, Copy, Debug)]
enum Fault {
    /// Its connection stalls.
    Connection,
    /// Another session holds a row that it writes.
    Row,
}

async fn check_a_server_that_cannot_finish_its_recovery(fault: Fault) {
    let database = Database::new().await;
    let mut former = Plane::start_on(database.clone(), options()).await;
    let asker = Asker::at(&former).await;
    former.process.kill();
    let proxy: Proxy = database.proxy().await;
    let mut holder = PgConnection::connect(&database.url).await.expect("Postgres answers");
    match fault {
        Fault::Connection => proxy.stall_only("rollcall recovery"),
        Fault::Row => {
            holder.execute("begin").await.expect("Postgres does it");
            let rows = "select from runtime_node_presence where node_key <= 0 for update";
            let held = holder.execute(rows).await.expect("the rows can be locked");
            assert!(held.rows_affected() > 0, "the canary has rows");
        }
    }

    let plane = Plane::launch(database.through(&proxy), former.options_beside()).await;
    let active = async || plane.http("/health/active").await;
    eventually("it recovers", active, |told| *told == (200, "recovering\n".to_owned())).await;
    let standby = Plane::launch(database.clone(), former.options_beside()).await;
    knows_who_leads(&standby, &plane).await;
    let row = async || {
        sqlx::query_as::<_, (i64, i64)>("select epoch, renewals from leadership")
            .fetch_one(&database.pool)
            .await
            .expect("there is a row")
    };
    let (epoch, renewals) = row().await;
    let before = database.snapshot().await;
    let url = plane.url();
    check_every_call(&plane, &asker, Standing::Recovering).await;
    check_probes(&plane, Standing::Recovering).await;
    check_every_call(&standby, &asker, Standing::Standby { active: &url }).await;
    check_probes(&standby, Standing::Standby { active: &url }).await;
    // Ten verifications are a lease: nobody evicts a server that recovers for longer than one.
    eventually("it renewed for two leases", row, |(_, now)| *now >= renewals + 20).await;
    check_probes(&plane, Standing::Recovering).await;
    assert_eq!(row().await.0, epoch, "{fault:?}: it is the same term");
    assert_eq!(database.snapshot().await, before, "{fault:?}: nothing was written");

    proxy.pass();
    drop(holder);
    plane.active().await;
    assert_eq!(row().await.0, epoch, "{fault:?}: it leads in the term that it recovered in");
    check_every_call(&plane, &asker, Standing::Active).await;
    check_probes(&plane, Standing::Active).await;
    plane.client().await.beat(NODE, asker.generation).await.expect("the node goes on");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_whose_recovery_stalls_serves_each_look_and_asks_each_write_to_come_again() {
    check_a_server_that_cannot_finish_its_recovery(Fault::Connection).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_whose_recovery_waits_for_a_row_serves_each_look_and_asks_each_write_to_come_again() {
    check_a_server_that_cannot_finish_its_recovery(Fault::Row).await;
}
