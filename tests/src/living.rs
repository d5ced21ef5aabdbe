//! Nodes that live: they beat and keep trying, whatever becomes of the server. And the hand that attaches them.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use contracts::wire::v1::{Beat, ReportedHealth, StreamHeartbeatsRequest, beat_result::Outcome};
use tokio::{
    sync::mpsc,
    task::JoinHandle,
    time::{MissedTickBehavior, interval, sleep, timeout},
};
use tokio_stream::wrappers::ReceiverStream;

use crate::{Client, eventually};

/// How long an answer is waited for before the stream is given up and another one opened.
const PATIENCE: Duration = Duration::from_secs(1);
const RETRY_DELAY: Duration = Duration::from_millis(30);

/// A node that was attached.
#[derive(Clone, Debug)]
pub struct Attached {
    /// Its name.
    pub node_id: String,
    /// Its generation.
    pub generation: u64,
}

impl Attached {
    /// A healthy beat of it.
    pub fn beat(&self) -> Beat {
        Beat {
            node_id: self.node_id.clone(),
            generation: self.generation,
            health: ReportedHealth::Online.into(),
        }
    }
}

impl Client {
    /// Attaches `count` nodes that are online, named `<kind>-1` and so on.
    pub async fn attach_all(&self, session_id: &str, kind: &str, count: usize) -> Vec<Attached> {
        let mut nodes = Vec::with_capacity(count);
        for number in 1..=count {
            let node_id = format!("{kind}-{number}");
            let generation = self.online(session_id, &node_id).await;
            nodes.push(Attached { node_id, generation });
        }
        nodes
    }
}

/// Nodes that beat over one stream, until this is dropped.
#[derive(Debug)]
pub struct Living {
    rounds: Arc<AtomicU64>,
    task: JoinHandle<()>,
}

impl Living {
    /// Makes these nodes beat this often. A stream that breaks is opened again.
    pub fn start(client: &Client, nodes: &[Attached], every: Duration) -> Self {
        let rounds = Arc::new(AtomicU64::new(0));
        let beats: Vec<_> = nodes.iter().map(Attached::beat).collect();
        let task = tokio::spawn(live(client.clone(), beats, every, Arc::clone(&rounds)));
        Self { rounds, task }
    }

    /// How often all of them were acknowledged.
    pub fn rounds(&self) -> u64 {
        self.rounds.load(Ordering::Relaxed)
    }

    /// Waits until all of them were acknowledged, from now on.
    pub async fn are_heard(&self) {
        let before = self.rounds();
        // One may have been on its way.
        eventually("the living are heard", async || self.rounds(), |rounds| *rounds >= before + 2).await;
    }
}

impl Drop for Living {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn live(client: Client, beats: Vec<Beat>, every: Duration, rounds: Arc<AtomicU64>) {
    let mut ticks = interval(every);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        let (batches, outgoing) = mpsc::channel(1);
        let mut nodes = client.nodes.clone();
        let opened = timeout(PATIENCE, nodes.stream_heartbeats(ReceiverStream::new(outgoing))).await;
        if let Ok(Ok(answers)) = opened {
            let mut answers = answers.into_inner();
            loop {
                ticks.tick().await;
                let batch = StreamHeartbeatsRequest { batch_id: 0, beats: beats.clone() };
                if batches.send(batch).await.is_err() {
                    break;
                }
                let Ok(Ok(Some(answer))) = timeout(PATIENCE, answers.message()).await else { break };
                if answer.results.iter().all(|result| matches!(result.outcome, Some(Outcome::Ack(_)))) {
                    rounds.fetch_add(1, Ordering::Relaxed);
                }
            }
        }
        sleep(RETRY_DELAY).await;
    }
}
