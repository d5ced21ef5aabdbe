//! The engine: all logs and replicas that the active server knows, in one term.
//!
//! Every input is checked for its term, its log, its replica and its stream before anything is changed; one that does not
//! fit any more is turned away and leaves no trace. What it has to do comes back as effects, in the order in which they
//! are to be carried out.

use std::collections::BTreeMap;

use contracts::{NodeId, RecoveryId, SessionId, log::LogPoint};

use super::{
    Checkpoint, Closing, Effect, Epoch, EventName, Heard, ImpossibleHistory, RebuildReason, Record,
    ReplicaId, RetainedHistory, Settings, Stale, Standing, Stream, Tick,
    executor::{Ending, Executor},
    journal::Journal,
    sender::{Acknowledged, Sender},
    slots::Slots,
};

/// The engine of one term.
#[derive(Debug)]
pub struct Engine {
    epoch: Epoch,
    began: Tick,
    is_over: bool,
    settings: Settings,
    slots: Slots,
    pub(super) logs: BTreeMap<SessionId, Log>,
}

/// A log and its replicas.
#[derive(Debug)]
pub(super) struct Log {
    pub(super) history: RetainedHistory,
    pub(super) journal: Journal,
    pub(super) senders: BTreeMap<NodeId, Sender>,
}

/// Which replicas a log has, as the database says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Intent {
    /// The term in which that was read.
    pub epoch: Epoch,
    /// The session whose log it is.
    pub session_id: SessionId,
    /// The replicas, by the nodes that keep them.
    pub replicas: BTreeMap<NodeId, Assigned>,
}

/// A replica as the database knows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Assigned {
    /// Generation of its node's attachment: streams of lower ones are of the past.
    pub generation: u64,
    /// What its row says. It is looked at once, when the replica becomes known.
    pub row: Row,
}

/// What the row of a replica says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Row {
    /// There is none.
    Absent,
    /// It has the log up to here.
    Acknowledged(LogPoint),
    /// It needs a rebuild.
    NeedsRebuild,
}

/// What an intent changed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Changed {
    /// Replicas that became known.
    pub added: Vec<NodeId>,
    /// Replicas that are not known any more.
    pub removed: Vec<NodeId>,
    /// Replicas whose stream is of a former attachment and was ended.
    pub superseded: Vec<NodeId>,
}

impl Engine {
    /// The engine of the term that begins now.
    pub fn new(epoch: Epoch, settings: Settings, now: Tick) -> Self {
        let slots = Slots::new(settings.recoveries_max);
        Self { epoch, began: now, is_over: false, settings, slots, logs: BTreeMap::new() }
    }

    /// The term.
    pub fn epoch(&self) -> Epoch {
        self.epoch
    }

    /// When the term began.
    pub(super) fn began(&self) -> Tick {
        self.began
    }

    pub(super) fn settings(&self) -> &Settings {
        &self.settings
    }

    pub(super) fn slots(&self) -> &Slots {
        &self.slots
    }

    /// Takes a log into care. One that is already is left as it is.
    ///
    /// # Errors
    ///
    /// The term is over.
    pub fn open_log(&mut self, history: RetainedHistory) -> Result<(), Stale> {
        self.in_term(self.epoch)?;
        let (journal, senders) = (Journal::default(), BTreeMap::new());
        self.logs.entry(history.session_id()).or_insert(Log { history, journal, senders });
        Ok(())
    }

    /// Whether a log is in care.
    pub fn has_log(&self, session_id: SessionId) -> bool {
        self.logs.contains_key(&session_id)
    }

    /// Gives a log out of care, with all its replicas.
    ///
    /// # Errors
    ///
    /// It is not in care.
    pub fn close_log(&mut self, session_id: SessionId, now: Tick) -> Result<Vec<Effect>, Stale> {
        let intent = Intent { epoch: self.epoch, session_id, replicas: BTreeMap::new() };
        let (_, effects) = self.assign(&intent, now)?;
        self.logs.remove(&session_id);
        Ok(effects)
    }

    /// Makes the replicas of a log those of `intent`. The same one again changes nothing, and one that does not fit is
    /// turned away whole.
    ///
    /// # Errors
    ///
    /// It is of another term, of a log that is not in care, or has a generation that is lower than was known.
    pub fn assign(&mut self, intent: &Intent, now: Tick) -> Result<(Changed, Vec<Effect>), Stale> {
        self.in_term(intent.epoch)?;
        let log = self.logs.get(&intent.session_id).ok_or(Stale::Log)?;
        let goes_back = |(node_id, assigned): (&NodeId, &Assigned)| {
            log.senders.get(node_id).is_some_and(|sender| assigned.generation < sender.generation())
        };
        if intent.replicas.iter().any(goes_back) {
            return Err(Stale::Endpoint);
        }
        let removed: Vec<_> =
            log.senders.keys().filter(|node_id| !intent.replicas.contains_key(node_id)).cloned().collect();
        let (mut changed, mut effects) = (Changed { removed, ..Changed::default() }, Vec::new());
        for node_id in &changed.removed {
            self.remove(
                &ReplicaId { session_id: intent.session_id, node_id: node_id.clone() },
                now,
                &mut effects,
            );
        }
        for (node_id, assigned) in &intent.replicas {
            let replica = ReplicaId { session_id: intent.session_id, node_id: node_id.clone() };
            if self.know(&replica, *assigned, now) {
                changed.added.push(node_id.clone());
            } else if self.supersede(&replica, assigned.generation, now, &mut effects) {
                changed.superseded.push(node_id.clone());
            }
        }
        self.admit(now, &mut effects);
        Ok((changed, effects))
    }

    fn remove(&mut self, replica: &ReplicaId, now: Tick, effects: &mut Vec<Effect>) {
        self.with(replica, now, effects, |executor| {
            executor.end(Ending::Closing(Closing::Removed));
            executor.note(EventName::SenderRemoved, String::new());
        });
        if let Some(log) = self.logs.get_mut(&replica.session_id) {
            log.senders.remove(&replica.node_id);
        }
    }

    /// Makes a replica known; says whether it was not.
    fn know(&mut self, replica: &ReplicaId, assigned: Assigned, now: Tick) -> bool {
        let Some(log) = self.logs.get_mut(&replica.session_id) else { return false };
        if log.senders.contains_key(&replica.node_id) {
            return false;
        }
        let (acknowledged, declared, recorded) = match assigned.row {
            Row::Absent => (None, None, None),
            Row::Acknowledged(at) => {
                (Some(Acknowledged { at, when: None }), None, Some(Record::Acknowledged(at)))
            }
            Row::NeedsRebuild => {
                let reason = RebuildReason::DeclaredBefore;
                (None, Some(reason), Some(Record::NeedsRebuild(reason)))
            }
        };
        let generation = assigned.generation;
        let sender = Sender { generation, acknowledged, declared, recorded, ..Sender::default() };
        log.senders.insert(replica.node_id.clone(), sender);
        log.journal.note(now, &replica.node_id, EventName::SenderAdded, String::new());
        true
    }

    fn supersede(
        &mut self,
        replica: &ReplicaId,
        generation: u64,
        now: Tick,
        effects: &mut Vec<Effect>,
    ) -> bool {
        let superseded = self.with(replica, now, effects, |executor| {
            executor.sender.generation = executor.sender.generation.max(generation);
            let is_former = executor.sender.endpoint.is_some_and(|latest| latest.generation < generation);
            let has_stream = executor.sender.session.is_some();
            if is_former && has_stream {
                executor.end(Ending::Closing(Closing::Superseded));
            }
            is_former && has_stream
        });
        superseded.unwrap_or(false)
    }

    /// A replica introduced itself on a stream that was just opened. Its recovery gets the name `recovery`.
    ///
    /// # Errors
    ///
    /// The stream is of another term, of a log that is not in care, or no later than another one of the same replica; or
    /// the name was used before.
    pub fn introduced(
        &mut self,
        stream: Stream,
        standing: Standing,
        recovery: RecoveryId,
        now: Tick,
    ) -> Result<Vec<Effect>, Stale> {
        self.in_term(stream.epoch)?;
        let replica = stream.replica.clone();
        let log = self.logs.get(&replica.session_id).ok_or(Stale::Log)?;
        if let Some(sender) = log.senders.get(&replica.node_id) {
            if !sender.is_later(stream.endpoint) {
                return Err(Stale::Endpoint);
            }
            if sender.recovery == Some(recovery) {
                return Err(Stale::RecoveryId);
            }
        }
        let generation = stream.endpoint.generation;
        self.know(&replica, Assigned { generation, row: Row::Absent }, now);
        let mut effects = Vec::new();
        self.with(&replica, now, &mut effects, |executor| {
            executor.introduced(stream, standing, recovery);
        });
        self.admit(now, &mut effects);
        Ok(effects)
    }

    /// Something was heard on a stream.
    ///
    /// # Errors
    ///
    /// The stream is not the replica's present one.
    pub fn hear(&mut self, stream: &Stream, heard: Heard, now: Tick) -> Result<Vec<Effect>, Stale> {
        self.is_present(stream)?;
        let session_id = stream.replica.session_id;
        let head = self.log(session_id)?.history.head();
        let mut effects = Vec::new();
        self.with(&stream.replica, now, &mut effects, |executor| executor.hear(heard));
        // A state may be read before the notice of its last append arrives, and then that is no news any more.
        if self.log(session_id)?.history.head() != head {
            self.with_each_of(session_id, now, &mut effects, |executor| executor.appended());
        }
        self.admit(now, &mut effects);
        Ok(effects)
    }

    /// A stream is gone, whoever ended it, or its driver cannot do as it was told.
    ///
    /// # Errors
    ///
    /// The stream is not the replica's present one.
    pub fn stream_closed(&mut self, stream: &Stream, now: Tick) -> Result<Vec<Effect>, Stale> {
        self.is_present(stream)?;
        let mut effects = Vec::new();
        self.with(&stream.replica, now, &mut effects, |executor| executor.end(Ending::StreamClosed));
        self.admit(now, &mut effects);
        Ok(effects)
    }

    /// Events were committed: the log ends at `head`. Notices that come late or twice change nothing.
    ///
    /// # Errors
    ///
    /// The term is over, or the log is not in care.
    pub fn appended(
        &mut self,
        session_id: SessionId,
        head: LogPoint,
        now: Tick,
    ) -> Result<Vec<Effect>, Stale> {
        let mut effects = Vec::new();
        if self.log(session_id)?.history.appended(head) {
            self.with_each_of(session_id, now, &mut effects, |executor| executor.appended());
        }
        Ok(effects)
    }

    /// A checkpoint was made, or looked at again. Rebuilds that are under way go on with theirs.
    ///
    /// # Errors
    ///
    /// The term is over, or the log is not in care.
    pub fn checkpointed(
        &mut self,
        session_id: SessionId,
        checkpoint: Checkpoint,
    ) -> Result<Result<(), ImpossibleHistory>, Stale> {
        Ok(self.log(session_id)?.history.checkpointed(checkpoint))
    }

    /// Time went on. Nothing but this makes anything end for having taken too long.
    pub fn tick(&mut self, now: Tick) -> Vec<Effect> {
        let mut effects = Vec::new();
        for session_id in self.logs.keys().copied().collect::<Vec<_>>() {
            self.with_each_of(session_id, now, &mut effects, |executor| executor.ticked());
        }
        self.admit(now, &mut effects);
        effects
    }

    /// The term is over: every exchange ends, and nothing is taken any more.
    pub fn end(&mut self, now: Tick) -> Vec<Effect> {
        let mut effects = Vec::new();
        for session_id in self.logs.keys().copied().collect::<Vec<_>>() {
            self.with_each_of(session_id, now, &mut effects, |executor| {
                executor.end(Ending::Closing(Closing::EpochOver));
            });
        }
        self.is_over = true;
        effects
    }

    /// Gives free slots to those who wait for them.
    pub(super) fn admit(&mut self, now: Tick, effects: &mut Vec<Effect>) {
        while let Some(replica) = self.slots.next() {
            self.with(&replica, now, effects, |executor| executor.admitted());
        }
    }

    fn in_term(&self, found: Epoch) -> Result<(), Stale> {
        if found != self.epoch {
            return Err(Stale::Epoch { held: self.epoch, found });
        }
        if self.is_over { Err(Stale::Over) } else { Ok(()) }
    }

    fn is_present(&self, stream: &Stream) -> Result<(), Stale> {
        self.in_term(stream.epoch)?;
        let log = self.logs.get(&stream.replica.session_id).ok_or(Stale::Log)?;
        let sender = log.senders.get(&stream.replica.node_id).ok_or(Stale::Replica)?;
        let present = sender.session.as_ref().filter(|session| session.seat.stream == *stream);
        present.map(|_| ()).ok_or(Stale::Endpoint)
    }

    pub(super) fn log(&mut self, session_id: SessionId) -> Result<&mut Log, Stale> {
        self.in_term(self.epoch)?;
        self.logs.get_mut(&session_id).ok_or(Stale::Log)
    }

    pub(super) fn with_each_of(
        &mut self,
        session_id: SessionId,
        now: Tick,
        effects: &mut Vec<Effect>,
        mut step: impl FnMut(&mut Executor<'_>),
    ) {
        let Self { logs, slots, settings, .. } = self;
        let Some(Log { history, journal, senders }) = logs.get_mut(&session_id) else { return };
        for (node_id, sender) in senders {
            let replica = ReplicaId { session_id, node_id: node_id.clone() };
            step(&mut Executor { now, settings, history, journal, slots, effects, replica, sender });
        }
    }

    fn with<T>(
        &mut self,
        replica: &ReplicaId,
        now: Tick,
        effects: &mut Vec<Effect>,
        step: impl FnOnce(&mut Executor<'_>) -> T,
    ) -> Option<T> {
        let Self { logs, slots, settings, .. } = self;
        let Log { history, journal, senders } = logs.get_mut(&replica.session_id)?;
        let (sender, replica) = (senders.get_mut(&replica.node_id)?, replica.clone());
        Some(step(&mut Executor { now, settings, history, journal, slots, effects, replica, sender }))
    }
}

impl Sender {
    /// The latest generation that is known of its node.
    fn generation(&self) -> u64 {
        self.endpoint.map_or(0, |latest| latest.generation).max(self.generation)
    }
}
