//! Planned handovers: what SIGTERM and `step-down` cost.

use std::time::{Duration, Instant};

use contracts::{ParticipantId, wire::v1::StepDownRequest};
use control_plane::auth::tokens::Scope;
use tests::{Database, eventually, token};

use crate::{
    at_most,
    cluster::{Cluster, options, seed_fleet},
    median,
    roaming::Roaming,
    rounds,
};

const FLEET: i64 = 10_000;

/// How the active server is asked to go.
#[derive(Clone, Copy, Debug)]
enum How {
    Sigterm,
    StepDown,
}

async fn gap_at_a_handover(how: How) {
    let database = Database::new().await;
    seed_fleet(&database, FLEET).await;
    let mut cluster = Cluster::start(database, 2, &options()).await;
    let client = cluster.planes[0].client().await;
    let session = client.session().await;
    let nodes = client.attach_all(&session, "living", 3).await;
    let mut gaps = Vec::new();
    for _ in 0..rounds(5, 20) {
        let former = cluster.active().await;
        let roaming = Roaming::all(&cluster, &nodes).await;
        let asked = Instant::now();
        match how {
            How::Sigterm => cluster.planes[former].process.signal("TERM"),
            How::StepDown => {
                let mut leadership = cluster.planes[former].admin().await.leadership;
                leadership.step_down(StepDownRequest::default()).await.expect("it steps down");
            }
        }
        let (_, led) = cluster.other_than(former).await;
        for node in &roaming {
            node.heard_after(led).await;
            gaps.push(node.longest_gap_since(asked));
            assert_eq!(node.lost_slots(), [""; 0], "no node had to attach again");
        }
        drop(roaming);
        if matches!(how, How::Sigterm) {
            assert!(cluster.planes[former].process.ended().await.success(), "it ends in order");
            cluster.replace(former).await;
        }
        cluster.has_standbys(1).await;
    }
    println!("{how:?}, {FLEET} nodes: no beat was acknowledged for {gaps:?}");
    let gap = median(gaps);
    println!("{how:?}, median: {gap:?}");
    at_most(gap, Duration::from_millis(100));
}

#[tokio::test(flavor = "multi_thread")]
async fn sigterm_costs_a_tenth_of_a_second_of_beats_at_most() {
    gap_at_a_handover(How::Sigterm).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_step_down_costs_a_tenth_of_a_second_of_beats_at_most() {
    gap_at_a_handover(How::StepDown).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_leader_without_a_standby_steps_down_only_when_told_so_and_leads_again() {
    let cluster = Cluster::start(Database::new().await, 1, &options()).await;
    let plane = &cluster.planes[0];
    let refused = plane.cli_as_admin(&["leader", "step-down"]);
    assert_eq!(refused.status.code(), Some(1), "{refused:?}");
    assert!(String::from_utf8_lossy(&refused.stderr).contains("controller.no_standby"), "{refused:?}");
    let epoch = cluster.epoch().await;

    let dry = plane.cli_as_admin(&["leader", "step-down", "--without-standby", "--dry-run"]);
    assert!(dry.status.success(), "{dry:?}");
    assert_eq!(cluster.epoch().await, epoch, "it was a dry run");
    let id = uuid::Uuid::now_v7().to_string();
    let step_down = ["leader", "step-down", "--without-standby", "--reason", "a drill", "--request-id", &id];
    let token = token(ParticipantId(uuid::Uuid::now_v7()), Scope::Admin);
    let step_down = [&step_down[..], &["--token", &token]].concat();
    let done = plane.cli_as_admin(&step_down);
    assert!(done.status.success(), "{done:?}");
    eventually("it leads again", async || cluster.epoch().await, |now| *now == epoch + 1).await;
    plane.active().await;

    // The same request again has no effect: it was carried out.
    let again = plane.cli_as_admin(&step_down);
    assert_eq!((again.status.success(), &again.stderr), (true, &done.stderr));
    assert_eq!(cluster.epoch().await, epoch + 1);
    let entries = plane.admin().await.audit().await;
    let stepped: Vec<_> = entries.iter().filter(|entry| entry.action == "leader.step_down").collect();
    assert_eq!(stepped.len(), 1, "{entries:?}");
    assert_eq!((stepped[0].reason.as_str(), stepped[0].epoch), ("a drill", epoch));
}
