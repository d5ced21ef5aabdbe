//! The audit: one row for each thing an admin or owner did, written with it; for admins to read.

use std::time::Duration;

use contracts::{
    ParticipantId,
    wire::v1::{
        ArchiveSessionRequest, AuditEntry, CloseSessionRequest, CreateJoinTokenRequest, DetachNodeRequest,
        ExchangeJoinTokenRequest, ForgetNodeRequest, IssueTokenRequest, ListAuditEntriesRequest, MemberRole,
        MemberState, RaiseVersionFloorRequest, RemoveMemberRequest, RenewTokenRequest, RevokeNodeRequest,
        RevokeTokenRequest, SetMemberRequest, TokenScope, TransferNodeRequest, revoke_node_request::Scope,
    },
};
use tests::{Client, Plane, PlaneOptions, refusal, token, user_scopes};
use tonic::Status;
use uuid::Uuid;

/// What a row is to say; its time and number come with it.
#[derive(Debug, PartialEq, Eq)]
struct Row {
    actor: String,
    action: &'static str,
    session: String,
    target: String,
    reason: &'static str,
    request: String,
}

async fn listed(client: &Client, request: ListAuditEntriesRequest) -> (Vec<AuditEntry>, String) {
    let page = client.audit.clone().list_audit_entries(request).await.expect("the audit can be read");
    let page = page.into_inner();
    (page.entries, page.next_page_token)
}

/// Sees that exactly one row was written since, and what it says.
async fn says(admin: &Client, before: &mut Vec<AuditEntry>, expected: Row) {
    let mut now = admin.audit().await;
    let newest = now.remove(0);
    assert_eq!(&now, before, "one row, and no other was touched, by {expected:?}");
    let Row { actor, action, session, target, reason, request } = &expected;
    assert_eq!(
        (&newest.actor_id, newest.action.as_str(), &newest.session_id, &newest.target),
        (actor, *action, session, target)
    );
    assert_eq!((newest.reason.as_str(), &newest.request_id), (*reason, request), "{action}");
    assert_eq!(newest.epoch, 1, "{action}");
    assert!(newest.at.is_some() && before.first().is_none_or(|former| former.entry_id < newest.entry_id));
    before.insert(0, newest);
}

#[tokio::test]
async fn each_change_by_an_owner_or_admin_is_one_row_that_says_who_what_where_and_why() {
    let plane = Plane::start(PlaneOptions::default()).await;
    let (owner, admin) = (plane.client().await, plane.admin().await);
    let session = owner.session().await;
    owner.online(&session, "laptop-1").await;
    let heir = ParticipantId(Uuid::now_v7());
    let mut seen = admin.audit().await;
    let made = |entry: &AuditEntry| (entry.action.clone(), entry.target.clone());
    let expected = [("session.create".to_owned(), session.clone())];
    assert_eq!(
        seen.iter().map(made).collect::<Vec<_>>(),
        expected,
        "what nodes do is no matter of the audit"
    );

    let (us, id) = (plane.participant().to_string(), || Uuid::new_v4().to_string());
    let row = |action, target: &str, reason, request: &str| Row {
        actor: us.clone(),
        action,
        session: session.clone(),
        target: target.to_owned(),
        reason,
        request: request.to_owned(),
    };
    let set = SetMemberRequest {
        session_id: session.clone(),
        participant_id: heir.to_string(),
        role: MemberRole::Collaborator.into(),
        state: MemberState::Active.into(),
        reason: "joins".to_owned(),
        request_id: id(),
        ..Default::default()
    };
    owner.members.clone().set_member(set.clone()).await.unwrap();
    says(&admin, &mut seen, row("member.set", &heir.to_string(), "joins", &set.request_id)).await;
    let remove = RemoveMemberRequest {
        session_id: session.clone(),
        participant_id: heir.to_string(),
        reason: "leaves".to_owned(),
        request_id: id(),
        ..Default::default()
    };
    owner.members.clone().remove_member(remove.clone()).await.unwrap();
    says(&admin, &mut seen, row("member.remove", &heir.to_string(), "leaves", &remove.request_id)).await;
    let detach = DetachNodeRequest {
        node_id: "laptop-1".to_owned(),
        reason: "in the way".to_owned(),
        request_id: id(),
        ..Default::default()
    };
    owner.admin.clone().detach_node(detach.clone()).await.unwrap();
    says(&admin, &mut seen, row("node.detach", "laptop-1", "in the way", &detach.request_id)).await;
    let revoke = RevokeNodeRequest {
        node_id: "laptop-1".to_owned(),
        scope: Some(Scope::SessionId(session.clone())),
        reason: "stolen".to_owned(),
        request_id: id(),
        ..Default::default()
    };
    owner.admin.clone().revoke_node(revoke.clone()).await.unwrap();
    says(&admin, &mut seen, row("node.revoke", "laptop-1", "stolen", &revoke.request_id)).await;
    let raise = RaiseVersionFloorRequest {
        session_id: session.clone(),
        min_client_version: "1.5".to_owned(),
        reason: "a new release".to_owned(),
        request_id: id(),
        ..Default::default()
    };
    owner.sessions.clone().raise_version_floor(raise.clone()).await.unwrap();
    says(&admin, &mut seen, row("session.raise_floor", &session, "a new release", &raise.request_id)).await;
    let archive = ArchiveSessionRequest {
        session_id: session.clone(),
        reason: "it is done".to_owned(),
        request_id: id(),
        ..Default::default()
    };
    owner.sessions.clone().archive_session(archive.clone()).await.unwrap();
    says(&admin, &mut seen, row("session.archive", &session, "it is done", &archive.request_id)).await;
    let close = CloseSessionRequest {
        session_id: session.clone(),
        reason: "tidying up".to_owned(),
        request_id: id(),
        ..Default::default()
    };
    owner.sessions.clone().close_session(close.clone()).await.unwrap();
    says(&admin, &mut seen, row("session.close", &session, "tidying up", &close.request_id)).await;

    // What concerns no session, by an admin.
    let chief = ParticipantId(Uuid::now_v7());
    let chief_token = token(chief, control_plane::auth::tokens::Scope::Admin);
    let client = Client::connect(&plane.url(), &chief_token).await;
    let other = owner.session().await;
    let mut seen = admin.audit().await;
    let generation = owner.online(&other, "laptop-2").await;
    owner.detach("laptop-2", generation).await.unwrap();
    let row = |actor: ParticipantId, action, target: &str, reason, request: &str| Row {
        actor: actor.to_string(),
        action,
        session: String::new(),
        target: target.to_owned(),
        reason,
        request: request.to_owned(),
    };
    let transfer = TransferNodeRequest {
        node_id: "laptop-2".to_owned(),
        participant_id: heir.to_string(),
        reason: "sold".to_owned(),
        request_id: id(),
        ..Default::default()
    };
    client.admin.clone().transfer_node(transfer.clone()).await.unwrap();
    says(&admin, &mut seen, row(chief, "node.transfer", "laptop-2", "sold", &transfer.request_id)).await;
    let forget = ForgetNodeRequest {
        node_id: "laptop-2".to_owned(),
        reason: "scrapped".to_owned(),
        request_id: id(),
        ..Default::default()
    };
    client.admin.clone().forget_node(forget.clone()).await.unwrap();
    says(&admin, &mut seen, row(chief, "node.forget", "laptop-2", "scrapped", &forget.request_id)).await;
    let everywhere = RevokeNodeRequest { scope: Some(Scope::Everywhere(true)), request_id: id(), ..revoke };
    client.admin.clone().revoke_node(everywhere.clone()).await.unwrap();
    let expected = row(chief, "node.revoke_everywhere", "laptop-1", "stolen", &everywhere.request_id);
    says(&admin, &mut seen, expected).await;

    let issue = IssueTokenRequest {
        participant_id: heir.to_string(),
        scopes: vec![TokenScope::Node.into()],
        reason: "first".to_owned(),
        request_id: id(),
        ..Default::default()
    };
    let issued = client.tokens.clone().issue_token(issue.clone()).await.unwrap().into_inner().token.unwrap();
    says(&admin, &mut seen, row(chief, "token.issue", &issued.token_id, "first", &issue.request_id)).await;
    let holder = Client::connect(&plane.url(), &issued.token).await;
    let renewed = holder.tokens.clone().renew_token(RenewTokenRequest::default()).await.unwrap();
    let renewed = renewed.into_inner().token.unwrap().token_id;
    says(&admin, &mut seen, row(heir, "token.renew", &renewed, "", "")).await;
    let revoke =
        RevokeTokenRequest { token_id: renewed.clone(), reason: "leaked".to_owned(), ..Default::default() };
    holder.tokens.clone().revoke_token(revoke.clone()).await.unwrap();
    says(&admin, &mut seen, row(heir, "token.revoke", &renewed, "leaked", &revoke.request_id)).await;
    let again = RevokeTokenRequest { request_id: id(), ..revoke };
    client.tokens.clone().revoke_token(again).await.expect("it is revoked already");
    assert_eq!(admin.audit().await, seen, "a repeat did nothing and says nothing");
    let join = CreateJoinTokenRequest {
        participant_id: heir.to_string(),
        scopes: vec![TokenScope::Node.into()],
        reason: "rack 7".to_owned(),
        request_id: id(),
        ..Default::default()
    };
    let asked = join.request_id.clone();
    let join = client.tokens.clone().create_join_token(join).await.unwrap().into_inner();
    says(&admin, &mut seen, row(chief, "token.create_join", &join.join_token_id, "rack 7", &asked)).await;
    let exchange = ExchangeJoinTokenRequest { join_token: join.join_token.clone(), ..Default::default() };
    let exchanged = client.tokens.clone().exchange_join_token(exchange).await.unwrap();
    let exchanged = exchanged.into_inner().token.unwrap().token_id;
    let newest = admin.audit().await.remove(0);
    assert_eq!((&*newest.action, &newest.actor_id), ("token.exchange", &heir.to_string()));
    assert_eq!(newest.target, exchanged);
    assert!(newest.reason.contains(&join.join_token_id), "{newest:?}");

    let held = plane.database.snapshot().await;
    let secret = join.join_token.rsplit(['.', '_', '-']).next().unwrap().to_owned();
    for (what, secret) in [("a token", &issued.token), ("a join token", &secret)] {
        for table in ["audit_entries", "issued_tokens", "join_tokens", "request_answers"] {
            assert!(!held.rows(table).concat().contains(secret), "{what} is in {table}");
        }
        assert!(!plane.process.log().concat().contains(secret), "{what} is in the log");
    }
}

#[tokio::test]
async fn what_was_answered_is_in_the_audit_after_a_kill_9_at_that_moment() {
    let mut plane = Plane::start(PlaneOptions::default()).await;
    for round in 1..=5 {
        let owner = plane.client().await;
        let session = owner.session().await;
        owner.online(&session, "laptop-1").await;
        let request_id = Uuid::new_v4().to_string();
        let revoke = RevokeNodeRequest {
            node_id: "laptop-1".to_owned(),
            scope: Some(Scope::SessionId(session.clone())),
            reason: "stolen".to_owned(),
            request_id: request_id.clone(),
            ..Default::default()
        };
        let answer = owner.admin.clone().revoke_node(revoke.clone()).await.unwrap().into_inner();
        plane = plane.kill_and_restart().await;
        let mut entries = plane.admin().await.audit().await;
        entries.retain(|entry| entry.action == "node.revoke");
        assert_eq!(entries.len(), round);
        assert_eq!((&entries[0].session_id, &entries[0].request_id), (&session, &request_id));
        let again = plane.repeats(plane.client().await.admin.revoke_node(revoke)).await.into_inner();
        assert_eq!(again, answer, "round {round}");
    }
}

#[tokio::test]
async fn what_is_refused_or_only_tried_writes_no_row() {
    let plane = Plane::start(PlaneOptions::default()).await;
    let (owner, admin) = (plane.client().await, plane.admin().await);
    let (stranger, client) = plane.stranger().await;
    let session = owner.session().await;
    owner.online(&session, "laptop-1").await;
    let before = admin.audit().await;
    let request_id = || Uuid::new_v4().to_string();
    let forget = |validate_only| ForgetNodeRequest {
        node_id: "laptop-1".to_owned(),
        validate_only,
        request_id: request_id(),
        ..Default::default()
    };
    // `refuses` and `repeats` see to it that no row of any table was written.
    plane.refuses(admin.admin.clone().forget_node(forget(false))).await;
    plane.refuses(owner.admin.clone().forget_node(forget(false))).await;
    plane.refuses(client.detach_node("laptop-1")).await;
    plane.refuses(client.revoke_node("laptop-1", Some(&session))).await;
    plane.refuses(owner.revoke_node("laptop-1", None)).await;
    plane.refuses(owner.remove_member(&session, plane.participant())).await;
    plane.refuses(client.remove_member(&session, plane.participant())).await;
    let (role, state) = (MemberRole::Owner, MemberState::Active);
    plane.refuses(client.set_member(&session, stranger, role, state)).await;
    let issue = IssueTokenRequest { scopes: vec![4], ..Default::default() };
    plane.refuses(owner.tokens.clone().issue_token(issue)).await;
    let revoke = RevokeTokenRequest {
        token_id: Uuid::now_v7().to_string(),
        reason: String::new(),
        ..Default::default()
    };
    plane.refuses(owner.tokens.clone().revoke_token(revoke)).await;
    let raise = RaiseVersionFloorRequest {
        session_id: session.clone(),
        min_client_version: "1.1".to_owned(),
        validate_only: true,
        ..Default::default()
    };
    plane.repeats(owner.sessions.clone().raise_version_floor(raise)).await;
    let detach = DetachNodeRequest {
        node_id: "laptop-1".to_owned(),
        validate_only: true,
        request_id: request_id(),
        ..Default::default()
    };
    plane.repeats(owner.admin.clone().detach_node(detach)).await;
    assert_eq!(admin.audit().await, before);
}

#[tokio::test]
async fn an_answer_that_cannot_be_written_leaves_neither_effect_nor_row() {
    let plane = Plane::start(PlaneOptions::default()).await;
    let (owner, admin) = (plane.client().await, plane.admin().await);
    let session = owner.session().await;
    owner.online(&session, "laptop-1").await;
    let forbid = "alter table audit_entries add constraint forbidden check (action <> 'node.detach')";
    sqlx::query(forbid).execute(&plane.database.pool).await.unwrap();
    let before = admin.audit().await;
    let refused = plane.refuses(owner.detach_node("laptop-1")).await;
    assert_eq!(refused.code, "system.internal_error");
    assert_eq!(admin.audit().await, before);
    let allow = "alter table audit_entries drop constraint forbidden";
    sqlx::query(allow).execute(&plane.database.pool).await.unwrap();
    owner.detach_node("laptop-1").await.unwrap();
    assert_eq!(admin.audit().await.len(), before.len() + 1);
    // Nothing is left to be detached, so nothing is said to have been.
    plane.repeats(owner.detach_node("laptop-1")).await;
}

#[tokio::test]
async fn the_audit_is_read_newest_first_by_session_by_node_and_in_pages() {
    let plane = Plane::start(PlaneOptions::default()).await;
    let (owner, admin) = (plane.client().await, plane.admin().await);
    let (one, two) = (owner.session().await, owner.session().await);
    for session in [&one, &two] {
        for number in 0..4 {
            let node_id = format!("laptop-{number}");
            owner.online(session, &node_id).await;
            owner.detach_node(&node_id).await.unwrap();
        }
    }
    let all = admin.audit().await;
    assert_eq!(all.len(), 8 + 2);
    assert!(all.is_sorted_by(|newer, older| newer.entry_id > older.entry_id));
    for (session_id, node_id, expected) in [
        ("", "", 8 + 2),
        (&*one, "", 4 + 1),
        ("", "laptop-1", 2),
        (&*two, "laptop-1", 1),
        ("", "unknown", 0),
        (&*Uuid::now_v7().to_string(), "", 0),
    ] {
        let wanted: Vec<_> = all
            .iter()
            .filter(|entry| session_id.is_empty() || entry.session_id == session_id)
            .filter(|entry| node_id.is_empty() || entry.target == node_id)
            .cloned()
            .collect();
        assert_eq!(wanted.len(), expected);
        let (mut seen, mut page_token) = (Vec::new(), String::new());
        loop {
            let request = ListAuditEntriesRequest {
                session_id: session_id.to_owned(),
                node_id: node_id.to_owned(),
                page_size: 3,
                page_token,
            };
            let (entries, next) = listed(&admin, request).await;
            assert!(entries.len() <= 3 && (next.is_empty() || entries.len() == 3));
            seen.extend(entries);
            page_token = next;
            if page_token.is_empty() {
                break;
            }
        }
        assert_eq!(seen, wanted, "{session_id} {node_id}");
    }
    for (field, bad) in [
        ("session_id", ListAuditEntriesRequest { session_id: "x".to_owned(), ..Default::default() }),
        ("node_id", ListAuditEntriesRequest { node_id: " x".to_owned(), ..Default::default() }),
        ("page_size", ListAuditEntriesRequest { page_size: -1, ..Default::default() }),
        ("page_token", ListAuditEntriesRequest { page_token: "x".to_owned(), ..Default::default() }),
    ] {
        let refused = refusal(admin.audit.clone().list_audit_entries(bad).await);
        assert_eq!((&*refused.code, refused.field.as_deref()), ("argument.invalid", Some(field)));
    }
}

#[tokio::test]
async fn the_audit_is_for_admins_and_a_standby_shows_it_too() {
    let plane = Plane::start(PlaneOptions::default()).await;
    let owner = plane.client().await;
    let session = owner.session().await;
    owner.online(&session, "laptop-1").await;
    owner.detach_node("laptop-1").await.unwrap();
    let (_, stranger) = plane.stranger().await;
    for client in [&owner, &stranger] {
        let request = ListAuditEntriesRequest { session_id: session.clone(), ..Default::default() };
        let refused: Result<_, Status> = client.audit.clone().list_audit_entries(request).await;
        assert_eq!(refusal(refused).code, "auth.insufficient_scope");
    }
    let standby = Plane::launch(plane.database.clone(), plane.options_beside()).await;
    let shown = standby.admin().await.audit().await;
    assert_eq!(shown.len(), 2);
    assert_eq!(shown, plane.admin().await.audit().await);
}

#[tokio::test]
async fn an_admin_s_token_that_has_ended_reads_nothing() {
    let plane = Plane::start(PlaneOptions::default()).await;
    let admin = ParticipantId(Uuid::now_v7());
    let scopes = user_scopes().with(control_plane::auth::tokens::Scope::Admin);
    let brief = tests::token_for(admin, scopes, Duration::from_secs(2));
    let client = Client::connect(&plane.url(), &brief).await;
    let look = async || {
        let request = ListAuditEntriesRequest::default();
        client
            .audit
            .clone()
            .list_audit_entries(request)
            .await
            .map_err(|status| refusal(Err::<(), _>(status)).code)
    };
    let ended = tests::eventually("the token ends", look, Result::is_err).await;
    assert_eq!(ended.unwrap_err(), "auth.token_expired");
}
