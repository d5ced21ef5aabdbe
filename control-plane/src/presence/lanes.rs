//! Group commit of beats: each lane writes the beats that wait for it in one statement, one batch at a time.
//!
//! A node always takes the same lane, so no two statements write one row, and the keys of a batch are sorted: lanes
//! never wait for each other. The queue of a lane is bounded in beats; at the bound a beat is refused with a delay.
//! All that waited for a batch is answered after its commit.

use std::{
    collections::BTreeMap,
    sync::Arc,
    time::{Duration, Instant},
};

use contracts::Refusal;
use metrics::{counter, histogram};
use sqlx::PgPool;
use time::OffsetDateTime;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot};

use super::store;
use crate::{
    failure::{Fault, is_unanswered},
    leadership::{self, Leader},
    roster::{CheckedBeat, Fleet},
    sessions::floor::Floor,
    settings::Bounds,
};

/// Beats of one statement at most.
const BATCH_MAX: usize = 8_192;
/// How long a beat that found its lane full should wait.
const FULL_RETRY_DELAY: Duration = Duration::from_secs(1);

/// The lanes of one leader.
#[derive(Clone, Debug)]
pub struct Lanes {
    lanes: Arc<[Lane]>,
    queued_max: u32,
}

#[derive(Debug)]
struct Lane {
    parcels: mpsc::Sender<Parcel>,
    /// Bounds the queue in beats, one permit each. A parcel has at least one, so the channel is never full.
    room: Arc<Semaphore>,
}

/// Beats that came together and are answered together.
struct Parcel {
    beats: Vec<CheckedBeat>,
    answer: oneshot::Sender<Result<Vec<Written>, Refusal>>,
    _room: OwnedSemaphorePermit,
}

/// What became of a beat.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Written {
    /// It is committed.
    Committed {
        /// Whether the node is below its session's floor.
        read_only: bool,
        /// That floor.
        floor: Floor,
    },
    /// The database holds another generation, or none.
    NotMatched,
}

/// The work of one lane, to be run by the leader.
pub struct LaneTask {
    number: usize,
    parcels: mpsc::Receiver<Parcel>,
}

impl Lanes {
    /// Makes the lanes, and the tasks that write them.
    pub fn new(bounds: &Bounds) -> (Self, Vec<LaneTask>) {
        let (lanes, tasks) = (0..bounds.beat_lanes)
            .map(|number| {
                let (sender, parcels) = mpsc::channel(bounds.beats_queued_per_lane as usize);
                let room = Arc::new(Semaphore::new(bounds.beats_queued_per_lane as usize));
                (Lane { parcels: sender, room }, LaneTask { number: number.into(), parcels })
            })
            .unzip::<_, _, Vec<_>, Vec<_>>();
        (Self { lanes: lanes.into(), queued_max: bounds.beats_queued_per_lane }, tasks)
    }

    /// A beat of the canary for each lane: while one of them is stuck, the nodes that take it look silent and are not.
    pub fn canary_beats(&self, epoch: i64) -> Vec<CheckedBeat> {
        let beat_of = |lane: i64| {
            let mut beat = CheckedBeat::canary(epoch);
            beat.node_key = -lane;
            beat
        };
        (0..).take(self.lanes.len()).map(beat_of).collect()
    }

    /// Writes beats, and answers each, in order, once it is committed.
    pub async fn write(&self, beats: &[CheckedBeat]) -> Vec<Result<Written, Refusal>> {
        let mut by_lane: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
        for (index, beat) in beats.iter().enumerate() {
            by_lane.entry(self.lane_of(beat.node_key)).or_default().push(index);
        }
        let mut waiting = Vec::with_capacity(by_lane.len());
        for (lane, indexes) in by_lane {
            let parcel = indexes.iter().map(|index| beats[*index]).collect();
            waiting.push((indexes, self.enqueue(&self.lanes[lane], parcel)));
        }
        let mut answers: Vec<Result<Written, Refusal>> = vec![Ok(Written::NotMatched); beats.len()];
        for (indexes, answer) in waiting {
            let answer = match answer {
                Ok(answer) => answer.await.unwrap_or_else(|_| Err(leadership::ended())),
                Err(refusal) => Err(refusal),
            };
            match answer {
                Ok(written) => {
                    for (index, written) in indexes.into_iter().zip(written) {
                        answers[index] = Ok(written);
                    }
                }
                Err(refusal) => {
                    for index in indexes {
                        answers[index] = Err(refusal.clone());
                    }
                }
            }
        }
        answers
    }

    fn enqueue(
        &self,
        lane: &Lane,
        beats: Vec<CheckedBeat>,
    ) -> Result<oneshot::Receiver<Result<Vec<Written>, Refusal>>, Refusal> {
        let wanted = u32::try_from(beats.len()).unwrap_or(u32::MAX);
        let room = Arc::clone(&lane.room).try_acquire_many_owned(wanted).map_err(|_| {
            let queued =
                self.queued_max as usize - lane.room.available_permits().min(self.queued_max as usize);
            let hint = "The database is slower than the beats. Beat again after the delay";
            Refusal::limit_exceeded("beats_queued_per_lane", self.queued_max.into(), queued as u64, hint)
                .with_retry_delay(FULL_RETRY_DELAY)
        })?;
        let (answer, answered) = oneshot::channel();
        lane.parcels.try_send(Parcel { beats, answer, _room: room }).map_err(|_| leadership::ended())?;
        Ok(answered)
    }

    fn lane_of(&self, node_key: i64) -> usize {
        (node_key.unsigned_abs() % self.lanes.len() as u64) as usize
    }
}

impl LaneTask {
    /// Writes batch after batch until told to stop. What is queued then is dropped, and whoever waits for it is told
    /// that the leader ended.
    pub async fn run(mut self, leader: Arc<Leader>) {
        let stop = leader.stopped();
        let mut parcels = Vec::new();
        loop {
            tokio::select! {
                biased;
                () = stop.cancelled() => return,
                received = self.parcels.recv_many(&mut parcels, BATCH_MAX) => if received == 0 { return },
            }
            let mut rest = std::mem::take(&mut parcels).into_iter().peekable();
            while rest.peek().is_some() {
                let mut size = 0;
                let mut batch = Vec::new();
                // A parcel is never split: it is no larger than a request, which is smaller than a batch.
                while let Some(parcel) =
                    rest.next_if(|parcel| size == 0 || size + parcel.beats.len() <= BATCH_MAX)
                {
                    size += parcel.beats.len();
                    batch.push(parcel);
                }
                // Held until the commit. Beats that came before maintenance began may be too late for it here.
                match leader.maintenance().writing().await {
                    Ok(_writing) => write_batch(&leader, self.number, batch).await,
                    Err(refusal) => refuse_batch(&refusal, batch),
                }
            }
        }
    }
}

async fn write_batch(leader: &Leader, lane: usize, batch: Vec<Parcel>) {
    let step = leader.step("beats", lane);
    let started = Instant::now();
    let nodes = last_beats(batch.iter().flat_map(|parcel| &parcel.beats));
    histogram!("rollcall_beat_batch_size").record(nodes.len() as f64);
    let written = write_nodes(leader.lane_db(), &nodes).await;
    match &written {
        Err(error) if is_unanswered(error) => step.unanswered(),
        Ok(_) | Err(_) => drop(step),
    }
    histogram!("rollcall_beat_batch_seconds").record(started.elapsed().as_secs_f64());
    match written {
        Ok((mut keys, at)) => {
            keys.sort_unstable();
            for parcel in batch {
                let committed = |beat: &CheckedBeat| {
                    keys.binary_search(&beat.node_key).is_ok()
                        && nodes[&beat.node_key].generation == beat.generation
                };
                let answers = answer(leader.fleet(), &parcel.beats, at, committed);
                // The caller may have gone away; its beats count all the same.
                drop(parcel.answer.send(Ok(answers)));
            }
        }
        Err(error) => {
            counter!("rollcall_beat_batches_failed_total").increment(1);
            // One statement is one transaction. Whether it happened or not, a beat may be sent again.
            let fault = Fault::Commit(error);
            leader.tell_fenced(&fault);
            refuse_batch(&Refusal::from(fault), batch);
        }
    }
}

fn refuse_batch(refusal: &Refusal, batch: Vec<Parcel>) {
    for parcel in batch {
        drop(parcel.answer.send(Err(refusal.clone())));
    }
}

/// One beat a node, by key: of several the newest generation, and of that the last.
fn last_beats<'a>(beats: impl Iterator<Item = &'a CheckedBeat>) -> BTreeMap<i64, CheckedBeat> {
    let mut nodes: BTreeMap<i64, CheckedBeat> = BTreeMap::new();
    for beat in beats {
        nodes
            .entry(beat.node_key)
            .and_modify(|held| {
                if held.generation <= beat.generation {
                    *held = *beat;
                }
            })
            .or_insert(*beat);
    }
    nodes
}

async fn write_nodes(
    db: &PgPool,
    nodes: &BTreeMap<i64, CheckedBeat>,
) -> Result<(Vec<i64>, Option<OffsetDateTime>), sqlx::Error> {
    let keys: Vec<_> = nodes.keys().copied().collect();
    let generations: Vec<_> = nodes.values().map(|beat| beat.generation).collect();
    let degraded: Vec<_> = nodes.values().map(CheckedBeat::is_degraded).collect();
    store::write_beats(db, &keys, &generations, &degraded).await
}

fn answer(
    fleet: &Fleet,
    beats: &[CheckedBeat],
    at: Option<OffsetDateTime>,
    committed: impl Fn(&CheckedBeat) -> bool,
) -> Vec<Written> {
    let Some(at) = at else { return vec![Written::NotMatched; beats.len()] };
    let heard: Vec<_> = beats.iter().copied().filter(|beat| committed(beat)).collect();
    let mut shown = fleet.beaten(&heard, at).into_iter();
    beats
        .iter()
        .map(|beat| match committed(beat).then(|| shown.next()).flatten() {
            Some((read_only, floor)) => Written::Committed { read_only, floor },
            None => Written::NotMatched,
        })
        .collect()
}
