//! Failovers of every kind, one after another, while nodes beat and attach all the time.

use std::{
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use tests::{Attaching, Client, PrivatePostgres, eventually};
use tokio::time::{sleep, timeout};

use crate::{
    cluster::{Cluster, options},
    commits, median,
    roaming::Roaming,
    rounds,
};

/// What happens to the active server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fault {
    Kill,
    Terminate,
    Stop,
    StepDown,
    LockSession,
}

const FAULTS: [Fault; 5] = [Fault::Kill, Fault::Terminate, Fault::Stop, Fault::StepDown, Fault::LockSession];

/// Attaches one new node after another, at whichever server takes it; remembers what was acknowledged.
async fn attach_for_ever(
    clients: Vec<Client>,
    session: String,
    round: usize,
    attached: Arc<Mutex<Vec<(String, u64)>>>,
) {
    for number in 0.. {
        let node_id = format!("arriving-{round}-{number}");
        let attaching = Attaching::new(&session, &node_id).declaring(&["codex"]);
        for client in clients.iter().cycle().take(clients.len() * 3) {
            if let Ok(Ok(answer)) = timeout(Duration::from_millis(500), client.attach(&attaching)).await {
                attached.lock().expect("it is writable").push((node_id, answer.generation));
                break;
            }
        }
        sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn of_random_failovers_under_load_none_lets_a_stale_write_in_or_loses_an_acknowledged_one() {
    let postgres = PrivatePostgres::start_with(&[("fsync", "off"), ("track_commit_timestamp", "on")]).await;
    let database = postgres.database().await;
    commits::record(&database).await;
    let options = options().flag("--lease", "1s").flag("--session-nodes-max", "1000000");
    let mut cluster = Cluster::start(database, 3, &options).await;
    let client = cluster.planes[0].client().await;
    let session = client.session().await;
    let nodes = client.attach_all(&session, "living", 2).await;
    let attached = Arc::new(Mutex::new(Vec::new()));

    let rounds = rounds(50, 1_000);
    let mut gaps: Vec<Vec<Duration>> = vec![Vec::new(); FAULTS.len()];
    let mut chance = u64::from(std::process::id()) ^ 0x9e37_79b9_7f4a_7c15;
    println!("seed {chance:#x}");
    for round in 0..rounds {
        chance = chance.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let kind = usize::try_from(chance >> 33).expect("31 bits") % FAULTS.len();
        let former = cluster.active().await;
        let roaming = Roaming::all(&cluster, &nodes).await;
        let mut clients = Vec::new();
        for plane in &cluster.planes {
            clients.push(plane.client().await);
        }
        let attaching = tokio::spawn(attach_for_ever(clients, session.clone(), round, Arc::clone(&attached)));
        let epoch = cluster.epoch().await;
        let began = Instant::now();
        match FAULTS[kind] {
            Fault::Kill => cluster.kill(former),
            Fault::Terminate => cluster.planes[former].process.signal("TERM"),
            Fault::Stop => cluster.planes[former].process.signal("STOP"),
            Fault::StepDown => {
                let mut leadership = cluster.planes[former].admin().await.leadership;
                leadership
                    .step_down(contracts::wire::v1::StepDownRequest::default())
                    .await
                    .expect("it steps down");
            }
            Fault::LockSession => cluster.end_lock_session().await,
        }
        let epochs = async || cluster.epoch().await;
        eventually("another term begins", epochs, |now| *now > epoch).await;
        if FAULTS[kind] == Fault::Stop {
            cluster.other_than(former).await;
            cluster.planes[former].process.signal("CONT");
        }
        let led = Instant::now();
        for node in &roaming {
            node.heard_after(led).await;
            gaps[kind].push(node.longest_gap_since(began));
            assert_eq!(node.lost_slots(), [""; 0], "round {round}, {:?}", FAULTS[kind]);
        }
        drop(roaming);
        attaching.abort();
        match FAULTS[kind] {
            Fault::Kill => cluster.replace(former).await,
            Fault::Terminate => {
                assert!(cluster.planes[former].process.ended().await.success(), "it ends in order");
                cluster.replace(former).await;
            }
            Fault::Stop | Fault::StepDown | Fault::LockSession => {}
        }
        cluster.has_standbys(2).await;
    }

    for (fault, gaps) in FAULTS.iter().zip(gaps).filter(|(_, gaps)| !gaps.is_empty()) {
        let worst = gaps.iter().max().copied().unwrap_or_default();
        println!(
            "{fault:?}: {} gaps in acknowledged beats, median {:?}, longest {worst:?}",
            gaps.len(),
            median(gaps)
        );
    }
    let counted = commits::count(&cluster.database).await;
    println!("{rounds} failovers: {counted:?}, {} attaches acknowledged", attached.lock().unwrap().len());
    assert_eq!((counted.stale, counted.falling), (0, 0), "{counted:?}");
    assert!(counted.terms as usize >= rounds && counted.writes as usize > rounds * 10, "{counted:?}");
    let attached = attached.lock().unwrap().clone();
    check_attached(&cluster, &attached).await;
    let Cluster { database, planes } = cluster;
    drop((client, planes));
    database.pool.close().await;
    postgres.end().await;
}

async fn check_attached(cluster: &Cluster, attached: &[(String, u64)]) {
    assert!(attached.len() > 10, "{attached:?}");
    let stored: std::collections::BTreeMap<String, i64> = sqlx::query_as::<_, (String, i64)>(
        "select node_id, attachment.generation from runtime_node_attachments attachment
         join runtime_nodes using (node_key) where attachment.state = 'online'",
    )
    .fetch_all(&cluster.database.pool)
    .await
    .expect("attachments can be read")
    .into_iter()
    .collect();
    for (node_id, generation) in attached {
        assert_eq!(stored.get(node_id).copied(), i64::try_from(*generation).ok(), "{node_id}");
    }
}
