//! Requests that have one thing wrong each, by the method they go to.

use contracts::{
    limits,
    wire::v1::{
        ArchiveSessionRequest, AttachRequest, Beat, Capability, CloseSessionRequest, CreateJoinTokenRequest,
        CreateSessionRequest, Declaration, DetachNodeRequest, DetachRequest, ExplainNodeRequest,
        ForgetNodeRequest, GetNodeRequest, GetRosterRequest, GetSessionRequest, HeartbeatRequest,
        IdempotencyClass, IssueTokenRequest, ListAuditEntriesRequest, ListMembersRequest, ListNodesRequest,
        ListSessionsRequest, MemberRole, MemberState, RaiseVersionFloorRequest, RemoveMemberRequest,
        RenewTokenRequest, ReportedHealth, RevokeNodeRequest, RevokeTokenRequest, SetMaintenanceRequest,
        SetMemberRequest, StepDownRequest, StreamHeartbeatsRequest, Tool, TransferNodeRequest,
        UpdateCapabilitiesRequest, WatchRosterRequest, revoke_node_request::Scope as Bar,
    },
};
use prost::Message;
use prost_types::{ListValue, Struct, Value, value::Kind};
use tests::{Attaching, Client};
use uuid::Uuid;

/// A request that is to be refused for this field.
pub(super) struct Bad {
    pub(super) path: String,
    pub(super) field: &'static str,
    pub(super) message: Vec<u8>,
    pub(super) shown: String,
}

/// Collects bad requests; each begins as a good one that has one thing wrong.
#[derive(Default)]
pub(super) struct BadRequests(pub(super) Vec<Bad>);

impl BadRequests {
    pub(super) fn add(
        &mut self,
        method: &str,
        field: &'static str,
        request: &(impl Message + std::fmt::Debug),
    ) {
        let shown = format!("{request:?}").chars().take(300).collect();
        let path = format!("/rollcall.v1.{method}");
        self.0.push(Bad { path, field, message: request.encode_to_vec(), shown });
    }
}

pub(super) fn node_ids() -> Vec<String> {
    let mut ids = texts(limits::NODE_ID_CHARS_MAX);
    ids.extend(["", " laptop-1", "laptop-1\t"].map(str::to_owned));
    ids
}

/// Texts that no field takes: too long, in ASCII and beyond, or with characters that are none.
pub(super) fn texts(chars_max: usize) -> Vec<String> {
    let too_long = ["x", "\u{e9}", "\u{1f9ed}"].map(|letter| letter.repeat(chars_max + 1));
    let controls = ["a\0b", "a\u{7}b", "a\u{1b}[31m", "a\nb", "a\u{85}b"].map(str::to_owned);
    too_long.into_iter().chain(controls).collect()
}

pub(super) fn uuids() -> Vec<String> {
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

pub(super) fn versions() -> Vec<String> {
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

pub(super) fn generations() -> [u64; 3] {
    [0, u64::MAX, i64::MAX as u64 + 1]
}

pub(super) const HEALTHS: [i32; 4] = [0, 99, -1, i32::MAX];

pub(super) fn page_tokens() -> [String; 2] {
    ["x".repeat(limits::TOKEN_CHARS_MAX + 1), "\0".to_owned()]
}

pub(super) fn capability(key: &str) -> Capability {
    Capability { key: key.to_owned(), contract_version: "1.0".to_owned(), ..Capability::default() }
}

pub(super) fn tool(name: &str) -> Tool {
    Tool {
        name: name.to_owned(),
        idempotency_class: IdempotencyClass::Idempotent.into(),
        description: String::new(),
    }
}

pub(super) fn details(name: &str, kind: Kind) -> Option<Struct> {
    Some(Struct { fields: [(name.to_owned(), Value { kind: Some(kind) })].into() })
}

pub(super) fn nested(levels: usize) -> Option<Struct> {
    let list = |inner| Kind::ListValue(ListValue { values: vec![Value { kind: Some(inner) }] });
    details("deep", (0..levels).fold(Kind::BoolValue(true), |inner, _| list(inner)))
}

/// Declarations that break a bound or a rule, with the field that is at fault.
pub(super) fn declarations() -> Vec<(&'static str, Declaration)> {
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
pub(super) fn bad_requests_of_nodes(session_id: &str, node_id: &str, generation: u64, bad: &mut BadRequests) {
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

pub(super) fn bad_reads(session_id: &str, bad: &mut BadRequests) {
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

pub(super) fn bad_changes_of_sessions(session_id: &str, bad: &mut BadRequests) {
    let create = CreateSessionRequest {
        session_id: Uuid::now_v7().to_string(),
        name: "demo".to_owned(),
        min_client_version: String::new(),
        ..Default::default()
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
            &ArchiveSessionRequest { session_id: id.clone(), ..Default::default() },
        );
        bad.add(
            "SessionService/CloseSession",
            "session_id",
            &CloseSessionRequest { session_id: id.clone(), ..Default::default() },
        );
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
    let archive = ArchiveSessionRequest { session_id: session_id.to_owned(), ..Default::default() };
    let close = CloseSessionRequest { session_id: session_id.to_owned(), ..Default::default() };
    let (archiving, closing) = ("SessionService/ArchiveSession", "SessionService/CloseSession");
    for reason in reasons() {
        bad.add(creation, "reason", &CreateSessionRequest { reason: reason.clone(), ..create.clone() });
        bad.add(raising, "reason", &RaiseVersionFloorRequest { reason: reason.clone(), ..raise.clone() });
        bad.add(archiving, "reason", &ArchiveSessionRequest { reason: reason.clone(), ..archive.clone() });
        bad.add(closing, "reason", &CloseSessionRequest { reason, ..close.clone() });
    }
    for request_id in request_ids() {
        let id = || request_id.clone();
        bad.add(creation, "request_id", &CreateSessionRequest { request_id: id(), ..create.clone() });
        bad.add(raising, "request_id", &RaiseVersionFloorRequest { request_id: id(), ..raise.clone() });
        bad.add(archiving, "request_id", &ArchiveSessionRequest { request_id: id(), ..archive.clone() });
        bad.add(closing, "request_id", &CloseSessionRequest { request_id: id(), ..close.clone() });
    }
    // A token belongs to a dry run.
    let token = RaiseVersionFloorRequest { page_token: "laptop-1".to_owned(), ..raise.clone() };
    bad.add(raising, "page_token", &token);
    for page_token in page_tokens() {
        let request = RaiseVersionFloorRequest { page_token, validate_only: true, ..raise.clone() };
        bad.add(raising, "page_token", &request);
    }
}

/// Ids of requests that are none.
pub(super) fn request_ids() -> Vec<String> {
    uuids().into_iter().filter(|id| !id.is_empty() && *id != Uuid::nil().to_string()).collect()
}

pub(super) fn reasons() -> Vec<String> {
    texts(limits::REASON_CHARS_MAX).into_iter().chain([" ".to_owned()]).collect()
}

/// Everything that is wrong with what owners ask of members; without the fault, each would do something.
pub(super) fn bad_changes_of_members(session_id: &str, bad: &mut BadRequests) {
    let participant_id = Uuid::now_v7().to_string();
    let set = SetMemberRequest {
        session_id: session_id.to_owned(),
        participant_id: participant_id.clone(),
        role: MemberRole::Viewer.into(),
        state: MemberState::Active.into(),
        ..SetMemberRequest::default()
    };
    let remove = RemoveMemberRequest {
        session_id: session_id.to_owned(),
        participant_id,
        ..RemoveMemberRequest::default()
    };
    let list = ListMembersRequest { session_id: session_id.to_owned(), ..ListMembersRequest::default() };
    let (setting, removing, listing) =
        ("MembershipService/SetMember", "MembershipService/RemoveMember", "MembershipService/ListMembers");
    for id in uuids() {
        bad.add(setting, "session_id", &SetMemberRequest { session_id: id.clone(), ..set.clone() });
        bad.add(setting, "participant_id", &SetMemberRequest { participant_id: id.clone(), ..set.clone() });
        bad.add(removing, "session_id", &RemoveMemberRequest { session_id: id.clone(), ..remove.clone() });
        let request = RemoveMemberRequest { participant_id: id.clone(), ..remove.clone() };
        bad.add(removing, "participant_id", &request);
        bad.add(listing, "session_id", &ListMembersRequest { session_id: id, ..list.clone() });
    }
    for number in [0, 5, -1, i32::MAX] {
        bad.add(setting, "role", &SetMemberRequest { role: number, ..set.clone() });
        bad.add(setting, "state", &SetMemberRequest { state: number, ..set.clone() });
    }
    for reason in reasons() {
        bad.add(setting, "reason", &SetMemberRequest { reason: reason.clone(), ..set.clone() });
        bad.add(removing, "reason", &RemoveMemberRequest { reason, ..remove.clone() });
    }
    for request_id in request_ids() {
        let request = SetMemberRequest { request_id: request_id.clone(), ..set.clone() };
        bad.add(setting, "request_id", &request);
        bad.add(removing, "request_id", &RemoveMemberRequest { request_id, ..remove.clone() });
    }
    bad.add(listing, "page_size", &ListMembersRequest { page_size: -1, ..list.clone() });
    for page_token in page_tokens().into_iter().chain(["garbage".to_owned()]) {
        bad.add(listing, "page_token", &ListMembersRequest { page_token, ..list.clone() });
    }
}

/// Everything that is wrong with what admins ask of nodes.
pub(super) fn bad_changes_of_nodes(session_id: &str, node_id: &str, bad: &mut BadRequests) {
    let detach = DetachNodeRequest { node_id: node_id.to_owned(), ..DetachNodeRequest::default() };
    let revoke = RevokeNodeRequest {
        node_id: node_id.to_owned(),
        scope: Some(Bar::SessionId(session_id.to_owned())),
        reason: "test".to_owned(),
        ..RevokeNodeRequest::default()
    };
    let transfer = TransferNodeRequest {
        node_id: node_id.to_owned(),
        participant_id: Uuid::now_v7().to_string(),
        ..TransferNodeRequest::default()
    };
    let forget = ForgetNodeRequest { node_id: node_id.to_owned(), ..ForgetNodeRequest::default() };
    let (detaching, revoking) = ("NodeAdminService/DetachNode", "NodeAdminService/RevokeNode");
    let (transferring, forgetting) = ("NodeAdminService/TransferNode", "NodeAdminService/ForgetNode");
    for node_id in node_ids() {
        bad.add(detaching, "node_id", &DetachNodeRequest { node_id: node_id.clone(), ..detach.clone() });
        bad.add(revoking, "node_id", &RevokeNodeRequest { node_id: node_id.clone(), ..revoke.clone() });
        let request = TransferNodeRequest { node_id: node_id.clone(), ..transfer.clone() };
        bad.add(transferring, "node_id", &request);
        bad.add(forgetting, "node_id", &ForgetNodeRequest { node_id, ..forget.clone() });
    }
    for id in uuids() {
        let request = RevokeNodeRequest { scope: Some(Bar::SessionId(id.clone())), ..revoke.clone() };
        bad.add(revoking, "session_id", &request);
        let request = TransferNodeRequest { participant_id: id, ..transfer.clone() };
        bad.add(transferring, "participant_id", &request);
    }
    bad.add(revoking, "scope", &RevokeNodeRequest { scope: None, ..revoke.clone() });
    let nowhere = RevokeNodeRequest { scope: Some(Bar::Everywhere(false)), ..revoke.clone() };
    bad.add(revoking, "everywhere", &nowhere);
    bad.add(revoking, "reason", &RevokeNodeRequest { reason: String::new(), ..revoke.clone() });
    for reason in reasons() {
        bad.add(detaching, "reason", &DetachNodeRequest { reason: reason.clone(), ..detach.clone() });
        bad.add(revoking, "reason", &RevokeNodeRequest { reason: reason.clone(), ..revoke.clone() });
        bad.add(transferring, "reason", &TransferNodeRequest { reason: reason.clone(), ..transfer.clone() });
        bad.add(forgetting, "reason", &ForgetNodeRequest { reason, ..forget.clone() });
    }
    for request_id in request_ids() {
        let id = || request_id.clone();
        bad.add(detaching, "request_id", &DetachNodeRequest { request_id: id(), ..detach.clone() });
        bad.add(revoking, "request_id", &RevokeNodeRequest { request_id: id(), ..revoke.clone() });
        bad.add(transferring, "request_id", &TransferNodeRequest { request_id: id(), ..transfer.clone() });
        bad.add(forgetting, "request_id", &ForgetNodeRequest { request_id: id(), ..forget.clone() });
    }
}

/// Everything that is wrong with what is asked of the leader about itself.
pub(super) fn bad_requests_of_the_leader(bad: &mut BadRequests) {
    let step_down = StepDownRequest { validate_only: true, ..StepDownRequest::default() };
    let stepping_down = "LeadershipService/StepDown";
    for reason in reasons() {
        bad.add(stepping_down, "reason", &StepDownRequest { reason, ..step_down.clone() });
    }
    for request_id in request_ids() {
        bad.add(stepping_down, "request_id", &StepDownRequest { request_id, ..step_down.clone() });
    }
}

/// Everything that is wrong with what is asked of tokens and of the audit.
pub(super) fn bad_requests_of_tokens(bad: &mut BadRequests) {
    let issue = IssueTokenRequest { scopes: vec![1], ..IssueTokenRequest::default() };
    let revoke = RevokeTokenRequest {
        token_id: Uuid::now_v7().to_string(),
        reason: String::new(),
        ..Default::default()
    };
    let join = CreateJoinTokenRequest {
        participant_id: Uuid::now_v7().to_string(),
        scopes: vec![1],
        ..CreateJoinTokenRequest::default()
    };
    let list = ListAuditEntriesRequest::default();
    let (issuing, revoking) = ("TokenService/IssueToken", "TokenService/RevokeToken");
    let (joining, listing) = ("TokenService/CreateJoinToken", "AuditService/ListAuditEntries");
    for id in uuids() {
        if !id.is_empty() {
            let request = IssueTokenRequest { participant_id: id.clone(), ..issue.clone() };
            bad.add(issuing, "participant_id", &request);
            bad.add(
                listing,
                "session_id",
                &ListAuditEntriesRequest { session_id: id.clone(), ..list.clone() },
            );
        }
        bad.add(revoking, "token_id", &RevokeTokenRequest { token_id: id.clone(), ..revoke.clone() });
        let request = CreateJoinTokenRequest { participant_id: id, ..join.clone() };
        bad.add(joining, "participant_id", &request);
    }
    for scopes in [vec![], vec![0], vec![5], vec![1, -1]] {
        bad.add(issuing, "scopes", &IssueTokenRequest { scopes: scopes.clone(), ..issue.clone() });
        bad.add(joining, "scopes", &CreateJoinTokenRequest { scopes, ..join.clone() });
    }
    for (seconds, nanos) in [(0, 0), (59, 999_999_999), (-1, 0), (i64::MAX, i32::MAX), (i64::MIN, i32::MIN)] {
        let lifetime = Some(prost_types::Duration { seconds, nanos });
        bad.add(issuing, "lifetime", &IssueTokenRequest { lifetime, ..issue.clone() });
        bad.add(joining, "lifetime", &CreateJoinTokenRequest { lifetime, ..join.clone() });
        let request = CreateJoinTokenRequest { token_lifetime: lifetime, ..join.clone() };
        bad.add(joining, "token_lifetime", &request);
        bad.add("TokenService/RenewToken", "lifetime", &RenewTokenRequest { lifetime });
    }
    for uses in [-1, 100_001, i32::MIN, i32::MAX] {
        bad.add(joining, "uses", &CreateJoinTokenRequest { uses, ..join.clone() });
    }
    for reason in reasons() {
        bad.add(issuing, "reason", &IssueTokenRequest { reason: reason.clone(), ..issue.clone() });
        bad.add(revoking, "reason", &RevokeTokenRequest { reason: reason.clone(), ..revoke.clone() });
        bad.add(joining, "reason", &CreateJoinTokenRequest { reason, ..join.clone() });
    }
    for request_id in request_ids() {
        bad.add(
            issuing,
            "request_id",
            &IssueTokenRequest { request_id: request_id.clone(), ..issue.clone() },
        );
        let request = RevokeTokenRequest { request_id: request_id.clone(), ..revoke.clone() };
        bad.add(revoking, "request_id", &request);
        bad.add(joining, "request_id", &CreateJoinTokenRequest { request_id, ..join.clone() });
    }
    for node_id in node_ids().into_iter().filter(|node_id| !node_id.is_empty()) {
        bad.add(listing, "node_id", &ListAuditEntriesRequest { node_id, ..list.clone() });
    }
    bad.add(listing, "page_size", &ListAuditEntriesRequest { page_size: -1, ..list.clone() });
    for page_token in page_tokens().into_iter().chain(["garbage".to_owned()]) {
        bad.add(listing, "page_token", &ListAuditEntriesRequest { page_token, ..list.clone() });
    }
}

pub(super) fn bad_maintenance(bad: &mut BadRequests) {
    let on =
        SetMaintenanceRequest { on: true, reason: "test".to_owned(), ..SetMaintenanceRequest::default() };
    let setting = "MaintenanceService/SetMaintenance";
    for reason in reasons() {
        bad.add(setting, "reason", &SetMaintenanceRequest { reason: reason.clone(), ..on.clone() });
        bad.add(setting, "reason", &SetMaintenanceRequest { on: false, reason, ..on.clone() });
    }
    bad.add(setting, "reason", &SetMaintenanceRequest { reason: String::new(), ..on.clone() });
    for request_id in request_ids() {
        bad.add(setting, "request_id", &SetMaintenanceRequest { request_id, ..on.clone() });
    }
}
