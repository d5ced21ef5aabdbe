//! Members of a session: made, changed, removed; never without an owner; and requests that may be repeated.

use contracts::{
    ParticipantId,
    wire::v1::{ListMembersRequest, Member, MemberRole, MemberState, RemoveMemberRequest, SetMemberRequest},
};
use tests::{Client, Plane, PlaneOptions, refusal, token, user_scopes};
use tokio::task::JoinSet;
use tonic::Status;
use uuid::Uuid;

fn request(session_id: &str, participant: ParticipantId, role: MemberRole) -> SetMemberRequest {
    SetMemberRequest {
        session_id: session_id.to_owned(),
        participant_id: participant.to_string(),
        role: role.into(),
        state: MemberState::Active.into(),
        ..SetMemberRequest::default()
    }
}

fn removal(session_id: &str, participant: ParticipantId) -> RemoveMemberRequest {
    RemoveMemberRequest {
        session_id: session_id.to_owned(),
        participant_id: participant.to_string(),
        ..RemoveMemberRequest::default()
    }
}

async fn set(client: &Client, request: SetMemberRequest) -> Result<Member, Status> {
    let answer = client.members.clone().set_member(request).await?;
    Ok(answer.into_inner().member.expect("an answer has its member"))
}

async fn remove(client: &Client, request: RemoveMemberRequest) -> Result<(), Status> {
    client.members.clone().remove_member(request).await.map(drop)
}

fn somebody() -> ParticipantId {
    ParticipantId(Uuid::now_v7())
}

async fn audited(plane: &Plane) -> i64 {
    let count = sqlx::query_scalar("select count(*) from audit_entries where action <> 'session.create'");
    count.fetch_one(&plane.database.pool).await.expect("rows can be counted")
}

#[tokio::test]
async fn a_member_is_made_changed_and_removed_and_no_slot_is_touched() {
    let plane = Plane::start(PlaneOptions::default()).await;
    let owner = plane.client().await;
    let session = owner.session().await;
    let (member, client) = plane.stranger().await;

    let made = owner.set_member(&session, member, MemberRole::Viewer, MemberState::Pending).await.unwrap();
    assert_eq!(made.participant_id, member.to_string());
    assert_eq!((made.role(), made.state()), (MemberRole::Viewer, MemberState::Pending));
    assert_eq!(made.joined_at, made.updated_at);
    let changed =
        owner.set_member(&session, member, MemberRole::Collaborator, MemberState::Active).await.unwrap();
    assert_eq!((changed.role(), changed.state()), (MemberRole::Collaborator, MemberState::Active));
    assert_eq!(changed.joined_at, made.joined_at);
    let (then, now) = (made.updated_at.unwrap(), changed.updated_at.unwrap());
    assert!((then.seconds, then.nanos) < (now.seconds, now.nanos), "{then:?} {now:?}");
    assert!(client.members_of(&session).await.unwrap().contains(&changed));

    client.online(&session, "laptop-1").await;
    let before = plane.database.snapshot().await;
    owner.set_member(&session, member, MemberRole::Viewer, MemberState::Suspended).await.unwrap();
    owner.remove_member(&session, member).await.unwrap();
    let after = plane.database.snapshot().await;
    for table in
        ["runtime_nodes", "runtime_node_attachments", "attachment_spans", "runtime_node_presence", "sessions"]
    {
        assert_eq!(after.rows(table), before.rows(table), "{table}");
    }
    let left = owner.members_of(&session).await.unwrap();
    assert_eq!(left.len(), 1);
    assert_eq!(left[0].participant_id, plane.participant().to_string());

    // Gone is gone: nothing happens a second time, and nothing is said to have.
    let entries = audited(&plane).await;
    owner.remove_member(&session, member).await.unwrap();
    owner.remove_member(&session, somebody()).await.unwrap();
    assert_eq!(audited(&plane).await, entries);
}

#[tokio::test]
async fn members_are_listed_in_pages_by_participant() {
    let plane = Plane::start(PlaneOptions::default()).await;
    let owner = plane.client().await;
    let session = owner.session().await;
    let mut expected = vec![plane.participant().to_string()];
    for _ in 0..6 {
        let member = somebody();
        owner.welcome(&session, member, MemberRole::Viewer).await;
        expected.push(member.to_string());
    }
    expected.sort();
    let (mut seen, mut pages, mut page_token) = (Vec::new(), 0, String::new());
    loop {
        let request = ListMembersRequest { session_id: session.clone(), page_size: 3, page_token };
        let page = owner.members.clone().list_members(request).await.unwrap().into_inner();
        assert!(page.members.len() <= 3);
        pages += 1;
        seen.extend(page.members.into_iter().map(|member| member.participant_id));
        page_token = page.next_page_token;
        if page_token.is_empty() {
            break;
        }
    }
    assert_eq!((seen, pages), (expected, 3));
}

#[tokio::test]
async fn the_last_active_owner_can_be_neither_removed_nor_demoted_nor_suspended() {
    let plane = Plane::start(PlaneOptions::default()).await;
    let (owner, admin) = (plane.client().await, plane.admin().await);
    let session = owner.session().await;
    let last = plane.participant();
    let (second, _) = plane.stranger().await;
    owner.welcome(&session, second, MemberRole::Collaborator).await;
    // An owner whose membership does not count is none.
    for state in [MemberState::Pending, MemberState::Suspended, MemberState::Revoked] {
        let set = owner.set_member(&session, second, MemberRole::Owner, state).await;
        set.unwrap();
        for client in [&owner, &admin] {
            for (role, state) in [
                (MemberRole::Collaborator, MemberState::Active),
                (MemberRole::Viewer, MemberState::Active),
                (MemberRole::Owner, MemberState::Suspended),
                (MemberRole::Owner, MemberState::Pending),
                (MemberRole::Owner, MemberState::Revoked),
            ] {
                let refused = plane.refuses(client.set_member(&session, last, role, state)).await;
                assert_eq!(refused.code, "membership.last_owner", "{role:?} {state:?}");
            }
            let refused = plane.refuses(client.remove_member(&session, last)).await;
            assert_eq!(refused.code, "membership.last_owner");
            let dry = RemoveMemberRequest { validate_only: true, ..removal(&session, last) };
            assert_eq!(plane.refuses(remove(client, dry)).await.code, "membership.last_owner");
        }
    }
    owner.welcome(&session, second, MemberRole::Owner).await;
    owner.remove_member(&session, last).await.expect("there is another owner now");
    let refused = refusal(owner.remove_member(&session, second).await);
    assert_eq!(refused.code, "session.not_found", "who went out has no say any more");
}

#[tokio::test]
async fn of_twenty_owners_that_all_step_down_at_once_one_stays() {
    let plane = Plane::start(PlaneOptions::default()).await;
    let founder = plane.client().await;
    for round in 0..3 {
        let session = founder.session().await;
        let mut owners = vec![(plane.participant(), founder.clone())];
        for _ in 1..20 {
            let (owner, client) = plane.stranger().await;
            founder.welcome(&session, owner, MemberRole::Owner).await;
            owners.push((owner, client));
        }
        let mut stepping_down = JoinSet::new();
        for (number, (owner, client)) in owners.into_iter().enumerate() {
            let session = session.clone();
            stepping_down.spawn(async move {
                match number % 3 {
                    0 => client.remove_member(&session, owner).await,
                    1 => {
                        let (role, state) = (MemberRole::Viewer, MemberState::Active);
                        client.set_member(&session, owner, role, state).await.map(drop)
                    }
                    _ => {
                        let (role, state) = (MemberRole::Owner, MemberState::Suspended);
                        client.set_member(&session, owner, role, state).await.map(drop)
                    }
                }
            });
        }
        let (went, stayed): (Vec<_>, Vec<_>) =
            stepping_down.join_all().await.into_iter().partition(Result::is_ok);
        assert_eq!((went.len(), stayed.len()), (19, 1), "round {round}: {stayed:?}");
        for refused in stayed {
            assert_eq!(refusal(refused).code, "membership.last_owner");
        }
        let owners: i64 = sqlx::query_scalar(
            "select count(*) from session_memberships
             where session_id = $1::uuid and role = 'owner' and state = 'active'",
        )
        .bind(&session)
        .fetch_one(&plane.database.pool)
        .await
        .unwrap();
        assert_eq!(owners, 1);
    }
}

#[tokio::test]
async fn a_dry_run_tells_what_would_be_and_changes_nothing() {
    let plane = Plane::start(PlaneOptions::default()).await;
    let owner = plane.client().await;
    let session = owner.session().await;
    let (member, client) = plane.stranger().await;
    let request_id = Uuid::new_v4().to_string();
    let real =
        SetMemberRequest { request_id: request_id.clone(), ..request(&session, member, MemberRole::Viewer) };
    let dry = SetMemberRequest { validate_only: true, ..real.clone() };
    let shown = plane.repeats(set(&owner, dry)).await;
    assert_eq!((shown.participant_id.clone(), shown.role()), (member.to_string(), MemberRole::Viewer));
    assert_eq!(refusal(client.members_of(&session).await).code, "session.not_found");

    // A dry run takes no request id.
    set(&owner, real).await.unwrap();
    let dry = RemoveMemberRequest { validate_only: true, ..removal(&session, member) };
    plane.repeats(remove(&owner, dry)).await;
    assert_eq!(client.members_of(&session).await.unwrap().len(), 2);
}

#[tokio::test]
async fn a_request_that_is_repeated_has_one_effect_one_audit_row_and_one_answer() {
    let plane = Plane::start(PlaneOptions::default()).await;
    let owner = plane.client().await;
    let session = owner.session().await;
    let member = somebody();
    let with_id = |role| SetMemberRequest {
        request_id: Uuid::new_v4().to_string(),
        reason: "joins the team".to_owned(),
        ..request(&session, member, role)
    };
    let first = with_id(MemberRole::Owner);
    let answer = set(&owner, first.clone()).await.unwrap();
    assert_eq!(audited(&plane).await, 1);
    assert_eq!(plane.repeats(set(&owner, first.clone())).await, answer);
    // Also when something else happened meanwhile, and on a server that is new.
    let second = set(&owner, with_id(MemberRole::Viewer)).await.unwrap();
    let plane = plane.kill_and_restart().await;
    let owner = plane.client().await;
    assert_eq!(plane.repeats(set(&owner, first.clone())).await, answer);
    assert!(owner.members_of(&session).await.unwrap().contains(&second), "the repeat changed nothing");

    // Under a used id nothing else can be asked for, by no other verb either.
    for other in [
        SetMemberRequest { role: MemberRole::Viewer.into(), ..first.clone() },
        SetMemberRequest { participant_id: somebody().to_string(), ..first.clone() },
        SetMemberRequest { reason: "another".to_owned(), ..first.clone() },
        SetMemberRequest { validate_only: true, ..first.clone() },
    ] {
        let refused = plane.refuses(set(&owner, other)).await;
        assert_eq!((&*refused.code, refused.field.as_deref()), ("argument.invalid", Some("request_id")));
    }
    let other = RemoveMemberRequest { request_id: first.request_id.clone(), ..removal(&session, member) };
    let refused = plane.refuses(remove(&owner, other)).await;
    assert_eq!((&*refused.code, refused.field.as_deref()), ("argument.invalid", Some("request_id")));

    // An id is its caller's own: somebody else may happen to use it.
    let client = Client::connect(&plane.url(), &token(member, user_scopes())).await;
    let theirs = SetMemberRequest { session_id: client.session().await, ..first };
    set(&client, theirs).await.unwrap();
}

#[tokio::test]
async fn an_owner_who_removed_himself_hears_it_again_when_he_asks_again() {
    let plane = Plane::start(PlaneOptions::default()).await;
    let owner = plane.client().await;
    let session = owner.session().await;
    let (second, _) = plane.stranger().await;
    owner.welcome(&session, second, MemberRole::Owner).await;
    let request_id = Uuid::new_v4().to_string();
    let leave = RemoveMemberRequest { request_id, ..removal(&session, plane.participant()) };
    remove(&owner, leave.clone()).await.unwrap();
    plane.repeats(remove(&owner, leave.clone())).await;
    // A new request is another matter.
    let again = RemoveMemberRequest { request_id: Uuid::new_v4().to_string(), ..leave };
    assert_eq!(plane.refuses(remove(&owner, again)).await.code, "session.not_found");
}

#[tokio::test]
async fn a_request_that_was_refused_may_be_sent_again_under_its_id() {
    let plane = Plane::start(PlaneOptions::default()).await;
    let owner = plane.client().await;
    let session = owner.session().await;
    let request_id = Uuid::new_v4().to_string();
    let leave = RemoveMemberRequest { request_id, ..removal(&session, plane.participant()) };
    assert_eq!(plane.refuses(remove(&owner, leave.clone())).await.code, "membership.last_owner");
    let (second, _) = plane.stranger().await;
    owner.welcome(&session, second, MemberRole::Owner).await;
    remove(&owner, leave).await.expect("what kept it from happening is gone");
}

#[tokio::test]
async fn of_one_request_sent_twenty_times_at_once_there_is_one_effect_and_one_answer() {
    let plane = Plane::start(PlaneOptions::default()).await;
    let owner = plane.client().await;
    let session = owner.session().await;
    for round in 1..=3 {
        let sent = SetMemberRequest {
            request_id: Uuid::new_v4().to_string(),
            ..request(&session, somebody(), MemberRole::Viewer)
        };
        let mut sending = JoinSet::new();
        for _ in 0..20 {
            let (client, sent) = (owner.clone(), sent.clone());
            sending.spawn(async move { set(&client, sent).await });
        }
        let answers: Result<Vec<_>, _> = sending.join_all().await.into_iter().collect();
        let answers = answers.unwrap();
        assert!(answers.iter().all(|answer| *answer == answers[0]), "{answers:?}");
        assert_eq!(audited(&plane).await, round);
        let held = plane.database.snapshot().await;
        assert_eq!(held.rows("request_answers").len(), usize::try_from(round).unwrap());
    }
}
