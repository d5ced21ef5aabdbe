//! One stream of beats: the nodes that it carries, what is under way, and what came of it.
//!
//! There is no task per node. What a node needs lies in arrays by its place in the stream; those that are due since the
//! last look go out as one batch. Batches under way are bounded, so a slow server makes batches larger and beats later,
//! never the memory.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::Arc,
    time::Duration,
};

use contracts::{
    limits,
    refusal::ReceivedRefusal,
    wire::v1::{self, beat_result::Outcome},
};
use daemon_client::Setback;
use rand::{Rng, SeedableRng, rngs::StdRng};
use serde_json::json;
use tokio::{
    sync::{mpsc, watch},
    time::{Instant, sleep, sleep_until, timeout},
};
use tokio_stream::wrappers::ReceiverStream;

use crate::{
    drill::{DEADLINE, Drill, Meaning, meaning},
    link::{Link, Numbered},
    pace::{Pace, tick, time_of},
    wheel::Wheel,
};

/// Batches of one stream that may wait for their answers.
const BATCHES_IN_FLIGHT: usize = 4;
/// Beats that were under way on a stream that broke are sent again within this.
const RESEND_WITHIN: Duration = Duration::from_millis(500);
/// A node whose attach finds no room among the jobs asks again after this.
const ASK_AGAIN_AFTER: Duration = Duration::from_millis(200);

/// A node that was attached.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Seated {
    pub(crate) node: u32,
    pub(crate) generation: u64,
    pub(crate) next_beat_in: Option<Duration>,
}

/// A node that gives its slot back.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Held {
    pub(crate) node: u32,
    pub(crate) generation: u64,
}

/// A stream of beats.
pub(crate) struct Beats {
    pub(crate) drill: Arc<Drill>,
    pub(crate) number: usize,
    pub(crate) link: Link,
    pub(crate) seated: mpsc::Receiver<Seated>,
    pub(crate) jobs: mpsc::Sender<u32>,
    pub(crate) stop: watch::Receiver<bool>,
    nodes: Nodes,
    in_flight: VecDeque<Batch>,
    rng: StdRng,
}

/// The nodes of a stream, by their place in it.
struct Nodes {
    wheel: Wheel,
    /// 0 while the node is not attached.
    generations: Vec<u64>,
    pace: Pace,
}

impl Nodes {
    /// The tick of the beat after the one that was taken from the wheel.
    fn next_beat(&self, place: u32, now: Duration, rng: &mut impl Rng) -> u32 {
        self.pace.next_beat(self.wheel.due_at(place), now, rng)
    }
}

/// Beats that wait for their answer.
struct Batch {
    sent_at: Duration,
    places: Vec<u32>,
}

/// Why a stream is left.
enum Leave {
    /// The run is over.
    Stop,
    /// The connection was replaced.
    Replaced,
    /// Open it again over the same connection.
    Again(Duration),
    /// The connection does not do.
    Failed(Setback),
}

impl Beats {
    pub(crate) fn new(
        drill: Arc<Drill>,
        number: usize,
        link: Link,
        seated: mpsc::Receiver<Seated>,
        jobs: mpsc::Sender<u32>,
        stop: watch::Receiver<bool>,
    ) -> Self {
        let count = drill.plan.nodes_of_stream(number) as usize;
        let nodes = Nodes {
            wheel: Wheel::new(count),
            generations: vec![0; count],
            pace: Pace::new(drill.cadence, drill.jitter),
        };
        let (in_flight, rng) = (VecDeque::new(), StdRng::from_os_rng());
        Self { drill, number, link, seated, jobs, stop, nodes, in_flight, rng }
    }

    /// Beats until the run is over, and gives the nodes that are attached then.
    pub(crate) async fn run(mut self) -> Vec<Held> {
        loop {
            let numbered = tokio::select! {
                biased;
                () = told(&mut self.stop) => break,
                Some(seated) = self.seated.recv() => {
                    self.seat(seated);
                    continue;
                }
                numbered = self.link.connection() => numbered,
            };
            let leave = self.over(&numbered).await;
            if matches!(leave, Leave::Stop) {
                break;
            }
            self.give_up_in_flight();
            let wait = match leave {
                Leave::Stop | Leave::Replaced => Duration::ZERO,
                Leave::Again(wait) => wait,
                Leave::Failed(setback) => {
                    self.link.failed(numbered.number, setback).await;
                    self.link.is_over(numbered.number).await;
                    Duration::ZERO
                }
            };
            tokio::select! {
                () = told(&mut self.stop) => break,
                () = sleep(wait) => {}
            }
        }
        self.held()
    }

    /// One stream over one connection.
    async fn over(&mut self, numbered: &Numbered) -> Leave {
        let (batches, outgoing) = mpsc::channel(BATCHES_IN_FLIGHT);
        let caller = match numbered.connection.caller().await {
            Ok(caller) => caller,
            Err(setback) => return self.set_back(setback),
        };
        let mut client = caller.nodes();
        let opening = timeout(DEADLINE, client.stream_heartbeats(ReceiverStream::new(outgoing)));
        let opened = tokio::select! {
            opened = opening => opened,
            () = self.link.is_over(numbered.number) => return Leave::Replaced,
            () = told(&mut self.stop) => return Leave::Stop,
        };
        let mut answers = match opened {
            Ok(Ok(answers)) => answers.into_inner(),
            Ok(Err(status)) => return self.set_back(caller.setback(&status)),
            Err(_) => return self.set_back(caller.no_answer(DEADLINE)),
        };
        self.drill.tally().streams_opened += 1;
        let mut look_at = Instant::now();
        loop {
            let answer_by =
                self.in_flight.front().map(|batch| self.drill.clock.instant(batch.sent_at + DEADLINE));
            tokio::select! {
                biased;
                () = told(&mut self.stop) => return Leave::Stop,
                () = self.link.is_over(numbered.number) => return Leave::Replaced,
                answer = answers.message() => match answer {
                    Ok(Some(answer)) => if let Some(setback) = self.answered(answer) {
                        return self.set_back(setback);
                    },
                    // A server that ends a stream well says nothing, and is as good as gone.
                    Ok(None) => return self.set_back(caller.no_answer(Duration::ZERO)),
                    Err(status) => return self.set_back(caller.setback(&status)),
                },
                () = at(answer_by) => return self.set_back(caller.no_answer(DEADLINE)),
                Some(seated) = self.seated.recv() => self.seat(seated),
                () = sleep_until(look_at) => {
                    look_at = Instant::now() + self.nodes.pace.look_every();
                    self.send_due(&batches);
                }
            }
        }
    }

    fn set_back(&mut self, setback: Setback) -> Leave {
        self.drill.note(&setback);
        let Setback::Refused(refusal) = &setback else { return Leave::Failed(setback) };
        match meaning(refusal) {
            Meaning::Wait(wait) | Meaning::Reattach(wait) => Leave::Again(wait),
            // A stream that is refused for ever is a token that may not beat.
            Meaning::Elsewhere | Meaning::Lost => Leave::Failed(setback),
        }
    }

    fn seat(&mut self, seated: Seated) {
        let now = self.drill.clock.now();
        let (_, place) = self.drill.plan.seat_of(seated.node);
        self.nodes.pace.follow(seated.next_beat_in);
        self.nodes.generations[place as usize] = seated.generation;
        self.nodes.wheel.schedule(place, self.nodes.pace.first_beat(now, &mut self.rng));
    }

    /// Sends what is due, as many batches as there is room for.
    fn send_due(&mut self, batches: &mpsc::Sender<v1::StreamHeartbeatsRequest>) {
        let now = self.drill.clock.now();
        while self.in_flight.len() < BATCHES_IN_FLIGHT {
            let mut due = Vec::new();
            let is_all =
                self.nodes.wheel.take_due(tick(now).saturating_sub(1), limits::BEATS_PER_BATCH_MAX, &mut due);
            due.retain(|place| self.is_to_beat(*place, now));
            if !due.is_empty() {
                self.send(now, due, batches);
            }
            if is_all {
                return;
            }
        }
    }

    /// Whether a node that is due sends a beat. One that does not is scheduled anew, or attached again.
    fn is_to_beat(&mut self, place: u32, now: Duration) -> bool {
        let node = self.drill.plan.node_at(self.number, place);
        let again_at = if self.drill.silence.holds(&self.drill.plan, node) {
            self.nodes.next_beat(place, now, &mut self.rng)
        } else if self.nodes.generations[place as usize] != 0 {
            return true;
        } else if self.jobs.try_send(node).is_ok() {
            // It is seated again when it is attached.
            return false;
        } else {
            tick(now + ASK_AGAIN_AFTER)
        };
        self.nodes.wheel.schedule(place, again_at);
        false
    }

    fn send(&mut self, now: Duration, places: Vec<u32>, batches: &mpsc::Sender<v1::StreamHeartbeatsRequest>) {
        let beat = |place: &u32| v1::Beat {
            node_id: self.drill.plan.name(self.drill.plan.node_at(self.number, *place)),
            generation: self.nodes.generations[*place as usize],
            health: v1::ReportedHealth::Online.into(),
        };
        let request = v1::StreamHeartbeatsRequest { batch_id: 0, beats: places.iter().map(beat).collect() };
        {
            let mut tally = self.drill.tally();
            tally.sent += places.len() as u64;
            for place in &places {
                tally.late.record(now.saturating_sub(time_of(self.nodes.wheel.due_at(*place))), 1);
            }
        }
        // There is room for as many as may be in flight. When the stream is gone, its end tells.
        drop(batches.try_send(request));
        self.in_flight.push_back(Batch { sent_at: now, places });
    }

    /// Takes the answer to the oldest batch: they come in order. Gives a setback that concerns the whole stream.
    fn answered(&mut self, answer: v1::StreamHeartbeatsResponse) -> Option<Setback> {
        let batch = self.in_flight.pop_front()?;
        let now = self.drill.clock.now();
        let mut of_stream = None;
        let mut acknowledged: u64 = 0;
        let mut refusals: BTreeMap<String, u64> = BTreeMap::new();
        let mut unanswered: u64 = 0;
        let results = answer.results.into_iter().map(|result| result.outcome);
        let results = results.chain(std::iter::repeat(None));
        for (place, outcome) in batch.places.into_iter().zip(results) {
            let again_at = match outcome {
                Some(Outcome::Ack(ack)) => {
                    acknowledged += 1;
                    let node = self.drill.plan.node_at(self.number, place);
                    self.drill.contacts.note(node, batch.sent_at);
                    let asked = ack.next_heartbeat_in.and_then(|interval| interval.try_into().ok());
                    self.nodes.pace.follow(asked);
                    Some(self.nodes.next_beat(place, now, &mut self.rng))
                }
                Some(Outcome::Refusal(refusal)) => {
                    let refusal = ReceivedRefusal::from(refusal);
                    *refusals.entry(refusal.code.clone()).or_default() += 1;
                    self.refused(place, refusal, now, &mut of_stream)
                }
                None => {
                    unanswered += 1;
                    Some(self.soon(now))
                }
            };
            if let Some(again_at) = again_at {
                self.nodes.wheel.schedule(place, again_at);
            }
        }
        let mut tally = self.drill.tally();
        tally.interval = self.nodes.pace.interval();
        tally.acknowledged += acknowledged;
        tally.refused += refusals.values().sum::<u64>();
        tally.unanswered += unanswered;
        tally.latency.record(now.saturating_sub(batch.sent_at), acknowledged);
        refusals.iter().for_each(|(code, times)| tally.refused(code, *times));
        if acknowledged > 0 {
            let gap = tally.gaps.acknowledged(now);
            drop(tally);
            self.link.answered();
            gap.into_iter().for_each(|gap| self.drill.events.gap(gap));
        }
        of_stream
    }

    /// One beat was refused. Gives when the node is due again.
    fn refused(
        &mut self,
        place: u32,
        refusal: ReceivedRefusal,
        now: Duration,
        of_stream: &mut Option<Setback>,
    ) -> Option<u32> {
        let node = self.drill.plan.node_at(self.number, place);
        match meaning(&refusal) {
            Meaning::Wait(wait) => Some(tick(now + wait)),
            Meaning::Reattach(wait) => {
                self.nodes.generations[place as usize] = 0;
                self.drill.tally().reattached += 1;
                let fields = json!({ "node": self.drill.plan.name(node), "code": refusal.code });
                self.drill.events.write("reattaching", now, fields);
                Some(tick(now + wait))
            }
            Meaning::Elsewhere => {
                *of_stream = Some(Setback::Refused(refusal));
                Some(self.soon(now))
            }
            Meaning::Lost => {
                self.nodes.generations[place as usize] = 0;
                self.drill.lost(node, &refusal);
                None
            }
        }
    }

    /// The stream is gone: what was under way on it is sent again over the next. It may have been committed.
    fn give_up_in_flight(&mut self) {
        let now = self.drill.clock.now();
        while let Some(batch) = self.in_flight.pop_front() {
            self.drill.tally().unanswered += batch.places.len() as u64;
            for place in batch.places {
                let again_at = self.soon(now);
                self.nodes.wheel.schedule(place, again_at);
            }
        }
    }

    fn soon(&mut self, now: Duration) -> u32 {
        tick(now + RESEND_WITHIN.mul_f64(self.rng.random_range(0.0..=1.0)))
    }

    fn held(&self) -> Vec<Held> {
        (0..)
            .zip(&self.nodes.generations)
            .filter(|(_, generation)| **generation != 0)
            .map(|(place, generation)| Held {
                node: self.drill.plan.node_at(self.number, place),
                generation: *generation,
            })
            .collect()
    }
}

/// Waits until the run is over.
async fn told(stop: &mut watch::Receiver<bool>) {
    // Without a sender it is over as well.
    drop(stop.wait_for(|stop| *stop).await);
}

async fn at(instant: Option<Instant>) {
    match instant {
        Some(instant) => sleep_until(instant).await,
        None => std::future::pending().await,
    }
}
