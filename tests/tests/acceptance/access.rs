//! Who may call what: scopes by one table over every RPC, rights by role, and one denial for all that is hidden.

use std::collections::{BTreeMap, BTreeSet};

use contracts::{
    ParticipantId,
    refusal::ReceivedRefusal,
    wire::v1::{
        ArchiveSessionRequest, AttachRequest, Beat, CloseSessionRequest, CreateJoinTokenRequest,
        DetachNodeRequest, DetachRequest, ExplainNodeRequest, ForgetNodeRequest, GetMaintenanceRequest,
        GetNodeRequest, GetRosterRequest, GetSessionRequest, HeartbeatRequest, IssueTokenRequest,
        ListAuditEntriesRequest, ListNodesRequest, ListSessionsRequest, MemberRole, MemberState,
        RaiseVersionFloorRequest, ReadEventsRequest, RemoveMemberRequest, ReportedHealth, RevokeNodeRequest,
        SetMaintenanceRequest, SetMemberRequest, SlotState, StreamHeartbeatsRequest, TransferNodeRequest,
        UpdateCapabilitiesRequest, WatchRosterRequest, beat_result::Outcome,
        revoke_node_request::Scope as Bar,
    },
};
use control_plane::auth::{
    access::ACCESS,
    tokens::{Scope, Scopes},
};
use prost::Message;
use tests::{
    Appending, Attaching, Client, Plane, PlaneOptions, Raw, framed, methods, refusal, token, user_scopes,
};
use tokio::{sync::mpsc, task::JoinSet};
use tokio_stream::wrappers::ReceiverStream;
use tonic::Status;
use uuid::Uuid;

/// What each scope opens, as the design has it. An admin's opens everything; what stands nowhere here needs none. What
/// stands here twice is opened by either, and says that it lacks the first.
const OPENED_BY: [(Scope, &[&str]); 4] = [
    (
        Scope::Node,
        &[
            "RuntimeNodeService/Attach",
            "RuntimeNodeService/Heartbeat",
            "RuntimeNodeService/StreamHeartbeats",
            "RuntimeNodeService/UpdateCapabilities",
            "RuntimeNodeService/Detach",
            "EventLogService/AppendEvents",
            "EventLogService/Replicate",
        ],
    ),
    (
        Scope::SessionRead,
        &[
            "RuntimeNodeService/GetRoster",
            "RuntimeNodeService/WatchRoster",
            "SessionService/GetSession",
            "SessionService/ListSessions",
            "MembershipService/ListMembers",
            "NodeAdminService/ListNodes",
            "NodeAdminService/GetNode",
            "NodeAdminService/ExplainNode",
            "EventLogService/ReadEvents",
            "EventLogService/GetReplicationStatus",
        ],
    ),
    (
        Scope::SessionWrite,
        &[
            "SessionService/CreateSession",
            "SessionService/ArchiveSession",
            "SessionService/CloseSession",
            "SessionService/RaiseVersionFloor",
            "MembershipService/SetMember",
            "MembershipService/RemoveMember",
            "NodeAdminService/DetachNode",
            "NodeAdminService/RevokeNode",
            "EventLogService/AppendEvents",
        ],
    ),
    (
        Scope::Admin,
        &[
            "NodeAdminService/TransferNode",
            "NodeAdminService/ForgetNode",
            "TokenService/IssueToken",
            "TokenService/CreateJoinToken",
            "LeadershipService/StepDown",
            "AuditService/ListAuditEntries",
            "MaintenanceService/SetMaintenance",
            "MaintenanceService/GetMaintenance",
        ],
    ),
];
const NEED_NO_SCOPE: [&str; 4] = [
    "TokenService/RenewToken",
    "TokenService/RevokeToken",
    "TokenService/ExchangeJoinToken",
    "LeadershipService/GetLeadership",
];

#[test]
fn every_method_of_the_contract_has_one_row_in_the_access_table_and_no_row_is_without_a_method() {
    let rows: Vec<_> = ACCESS.iter().map(|(name, _, _)| format!("/rollcall.v1.{name}")).collect();
    let there_are: BTreeSet<_> = methods().into_iter().map(|method| method.path).collect();
    assert_eq!(rows.iter().cloned().collect::<BTreeSet<_>>(), there_are);
    assert_eq!(rows.len(), there_are.len(), "a row stands there twice");

    let opened = OPENED_BY.iter().flat_map(|(_, methods)| *methods).chain(&NEED_NO_SCOPE);
    let expected: BTreeSet<_> = opened.map(|name| format!("/rollcall.v1.{name}")).collect();
    assert_eq!(expected, there_are, "left: this file");
}

#[tokio::test]
async fn each_scope_alone_opens_its_methods_and_no_other() {
    let plane = Plane::start(PlaneOptions::default()).await;
    let mut needed: BTreeMap<_, Vec<_>> = BTreeMap::new();
    for (scope, methods) in OPENED_BY {
        for name in methods {
            needed.entry(format!("/rollcall.v1.{name}")).or_default().push(scope);
        }
    }
    for held in Scope::ALL {
        let raw = Raw::connect(&plane.url(), Some(&token(plane.participant(), held))).await;
        for method in methods() {
            let answer = raw.call(&method.path, "application/grpc", framed(&[])).await.unwrap();
            let status = answer.status.expect("an answer has a status");
            let refused = ReceivedRefusal::from_status(&status);
            let lacks = refused.as_ref().filter(|refused| refused.code == "auth.insufficient_scope");
            let needed = needed.get(&method.path).filter(|needed| !needed.contains(&held));
            let expected = needed.map(|needed| needed[0]).filter(|_| held != Scope::Admin);
            assert_eq!(
                lacks.map(|refused| refused.facts["scope"].as_str()),
                expected.map(Scope::as_str),
                "{held} at {}: {refused:?}",
                method.path
            );
            assert!(
                lacks.is_none() || status.code() == tonic::Code::PermissionDenied,
                "{}: {status:?}",
                method.path
            );
        }
    }
}

#[tokio::test]
async fn no_token_opens_anything_but_the_exchange_of_a_join_token() {
    let plane = Plane::start(PlaneOptions::default()).await;
    let before = plane.database.snapshot().await;
    let raw = Raw::connect(&plane.url(), None).await;
    for method in methods() {
        let answer = raw.call(&method.path, "application/grpc", framed(&[])).await.unwrap();
        let refused = ReceivedRefusal::from_status(&answer.status.unwrap()).expect("it is refused");
        assert_eq!(refused.code, "auth.token_invalid", "{}", method.path);
        let asks_for_a_token = refused.message.starts_with("no token.");
        assert_eq!(asks_for_a_token, !method.path.ends_with("/ExchangeJoinToken"), "{}", method.path);
    }
    assert_eq!(plane.database.snapshot().await, before);
}

/// What a caller of the permission table may be.
const CALLERS: [&str; 9] = [
    "owner",
    "collaborator",
    "runtime_contributor",
    "viewer",
    "suspended",
    "pending",
    "revoked",
    "removed",
    "admin",
];

/// One row a call, one letter a caller in the order of [`CALLERS`]: `+` works, `d` the uniform denial, `s` no such
/// session, `n` no such node, `i` insufficient scope.
const RIGHTS: [(&str, &str); 33] = [
    ("attach another node of its own", "+++dddddd"),
    ("beat", "+++dddddd"),
    ("beat over a stream", "+++dddddd"),
    ("declare", "+++dddddd"),
    ("attach its node again", "+++dddddd"),
    ("append in person", "++ddddddd"),
    ("append for its node", "+++dddddd"),
    ("append for somebody's node", "ddddddddd"),
    ("read the log", "++++dddd+"),
    ("read the roster", "++++dddd+"),
    ("watch the roster", "++++dddd+"),
    ("get the session", "++++ssss+"),
    ("list the members", "++++ssss+"),
    ("get somebody's node", "++++nnnn+"),
    ("explain somebody's node", "++++nnnn+"),
    ("beat for somebody's node", "ddddddddd"),
    ("declare for somebody's node", "ddddddddd"),
    ("detach somebody's node as if it were its own", "ddddddddd"),
    ("raise the floor", "+dddssss+"),
    ("set a member", "+dddssss+"),
    ("remove a member", "+dddssss+"),
    ("take somebody's node out", "+ddddddd+"),
    ("revoke somebody's node here", "+ddddddd+"),
    ("revoke somebody's node everywhere", "dddddddd+"),
    ("transfer somebody's node", "iiiiiiii+"),
    ("forget a node", "iiiiiiii+"),
    ("issue a token", "iiiiiiii+"),
    ("make a join token", "iiiiiiii+"),
    ("read the audit", "iiiiiiii+"),
    ("look at maintenance", "iiiiiiii+"),
    ("turn maintenance on", "iiiiiiii+"),
    ("archive the session", "+dddssss+"),
    ("detach its own node", "+++++++++"),
];

/// One caller of the permission table, with a node of its own in the session.
struct Caller {
    participant: ParticipantId,
    client: Client,
    attaching: Attaching,
    generation: u64,
}

/// A session with a node of every caller, and nodes of a bystander.
struct Table {
    _plane: Plane,
    session: String,
    bystander: ParticipantId,
    bystanders_generation: u64,
    callers: Vec<Caller>,
}

impl Table {
    async fn set() -> Self {
        let plane = Plane::start(PlaneOptions::default()).await;
        let owner = plane.client().await;
        let session = owner.session().await;
        let (bystander, theirs) = plane.stranger().await;
        owner.welcome(&session, bystander, MemberRole::RuntimeContributor).await;
        let bystanders_generation = theirs.online(&session, "theirs").await;
        let generation = theirs.online(&session, "gone").await;
        theirs.detach("gone", generation).await.expect("it can be detached");
        let mut callers = Vec::new();
        for name in CALLERS {
            let scopes = if name == "admin" { Scopes::from(Scope::Admin) } else { user_scopes() };
            let participant = match name {
                "owner" => plane.participant(),
                _ => ParticipantId(Uuid::now_v7()),
            };
            let client = Client::connect(&plane.url(), &token(participant, scopes)).await;
            // Everybody could run nodes once, or there would be nothing to beat for.
            if name != "owner" {
                owner.welcome(&session, participant, MemberRole::Collaborator).await;
            }
            let attaching = Attaching::new(&session, name).declaring(&["codex"]);
            let generation = client.attach(&attaching).await.expect("it is let in").generation;
            let (role, state) = match name {
                "runtime_contributor" => (MemberRole::RuntimeContributor, MemberState::Active),
                "viewer" => (MemberRole::Viewer, MemberState::Active),
                "suspended" => (MemberRole::Owner, MemberState::Suspended),
                "pending" => (MemberRole::Owner, MemberState::Pending),
                "revoked" => (MemberRole::Owner, MemberState::Revoked),
                _ => (MemberRole::Collaborator, MemberState::Active),
            };
            match name {
                "owner" => {}
                "removed" | "admin" => {
                    owner.remove_member(&session, participant).await.expect("a member can be removed");
                }
                _ => {
                    let set = owner.set_member(&session, participant, role, state).await;
                    set.expect("a member can be changed");
                }
            }
            callers.push(Caller { participant, client, attaching, generation });
        }
        Self { _plane: plane, session, bystander, bystanders_generation, callers }
    }

    /// Does what a row says; what would change things for the others is done as a dry run.
    async fn call(&self, what: &str, caller: &Caller) -> Result<(), Status> {
        let session_id = self.session.clone();
        let own = caller.attaching.0.node_id.as_str();
        let theirs = || "theirs".to_owned();
        let client = caller.client.clone();
        let (mut nodes, mut sessions, mut admin) = (client.nodes, client.sessions, client.admin);
        let (mut members, mut tokens, mut audit) = (client.members, client.tokens, client.audit);
        let client = &caller.client;
        match what {
            "attach another node of its own" => {
                client.attach(&Attaching::new(&session_id, &format!("{own}-2"))).await.map(drop)
            }
            "beat" => client.beat(own, caller.generation).await.map(drop),
            "beat over a stream" => beat_over_a_stream(client, own, caller.generation).await,
            "declare" => client.declare(own, caller.generation, &["other"]).await.map(drop),
            "attach its node again" => client.attach(&caller.attaching).await.map(drop),
            "append in person" => client.append(&Appending::new(&session_id).event("a", "")).await.map(drop),
            "append for its node" => {
                let append = Appending::new(&session_id).by(own, caller.generation).event("a", "");
                client.append(&append).await.map(drop)
            }
            "append for somebody's node" => {
                let append =
                    Appending::new(&session_id).by("theirs", self.bystanders_generation).event("a", "");
                client.append(&append).await.map(drop)
            }
            "read the log" => client.read(&session_id, 0, 1).await.map(drop),
            "read the roster" => {
                nodes.get_roster(GetRosterRequest { session_id, ..Default::default() }).await.map(drop)
            }
            "watch the roster" => {
                let request = WatchRosterRequest { session_id, revision: String::new() };
                nodes.watch_roster(request).await?.into_inner().message().await.map(drop)
            }
            "get the session" => sessions.get_session(GetSessionRequest { session_id }).await.map(drop),
            "list the members" => client.members_of(&session_id).await.map(drop),
            "get somebody's node" => admin.get_node(GetNodeRequest { node_id: theirs() }).await.map(drop),
            "explain somebody's node" => {
                admin.explain_node(ExplainNodeRequest { node_id: theirs() }).await.map(drop)
            }
            "beat for somebody's node" => client.beat("theirs", self.bystanders_generation).await.map(drop),
            "declare for somebody's node" => {
                client.declare("theirs", self.bystanders_generation, &["x"]).await.map(drop)
            }
            "detach somebody's node as if it were its own" => {
                client.detach("theirs", self.bystanders_generation).await
            }
            "raise the floor" => {
                let request = RaiseVersionFloorRequest {
                    session_id,
                    min_client_version: "1.5".to_owned(),
                    validate_only: true,
                    ..Default::default()
                };
                sessions.raise_version_floor(request).await.map(drop)
            }
            "set a member" => {
                let request = SetMemberRequest {
                    session_id,
                    participant_id: Uuid::now_v7().to_string(),
                    role: MemberRole::Viewer.into(),
                    state: MemberState::Active.into(),
                    validate_only: true,
                    ..Default::default()
                };
                members.set_member(request).await.map(drop)
            }
            "remove a member" => {
                let request = RemoveMemberRequest {
                    session_id,
                    participant_id: self.bystander.to_string(),
                    validate_only: true,
                    ..Default::default()
                };
                members.remove_member(request).await.map(drop)
            }
            "take somebody's node out" => {
                let request =
                    DetachNodeRequest { node_id: theirs(), validate_only: true, ..Default::default() };
                admin.detach_node(request).await.map(drop)
            }
            "revoke somebody's node here" | "revoke somebody's node everywhere" => {
                let here = what.ends_with(" here");
                let request = RevokeNodeRequest {
                    node_id: theirs(),
                    scope: Some(if here { Bar::SessionId(session_id) } else { Bar::Everywhere(true) }),
                    reason: "test".to_owned(),
                    validate_only: true,
                    ..Default::default()
                };
                admin.revoke_node(request).await.map(drop)
            }
            "transfer somebody's node" => {
                let request = TransferNodeRequest {
                    node_id: theirs(),
                    participant_id: caller.participant.to_string(),
                    validate_only: true,
                    ..Default::default()
                };
                admin.transfer_node(request).await.map(drop)
            }
            "forget a node" => {
                let node_id = "gone".to_owned();
                let request = ForgetNodeRequest { node_id, validate_only: true, ..Default::default() };
                admin.forget_node(request).await.map(drop)
            }
            "issue a token" => {
                let request = IssueTokenRequest { scopes: vec![1], ..Default::default() };
                tokens.issue_token(request).await.map(drop)
            }
            "make a join token" => {
                let participant_id = caller.participant.to_string();
                let request =
                    CreateJoinTokenRequest { participant_id, scopes: vec![1], ..Default::default() };
                tokens.create_join_token(request).await.map(drop)
            }
            "read the audit" => audit.list_audit_entries(ListAuditEntriesRequest::default()).await.map(drop),
            "archive the session" => sessions
                .archive_session(ArchiveSessionRequest { session_id, ..Default::default() })
                .await
                .map(drop),
            "look at maintenance" => {
                client.maintenance.clone().get_maintenance(GetMaintenanceRequest {}).await.map(drop)
            }
            "turn maintenance on" => {
                let request = SetMaintenanceRequest {
                    on: true,
                    reason: "test".to_owned(),
                    validate_only: true,
                    ..Default::default()
                };
                client.maintenance.clone().set_maintenance(request).await.map(drop)
            }
            "detach its own node" => client.detach(own, caller.generation).await,
            other => panic!("nobody knows how to {other}"),
        }
    }
}

/// Beats once over a stream; the refusal is in the result.
async fn beat_over_a_stream(client: &Client, node_id: &str, generation: u64) -> Result<(), Status> {
    let beat = Beat { node_id: node_id.to_owned(), generation, health: ReportedHealth::Online.into() };
    let batch = StreamHeartbeatsRequest { batch_id: 1, beats: vec![beat] };
    let answers = client.nodes.clone().stream_heartbeats(tokio_stream::once(batch)).await?;
    let answer = answers.into_inner().message().await?.expect("a batch is answered");
    match answer.results.into_iter().next().and_then(|result| result.outcome) {
        Some(Outcome::Ack(_)) => Ok(()),
        Some(Outcome::Refusal(refused)) => {
            let denial = contracts::Refusal::permission_denied();
            assert_eq!(refused, denial.to_wire(), "the denial of a batch is the same to the letter");
            Err(denial.into())
        }
        None => panic!("a beat has a result"),
    }
}

#[tokio::test]
async fn each_role_may_do_what_the_table_says_and_nothing_else() {
    let table = Table::set().await;
    for (what, rights) in RIGHTS {
        let mut seen = String::new();
        for caller in &table.callers {
            seen.push(match table.call(what, caller).await {
                Ok(()) => '+',
                Err(status) => match refusal(Err::<(), _>(status)).code.as_str() {
                    "runtimenode.permission_denied" => 'd',
                    "session.not_found" => 's',
                    "runtimenode.not_found" => 'n',
                    "auth.insufficient_scope" => 'i',
                    other => panic!("{what} by {}: {other}", caller.attaching.0.node_id),
                },
            });
        }
        assert_eq!(seen, rights, "{what}, by {CALLERS:?}");
    }
    // What only some see is no error to the others, but empty.
    for (name, caller) in CALLERS.iter().zip(&table.callers) {
        let sees = !["suspended", "pending", "revoked", "removed"].contains(name);
        let listed = caller.client.admin.clone().list_nodes(ListNodesRequest::default()).await.unwrap();
        assert_eq!(!listed.into_inner().nodes.is_empty(), sees, "{name}");
        let listed =
            caller.client.sessions.clone().list_sessions(ListSessionsRequest::default()).await.unwrap();
        assert_eq!(!listed.into_inner().sessions.is_empty(), sees, "{name}");
    }
    // Last, for it is for ever.
    let mut seen = String::new();
    for caller in table.callers.iter().rev() {
        let request = CloseSessionRequest { session_id: table.session.clone(), ..Default::default() };
        let closed = caller.client.sessions.clone().close_session(request).await;
        seen.insert(0, if closed.is_ok() { '+' } else { 'x' });
    }
    assert_eq!(seen, "+xxxxxxx+", "close the session, by {CALLERS:?}");
}

#[tokio::test]
async fn a_session_that_anybody_makes_is_his_own_and_his_alone() {
    let plane = Plane::start(PlaneOptions::default()).await;
    let (_, maker) = plane.stranger().await;
    let (_, other) = plane.stranger().await;
    let session = maker.session().await;
    maker.online(&session, "laptop-1").await;
    let refused = refusal(other.attach(&Attaching::new(&session, "laptop-2")).await);
    assert_eq!(refused.code, "runtimenode.permission_denied");
    assert_eq!(maker.members_of(&session).await.unwrap().len(), 1);
}

/// Everything of an answer that a caller could tell causes apart by.
#[derive(Debug, PartialEq, Eq)]
struct Told {
    http: u16,
    code: tonic::Code,
    message: String,
    details: Vec<u8>,
    messages: usize,
    /// Names of headers and trailers with the sizes of their values.
    sizes: Vec<(String, usize)>,
}

async fn told(raw: &Raw, method: &str, request: &impl Message) -> Told {
    let path = format!("/rollcall.v1.{method}");
    let answer = raw.call(&path, "application/grpc", framed(&request.encode_to_vec())).await;
    let answer = answer.expect("it is answered");
    let status = answer.status.expect("an answer has a status");
    let mut sizes: Vec<_> = status
        .metadata()
        .clone()
        .into_headers()
        .iter()
        .map(|(name, value)| (name.to_string(), value.len()))
        .collect();
    sizes.sort();
    Told {
        http: answer.http,
        code: status.code(),
        message: status.message().to_owned(),
        details: status.details().to_vec(),
        messages: answer.messages.len(),
        sizes,
    }
}

#[tokio::test]
async fn a_denial_is_the_same_to_the_byte_whatever_its_cause() {
    let plane = Plane::start(PlaneOptions::default()).await;
    let owner = plane.client().await;
    let (caller, client) = plane.stranger().await;
    let (shared, hidden, own, left) =
        (owner.session().await, owner.session().await, client.session().await, owner.session().await);
    owner.welcome(&shared, caller, MemberRole::Collaborator).await;
    owner.online(&shared, "shared").await;
    owner.online(&hidden, "hidden").await;
    client.online(&own, "mine").await;
    owner.welcome(&left, caller, MemberRole::Collaborator).await;
    client.online(&left, "left").await;
    owner.set_member(&left, caller, MemberRole::Collaborator, MemberState::Suspended).await.unwrap();
    let unknown = Uuid::now_v7().to_string();
    let before = plane.database.snapshot().await;

    let raw = Raw::connect(&plane.url(), Some(&token(caller, user_scopes()))).await;
    let mut denials = Vec::new();
    let mut note = |cause: String, told: Told| denials.push((cause, told));
    for node_id in ["unknown", "shared", "hidden", "left"].map(str::to_owned) {
        for generation in [1, 2] {
            let health = ReportedHealth::Online.into();
            let beat = Some(Beat { node_id: node_id.clone(), generation, health });
            let request = HeartbeatRequest { beat };
            note(format!("beat {node_id}"), told(&raw, "RuntimeNodeService/Heartbeat", &request).await);
            let request = UpdateCapabilitiesRequest {
                node_id: node_id.clone(),
                generation,
                declaration: Some(Client::declaration(&["x"])),
                ..Default::default()
            };
            let answer = told(&raw, "RuntimeNodeService/UpdateCapabilities", &request).await;
            note(format!("declare {node_id}"), answer);
            // One's own node may be taken out whatever became of the membership.
            if node_id != "left" {
                let request = DetachRequest { node_id: node_id.clone(), generation, reason: String::new() };
                note(format!("detach {node_id}"), told(&raw, "RuntimeNodeService/Detach", &request).await);
            }
        }
        let request = DetachNodeRequest { node_id: node_id.clone(), ..Default::default() };
        note(format!("take out {node_id}"), told(&raw, "NodeAdminService/DetachNode", &request).await);
        for scope in [
            Bar::SessionId(shared.clone()),
            Bar::SessionId(hidden.clone()),
            Bar::SessionId(own.clone()),
            Bar::SessionId(unknown.clone()),
            Bar::Everywhere(true),
        ] {
            let request = RevokeNodeRequest {
                node_id: node_id.clone(),
                scope: Some(scope.clone()),
                reason: "test".to_owned(),
                ..Default::default()
            };
            let answer = told(&raw, "NodeAdminService/RevokeNode", &request).await;
            note(format!("revoke {node_id} from {scope:?}"), answer);
        }
    }
    for (session_id, node_id) in [
        (&hidden, "new"),
        (&unknown, "new"),
        (&left, "new"),
        (&left, "left"),
        (&own, "shared"),
        (&own, "hidden"),
        (&shared, "shared"),
        (&unknown, "mine"),
    ] {
        let request: AttachRequest = Attaching::new(session_id, node_id).0;
        let answer = told(&raw, "RuntimeNodeService/Attach", &request).await;
        note(format!("attach {node_id} to {session_id}"), answer);
    }
    for session_id in [&hidden, &unknown, &left] {
        let request = GetRosterRequest { session_id: session_id.clone(), ..Default::default() };
        note(format!("roster of {session_id}"), told(&raw, "RuntimeNodeService/GetRoster", &request).await);
        let request = WatchRosterRequest { session_id: session_id.clone(), revision: String::new() };
        note(format!("watch of {session_id}"), told(&raw, "RuntimeNodeService/WatchRoster", &request).await);
        let request = ReadEventsRequest { session_id: session_id.clone(), ..Default::default() };
        note(format!("log of {session_id}"), told(&raw, "EventLogService/ReadEvents", &request).await);
        for node_id in ["", "unknown", "shared", "hidden", "left", "mine"] {
            let append = Appending::new(session_id).event("a", "");
            let append = if node_id.is_empty() { append } else { append.by(node_id, 1) };
            let answer = told(&raw, "EventLogService/AppendEvents", &append.0).await;
            note(format!("append to {session_id} by {node_id:?}"), answer);
        }
    }
    let (_, first) = &denials[0];
    assert_eq!((first.code, first.messages), (tonic::Code::PermissionDenied, 0));
    assert_eq!(first.details, Status::from(contracts::Refusal::permission_denied()).details());
    for (cause, told) in &denials {
        assert_eq!(told, first, "{cause}");
    }

    // So is "no such session", and, but for the name that was asked for, "no such node".
    let mut missing = Vec::new();
    for session_id in [&hidden, &unknown, &left] {
        let session_id = session_id.clone();
        missing.push(
            told(&raw, "SessionService/GetSession", &GetSessionRequest { session_id: session_id.clone() })
                .await,
        );
        let archive = ArchiveSessionRequest { session_id: session_id.clone(), ..Default::default() };
        missing.push(told(&raw, "SessionService/ArchiveSession", &archive).await);
        let remove =
            RemoveMemberRequest { session_id, participant_id: caller.to_string(), ..Default::default() };
        missing.push(told(&raw, "MembershipService/RemoveMember", &remove).await);
    }
    assert_eq!(missing[0].code, tonic::Code::NotFound);
    assert!(missing.iter().all(|told| *told == missing[0]), "{missing:#?}");
    for method in ["NodeAdminService/GetNode", "NodeAdminService/ExplainNode"] {
        let mut told = Vec::new();
        for node_id in ["hidden", "absent"] {
            let request = GetNodeRequest { node_id: node_id.to_owned() };
            let mut answer = self::told(&raw, method, &request).await;
            assert_eq!(answer.code, tonic::Code::NotFound);
            answer.message = answer.message.replace(node_id, "NODE");
            answer.details.clear();
            told.push(answer);
        }
        assert_eq!(told[0], told[1], "{method}");
    }
    assert_eq!(plane.database.snapshot().await, before, "what is denied leaves no trace");
}

#[tokio::test]
async fn a_membership_that_is_suspended_between_two_beats_ends_the_right_to_beat_and_not_the_right_to_detach()
{
    let plane = Plane::start(PlaneOptions::default()).await;
    let owner = plane.client().await;
    let session = owner.session().await;
    let (member, client) = plane.stranger().await;
    owner.welcome(&session, member, MemberRole::RuntimeContributor).await;
    let generation = client.online(&session, "laptop-1").await;
    let owners = owner.online(&session, "desktop-1").await;

    let (batches, receiver) = mpsc::channel(1);
    let answers = client.nodes.clone().stream_heartbeats(ReceiverStream::new(receiver)).await.unwrap();
    let mut answers = answers.into_inner();
    let mut beat = async || {
        let health = ReportedHealth::Online.into();
        let beat = Beat { node_id: "laptop-1".to_owned(), generation, health };
        batches.send(StreamHeartbeatsRequest { batch_id: 1, beats: vec![beat] }).await.unwrap();
        let answer = answers.message().await.unwrap().expect("the stream goes on");
        answer.results.into_iter().next().unwrap().outcome.expect("a beat has a result")
    };
    assert!(matches!(beat().await, Outcome::Ack(_)));
    for (role, state) in [
        (MemberRole::RuntimeContributor, MemberState::Suspended),
        (MemberRole::RuntimeContributor, MemberState::Pending),
        (MemberRole::RuntimeContributor, MemberState::Revoked),
        (MemberRole::Viewer, MemberState::Active),
    ] {
        owner.set_member(&session, member, role, state).await.unwrap();
        let before = plane.database.snapshot().await;
        let refused = beat().await;
        let denial = contracts::Refusal::permission_denied().to_wire();
        assert_eq!(refused, Outcome::Refusal(denial), "{role:?} {state:?}");
        assert_eq!(plane.database.snapshot().await, before);
        // The right comes back with the membership: nothing of the slot was lost.
        owner.welcome(&session, member, MemberRole::Collaborator).await;
        assert!(matches!(beat().await, Outcome::Ack(_)), "after {role:?} {state:?}");
    }
    owner.set_member(&session, member, MemberRole::Collaborator, MemberState::Suspended).await.unwrap();
    assert_eq!(owner.node(&session, "laptop-1").await.slot_state(), SlotState::Online);

    // A server that starts anew knows it from the database.
    let plane = plane.kill_and_restart().await;
    let client = Client::connect(&plane.url(), &token(member, user_scopes())).await;
    assert_eq!(refusal(client.beat("laptop-1", generation).await).code, "runtimenode.permission_denied");
    plane.client().await.beat("desktop-1", owners).await.expect("the owner's node beats on");
    client.detach("laptop-1", generation).await.expect("its own node may be taken out");
    let node = plane.client().await.node(&session, "laptop-1").await;
    assert_eq!(node.slot_state(), SlotState::Offline);
    // And then there is nothing left that it may ask: membership comes before what became of the slot.
    for refused in [
        refusal(client.beat("laptop-1", generation).await),
        refusal(client.declare("laptop-1", generation, &["x"]).await),
        refusal(client.attach(&Attaching::new(&session, "laptop-1")).await),
    ] {
        assert_eq!(refused.code, "runtimenode.permission_denied");
    }
}

#[tokio::test]
async fn a_watch_ends_with_the_membership_of_its_reader() {
    let plane = Plane::start(PlaneOptions::default()).await;
    let owner = plane.client().await;
    let session = owner.session().await;
    let (member, client) = plane.stranger().await;
    owner.welcome(&session, member, MemberRole::Viewer).await;
    let watch = WatchRosterRequest { session_id: session.clone(), revision: String::new() };
    let mut events = client.nodes.clone().watch_roster(watch.clone()).await.unwrap().into_inner();
    let mut owners = owner.nodes.clone().watch_roster(watch).await.unwrap().into_inner();
    events.message().await.unwrap().expect("the snapshot");
    owners.message().await.unwrap().expect("the snapshot");

    // Another role sees as much.
    owner.welcome(&session, member, MemberRole::Collaborator).await;
    owner.online(&session, "laptop-1").await;
    events.message().await.unwrap().expect("the attach");
    owners.message().await.unwrap().expect("the attach");

    owner.set_member(&session, member, MemberRole::Collaborator, MemberState::Suspended).await.unwrap();
    let refused = refusal(events.message().await);
    assert_eq!(refused.code, "runtimenode.permission_denied");
    owner.online(&session, "laptop-2").await;
    owners.message().await.unwrap().expect("the others watch on");
}

#[tokio::test]
async fn of_two_participants_that_race_for_a_fresh_node_id_one_becomes_its_owner() {
    let plane = Plane::start(PlaneOptions::default()).await;
    let (one, first) = plane.stranger().await;
    let (two, second) = plane.stranger().await;
    let (of_one, of_two) = (first.session().await, second.session().await);
    let mut owners = BTreeSet::new();
    for round in 0..20 {
        let node_id = format!("laptop-{round}");
        let mut racing = JoinSet::new();
        for (participant, client, session) in [(one, &first, &of_one), (two, &second, &of_two)] {
            let (client, attaching) = (client.clone(), Attaching::new(session, &node_id));
            racing.spawn(async move { (participant, client.attach(&attaching).await) });
        }
        let (won, lost): (Vec<_>, Vec<_>) =
            racing.join_all().await.into_iter().partition(|(_, attached)| attached.is_ok());
        assert_eq!((won.len(), lost.len()), (1, 1), "{won:?} {lost:?}");
        for (_, attached) in lost {
            assert_eq!(refusal(attached).code, "runtimenode.permission_denied");
        }
        let owner: Uuid = sqlx::query_scalar("select participant_id from runtime_nodes where node_id = $1")
            .bind(&node_id)
            .fetch_one(&plane.database.pool)
            .await
            .unwrap();
        assert_eq!(owner, won[0].0.0);
        owners.insert(owner);
    }
    let held = plane.database.snapshot().await;
    assert_eq!((held.rows("runtime_nodes").len(), held.rows("runtime_node_attachments").len()), (20, 20));
}

#[tokio::test]
async fn a_node_that_moves_to_another_session_between_lookup_and_lock_is_refused() {
    let plane = Plane::start(PlaneOptions::default()).await;
    let owner = plane.client().await;
    let (mover, client) = plane.stranger().await;
    let session = owner.session().await;
    owner.welcome(&session, mover, MemberRole::Collaborator).await;
    let elsewhere = client.session().await;
    let generation = client.online(&session, "laptop-1").await;

    let mut lock = plane.database.pool.begin().await.unwrap();
    sqlx::query("select from sessions where id = $1::uuid for update")
        .bind(&session)
        .execute(&mut *lock)
        .await
        .unwrap();
    // Under the generation that it will have there, so that nothing but the move can be held against it.
    let declaring = tokio::spawn({
        let client = client.clone();
        async move { client.declare("laptop-1", generation + 1, &["other"]).await }
    });
    plane.database.has_blocked(1).await;
    let taking_out = tokio::spawn({
        let owner = owner.clone();
        async move { owner.detach_node("laptop-1").await }
    });
    plane.database.has_blocked(2).await;
    client.detach("laptop-1", generation).await.unwrap();
    assert_eq!(client.online(&elsewhere, "laptop-1").await, generation + 1);
    let before = plane.database.snapshot().await;
    lock.rollback().await.unwrap();

    assert_eq!(refusal(declaring.await.unwrap()).code, "runtimenode.permission_denied");
    assert_eq!(refusal(taking_out.await.unwrap()).code, "runtimenode.permission_denied");
    assert_eq!(plane.database.snapshot().await, before);
    client.beat("laptop-1", generation + 1).await.expect("it lives on where it is");
}
