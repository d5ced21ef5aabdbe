//! Nodes that are taken out, barred, given away and forgotten.

use contracts::{
    ParticipantId,
    wire::v1::{
        DetachNodeRequest, ForgetNodeRequest, GetNodeRequest, ListNodesRequest, MemberRole, PresenceCause,
        PresenceHealth, RevokeNodeRequest, RuntimeNode, SlotState, TransferNodeRequest, WatchRosterRequest,
        revoke_node_request::Scope, watch_roster_response::Event,
    },
};
use tests::{Attaching, Client, Plane, PlaneOptions, RosterWatch, refusal};
use tonic::Status;
use uuid::Uuid;

async fn transfer(client: &Client, node_id: &str, to: ParticipantId) -> Result<u64, Status> {
    let request = TransferNodeRequest {
        node_id: node_id.to_owned(),
        participant_id: to.to_string(),
        ..TransferNodeRequest::default()
    };
    Ok(client.admin.clone().transfer_node(request).await?.into_inner().generation)
}

async fn forget(client: &Client, node_id: &str) -> Result<(), Status> {
    let request = ForgetNodeRequest { node_id: node_id.to_owned(), ..ForgetNodeRequest::default() };
    client.admin.clone().forget_node(request).await.map(drop)
}

fn presence(node: &RuntimeNode) -> (PresenceHealth, PresenceCause) {
    let presence = node.presence.as_ref().unwrap_or_else(|| panic!("no presence: {node:?}"));
    (presence.health(), presence.cause())
}

/// Everything that a daemon could ask for this node, under this generation and as a new instance.
async fn asked_of(
    client: &Client,
    session: &str,
    attaching: &Attaching,
    generation: u64,
) -> Vec<(&'static str, String)> {
    let node_id = attaching.0.node_id.as_str();
    let code = |result: Result<(), Status>| {
        result.err().map_or("let in".to_owned(), |status| refusal(Err::<(), _>(status)).code)
    };
    let mut asked = vec![
        ("beat", code(client.beat(node_id, generation).await.map(drop))),
        ("declare", code(client.declare(node_id, generation, &["x"]).await.map(drop))),
        ("detach", code(client.detach(node_id, generation).await)),
    ];
    let mut again = attaching.clone();
    session.clone_into(&mut again.0.session_id);
    asked.push(("attach again", code(client.attach(&again).await.map(drop))));
    let anew = Attaching::new(session, node_id).declaring(&["codex"]);
    asked.push(("attach anew", code(client.attach(&anew).await.map(drop))));
    asked
}

fn all_are(asked: &[(&'static str, String)], code: &str) {
    for (what, seen) in asked {
        assert_eq!(seen, code, "{what}: {asked:?}");
    }
}

/// The roster of a session as a new watch begins with it.
async fn watched(client: &Client, session: &str) -> Vec<RuntimeNode> {
    let request = WatchRosterRequest { session_id: session.to_owned(), revision: String::new() };
    let events = client.nodes.clone().watch_roster(request).await;
    let mut events = events.expect("a member may watch").into_inner();
    let mut nodes = Vec::new();
    loop {
        match events.message().await.expect("the watch goes on").and_then(|message| message.event) {
            Some(Event::SnapshotChunk(chunk)) => nodes.extend(chunk.nodes),
            Some(Event::SnapshotEnd(_)) => return nodes,
            other @ (None | Some(Event::Change(_) | Event::Bookmark(_) | Event::Resync(_))) => {
                panic!("a watch begins with a snapshot: {other:?}")
            }
        }
    }
}

/// What a reader of the database and a watch show of a session, which is the same.
async fn shown(client: &Client, session: &str) -> Vec<RuntimeNode> {
    let roster = client.roster(session).await;
    assert_eq!(watched(client, session).await, roster, "the leader's view is what the database holds");
    roster
}

#[tokio::test]
async fn a_node_that_was_revoked_in_a_session_is_refused_there_for_ever_and_nowhere_else() {
    let plane = Plane::start(PlaneOptions::default()).await;
    let owner = plane.client().await;
    let (barred_from, other) = (owner.session().await, owner.session().await);
    let attaching = Attaching::new(&barred_from, "laptop-1").declaring(&["codex"]);
    let generation = owner.attach(&attaching).await.unwrap().generation;
    owner.online(&barred_from, "laptop-2").await;
    let watch = RosterWatch::start(&owner, &barred_from).await;
    let before = plane.database.snapshot().await;

    let slots = owner.revoke_node("laptop-1", Some(&barred_from)).await.unwrap();
    assert_eq!(slots.len(), 1);
    assert_eq!(slots[0].slot_state(), SlotState::Revoked);
    assert!(slots[0].generation > generation, "{slots:?}");
    watch.shows("laptop-1", PresenceHealth::Offline).await;
    assert_eq!(watch.shown("laptop-1").last().unwrap(), &(PresenceHealth::Offline, PresenceCause::Revoked));
    let node = owner.node(&barred_from, "laptop-1").await;
    assert_eq!(node, slots[0]);
    assert_eq!(presence(&node), (PresenceHealth::Offline, PresenceCause::Revoked));
    shown(&owner, &barred_from).await;
    let after = plane.database.snapshot().await;
    assert_eq!(after.rows("session_memberships"), before.rows("session_memberships"));
    assert_eq!(after.rows("sessions"), before.rows("sessions"));

    all_are(&asked_of(&owner, &barred_from, &attaching, generation).await, "runtimenode.attach_revoked");
    all_are(
        &asked_of(&owner, &barred_from, &attaching, slots[0].generation).await[3..],
        "runtimenode.attach_revoked",
    );
    let again = plane.repeats(owner.revoke_node("laptop-1", Some(&barred_from))).await;
    assert_eq!(again, slots, "a repeat changes nothing");
    let plane = plane.kill_and_restart().await;
    let owner = plane.client().await;
    all_are(&asked_of(&owner, &barred_from, &attaching, generation).await, "runtimenode.attach_revoked");

    let generation = owner.online(&other, "laptop-1").await;
    owner.beat("laptop-1", generation).await.expect("it is welcome elsewhere");
    owner.declare("laptop-1", generation, &["x"]).await.unwrap();
    owner.detach("laptop-1", generation).await.unwrap();
    all_are(&asked_of(&owner, &barred_from, &attaching, 1).await[3..], "runtimenode.attach_revoked");
}

#[tokio::test]
async fn revoking_a_node_in_a_session_it_has_left_does_not_disturb_it_where_it_is() {
    let plane = Plane::start(PlaneOptions::default()).await;
    let owner = plane.client().await;
    let (left, present) = (owner.session().await, owner.session().await);
    let former = owner.online(&left, "laptop-1").await;
    owner.detach("laptop-1", former).await.unwrap();
    let generation = owner.online(&present, "laptop-1").await;
    owner.beat("laptop-1", generation).await.unwrap();

    owner.revoke_node("laptop-1", Some(&left)).await.unwrap();
    owner.beat("laptop-1", generation).await.expect("it beats on");
    owner.declare("laptop-1", generation, &["other"]).await.expect("it declares on");
    assert_eq!(presence(&owner.node(&present, "laptop-1").await).0, PresenceHealth::Online);
    let node = owner.node(&left, "laptop-1").await;
    assert_eq!((node.slot_state(), node.presence), (SlotState::Revoked, None));
    shown(&owner, &left).await;
    shown(&owner, &present).await;
    let listed = owner.admin.clone().list_nodes(ListNodesRequest::default()).await.unwrap().into_inner();
    assert_eq!(listed.nodes, [owner.node(&present, "laptop-1").await], "the fleet shows its active slot");
    let zombie = refusal(owner.beat("laptop-1", former).await);
    assert_eq!(zombie.code, "runtimenode.attach_revoked");

    // A server that starts anew sees it alike.
    let plane = plane.kill_and_restart().await;
    let owner = plane.client().await;
    owner.beat("laptop-1", generation).await.expect("it beats on");
    let taken_out = owner.detach_node("laptop-1").await.expect("and can be taken out where it is");
    assert_eq!(
        (taken_out.session_id.as_str(), taken_out.slot_state()),
        (present.as_str(), SlotState::Offline)
    );
}

#[tokio::test]
async fn a_node_that_was_detached_and_then_revoked_is_shown_as_revoked() {
    let plane = Plane::start(PlaneOptions::default()).await;
    let owner = plane.client().await;
    let session = owner.session().await;
    let attaching = Attaching::new(&session, "laptop-1");
    let generation = owner.attach(&attaching).await.unwrap().generation;
    owner.detach("laptop-1", generation).await.unwrap();
    owner.revoke_node("laptop-1", Some(&session)).await.unwrap();
    let node = owner.node(&session, "laptop-1").await;
    assert_eq!(node.slot_state(), SlotState::Revoked);
    assert_eq!(presence(&node), (PresenceHealth::Offline, PresenceCause::Revoked));
    shown(&owner, &session).await;
    all_are(&asked_of(&owner, &session, &attaching, generation).await, "runtimenode.attach_revoked");
}

#[tokio::test]
async fn a_node_that_was_revoked_everywhere_is_refused_everywhere() {
    let plane = Plane::start(PlaneOptions::default()).await;
    let (owner, admin) = (plane.client().await, plane.admin().await);
    let (left, present, never) = (owner.session().await, owner.session().await, owner.session().await);
    let generation = owner.online(&left, "laptop-1").await;
    owner.detach("laptop-1", generation).await.unwrap();
    let attaching = Attaching::new(&present, "laptop-1").declaring(&["codex"]);
    let generation = owner.attach(&attaching).await.unwrap().generation;
    owner.online(&present, "laptop-2").await;
    let watch = RosterWatch::start(&owner, &present).await;
    let before = plane.database.snapshot().await;

    let refused = plane.refuses(owner.revoke_node("laptop-1", None)).await;
    assert_eq!(refused.code, "runtimenode.permission_denied", "an owner has no say in other sessions");
    admin.revoke_node("laptop-1", None).await.unwrap();
    watch.shows("laptop-1", PresenceHealth::Offline).await;
    let node = owner.node(&present, "laptop-1").await;
    assert_eq!(node.slot_state(), SlotState::Revoked);
    assert_eq!(presence(&node), (PresenceHealth::Offline, PresenceCause::Revoked));
    shown(&owner, &present).await;
    shown(&owner, &left).await;
    let after = plane.database.snapshot().await;
    assert_eq!(after.rows("session_memberships"), before.rows("session_memberships"));
    for session in [&present, &left, &never] {
        let asked = asked_of(&owner, session, &attaching, generation).await;
        all_are(&asked, "runtimenode.attach_revoked");
    }
    plane.repeats(admin.revoke_node("laptop-1", None)).await;
    let plane = plane.kill_and_restart().await;
    let owner = plane.client().await;
    for session in [&present, &left, &never] {
        let asked = asked_of(&owner, session, &attaching, generation).await;
        all_are(&asked, "runtimenode.attach_revoked");
    }
    assert_eq!(owner.node(&present, "laptop-2").await.slot_state(), SlotState::Online);
}

#[tokio::test]
async fn a_detached_node_that_is_revoked_everywhere_keeps_its_presence_in_the_roster() {
    let plane = Plane::start(PlaneOptions::default()).await;
    let (owner, admin) = (plane.client().await, plane.admin().await);
    let session = owner.session().await;
    let generation = owner.online(&session, "laptop-1").await;
    owner.detach("laptop-1", generation).await.unwrap();
    admin.revoke_node("laptop-1", None).await.unwrap();
    let node = &shown(&owner, &session).await[0];
    assert_eq!(presence(node).0, PresenceHealth::Offline);
    let refused = refusal(owner.attach(&Attaching::new(&session, "laptop-1")).await);
    assert_eq!(refused.code, "runtimenode.attach_revoked");
}

#[tokio::test]
async fn a_revocation_that_waited_for_an_attach_ends_it() {
    let plane = Plane::start(PlaneOptions::default()).await;
    let owner = plane.client().await;
    let session = owner.session().await;
    owner.online(&session, "laptop-1").await;
    let mut lock = plane.database.pool.begin().await.unwrap();
    sqlx::query("select from sessions for update").execute(&mut *lock).await.unwrap();
    let (first, second) = (owner.clone(), owner.clone());
    let attaching = Attaching::new(&session, "laptop-1");
    let attach = tokio::spawn(async move { first.attach(&attaching).await });
    plane.database.has_blocked(1).await;
    let from = session.clone();
    let revoke = tokio::spawn(async move { second.revoke_node("laptop-1", Some(&from)).await });
    plane.database.has_blocked(2).await;
    lock.rollback().await.unwrap();

    let generation = attach.await.unwrap().unwrap().generation;
    let slots = revoke.await.unwrap().expect("the revocation began before the span that it ends");
    assert!(slots[0].generation > generation);
    assert_eq!(refusal(owner.beat("laptop-1", generation).await).code, "runtimenode.attach_revoked");
}

#[tokio::test]
async fn a_revocation_says_why_and_where() {
    let plane = Plane::start(PlaneOptions::default()).await;
    let owner = plane.client().await;
    let session = owner.session().await;
    owner.online(&session, "laptop-1").await;
    let good = RevokeNodeRequest {
        node_id: "laptop-1".to_owned(),
        scope: Some(Scope::SessionId(session.clone())),
        reason: "it was stolen".to_owned(),
        ..RevokeNodeRequest::default()
    };
    for (field, bad) in [
        ("reason", RevokeNodeRequest { reason: String::new(), ..good.clone() }),
        ("reason", RevokeNodeRequest { reason: "   ".to_owned(), ..good.clone() }),
        ("scope", RevokeNodeRequest { scope: None, ..good.clone() }),
        ("everywhere", RevokeNodeRequest { scope: Some(Scope::Everywhere(false)), ..good.clone() }),
    ] {
        let refused = plane.refuses(owner.admin.clone().revoke_node(bad)).await;
        assert_eq!((&*refused.code, refused.field.as_deref()), ("argument.invalid", Some(field)));
    }
    let dry = RevokeNodeRequest { validate_only: true, ..good.clone() };
    let told = plane.repeats(owner.admin.clone().revoke_node(dry)).await.into_inner();
    assert_eq!(told.slots[0].slot_state(), SlotState::Revoked, "what would be");
    owner.admin.clone().revoke_node(good).await.unwrap();
    let reason: String = sqlx::query_scalar("select end_reason from attachment_spans")
        .fetch_one(&plane.database.pool)
        .await
        .unwrap();
    assert_eq!(reason, "it was stolen");
}

#[tokio::test]
async fn an_owner_takes_out_and_bars_the_nodes_of_others_in_his_session_and_not_elsewhere() {
    let plane = Plane::start(PlaneOptions::default()).await;
    let owner = plane.client().await;
    let (member, client) = plane.stranger().await;
    let (here, there) = (owner.session().await, client.session().await);
    owner.welcome(&here, member, MemberRole::RuntimeContributor).await;
    let generation = client.online(&here, "laptop-1").await;
    client.online(&there, "elsewhere").await;

    let node = owner.detach_node("laptop-1").await.unwrap();
    assert_eq!(node.slot_state(), SlotState::Offline);
    assert_eq!(presence(&node), (PresenceHealth::Offline, PresenceCause::Detached));
    assert_eq!(refusal(client.beat("laptop-1", generation).await).code, "runtimenode.not_attached");
    shown(&owner, &here).await;
    let generation = client.online(&here, "laptop-1").await;
    client.beat("laptop-1", generation).await.expect("it may come back");

    for refused in [
        plane.refuses(owner.detach_node("elsewhere")).await,
        plane.refuses(owner.revoke_node("elsewhere", Some(&there))).await,
        plane.refuses(owner.revoke_node("elsewhere", Some(&here))).await,
        plane.refuses(owner.revoke_node("elsewhere", None)).await,
        plane.refuses(owner.revoke_node("laptop-1", Some(&there))).await,
        plane.refuses(owner.revoke_node("laptop-1", None)).await,
    ] {
        assert_eq!(refused.code, "runtimenode.permission_denied");
    }
    owner.revoke_node("laptop-1", Some(&here)).await.unwrap();
    assert_eq!(refusal(client.beat("laptop-1", generation).await).code, "runtimenode.attach_revoked");
    // It is still its owner's, who takes it elsewhere; there the first one has no say.
    client.online(&there, "laptop-1").await;
    assert_eq!(plane.refuses(owner.detach_node("laptop-1")).await.code, "runtimenode.permission_denied");
    let admin = plane.admin().await;
    assert_eq!(admin.detach_node("laptop-1").await.unwrap().session_id, there);
    for unknown in [
        plane.refuses(admin.detach_node("unknown")).await,
        plane.refuses(admin.revoke_node("unknown", None)).await,
        plane.refuses(admin.revoke_node("unknown", Some(&here))).await,
        plane.refuses(transfer(&admin, "unknown", member)).await,
        plane.refuses(forget(&admin, "unknown")).await,
    ] {
        assert_eq!(unknown.code, "runtimenode.not_found", "an admin is told");
    }
}

#[tokio::test]
async fn a_transfer_fences_the_former_owner_s_daemon_and_lets_the_new_owner_attach() {
    let plane = Plane::start(PlaneOptions::default()).await;
    let (owner, admin) = (plane.client().await, plane.admin().await);
    let session = owner.session().await;
    let (heir, theirs) = plane.stranger().await;
    owner.welcome(&session, heir, MemberRole::RuntimeContributor).await;
    let attaching = Attaching::new(&session, "laptop-1").declaring(&["codex"]);
    let generation = owner.attach(&attaching).await.unwrap().generation;
    let early = refusal(theirs.attach(&Attaching::new(&session, "laptop-1")).await);
    assert_eq!(early.code, "runtimenode.permission_denied");

    let dry = TransferNodeRequest {
        node_id: "laptop-1".to_owned(),
        participant_id: heir.to_string(),
        validate_only: true,
        ..TransferNodeRequest::default()
    };
    let told = plane.repeats(admin.admin.clone().transfer_node(dry)).await.into_inner().generation;
    let fence = transfer(&admin, "laptop-1", heir).await.unwrap();
    assert!(fence > generation && fence == told, "{generation} {fence} {told}");
    let node = &shown(&owner, &session).await[0];
    assert_eq!((node.slot_state(), node.participant_id.as_str()), (SlotState::Offline, &*heir.to_string()));
    assert_eq!(presence(node), (PresenceHealth::Offline, PresenceCause::Detached));
    let ended: String = sqlx::query_scalar("select end_cause from attachment_spans")
        .fetch_one(&plane.database.pool)
        .await
        .unwrap();
    assert_eq!(ended, "transferred");
    for generation in [generation, fence] {
        let asked = asked_of(&owner, &session, &attaching, generation).await;
        all_are(&asked, "runtimenode.permission_denied");
    }

    let anew = theirs.online(&session, "laptop-1").await;
    assert!(anew > fence);
    theirs.beat("laptop-1", anew).await.expect("it is the new owner's now");
    theirs.declare("laptop-1", anew, &["x"]).await.unwrap();
    let asked = asked_of(&owner, &session, &attaching, anew).await;
    all_are(&asked, "runtimenode.permission_denied");
    let slot_of: Uuid = sqlx::query_scalar("select participant_id from runtime_node_attachments")
        .fetch_one(&plane.database.pool)
        .await
        .unwrap();
    assert_eq!(slot_of, heir.0, "what is metered later is the new owner's");
    // The daemon that was fenced gets it back with the node, and only as a new run.
    let home = transfer(&admin, "laptop-1", plane.participant()).await.unwrap();
    assert!(home > anew);
    assert_eq!(refusal(owner.attach(&attaching).await).code, "runtimenode.generation_superseded");
    owner.online(&session, "laptop-1").await;
}

#[tokio::test]
async fn a_node_is_forgotten_only_when_it_is_neither_attached_nor_revoked() {
    let plane = Plane::start(PlaneOptions::default()).await;
    let (owner, admin) = (plane.client().await, plane.admin().await);
    let (session, other) = (owner.session().await, owner.session().await);
    let generation = owner.online(&session, "laptop-1").await;
    owner.online(&session, "laptop-2").await;
    for node_id in ["revoked-here", "revoked-all"] {
        let generation = owner.online(&other, node_id).await;
        owner.detach(node_id, generation).await.unwrap();
    }
    owner.revoke_node("revoked-here", Some(&other)).await.unwrap();
    admin.revoke_node("revoked-all", None).await.unwrap();
    assert_eq!(plane.refuses(forget(&admin, "laptop-1")).await.code, "runtimenode.still_attached");
    for node_id in ["revoked-here", "revoked-all"] {
        let refused = plane.refuses(forget(&admin, node_id)).await;
        assert_eq!(refused.code, "runtimenode.attach_revoked", "forgetting would lift what is for ever");
    }
    // Nor when it is revoked in a session and active in another.
    owner.online(&session, "revoked-here").await;
    assert_eq!(plane.refuses(forget(&admin, "revoked-here")).await.code, "runtimenode.attach_revoked");

    owner.detach("laptop-1", generation).await.unwrap();
    let dry = ForgetNodeRequest {
        node_id: "laptop-1".to_owned(),
        validate_only: true,
        ..ForgetNodeRequest::default()
    };
    plane.repeats(admin.admin.clone().forget_node(dry)).await;
    let key: i64 = sqlx::query_scalar("select node_key from runtime_nodes where node_id = 'laptop-1'")
        .fetch_one(&plane.database.pool)
        .await
        .unwrap();
    let watch = WatchRosterRequest { session_id: session.clone(), revision: String::new() };
    let mut events = owner.nodes.clone().watch_roster(watch).await.unwrap().into_inner();
    while !matches!(events.message().await.unwrap().unwrap().event, Some(Event::SnapshotEnd(_))) {}
    forget(&admin, "laptop-1").await.unwrap();
    for table in ["runtime_nodes", "runtime_node_attachments", "attachment_spans", "runtime_node_presence"] {
        let of_node = format!("\"node_key\": {key},");
        let last = format!("\"node_key\": {key}}}");
        let held = plane.database.snapshot().await;
        let left = held.rows(table).iter().filter(|row| row.contains(&of_node) || row.contains(&last));
        assert_eq!(left.count(), 0, "{table}");
        assert!(!held.rows(table).is_empty(), "the others are still in {table}");
    }
    // Who watches begins anew, without it.
    assert!(matches!(events.message().await.unwrap().unwrap().event, Some(Event::Resync(_))));
    let Some(Event::SnapshotChunk(chunk)) = events.message().await.unwrap().unwrap().event else {
        panic!("a snapshot follows")
    };
    let names: Vec<_> = chunk.nodes.into_iter().map(|node| node.node_id).collect();
    assert_eq!(names, ["laptop-2", "revoked-here"]);
    shown(&owner, &session).await;
    let get = GetNodeRequest { node_id: "laptop-1".to_owned() };
    assert_eq!(refusal(admin.admin.clone().get_node(get).await).code, "runtimenode.not_found");
    assert_eq!(refusal(owner.beat("laptop-1", generation).await).code, "runtimenode.permission_denied");

    // The name is free, for anybody, and nothing of before comes back.
    let (heir, theirs) = plane.stranger().await;
    owner.welcome(&session, heir, MemberRole::RuntimeContributor).await;
    let attached = theirs.attach(&Attaching::new(&session, "laptop-1")).await.unwrap();
    assert_eq!((attached.generation, attached.state()), (1, SlotState::Registering));
    theirs.beat("laptop-1", 1).await.unwrap();
    shown(&owner, &session).await;
}

#[tokio::test]
async fn an_attach_that_waited_for_its_node_to_be_forgotten_begins_anew() {
    let plane = Plane::start(PlaneOptions::default()).await;
    let (owner, admin) = (plane.client().await, plane.admin().await);
    let session = owner.session().await;
    let generation = owner.online(&session, "laptop-1").await;
    owner.detach("laptop-1", generation).await.unwrap();
    let mut lock = plane.database.pool.begin().await.unwrap();
    sqlx::query("select from runtime_nodes for update").execute(&mut *lock).await.unwrap();
    let forgetting = tokio::spawn(async move { forget(&admin, "laptop-1").await });
    plane.database.has_blocked(1).await;
    let attaching = Attaching::new(&session, "laptop-1");
    let client = owner.clone();
    let attach = tokio::spawn(async move { client.attach(&attaching).await });
    plane.database.has_blocked(2).await;
    lock.rollback().await.unwrap();

    forgetting.await.unwrap().unwrap();
    let attached = attach.await.unwrap().expect("a forgotten node may attach");
    assert_eq!(attached.generation, 1);
    owner.beat("laptop-1", 1).await.expect("and is a node like any other");
    shown(&owner, &session).await;
}

#[tokio::test]
async fn each_verb_on_nodes_that_is_repeated_under_its_id_has_one_effect() {
    let plane = Plane::start(PlaneOptions::default()).await;
    let (owner, admin) = (plane.client().await, plane.admin().await);
    let session = owner.session().await;
    owner.online(&session, "laptop-1").await;
    let (node_id, request_id) = (|| "laptop-1".to_owned(), || Uuid::new_v4().to_string());

    let detach = DetachNodeRequest { node_id: node_id(), request_id: request_id(), ..Default::default() };
    let answer = admin.admin.clone().detach_node(detach.clone()).await.unwrap().into_inner();
    let participant_id = plane.participant().to_string();
    let transfer = TransferNodeRequest {
        node_id: node_id(),
        participant_id,
        request_id: request_id(),
        ..Default::default()
    };
    let transferred = admin.admin.clone().transfer_node(transfer.clone()).await.unwrap().into_inner();
    // It came back meanwhile, and the old request does not touch it.
    let generation = owner.online(&session, "laptop-1").await;
    let again = plane.repeats(admin.admin.clone().detach_node(detach.clone())).await.into_inner();
    assert_eq!(again, answer);
    let again = plane.repeats(admin.admin.clone().transfer_node(transfer.clone())).await.into_inner();
    assert_eq!(again, transferred);
    owner.beat("laptop-1", generation).await.unwrap();

    owner.detach("laptop-1", generation).await.unwrap();
    let forget = ForgetNodeRequest { node_id: node_id(), request_id: request_id(), ..Default::default() };
    admin.admin.clone().forget_node(forget.clone()).await.unwrap();
    plane.repeats(admin.admin.clone().forget_node(forget.clone())).await;
    // What is no more is remembered by its answers.
    let again = plane.repeats(admin.admin.clone().detach_node(detach)).await.into_inner();
    assert_eq!(again, answer);
    let generation = owner.online(&session, "laptop-1").await;
    plane.repeats(admin.admin.clone().forget_node(forget)).await;
    let revoke = RevokeNodeRequest {
        node_id: node_id(),
        scope: Some(Scope::SessionId(session.clone())),
        reason: "it was stolen".to_owned(),
        request_id: request_id(),
        ..Default::default()
    };
    let answer = owner.admin.clone().revoke_node(revoke.clone()).await.unwrap().into_inner();
    assert!(answer.slots[0].generation > generation);
    let again = plane.repeats(owner.admin.clone().revoke_node(revoke)).await.into_inner();
    assert_eq!(again, answer);
}
