//! The engine of a term, and the way of its effects to those that carry them out.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Instant,
};

use contracts::{LogPoint, NodeId, SessionId};
use metrics::gauge;
use sqlx::PgPool;
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;

use super::{
    engine::{
        Act, Assigned, Checkpoint, Effect, Engine, Entry, Epoch, Intent, LogStatus, Record, ReplicaId,
        RetainedHistory, Row, Settings, Stale, Stream, Tick,
    },
    store,
};
use crate::{
    event_log::store as log_store, failure::Fault, leadership::Leader, postgres::stored,
    settings::LogRetention,
};

/// Acts that may wait for a stream. The engine has few under way at once; a stream that falls this far behind is ended.
const ACTS_MAX: usize = 64;

/// The engine of a term, and what its effects need.
#[derive(Debug)]
pub struct Hub {
    inner: Mutex<Inner>,
    began: Instant,
    /// Logs are taken into care one after the other, so that two streams do not load one twice.
    opening: tokio::sync::Mutex<()>,
}

#[derive(Debug)]
struct Inner {
    engine: Engine,
    streams: HashMap<Stream, Way>,
    records: BTreeMap<ReplicaId, Record>,
    /// Number of the last stream.
    stream: u64,
}

/// The way of acts to a stream.
#[derive(Debug)]
struct Way {
    acts: mpsc::Sender<Act>,
    /// The last act is on it.
    closing: CancellationToken,
}

impl Hub {
    /// The hub of a term that begins.
    pub fn new(epoch: i64, retention: &LogRetention) -> Self {
        let settings = Settings { reconnect_grace: retention.reconnect_grace, ..Settings::DEFAULT };
        let engine = Engine::new(Epoch(epoch.unsigned_abs()), settings, Tick::default());
        let inner = Inner { engine, streams: HashMap::new(), records: BTreeMap::new(), stream: 0 };
        Self { inner: Mutex::new(inner), began: Instant::now(), opening: tokio::sync::Mutex::default() }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn now(&self) -> Tick {
        Tick::new(self.began.elapsed())
    }

    /// The term.
    pub(super) fn epoch(&self) -> Epoch {
        self.lock().engine.epoch()
    }

    /// Asks the engine, and hands out what it wants to be done before anybody else asks.
    pub(super) fn ask<T>(&self, question: impl FnOnce(&mut Engine, Tick) -> (T, Vec<Effect>)) -> T {
        let now = self.now();
        let mut inner = self.lock();
        let (answer, effects) = question(&mut inner.engine, now);
        inner.hand_out(effects);
        answer
    }

    /// Tells the engine something.
    pub(super) fn tell(
        &self,
        telling: impl FnOnce(&mut Engine, Tick) -> Result<Vec<Effect>, Stale>,
    ) -> Result<(), Stale> {
        self.ask(|engine, now| match telling(engine, now) {
            Ok(effects) => (Ok(()), effects),
            Err(stale) => (Err(stale), Vec::new()),
        })
    }

    /// A number for a stream, higher than all before it.
    pub(super) fn next_stream(&self) -> u64 {
        let mut inner = self.lock();
        inner.stream += 1;
        inner.stream
    }

    /// Opens the way of acts to a stream. The token says that the last one is on it, so that nothing before it waits for
    /// a reader that does not read.
    pub(super) fn listen(&self, stream: &Stream) -> (mpsc::Receiver<Act>, CancellationToken) {
        let (acts, listener) = mpsc::channel(ACTS_MAX);
        let closing = CancellationToken::new();
        self.lock().streams.insert(stream.clone(), Way { acts, closing: closing.clone() });
        (listener, closing)
    }

    /// Closes it, and tells the engine that the stream is gone.
    pub(super) fn leave(&self, stream: &Stream) {
        self.lock().streams.remove(stream);
        // One that was superseded is gone already.
        let _: Result<(), Stale> = self.tell(|engine, now| engine.stream_closed(stream, now));
    }

    /// Lets time go on.
    pub(super) fn tick(&self) {
        let (running, waiting) = self.ask(|engine, now| {
            let effects = engine.tick(now);
            (engine.recoveries(), effects)
        });
        gauge!("rollcall_replication_recoveries", "state" => "running").set(running as f64);
        gauge!("rollcall_replication_recoveries", "state" => "waiting").set(waiting as f64);
    }

    /// The term is over.
    pub(super) fn end(&self) {
        self.ask(|engine, now| ((), engine.end(now)));
    }

    /// What is to be written down, of at most so many replicas.
    pub(super) fn take_records(&self, max: usize) -> Vec<(ReplicaId, Record)> {
        let mut inner = self.lock();
        let taken: Vec<_> = std::iter::from_fn(|| inner.records.pop_first()).take(max).collect();
        taken
    }

    /// Takes back what could not be written, unless something newer is known by now.
    pub(super) fn give_back(&self, records: Vec<(ReplicaId, Record)>) {
        let mut inner = self.lock();
        for (replica, record) in records {
            inner.records.entry(replica).or_insert(record);
        }
    }

    /// Where a log in care and its replicas stand.
    pub(super) fn status(&self, session_id: SessionId) -> Option<LogStatus> {
        self.lock().engine.status(session_id)
    }

    /// What happened last to the replicas of a log in care, and how long ago.
    pub(super) fn recent(&self, session_id: SessionId, count: usize) -> (Vec<Entry>, Tick) {
        let now = self.now();
        (self.lock().engine.recent(session_id, count), now)
    }

    /// Takes a log into care, with the replicas that the database knows. From then on the engine hears of each append.
    pub(super) async fn take_care_of(
        &self,
        leader: &Arc<Leader>,
        session_id: SessionId,
    ) -> Result<(), Fault> {
        let _alone = self.opening.lock().await;
        if self.lock().engine.has_log(session_id) {
            return Ok(());
        }
        // Before it is read, so that no append is missed in between.
        let heads = leader.log().follow(session_id);
        let history = history(leader.db(), session_id).await?;
        let stored = store::replicas(leader.db(), session_id).await?;
        let replicas: BTreeMap<NodeId, Assigned> = stored
            .into_iter()
            .map(|stored| {
                let row = match (stored.needs_rebuild, stored.acknowledged) {
                    (Some(_), _) => Row::NeedsRebuild,
                    (None, Some(at)) => Row::Acknowledged(at),
                    (None, None) => Row::Absent,
                };
                (stored.node_id, Assigned { generation: stored.generation, row })
            })
            .collect();
        let head = history.head();
        let opened = self.ask(|engine, now| {
            let intent = Intent { epoch: engine.epoch(), session_id, replicas };
            let assigned = engine.open_log(history).and_then(|()| engine.assign(&intent, now));
            match assigned {
                Ok((_, effects)) => (Ok(()), effects),
                Err(stale) => (Err(stale), Vec::new()),
            }
        });
        if opened.is_err() {
            // The term is over, and so is everything that asks.
            return Err(Fault::TaskEnded);
        }
        leader.spawn(follow(Arc::clone(leader), session_id, heads, head));
        Ok(())
    }

    /// A checkpoint was made, or looked at again.
    pub(super) fn checkpointed(&self, session_id: SessionId, at: LogPoint, trusted: bool) {
        let told =
            self.ask(|engine, _| (engine.checkpointed(session_id, Checkpoint { at, trusted }), Vec::new()));
        match told {
            Ok(Ok(())) | Err(_) => {}
            Ok(Err(impossible)) => {
                tracing::error!(%session_id, error = %impossible, "a checkpoint does not fit its log");
            }
        }
    }
}

impl Inner {
    fn hand_out(&mut self, effects: Vec<Effect>) {
        for effect in effects {
            match effect {
                Effect::OnStream { stream, act } => {
                    let is_last = matches!(act, Act::Close(_));
                    let Some(way) = self.streams.get(&stream) else { continue };
                    let is_full = way.acts.try_send(act).is_err();
                    if is_last || is_full {
                        way.closing.cancel();
                        // Its driver finds the way closed, and leaves.
                        self.streams.remove(&stream);
                    }
                }
                Effect::Record { replica, record } => {
                    self.records.insert(replica, record);
                }
            }
        }
    }
}

/// What the database retains of a log.
pub(super) async fn history(db: &PgPool, session_id: SessionId) -> Result<RetainedHistory, Fault> {
    let extent = log_store::extent(db, session_id).await?;
    let checkpoint = log_store::checkpoints(db, session_id).await?.into_iter().next();
    let impossible = |error: super::engine::ImpossibleHistory| {
        stored::unreadable("session_logs", "tail", error.to_string())
    };
    let mut history =
        RetainedHistory::new(session_id, extent.history_id, extent.tail, extent.head).map_err(impossible)?;
    if let Some(checkpoint) = checkpoint.filter(|checkpoint| checkpoint.at.seq <= extent.head.seq) {
        let trusted = checkpoint.digest.is_some();
        history.checkpointed(Checkpoint { at: checkpoint.at, trusted }).map_err(impossible)?;
    }
    Ok(history)
}

/// Tells the engine of each append to a log.
async fn follow(
    leader: Arc<Leader>,
    session_id: SessionId,
    mut heads: watch::Receiver<Option<LogPoint>>,
    mut told: LogPoint,
) {
    let stop = leader.stopped();
    loop {
        let head = *heads.borrow_and_update();
        if let Some(head) = head.filter(|head| head.seq > told.seq) {
            told = head;
            let appended = leader.replication().tell(|engine, now| engine.appended(session_id, head, now));
            if appended.is_err() {
                return;
            }
        }
        tokio::select! {
            biased;
            () = stop.cancelled() => return,
            changed = heads.changed() => if changed.is_err() { return },
        }
    }
}
