//! Who appends, and what: nodes at once, nodes below the floor, and events that not everybody knows.

use contracts::{
    Code,
    wire::v1::{NewEvent, RaiseVersionFloorRequest, ReplicaState},
};
use daemon_client::{
    TokenSource,
    replica::{Entry as Read, Replica},
};
use tests::{Appending, Attaching, Entry, Plane, PlaneOptions, ReplicaFolder, refusal};
use tokio::task::JoinSet;
use uuid::Uuid;

use crate::{
    by_hand::{ByHand, acknowledged, place},
    kept_node::{KeptNode, are_equal},
    size,
    status::{in_sync, is},
};

#[tokio::test(flavor = "multi_thread")]
async fn nodes_that_append_at_once_see_one_gapless_order() {
    let plane = Plane::start(PlaneOptions::default()).await;
    let client = plane.client().await;
    let session = client.session().await;
    let names = ["left", "right"];
    let kept: Vec<_> =
        names.iter().map(|name| KeptNode::start(&plane, &plane.address, &session, name)).collect();
    in_sync(&client, &session, &names).await;
    let each = size(150, 10_000);
    let mut appending = JoinSet::new();
    for name in names {
        let (client, session) = (plane.client().await, session.clone());
        let generation = generation_of(&plane, name).await;
        appending.spawn(async move {
            for number in 0..each {
                let append = Appending::new(&session).by(name, generation);
                let append = append.event("drill.said", &number.to_string()).key(&format!("{name}/last"));
                client.append(&append).await.expect("the node may append");
            }
        });
    }
    appending.join_all().await;
    in_sync(&client, &session, &names).await;
    let log = client.events(&session).await;
    for name in names {
        let said = log.iter().filter(|event| event.event_type.as_str() == "drill.said");
        let said = said.filter(|event| event.actor.to_string() == format!("node/{name}"));
        let said: Vec<_> = said.map(|event| String::from_utf8_lossy(&event.payload).into_owned()).collect();
        assert!(said.iter().eq(&(0..each).map(|number| number.to_string()).collect::<Vec<_>>()), "{name}");
    }
    let whole: Vec<_> = log.iter().map(Entry::from).collect();
    are_equal(&client, &session, &whole, &kept.iter().collect::<Vec<_>>()).await;
    println!("two nodes, {each} appends each: one order of {} events in both replicas", whole.len());
}

/// The generation of a node.
pub(crate) async fn generation_of(plane: &Plane, node: &str) -> u64 {
    let generation: i64 = sqlx::query_scalar("select generation from runtime_nodes where node_id = $1")
        .bind(node)
        .fetch_one(&plane.database.pool)
        .await
        .expect("the node is known");
    generation.unsigned_abs()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_below_the_floor_replicates_and_reads_and_appends_nothing() {
    let plane = Plane::start(PlaneOptions::default()).await;
    let client = plane.client().await;
    let session = client.session().await;
    let attaching = Attaching::new(&session, "old").declaring(&["codex"]).version("1.0");
    let generation = client.attach(&attaching).await.expect("it is let in").generation;
    let mut replica = ByHand::in_sync(&client, &session, "old", generation).await;
    let raise = RaiseVersionFloorRequest {
        session_id: session.clone(),
        min_client_version: "1.1".to_owned(),
        ..RaiseVersionFloorRequest::default()
    };
    client.sessions.clone().raise_version_floor(raise).await.expect("the floor can be raised");
    let append = Appending::new(&session).by("old", generation).event("drill.said", "");
    let refused = refusal(client.append(&append).await);
    assert_eq!(refused.code, Code::VersionFloorExceeded.to_string(), "{refused:?}");
    let number = client.say(&session, "drill.said").await;
    let heard = replica.stream.events_to(number).await;
    replica.stream.say(acknowledged("", place(heard.last().expect("it was heard")))).await;
    in_sync(&client, &session, &["old"]).await;
    // And on a stream that begins below the floor.
    drop(replica);
    is(&client, &session, "old", ReplicaState::Disconnected).await;
    let again = ByHand::in_sync(&client, &session, "old", generation).await;
    let read = client.events(&session).await;
    assert_eq!((again.events.len(), read.len()), (read.len(), usize::try_from(number).unwrap()));
}

#[tokio::test(flavor = "multi_thread")]
async fn events_that_a_reader_does_not_know_reach_it_whole() {
    let plane = Plane::start(PlaneOptions::default()).await;
    let client = plane.client().await;
    let session = client.session().await;
    let folder = ReplicaFolder::default();
    let config = daemon_client::Config {
        addresses: plane.url().parse().unwrap(),
        token: TokenSource::Given(daemon_client::Token::parse(plane.token()).unwrap()),
        trust: client_tls::Trust::of_system(),
        session_id: session.parse().unwrap(),
        node_id: "reader".parse().unwrap(),
        client_version: "1.0".parse().unwrap(),
        health: daemon_client::Health::Online,
        declaration: None,
        replica: Some(daemon_client::replica::Config::new(folder.path())),
    };
    let handle = daemon_client::start(config);
    let replica: Replica = handle.replica().expect("it keeps one").clone();
    let mut append = Appending::new(&session);
    for (version, event_type, payload) in [
        ("1.0", "drill.known", "a"),
        ("1.7", "drill.newer", "b"),
        ("1.0", "never.heard_of", "c"),
        ("2.0", "drill.beyond", "d"),
    ] {
        append.0.events.push(NewEvent {
            event_id: Uuid::new_v4().to_string(),
            envelope_version: version.to_owned(),
            r#type: event_type.to_owned(),
            content_type: "application/octet-stream".to_owned(),
            payload: payload.into(),
            ..NewEvent::default()
        });
    }
    let appended = client.append(&append).await.expect("all of them are taken");
    in_sync(&client, &session, &["reader"]).await;
    let after = contracts::Seq::new(appended.first_seq - 1).unwrap();
    let read = async || replica.events(after, 10).await.map(|page| page.entries).unwrap_or_default();
    let entries = tests::eventually("they are there", read, |entries| entries.len() >= 4).await;
    let kind = |entry: &Read| match entry {
        Read::Event(_) => "event",
        Read::Upcast(_) => "upcast",
        Read::Stub(_) => "stub",
    };
    let told = |entry: &Read| {
        let event = entry.original();
        let payload = String::from_utf8_lossy(&event.payload).into_owned();
        format!("{} {} {} {payload}", kind(entry), event.event_type, event.envelope_version)
    };
    let seen: Vec<_> = entries.iter().take(4).map(told).collect();
    assert_eq!(
        seen,
        [
            "event drill.known 1.0 a",
            "event drill.newer 1.7 b",
            "event never.heard_of 1.0 c",
            "stub drill.beyond 2.0 d",
        ]
    );
    let whole: Vec<_> = client.events(&session).await.iter().map(Entry::from).collect();
    tests::eventually("all is there", async || folder.held().end(), |end| *end == whole.len() as u64).await;
    folder.verified().equals(&whole);
    handle.detach(String::new()).await;
}
