//! What may be pruned, and which replicas have held the log for too long. The decision is pure, and from the moment it is
//! made nothing counts on what it lets go: no plan can pin what is about to be deleted.

use contracts::{
    SessionId,
    log::{LogPoint, Seq},
};

use super::{
    Closing, Effect, Engine, EventName, Hold, RebuildReason, RetainedHistory, Stale, Tick,
    executor::{Ending, Executor},
};

/// Places in a log that follow from bounds by count, by bytes and by age. The highest counts; none means no such bound.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Marks {
    /// The events after it are as many as may be.
    pub by_count: Option<Seq>,
    /// The events after it are as many bytes as may be.
    pub by_bytes: Option<Seq>,
    /// The events after it are as old as may be.
    pub by_age: Option<Seq>,
}

impl Marks {
    /// The highest of them.
    pub fn highest(self) -> Option<Seq> {
        let Self { by_count, by_bytes, by_age } = self;
        by_count.max(by_bytes).max(by_age)
    }
}

/// What retention wants of a log.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Wanted {
    /// Where it wants the tail to be. Without any mark everything is kept.
    pub tail: Marks,
    /// What every replica has to have, so that it may hold the log. Without any mark it may for ever.
    pub hold: Marks,
}

/// What may be pruned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Prune {
    /// The events up to here, which nothing counts on from now on.
    To {
        /// The last of them.
        tail: Seq,
        /// What keeps the ones after it.
        kept_by: KeptBy,
    },
    /// Nothing.
    Nothing(KeptBy),
}

/// What keeps events from being pruned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeptBy {
    /// Retention itself.
    Retention,
    /// The term began a moment ago, and replicas may be on their way back.
    Grace,
    /// The last prune is not known to be done.
    PruneUnderWay,
    /// There is no checkpoint that is trusted.
    NoTrustedCheckpoint,
    /// The last trusted checkpoint, after which a rebuild goes on.
    Checkpoint,
    /// A recovery.
    Pin,
    /// A replica that has not acknowledged them.
    Replica,
}

/// Says up to where `history` may be pruned, given where retention wants its tail and what replicas hold. Pure.
pub fn prunable(history: &RetainedHistory, wanted: Seq, holds: impl IntoIterator<Item = Hold>) -> Prune {
    if history.is_being_pruned() {
        return Prune::Nothing(KeptBy::PruneUnderWay);
    }
    if wanted <= history.floor() {
        return Prune::Nothing(KeptBy::Retention);
    }
    let Some(checkpoint) = history.checkpoint().filter(|checkpoint| checkpoint.trusted) else {
        return Prune::Nothing(KeptBy::NoTrustedCheckpoint);
    };
    let of_replicas = holds.into_iter().map(|hold| match hold {
        Hold::Pin(after) => (after, KeptBy::Pin),
        Hold::Acknowledged(after) => (after, KeptBy::Replica),
    });
    let own = [(wanted, KeptBy::Retention), (checkpoint.at.seq, KeptBy::Checkpoint)];
    let lowest = own.into_iter().chain(of_replicas).min_by_key(|(after, _)| *after);
    match lowest {
        Some((tail, kept_by)) if tail > history.floor() => Prune::To { tail, kept_by },
        Some((_, kept_by)) => Prune::Nothing(kept_by),
        None => Prune::Nothing(KeptBy::Retention),
    }
}

impl Engine {
    /// Declares the replicas that hold a log for too long to need a rebuild, and says what may be pruned. After that,
    /// [`Engine::pruned`] must say how it ended.
    ///
    /// A replica is in nobody's way, however far behind it is, as long as retention wants nothing that it lacks.
    ///
    /// # Errors
    ///
    /// The term is over, or the log is not in care.
    pub fn prune(
        &mut self,
        session_id: SessionId,
        wanted: Wanted,
        now: Tick,
    ) -> Result<(Prune, Vec<Effect>), Stale> {
        let in_grace = now.since(self.began()) < self.settings().reconnect_grace;
        let head = self.log(session_id)?.history.head().seq;
        if in_grace {
            return Ok((Prune::Nothing(KeptBy::Grace), Vec::new()));
        }
        let Some(tail) = wanted.tail.highest().map(|tail| tail.min(head)) else {
            return Ok((Prune::Nothing(KeptBy::Retention), Vec::new()));
        };
        let hold_after = wanted.hold.highest().map(|hold_after| hold_after.min(tail));
        let mut effects = Vec::new();
        self.with_each_of(session_id, now, &mut effects, |executor| executor.let_go(hold_after));
        self.admit(now, &mut effects);
        let log = self.log(session_id)?;
        let prune = prunable(&log.history, tail, log.senders.values().filter_map(|sender| sender.hold()));
        if let Prune::To { tail, .. } = prune {
            log.history.begin_pruning(tail);
        }
        Ok((prune, effects))
    }

    /// A prune is over, well or not: the log's tail is at `tail`.
    ///
    /// # Errors
    ///
    /// The term is over, or the log is not in care.
    pub fn pruned(&mut self, session_id: SessionId, tail: LogPoint) -> Result<(), Stale> {
        self.log(session_id)?.history.end_pruning(tail);
        Ok(())
    }
}

impl Executor<'_> {
    /// Lets the replica hold the log no longer when what it lacks is gone already, or when it has not even what comes
    /// before `hold_after`. One that is being recovered has a budget of its own, and one that is just about to say what
    /// it has is not judged by what was known before.
    fn let_go(&mut self, hold_after: Option<Seq>) {
        let Some(Hold::Acknowledged(acknowledged)) = self.sender.hold() else { return };
        if self.sender.is_in_handshake() {
            return;
        }
        let tail = self.history.floor();
        let reason = match hold_after {
            _ if acknowledged < tail => RebuildReason::BehindTail { at: acknowledged, tail },
            Some(hold_after) if acknowledged < hold_after => {
                RebuildReason::OverRetention { acknowledged, hold_after }
            }
            Some(_) | None => return,
        };
        self.note(EventName::RetentionEscalated, reason.to_string());
        self.declare(reason);
        self.end(Ending::Closing(Closing::OverRetention));
    }
}
