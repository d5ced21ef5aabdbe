//! The active server dies: how soon another one leads, and that nobody else notices.

use std::time::{Duration, Instant};

use contracts::ParticipantId;
use tests::Database;
use uuid::Uuid;

use crate::{
    at_most,
    cluster::{Cluster, options, seed_fleet},
    median,
    roaming::Roaming,
    rounds,
};

const FLEET: u32 = 10_000;

#[tokio::test(flavor = "multi_thread")]
async fn after_kill_9_a_standby_leads_at_once_and_the_fleet_goes_on() {
    let database = Database::new().await;
    seed_fleet(&database, ParticipantId(Uuid::now_v7()), FLEET).await;
    let mut cluster = Cluster::start(database, 2, &options()).await;
    let client = cluster.planes[0].client().await;
    let session = client.session().await;
    let nodes = client.attach_all(&session, "living", 3).await;
    cluster.database.record_transitions().await;

    let (mut promoted, mut heard) = (Vec::new(), Vec::new());
    for _ in 0..rounds(5, 20) {
        let former = cluster.active().await;
        let roaming = Roaming::all(&cluster, &nodes).await;
        let epoch = cluster.epoch().await;
        let killed = Instant::now();
        cluster.kill(former);
        let (next, led) = cluster.other_than(former).await;
        promoted.push(led - killed);
        for node in &roaming {
            heard.push(node.heard_after(led).await - killed);
            assert_eq!(node.lost_slots(), [""; 0], "no node had to attach again");
        }
        assert_eq!(cluster.epoch().await, epoch + 1, "recovery ran once");
        assert_eq!(cluster.active().await, next);
        drop(roaming);
        cluster.replace(former).await;
        cluster.has_standbys(1).await;
    }
    println!("kill -9, {FLEET} nodes: active after {promoted:?}, beats acknowledged after {heard:?}");
    let (promoted, heard) = (median(promoted), median(heard));
    println!("kill -9, medians: active after {promoted:?}, beats acknowledged after {heard:?}");
    at_most(promoted, Duration::from_millis(250));
    at_most(heard, Duration::from_secs(1));
    assert_eq!(cluster.database.transitions("living-").await, [], "nobody was called silent");
}
