//! Servers and nodes that are killed at any point, while events are appended.

use std::{
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use contracts::wire::v1::AppendEventsResponse;
use rand::{Rng, SeedableRng, rngs::StdRng};
use tests::{Appending, Client, Entry, Plane, PlaneOptions, eventually};
use tokio::time::sleep;

use crate::{
    kept_node::{KeptNode, are_equal},
    size,
    status::in_sync,
};

/// Appends that were acknowledged.
type Acknowledged = Arc<Mutex<Vec<(Appending, AppendEventsResponse)>>>;

/// Until a kill: any point of a round of appends, replication and recovery.
const UNTIL_A_KILL_MAX: Duration = Duration::from_millis(400);
const RETRY_DELAY: Duration = Duration::from_millis(20);

/// Appends one after the other, each until it is answered, as a client does.
async fn append_for_ever(
    url: String,
    token: String,
    session: String,
    name: usize,
    acknowledged: Acknowledged,
) {
    let mut client: Option<Client> = None;
    for number in 0.. {
        let append = Appending::new(&session)
            .event("drill.said", &format!("{name} said {number}"))
            .event("drill.state", &number.to_string())
            .key(&format!("speaker/{name}"));
        loop {
            // The server may not be there.
            let connected = match client.take() {
                Some(client) => client,
                None => {
                    let channel =
                        tonic::transport::Endpoint::from_shared(url.clone()).expect("the URL is one");
                    let Ok(channel) = channel.connect().await else {
                        sleep(RETRY_DELAY).await;
                        continue;
                    };
                    Client::over(channel, &token)
                }
            };
            match connected.append(&append).await {
                Ok(appended) => {
                    acknowledged.lock().expect("it is writable").push((append, appended));
                    client = Some(connected);
                    break;
                }
                Err(_) => sleep(RETRY_DELAY).await,
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_is_killed_while_events_are_appended_the_log_and_its_replicas_end_as_one() {
    let rounds = size(20, 200);
    let seed = std::env::var("SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or_else(rand::random);
    println!("SEED={seed}");
    let mut chance = StdRng::seed_from_u64(seed);
    let mut plane = Plane::start(PlaneOptions::default()).await;
    let session = plane.client().await.session().await;
    let names = ["first", "second", "third"];
    let mut nodes: Vec<_> =
        names.iter().map(|name| KeptNode::start(&plane, &plane.address, &session, name)).collect();
    in_sync(&plane.client().await, &session, &names).await;
    let acknowledged = Acknowledged::default();
    let appending: Vec<_> = (0..2)
        .map(|name| {
            let (url, token, session) = (plane.url(), plane.token().to_owned(), session.clone());
            tokio::spawn(append_for_ever(url, token, session, name, Arc::clone(&acknowledged)))
        })
        .collect();
    let (mut of_servers, mut of_nodes) = (0, 0);
    for _ in 0..rounds {
        let count = async || acknowledged.lock().expect("it is readable").len();
        let before = count().await;
        eventually("appends are taken", count, |count| *count >= before + 5).await;
        sleep(UNTIL_A_KILL_MAX.mul_f64(chance.random::<f64>())).await;
        if chance.random_bool(0.4) {
            of_servers += 1;
            plane = plane.kill_and_restart().await;
        } else {
            of_nodes += 1;
            let node = nodes.swap_remove(chance.random_range(0..nodes.len()));
            nodes.push(node.kill_and_restart());
        }
    }
    for appending in appending {
        appending.abort();
    }
    let began = Instant::now();
    let client = plane.client().await;
    in_sync(&client, &session, &names).await;
    let recovered = began.elapsed();

    plane.database.logs_hold().await;
    let verified = plane.cli(&["log", "verify", &session]);
    assert!(verified.status.success(), "{verified:?}");
    let log = client.events(&session).await;
    let acknowledged = acknowledged.lock().expect("it is readable").clone();
    for (append, answer) in &acknowledged {
        for (seq, event) in (answer.first_seq..).zip(&append.0.events) {
            let held = usize::try_from(seq - 1).ok().and_then(|place| log.get(place));
            let is_there = held.is_some_and(|held| held.id.to_string() == event.event_id);
            assert!(is_there, "{seq} was acknowledged, and is not there: {event:?}");
        }
    }
    let mut ids: Vec<_> = log.iter().map(|event| event.id).collect();
    ids.sort_unstable_by_key(|id| id.0);
    ids.dedup();
    assert_eq!(ids.len(), log.len(), "no event is there twice");
    let whole: Vec<_> = log.iter().map(Entry::from).collect();
    are_equal(&client, &session, &whole, &nodes.iter().collect::<Vec<_>>()).await;
    println!(
        "{of_servers} kills of the server and {of_nodes} of nodes: {} appends acknowledged, {} events, in sync {recovered:?} \
         after the last",
        acknowledged.len(),
        log.len()
    );
    assert!(!acknowledged.is_empty() && of_servers + of_nodes == rounds);
}
