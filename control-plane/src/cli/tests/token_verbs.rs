//! Tokens: what is asked for them, and that they go to stdout alone.

use contracts::{
    Code, Refusal,
    wire::v1::{
        CreateJoinTokenRequest, ExchangeJoinTokenRequest, IssueTokenRequest, RenewTokenRequest,
        RevokeTokenRequest, TokenScope,
    },
};
use prost_types::Duration;
use serde_json::json;

use crate::cli::{
    fake_server::{
        FakeServer, PARTICIPANT, Prepared,
        access::{JOIN_TOKEN_ID, TOKEN_ID},
    },
    tests::{Captured, rollcall},
};

const REQUEST: &str = "5f0c3a52-93d5-4a26-8f58-0f6a3f2f6f10";
const HOUR: i64 = 3_600;

async fn server() -> FakeServer {
    FakeServer::start(Prepared::default()).await
}

async fn on(server: &FakeServer, arguments: &[&str]) -> Captured {
    let addr = server.addr();
    let (captured, code) = rollcall(&[arguments, &[&addr]].concat()).await;
    assert_eq!(code, 0, "{arguments:?}: {}", captured.notes());
    captured
}

fn hours(hours: i64) -> Option<Duration> {
    Some(Duration { seconds: hours * HOUR, nanos: 0 })
}

fn scopes(scopes: &[TokenScope]) -> Vec<i32> {
    scopes.iter().map(|scope| (*scope).into()).collect()
}

#[tokio::test]
async fn an_issued_token_goes_to_stdout_alone() {
    let server = server().await;
    let issue = ["token", "issue", "--scope", "node,session:read", "--scope", "session:write"];
    let how =
        ["--participant", PARTICIPANT, "--lifetime", "24h", "--reason", "dashboard", "--request-id", REQUEST];
    let captured = on(&server, &[&issue[..], &how].concat()).await;
    assert_eq!(captured.data(), "issued\n");
    assert_eq!(
        captured.notes(),
        format!(
            "token {TOKEN_ID} of participant {PARTICIPANT}\n\
             allows node, session:read, session:write until 2023-11-14T22:13:20Z; shown once\n"
        )
    );
    let captured =
        on(&server, &["token", "issue", "--scope", "admin", "--json", "--request-id", REQUEST]).await;
    assert_eq!(
        captured.json(),
        json!({
            "token": "issued",
            "token_id": TOKEN_ID,
            "participant_id": PARTICIPANT,
            "scopes": ["admin"],
            "expires_at": "2023-11-14T22:13:20Z",
            "dry_run": false,
            "request_id": REQUEST,
        })
    );
    assert_eq!(captured.notes(), "");
    let dry = on(&server, &["token", "issue", "--scope", "node", "--dry-run", "--request-id", REQUEST]).await;
    assert_eq!(dry.data(), "");
    assert_eq!(dry.notes(), "dry run: a token would be made that allows node until 2023-11-14T22:13:20Z\n");
    assert_eq!(
        server.requests::<IssueTokenRequest>(),
        [
            IssueTokenRequest {
                participant_id: PARTICIPANT.into(),
                scopes: scopes(&[TokenScope::Node, TokenScope::SessionRead, TokenScope::SessionWrite]),
                lifetime: hours(24),
                reason: "dashboard".into(),
                validate_only: false,
                request_id: REQUEST.into(),
            },
            IssueTokenRequest {
                scopes: scopes(&[TokenScope::Admin]),
                request_id: REQUEST.into(),
                ..IssueTokenRequest::default()
            },
            IssueTokenRequest {
                scopes: scopes(&[TokenScope::Node]),
                validate_only: true,
                request_id: REQUEST.into(),
                ..IssueTokenRequest::default()
            },
        ]
    );
}

#[tokio::test]
async fn a_token_is_renewed_and_revoked() {
    let server = server().await;
    let captured = on(&server, &["token", "renew", "--lifetime", "12h", "--token", "old"]).await;
    assert_eq!(captured.data(), "renewed\n");
    assert_eq!(on(&server, &["token", "renew", "--json"]).await.json()["token"], "renewed");
    assert_eq!(server.tokens(), ["Bearer old"]);
    assert_eq!(
        server.requests::<RenewTokenRequest>(),
        [RenewTokenRequest { lifetime: hours(12) }, RenewTokenRequest { lifetime: None }]
    );

    let revoke = ["token", "revoke", TOKEN_ID, "--request-id", REQUEST];
    let captured = on(&server, &[&revoke[..], &["--yes", "--reason", "leaked"]].concat()).await;
    assert_eq!(
        (captured.data(), captured.notes()),
        (String::new(), format!("token {TOKEN_ID} is revoked, with 1 more of its family\n"))
    );
    assert_eq!(
        on(&server, &[&revoke[..], &["--dry-run", "--json"]].concat()).await.json(),
        json!({
            "token_id": TOKEN_ID,
            "token_ids": [TOKEN_ID, JOIN_TOKEN_ID],
            "dry_run": true,
            "request_id": REQUEST,
        })
    );
    let revocation = |reason: &str, validate_only| RevokeTokenRequest {
        token_id: TOKEN_ID.into(),
        reason: reason.into(),
        validate_only,
        request_id: REQUEST.into(),
    };
    assert_eq!(server.requests::<RevokeTokenRequest>(), [revocation("leaked", false), revocation("", true)]);
}

#[tokio::test]
async fn a_join_token_is_created() {
    let server = server().await;
    let create = ["token", "join", "create", "--participant", PARTICIPANT, "--scope", "node"];
    let create = [&create[..], &["--request-id", REQUEST]].concat();
    let how = ["--uses", "50", "--lifetime", "2h", "--token-lifetime", "30d", "--reason", "rack-7"];
    let captured = on(&server, &[&create[..], &how].concat()).await;
    assert_eq!(captured.data(), "join-1\n");
    assert_eq!(
        captured.notes(),
        format!(
            "join token {JOIN_TOKEN_ID} of participant {PARTICIPANT}\n\
             good for 50 exchanges until 2023-11-14T22:13:20Z; shown once\n\
             next, on the new machine, with the join token in ROLLCALL_JOIN_TOKEN:\n  \
             rollcall token join exchange > token\n"
        )
    );
    let captured = on(&server, &[&create[..], &["--json"]].concat()).await;
    assert_eq!(
        captured.json(),
        json!({
            "join_token": "join-1",
            "join_token_id": JOIN_TOKEN_ID,
            "expires_at": "2023-11-14T22:13:20Z",
            "dry_run": false,
            "request_id": REQUEST,
        })
    );
    let dry = on(&server, &[&create[..], &["--dry-run"]].concat()).await;
    assert_eq!(dry.data(), "");
    let expected = "dry run: a join token would be made, good for 1 exchange until 2023-11-14T22:13:20Z\n";
    assert_eq!(dry.notes(), expected);
    let plain = CreateJoinTokenRequest {
        request_id: REQUEST.into(),
        participant_id: PARTICIPANT.into(),
        scopes: scopes(&[TokenScope::Node]),
        uses: 1,
        ..CreateJoinTokenRequest::default()
    };
    assert_eq!(
        server.requests::<CreateJoinTokenRequest>(),
        [
            CreateJoinTokenRequest {
                uses: 50,
                lifetime: hours(2),
                token_lifetime: hours(30 * 24),
                reason: "rack-7".into(),
                ..plain.clone()
            },
            plain.clone(),
            CreateJoinTokenRequest { validate_only: true, ..plain },
        ]
    );
}

#[tokio::test]
async fn an_exchange_shows_no_token_whatever_is_set() {
    let server = server().await;
    let exchange = ["token", "join", "exchange", "--join-token", "join-1", "--request-id", REQUEST];
    let captured = on(&server, &[&exchange[..], &["--token", "a torn one"]].concat()).await;
    assert_eq!(captured.data(), "exchanged\n");
    let captured = on(&server, &[&exchange[..], &["--token-file", "/nowhere", "--json"]].concat()).await;
    assert_eq!(captured.json()["token"], "exchanged");
    assert_eq!(server.tokens(), [""; 0]);
    let request = ExchangeJoinTokenRequest { join_token: "join-1".into(), request_id: REQUEST.into() };
    assert_eq!(server.requests::<ExchangeJoinTokenRequest>(), [request.clone(), request]);
}

#[tokio::test]
async fn a_join_token_that_is_over_is_replaced_by_an_admin() {
    let refusals = vec![Refusal::new(Code::AuthTokenInvalid, "the join token is used up")];
    let server = FakeServer::start(Prepared { refusals, ..Prepared::default() }).await;
    let arguments = ["token", "join", "exchange", "--join-token", "join-1", &server.addr()];
    let (captured, code) = rollcall(&arguments).await;
    assert_eq!((captured.data().as_str(), code), ("", 1));
    assert_eq!(
        captured.notes(),
        "error: the join token is used up\n\
         code: auth.token_invalid (docs/errors/auth.token_invalid.md)\n\
         hint: an admin makes a new join token with `rollcall token join create`\n"
    );
}
