//! A replica that does not read: it costs the server little, and nobody else anything.

use std::time::Instant;

use tests::{Appending, Entry, Plane, PlaneOptions, eventually};

use crate::{
    by_hand::{ByHand, introduction},
    kept_node::{KeptNode, are_equal},
    size,
    status::{find, in_sync, status},
};

/// Streams that do not read.
const SLOW: usize = 8;
/// Of each event.
const PAYLOAD_BYTES: usize = 256 * 1024;
/// What a stream that does not read may keep in memory: what is under way to it, read, encoded and in the transport.
const KIB_PER_STREAM: u64 = 8 * 1024;
/// What the server may take for all the rest.
const KIB_ELSE: u64 = 64 * 1024;

#[tokio::test(flavor = "multi_thread")]
async fn a_replica_that_does_not_read_costs_little_and_slows_nobody() {
    let plane = Plane::start(PlaneOptions::default()).await;
    let client = plane.client().await;
    let session = client.session().await;
    let kept = KeptNode::start(&plane, &plane.address, &session, "quick");
    in_sync(&client, &session, &["quick"]).await;
    let mut slow = Vec::new();
    for number in 0..SLOW {
        // Each by a connection of its own, of which nothing is read but its own first message.
        let client = plane.client().await;
        let name = format!("slow-{number}");
        let generation = client.online(&session, &name).await;
        let mut stream = ByHand::introduced(&client, introduction(&session, &name, generation)).await;
        stream.plan().await;
        slow.push(stream);
    }
    in_sync(&client, &session, &["quick"]).await;
    let before = plane.process.memory_kib();
    let payload = "x".repeat(PAYLOAD_BYTES);
    let appends = size(200, 2_000);
    let began = Instant::now();
    for number in 0..appends {
        let append = Appending::new(&session).event("drill.large", &payload);
        client.append(&append).await.expect("the event is taken");
        if number % 50 == 0 {
            in_sync(&client, &session, &["quick"]).await;
        }
    }
    in_sync(&client, &session, &["quick"]).await;
    let took = began.elapsed();
    let seen = status(&client, &session).await;
    for number in 0..SLOW {
        let replica = find(&seen, &format!("slow-{number}")).expect("it is known");
        assert!(replica.lag >= appends as u64, "it does not read: {replica:?}");
    }
    let settled = async || plane.process.memory_kib().saturating_sub(before);
    let bound = SLOW as u64 * KIB_PER_STREAM + KIB_ELSE;
    let grown = eventually("the server takes little", settled, |grown| *grown < bound).await;
    let sent = (appends * PAYLOAD_BYTES) as u64 / 1024;
    assert!(bound < SLOW as u64 * sent / 2, "keeping what is unread would show");
    let whole: Vec<_> = client.events(&session).await.iter().map(Entry::from).collect();
    are_equal(&client, &session, &whole, &[&kept]).await;
    println!(
        "{sent} KiB to each of {SLOW} replicas that do not read: the server grew by {grown} KiB, and the one that reads \
         was in sync after {took:?}"
    );

    // Neither do streams pile up that were superseded and do not read that either.
    let metric = async || plane.metric("rollcall_replication_streams").await;
    let mut latter = Vec::new();
    for number in 0..SLOW {
        let client = plane.client().await;
        let name = format!("slow-{number}");
        let generation = crate::mixed::generation_of(&plane, &name).await;
        let mut stream = ByHand::introduced(&client, introduction(&session, &name, generation)).await;
        stream.plan().await;
        latter.push(stream);
    }
    eventually("the former streams are gone", metric, |streams| *streams == Some((SLOW + 1) as f64)).await;
    drop((slow, latter));
    eventually("all of them are gone", metric, |streams| *streams == Some(1.0)).await;
}
