//! Attaches nodes, as many at a time as there are workers.

use std::{pin::pin, sync::Arc, time::Duration};

use contracts::{EventEnvelopeVersion, wire::v1};
use daemon_client::Setback;
use tokio::{
    sync::{Mutex, mpsc},
    time::{sleep, sleep_until, timeout},
};
use uuid::Uuid;

use crate::{
    beats::Seated,
    drill::{DEADLINE, Drill, Meaning, meaning},
    link::{Link, Numbered},
};

/// Calls under way at once over one connection, and over all: well below what a server lets one participant have.
const WORKERS_PER_LINK_MAX: usize = 16;
const WORKERS_MAX: usize = 256;
/// What every node declares, so that it comes online.
const CAPABILITY: &str = "fleet";
const CAPABILITY_VERSION: &str = "1.0";

/// Nodes that wait to be attached: those of the ramp, and those that the server lost.
pub(crate) type Jobs = Arc<Mutex<mpsc::Receiver<u32>>>;

/// How many calls are under way at once over each of these connections.
pub(crate) fn workers_per_link(links: usize) -> usize {
    (WORKERS_MAX / links.max(1)).clamp(1, WORKERS_PER_LINK_MAX)
}

/// Gives out all nodes, at most `rate` a second.
pub(crate) async fn ramp(drill: Arc<Drill>, rate: Option<f64>, jobs: mpsc::Sender<u32>) {
    let began = drill.clock.now();
    for node in 0..drill.plan.nodes {
        if let Some(rate) = rate {
            let at = began + Duration::from_secs_f64(f64::from(node) / rate);
            sleep_until(drill.clock.instant(at)).await;
        }
        if jobs.send(node).await.is_err() {
            return;
        }
    }
}

/// Attaches one node after the other.
pub(crate) struct Worker {
    pub(crate) drill: Arc<Drill>,
    pub(crate) link: Link,
    pub(crate) jobs: Jobs,
    pub(crate) seats: Vec<mpsc::Sender<Seated>>,
    /// Made anew by each run; an instance is a node's share of it. So a repeat is known as one.
    pub(crate) run_id: Uuid,
}

impl Worker {
    pub(crate) async fn run(mut self) {
        loop {
            let Some(node) = self.jobs.lock().await.recv().await else { return };
            let Some(seated) = self.attach(node).await else { continue };
            let (stream, _) = self.drill.plan.seat_of(node);
            if self.seats[stream].send(seated).await.is_err() {
                return;
            }
        }
    }

    /// Tries until the node is attached, or refused for ever.
    async fn attach(&mut self, node: u32) -> Option<Seated> {
        loop {
            let numbered = self.link.connection().await;
            let sent_at = self.drill.clock.now();
            let setback = match self.call(node, &numbered).await {
                Ok(response) => {
                    self.link.answered();
                    self.drill.attached(node, sent_at);
                    return Some(Seated {
                        node,
                        generation: response.generation,
                        next_beat_in: response
                            .next_heartbeat_in
                            .and_then(|interval| interval.try_into().ok()),
                    });
                }
                Err(setback) => setback,
            };
            self.drill.note(&setback);
            let Setback::Refused(refusal) = &setback else {
                self.fail(numbered, setback).await;
                continue;
            };
            match meaning(refusal) {
                Meaning::Wait(wait) | Meaning::Reattach(wait) => sleep(wait).await,
                Meaning::Elsewhere => self.fail(numbered, setback).await,
                Meaning::Lost => {
                    self.drill.lost(node, refusal);
                    return None;
                }
            }
        }
    }

    async fn fail(&mut self, numbered: Numbered, setback: Setback) {
        self.link.failed(numbered.number, setback).await;
        self.link.is_over(numbered.number).await;
    }

    async fn call(&mut self, node: u32, numbered: &Numbered) -> Result<v1::AttachResponse, Setback> {
        let caller = numbered.connection.caller().await?;
        let mut nodes = caller.nodes();
        let mut call = pin!(timeout(DEADLINE, nodes.attach(self.request(node))));
        tokio::select! {
            answer = &mut call => match answer {
                Ok(Ok(response)) => Ok(response.into_inner()),
                Ok(Err(status)) => Err(caller.setback(&status)),
                Err(_) => Err(caller.no_answer(DEADLINE)),
            },
            // Its connection was dropped under it, which no answer will survive.
            () = self.link.is_over(numbered.number) => Err(caller.no_answer(Duration::ZERO)),
        }
    }

    fn request(&self, node: u32) -> v1::AttachRequest {
        let capability = v1::Capability {
            key: CAPABILITY.to_owned(),
            contract_version: CAPABILITY_VERSION.to_owned(),
            ..v1::Capability::default()
        };
        let plan = &self.drill.plan;
        v1::AttachRequest {
            session_id: self.drill.session_ids[plan.session_of(node)].clone(),
            node_id: plan.name(node),
            instance_id: Uuid::from_u128(self.run_id.as_u128() ^ u128::from(node)).to_string(),
            client_version: EventEnvelopeVersion::current().to_string(),
            health: v1::ReportedHealth::Online.into(),
            declaration: Some(v1::Declaration { capabilities: vec![capability] }),
            participant_id: String::new(),
        }
    }
}
