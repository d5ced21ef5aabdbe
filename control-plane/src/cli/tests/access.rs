//! Verbs that decide who may do what, and what they write into the audit.

use std::io::IsTerminal;

use contracts::{
    Code, Refusal,
    wire::v1::{
        self, DetachNodeRequest, ForgetNodeRequest, ListAuditEntriesRequest, MemberRole, MemberState,
        RemoveMemberRequest, RevokeNodeRequest, SetMemberRequest, TransferNodeRequest,
        revoke_node_request::Scope,
    },
};
use serde_json::json;

use crate::cli::{
    fake_server::{
        FakeServer, PARTICIPANT, Prepared, SESSION,
        access::{TOKEN_ID, audit_entry, member},
    },
    tests::{Captured, rollcall},
};

const REQUEST: &str = "9b2f7f0e-4a0c-4f0b-8f0c-1f4a7f3b2a55";

async fn server() -> FakeServer {
    FakeServer::start(Prepared::default()).await
}

async fn on(server: &FakeServer, arguments: &[&str]) -> Captured {
    let addr = server.addr();
    let (captured, code) = rollcall(&[arguments, &[&addr]].concat()).await;
    assert_eq!(code, 0, "{arguments:?}: {}", captured.notes());
    captured
}

#[tokio::test]
async fn members_of_all_pages_are_listed() {
    let members = vec![
        member(PARTICIPANT, MemberRole::Owner),
        member("5f0c3a52-93d5-4a26-8f58-0f6a3f2f6f11", MemberRole::RuntimeContributor),
    ];
    let server = FakeServer::start(Prepared { members, page_size: 1, ..Prepared::default() }).await;
    let captured = on(&server, &["session", "member", "list", SESSION]).await;
    let table = captured.data();
    let lines: Vec<_> = table.lines().collect();
    assert_eq!(
        lines[0],
        "PARTICIPANT                           ROLE                 STATE   JOINED     UPDATED"
    );
    assert!(
        lines[2].starts_with("5f0c3a52-93d5-4a26-8f58-0f6a3f2f6f11  runtime_contributor  active"),
        "{table}"
    );
    let requests = server.requests::<v1::ListMembersRequest>();
    assert_eq!(requests.iter().map(|request| request.session_id.as_str()).collect::<Vec<_>>(), [SESSION; 2]);

    let captured = on(&server, &["session", "member", "list", SESSION, "--json"]).await;
    let listed = captured.json();
    assert_eq!(listed["members"].as_array().unwrap().len(), 2);
    assert_eq!(
        listed["members"][0],
        json!({
            "participant_id": PARTICIPANT,
            "role": "owner",
            "state": "active",
            "joined_at": "2023-11-14T22:13:20Z",
            "updated_at": "2023-11-14T22:13:20Z",
        })
    );
}

#[tokio::test]
async fn a_member_is_set_as_it_is_named() {
    let server = server().await;
    let set = ["session", "member", "set", SESSION, PARTICIPANT];
    let how = ["--role", "runtime-contributor", "--state", "suspended", "--reason", "away"];
    let captured = on(&server, &[&set[..], &how, &["--request-id", REQUEST]].concat()).await;
    assert_eq!(captured.data(), "");
    assert_eq!(
        captured.notes(),
        format!("participant {PARTICIPANT} is runtime_contributor (suspended) of session {SESSION}\n")
    );
    assert_eq!(
        server.requests::<SetMemberRequest>(),
        [SetMemberRequest {
            session_id: SESSION.into(),
            participant_id: PARTICIPANT.into(),
            role: MemberRole::RuntimeContributor.into(),
            state: MemberState::Suspended.into(),
            reason: "away".into(),
            validate_only: false,
            request_id: REQUEST.into(),
        }]
    );

    let how = ["--role", "owner", "--state", "active", "--dry-run", "--json"];
    let captured = on(&server, &[&set[..], &how].concat()).await;
    let requests = server.requests::<SetMemberRequest>();
    assert!(requests[1].validate_only);
    assert_eq!(
        captured.json(),
        json!({
            "member": {
                "participant_id": PARTICIPANT,
                "role": "owner",
                "state": "active",
                "joined_at": "2023-11-14T22:13:20Z",
                "updated_at": "2023-11-14T22:13:20Z",
            },
            "dry_run": true,
            "request_id": requests[1].request_id,
        })
    );

    let captured =
        on(&server, &[&set[..], &["--role=viewer", "--state=pending", "--dry-run"]].concat()).await;
    assert!(
        captured.notes().starts_with("dry run: ") && captured.notes().contains(" would be viewer (pending)")
    );
}

#[tokio::test]
async fn a_member_is_removed() {
    let server = server().await;
    let remove = ["session", "member", "remove", SESSION, PARTICIPANT, "--request-id", REQUEST];
    let captured = on(&server, &[&remove[..], &["--yes", "--reason", "left"]].concat()).await;
    assert_eq!(
        (captured.data(), captured.notes()),
        (String::new(), format!("participant {PARTICIPANT} is no member of session {SESSION} any more\n"))
    );
    let captured = on(&server, &[&remove[..], &["--dry-run", "--json"]].concat()).await;
    assert_eq!(
        captured.json(),
        json!({"session_id": SESSION, "participant_id": PARTICIPANT, "dry_run": true, "request_id": REQUEST})
    );
    let removal = RemoveMemberRequest {
        session_id: SESSION.into(),
        participant_id: PARTICIPANT.into(),
        reason: "left".into(),
        validate_only: false,
        request_id: REQUEST.into(),
    };
    let dry = RemoveMemberRequest { reason: String::new(), validate_only: true, ..removal.clone() };
    assert_eq!(server.requests::<RemoveMemberRequest>(), [removal, dry]);
}

#[tokio::test]
async fn a_node_is_detached() {
    let server = server().await;
    let detach = ["node", "detach", "laptop-1", "--request-id", REQUEST];
    let captured = on(&server, &[&detach[..], &["--reason", "hot"]].concat()).await;
    assert_eq!(
        (captured.data(), captured.notes()),
        (String::new(), format!("node laptop-1 is out of its slot in session {SESSION} (offline)\n"))
    );
    let captured = on(&server, &[&detach[..], &["--dry-run"]].concat()).await;
    assert!(captured.notes().starts_with("dry run: node laptop-1 would be out of its slot"));
    let captured = on(&server, &[&detach[..], &["--dry-run", "--json"]].concat()).await;
    let detached = captured.json();
    assert_eq!(
        (&detached["node"]["slot_state"], &detached["dry_run"], &detached["request_id"]),
        (&json!("offline"), &json!(true), &json!(REQUEST))
    );
    let detachment = DetachNodeRequest {
        node_id: "laptop-1".into(),
        reason: "hot".into(),
        validate_only: false,
        request_id: REQUEST.into(),
    };
    let dry = DetachNodeRequest { reason: String::new(), validate_only: true, ..detachment.clone() };
    assert_eq!(server.requests::<DetachNodeRequest>(), [detachment, dry.clone(), dry]);
}

#[tokio::test]
async fn a_node_is_revoked_from_one_session_or_everywhere() {
    let server = server().await;
    let revoke = ["node", "revoke", "laptop-1", "--reason", "stolen", "--request-id", REQUEST];
    let captured = on(&server, &[&revoke[..], &["--session", SESSION, "--yes"]].concat()).await;
    assert_eq!(captured.notes(), format!("node laptop-1 is barred from session {SESSION} for ever\n"));
    let table = captured.data();
    assert!(table.starts_with("NODE ") && table.contains("revoked"), "{table}");

    let captured = on(&server, &[&revoke[..], &["--everywhere", "--dry-run"]].concat()).await;
    assert_eq!(captured.notes(), "dry run: node laptop-1 would be barred from every session for ever\n");
    let captured = on(&server, &[&revoke[..], &["--everywhere", "--yes", "--json"]].concat()).await;
    let revoked = captured.json();
    assert_eq!(revoked["slots"][0]["slot_state"], "revoked");
    assert_eq!((&revoked["dry_run"], &revoked["request_id"]), (&json!(false), &json!(REQUEST)));

    let revocation = |scope, validate_only| RevokeNodeRequest {
        node_id: "laptop-1".into(),
        scope: Some(scope),
        reason: "stolen".into(),
        validate_only,
        request_id: REQUEST.into(),
    };
    assert_eq!(
        server.requests::<RevokeNodeRequest>(),
        [
            revocation(Scope::SessionId(SESSION.into()), false),
            revocation(Scope::Everywhere(true), true),
            revocation(Scope::Everywhere(true), false),
        ]
    );
}

#[tokio::test]
async fn a_node_is_transferred_and_forgotten() {
    let server = server().await;
    let transfer = ["node", "transfer", "laptop-1", "--to", PARTICIPANT, "--request-id", REQUEST];
    let captured = on(&server, &[&transfer[..], &["--yes", "--reason", "handover"]].concat()).await;
    assert_eq!(
        captured.notes(),
        format!("node laptop-1 belongs to {PARTICIPANT}, with generation 5; its daemon has to attach anew\n")
    );
    let captured = on(&server, &[&transfer[..], &["--dry-run", "--json"]].concat()).await;
    assert_eq!(
        captured.json(),
        json!({
            "node_id": "laptop-1",
            "participant_id": PARTICIPANT,
            "generation": 5,
            "dry_run": true,
            "request_id": REQUEST,
        })
    );
    let transferral = TransferNodeRequest {
        node_id: "laptop-1".into(),
        participant_id: PARTICIPANT.into(),
        reason: "handover".into(),
        validate_only: false,
        request_id: REQUEST.into(),
    };
    let dry = TransferNodeRequest { reason: String::new(), validate_only: true, ..transferral.clone() };
    assert_eq!(server.requests::<TransferNodeRequest>(), [transferral, dry]);

    let forget = ["node", "forget", "laptop-1", "--request-id", REQUEST];
    let captured = on(&server, &[&forget[..], &["--yes", "--reason", "scrapped"]].concat()).await;
    assert_eq!((captured.data(), captured.notes()), (String::new(), "node laptop-1 is forgotten\n".into()));
    let captured = on(&server, &[&forget[..], &["--dry-run", "--json"]].concat()).await;
    assert_eq!(captured.json(), json!({"node_id": "laptop-1", "dry_run": true, "request_id": REQUEST}));
    let forgetting = ForgetNodeRequest {
        node_id: "laptop-1".into(),
        reason: "scrapped".into(),
        validate_only: false,
        request_id: REQUEST.into(),
    };
    let dry = ForgetNodeRequest { reason: String::new(), validate_only: true, ..forgetting.clone() };
    assert_eq!(server.requests::<ForgetNodeRequest>(), [forgetting, dry]);
}

#[tokio::test]
async fn nothing_is_destroyed_without_a_yes() {
    // On a terminal the person at it would be asked.
    if std::io::stdin().is_terminal() {
        return;
    }
    let server = server().await;
    let addr = server.addr();
    for arguments in [
        &["session", "member", "remove", SESSION, PARTICIPANT][..],
        &["node", "revoke", "laptop-1", "--everywhere", "--reason", "stolen"],
        &["node", "transfer", "laptop-1", "--to", PARTICIPANT],
        &["node", "forget", "laptop-1"],
        &["token", "revoke", TOKEN_ID],
    ] {
        let (captured, code) = rollcall(&[arguments, &[&addr]].concat()).await;
        assert_eq!((captured.data().as_str(), code), ("", 2), "{arguments:?}");
        let notes = captured.notes();
        assert!(notes.contains("there is no terminal to ask on\nhint: add --yes to "), "{notes}");
    }
    assert_eq!(server.calls(), [""; 0]);
}

#[tokio::test]
async fn a_try_at_the_next_address_is_the_same_request_and_the_next_invocation_is_another() {
    let active = server().await;
    let refusal = Refusal::new(Code::ControllerStandby, "this server is a standby")
        .with_fact("active_address", format!("http://{}", active.address));
    let standby = FakeServer::start(Prepared { refusals: vec![refusal], ..Prepared::default() }).await;
    on(&standby, &["node", "forget", "laptop-1", "--yes"]).await;
    on(&active, &["node", "forget", "laptop-1", "--yes"]).await;
    let first = standby.requests::<ForgetNodeRequest>();
    let then = active.requests::<ForgetNodeRequest>();
    assert_eq!((first.len(), then.len()), (1, 2));
    assert_eq!(first[0], then[0]);
    assert!(uuid::Uuid::parse_str(&first[0].request_id).is_ok());
    assert_ne!(then[0].request_id, then[1].request_id);
}

#[tokio::test]
async fn the_audit_is_listed_up_to_the_limit() {
    let audit_entries = (0..5).map(|number| audit_entry(5 - number)).collect();
    let server = FakeServer::start(Prepared { audit_entries, page_size: 2, ..Prepared::default() }).await;
    let listed = |captured: &Captured| {
        let entries = captured.json()["entries"].as_array().unwrap().clone();
        entries.iter().map(|entry| entry["entry_id"].as_i64().unwrap()).collect::<Vec<_>>()
    };

    let captured = on(&server, &["audit", "list", "--json"]).await;
    assert_eq!(listed(&captured), [5, 4, 3, 2, 1]);
    assert_eq!(captured.json()["has_more"], false);
    assert_eq!(
        captured.json()["entries"][0],
        json!({
            "entry_id": 5,
            "at": "2023-11-14T22:13:20Z",
            "actor_id": PARTICIPANT,
            "action": "node.revoke",
            "session_id": SESSION,
            "target": "laptop-1",
            "reason": "stolen",
            "request_id": "7d1b9b8e-2c1c-4a43-9a35-5b8f3f0f4c11",
            "epoch": 2,
        })
    );

    for limit in [3, 4] {
        let captured = on(&server, &["audit", "list", "--json", "--limit", &limit.to_string()]).await;
        assert_eq!(listed(&captured).len(), limit);
        assert_eq!(captured.json()["has_more"], true);
    }
    let sizes: Vec<_> =
        server.requests::<ListAuditEntriesRequest>().iter().map(|request| request.page_size).collect();
    assert_eq!(sizes, [100, 98, 96, 3, 1, 4, 2]);
}

#[tokio::test]
async fn the_audit_of_a_session_or_a_node_is_a_table() {
    let audit_entries = vec![audit_entry(2), v1::AuditEntry { session_id: String::new(), ..audit_entry(1) }];
    let server = FakeServer::start(Prepared { audit_entries, page_size: 9, ..Prepared::default() }).await;
    let captured =
        on(&server, &["audit", "list", "--session", SESSION, "--node", "laptop-1", "--limit", "1"]).await;
    assert_eq!(
        captured.data(),
        format!(
            "AT                    ACTION       TARGET    SESSION                               ACTOR                                 REASON\n\
             2023-11-14T22:13:20Z  node.revoke  laptop-1  {SESSION}  {PARTICIPANT}  stolen\n"
        )
    );
    assert_eq!(captured.notes(), "there are older ones\nhint: see more with --limit\n");
    assert_eq!(
        server.requests::<ListAuditEntriesRequest>(),
        [ListAuditEntriesRequest {
            session_id: SESSION.into(),
            node_id: "laptop-1".into(),
            page_size: 1,
            page_token: String::new(),
        }]
    );
}
