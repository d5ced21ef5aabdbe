//! A client that finds the active server, as daemons do, and remembers when it was acknowledged.

use std::{
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use tests::{Attached, Client, eventually};
use tokio::{
    task::JoinHandle,
    time::{sleep, timeout},
};

use crate::cluster::Cluster;

/// How long one server may take to answer before the next is asked.
const PATIENCE: Duration = Duration::from_millis(250);
/// Between two beats: the resolution of what is measured.
const INTERVAL: Duration = Duration::from_millis(5);

/// A node that beats all the time, at whichever server acknowledges it. Ends when dropped.
pub(crate) struct Roaming {
    acknowledged: Arc<Mutex<Vec<Instant>>>,
    refused: Arc<Mutex<Vec<String>>>,
    task: JoinHandle<()>,
}

impl Roaming {
    /// Beats for each of these nodes at all servers, and waits until each was heard.
    pub(crate) async fn all(cluster: &Cluster, nodes: &[Attached]) -> Vec<Self> {
        let mut clients = Vec::new();
        for plane in &cluster.planes {
            clients.push(plane.client().await);
        }
        let roaming: Vec<_> = nodes.iter().map(|node| Self::start(clients.clone(), node.clone())).collect();
        for node in &roaming {
            node.heard_after(Instant::now()).await;
        }
        roaming
    }

    /// Beats for this node at these servers.
    fn start(clients: Vec<Client>, node: Attached) -> Self {
        let (acknowledged, refused) = (Arc::default(), Arc::default());
        let task = tokio::spawn(roam(clients, node, Arc::clone(&acknowledged), Arc::clone(&refused)));
        Self { acknowledged, refused, task }
    }

    /// The first acknowledgement of a beat that set out after this instant.
    pub(crate) async fn heard_after(&self, instant: Instant) -> Instant {
        let look = async || self.times().into_iter().find(|heard| *heard > instant);
        eventually("a beat is acknowledged", look, Option::is_some).await.expect("it was")
    }

    /// The longest time between two acknowledgements, from the last one before this instant on.
    pub(crate) fn longest_gap_since(&self, instant: Instant) -> Duration {
        let times = self.times();
        let last_before = times.partition_point(|heard| *heard < instant).saturating_sub(1);
        times[last_before..].windows(2).map(|pair| pair[1] - pair[0]).max().unwrap_or_default()
    }

    /// The codes of all refusals that asked for another attach, or for none at all.
    pub(crate) fn lost_slots(&self) -> Vec<String> {
        let codes = self.refused.lock().expect("it is readable");
        codes
            .iter()
            .filter(|code| !code.starts_with("controller.") && !code.starts_with("system."))
            .cloned()
            .collect()
    }

    fn times(&self) -> Vec<Instant> {
        self.acknowledged.lock().expect("it is readable").clone()
    }
}

impl Drop for Roaming {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn roam(
    clients: Vec<Client>,
    node: Attached,
    acknowledged: Arc<Mutex<Vec<Instant>>>,
    refused: Arc<Mutex<Vec<String>>>,
) {
    let mut at = 0;
    loop {
        match timeout(PATIENCE, clients[at].beat(&node.node_id, node.generation)).await {
            Ok(Ok(_)) => acknowledged.lock().expect("it is writable").push(Instant::now()),
            Ok(Err(status)) => {
                if let Some(refusal) = contracts::refusal::ReceivedRefusal::from_status(&status) {
                    refused.lock().expect("it is writable").push(refusal.code);
                }
                at = (at + 1) % clients.len();
            }
            Err(_) => at = (at + 1) % clients.len(),
        }
        sleep(INTERVAL).await;
    }
}
