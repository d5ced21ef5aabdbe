//! Planned handovers: what SIGTERM and `step-down` cost.

use std::time::{Duration, Instant};

use contracts::{ParticipantId, wire::v1::StepDownRequest};
use control_plane::auth::tokens::Scope;
use sqlx::{Connection, PgConnection};
use tests::{Database, eventually, token};
use uuid::Uuid;

use crate::{
    at_most,
    cluster::{Cluster, options, seed_fleet},
    median,
    roaming::Roaming,
    rounds,
};

const FLEET: u32 = 1_000;
/// No beat is acknowledged for so long at most, in the median.
const GAP_MAX: Duration = Duration::from_millis(100);
/// Most of the gap is the time in which the next leader loads its view, which grows with the fleet.
const LARGE_FLEET: u32 = 10_000;
const LARGE_GAP_MAX: Duration = Duration::from_millis(200);

/// How the active server is asked to go.
#[derive(Clone, Copy, Debug)]
enum How {
    Sigterm,
    StepDown,
}

/// Takes turns at leading with so many nodes there, and holds the gap in acknowledged beats against its bound.
async fn gap_at_a_handover(how: How, fleet: u32, bound: Duration) {
    let database = Database::new().await;
    seed_fleet(&database, ParticipantId(Uuid::now_v7()), fleet).await;
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
    println!("{how:?}, {fleet} nodes: no beat was acknowledged for {gaps:?}");
    let gap = median(gaps);
    println!("{how:?}, {fleet} nodes, median: {gap:?}");
    at_most(gap, bound);
}

#[tokio::test(flavor = "multi_thread")]
async fn sigterm_costs_a_tenth_of_a_second_of_beats_at_most() {
    gap_at_a_handover(How::Sigterm, FLEET, GAP_MAX).await;
    gap_at_a_handover(How::Sigterm, LARGE_FLEET, LARGE_GAP_MAX).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_step_down_costs_a_tenth_of_a_second_of_beats_at_most() {
    gap_at_a_handover(How::StepDown, FLEET, GAP_MAX).await;
    gap_at_a_handover(How::StepDown, LARGE_FLEET, LARGE_GAP_MAX).await;
}

/// Takes a lock that nobody else wants and lets go of it: the least that any hand-over takes.
async fn bare_lock(db: &mut PgConnection) -> Duration {
    let began = Instant::now();
    for statement in ["select pg_advisory_lock(4711)", "select pg_advisory_unlock(4711)"] {
        sqlx::query(statement).execute(&mut *db).await.expect("a lock can be had");
    }
    began.elapsed()
}

/// How long after the former leader was last seen to lead another server had the lock, and how long after it was active, as
/// the row tells whoever reads it all the time.
async fn handover_after(epoch: i64, mut db: PgConnection) -> (Duration, Duration) {
    let (mut held, mut won) = (Instant::now(), None);
    loop {
        let (now, state): (i64, String) = sqlx::query_as("select epoch, state from leadership")
            .fetch_one(&mut db)
            .await
            .expect("the row can be read");
        let at = Instant::now();
        match (now > epoch, state.as_str()) {
            (false, "active") => held = at,
            (false, "released") => {}
            (true, "active") => return (*won.get_or_insert(at) - held, at - held),
            (true | false, _) => {
                won.get_or_insert(at);
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_handover_is_looked_at_beside_a_bare_lock() {
    let cluster = Cluster::start(Database::new().await, 2, &options()).await;
    let connect = async || PgConnection::connect(&cluster.database.url).await.expect("it connects");
    let mut db = connect().await;
    let (mut bare, mut won, mut active) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..rounds(5, 50) {
        for _ in 0..100 {
            bare.push(bare_lock(&mut db).await);
        }
        let former = cluster.active().await;
        let watching = tokio::spawn(handover_after(cluster.epoch().await, connect().await));
        let mut leadership = cluster.planes[former].admin().await.leadership;
        leadership.step_down(StepDownRequest::default()).await.expect("it steps down");
        let (lock, lead) = watching.await.expect("it was watched to its end");
        won.push(lock);
        active.push(lead);
        assert_ne!(cluster.other_than(former).await.0, former);
        cluster.has_standbys(1).await;
    }
    println!(
        "a planned hand-over, medians of {}: lock taken {:?} after the former leader was last seen to lead, active after {:?}; \
         a bare pg_advisory_lock and unlock: {:?}",
        won.len(),
        median(won.clone()),
        median(active),
        median(bare)
    );
    // The release wakes who waits: the time between two tries is never waited for.
    at_most(median(won), Duration::from_millis(25));
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
    let id = Uuid::now_v7().to_string();
    let step_down = ["leader", "step-down", "--without-standby", "--reason", "a drill", "--request-id", &id];
    let token = token(ParticipantId(Uuid::now_v7()), Scope::Admin);
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
