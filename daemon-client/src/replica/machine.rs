//! What a replica does with each message of a stream: the state machine. No I/O, no clock.
//!
//! ```text
//!              probe
//!            +-------> Asked
//!            | <--------+      zero gap
//!           Introduced ------------------------------------------------------------+
//!            |       |  catch up                                      completed    v
//!            |       +----------> [Cutting] --> CatchingUp ----------------------> Live
//!            |  rebuild                                                            ^
//!            +----------> Receiving --> Sealing --> Replaying --> Swapping --> Swapped
//! ```
//!
//! Messages go in, and what came of the work at the store; replies and work for the store come out, in order. Several
//! pieces of work can be under way: the machine counts what it handed over, and replies about what is durable. That
//! events continue each other by hash is proven by the store, in the transaction that takes them.
//!
//! Every message has one place. One that comes elsewhere is a fault, and the stream is given up: nothing of it was
//! applied, and the next introduction tells the server where the replica truly stands.

use contracts::{
    HistoryId, LogPoint, RecoveryId, Seq,
    log::{BaseDigest, Event},
};

use super::{
    fault::Fault,
    message::{Message, Need, Plan, Reply, Source},
};

/// Probes of one stream at most. A bisection of all numbers there are takes 63.
const PROBES_MAX: u32 = 128;

/// Where the replica stood at the introduction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Start {
    pub(crate) history: Option<HistoryId>,
    /// Before it, the replica can tell no hash.
    pub(crate) base: Seq,
    pub(crate) end: LogPoint,
}

/// Work for the store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Work {
    Tell(Vec<Seq>),
    Follow(HistoryId),
    Truncate(LogPoint),
    Append(Vec<Event>),
    Stage { history: HistoryId, at: LogPoint, events: u64 },
    StageBase(Vec<Event>),
    Seal(BaseDigest),
    StageTail(Vec<Event>),
    Swap { reason: String },
}

/// What came of it. It is durable.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Done {
    Told(Vec<LogPoint>),
    Followed,
    Truncated(LogPoint),
    Appended(LogPoint),
    Staged,
    BaseStaged(u64),
    Sealed(LogPoint),
    TailStaged(LogPoint),
    Swapped(LogPoint),
}

/// What is to be done next, in order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Output {
    Send(Reply),
    Store(Work),
}

/// A stream, from its introduction on.
#[derive(Clone, Debug)]
pub(crate) struct Machine {
    start: Start,
    phase: Phase,
    /// Where the log ends, as far as the server said.
    head: Option<Seq>,
    probes: u32,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Phase {
    Introduced,
    /// A probe is to be answered.
    Asked,
    Cutting {
        recovery: RecoveryId,
        from: LogPoint,
        target: Seq,
    },
    CatchingUp {
        recovery: RecoveryId,
        target: Seq,
        handed: Seq,
        durable: LogPoint,
    },
    Receiving {
        base: Base,
        ordinal: u64,
        handed: u64,
        durable: u64,
    },
    Sealing {
        base: Base,
    },
    Replaying {
        base: Base,
        handed: Seq,
        durable: LogPoint,
    },
    Swapping {
        base: Base,
        end: LogPoint,
    },
    Swapped {
        recovery: RecoveryId,
        at: LogPoint,
    },
    Live {
        last: RecoveryId,
        handed: Seq,
        durable: LogPoint,
    },
}

/// The base of a rebuild.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Base {
    recovery: RecoveryId,
    source: Source,
    at: LogPoint,
    events: u64,
    target: Seq,
    reason: String,
}

/// How far the exchange is, for the application.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Course {
    Introduced,
    CatchingUp {
        target: Seq,
    },
    Rebuilding {
        source: Source,
        reason: String,
        base_received: u64,
        base_events: u64,
        replayed: Seq,
        target: Seq,
    },
    Live,
}

type Outputs = Result<Vec<Output>, Fault>;

impl Machine {
    pub(crate) fn new(start: Start) -> Self {
        Self { start, phase: Phase::Introduced, head: None, probes: 0 }
    }

    pub(crate) fn head(&self) -> Option<Seq> {
        self.head
    }

    pub(crate) fn course(&self) -> Course {
        let rebuilding = |base: &Base, base_received: u64, replayed: Seq| Course::Rebuilding {
            source: base.source,
            reason: base.reason.clone(),
            base_received,
            base_events: base.events,
            replayed,
            target: base.target,
        };
        match &self.phase {
            Phase::Introduced | Phase::Asked => Course::Introduced,
            Phase::Cutting { target, .. } | Phase::CatchingUp { target, .. } => {
                Course::CatchingUp { target: *target }
            }
            Phase::Receiving { base, durable, .. } => rebuilding(base, *durable, base.at.seq),
            Phase::Sealing { base } => rebuilding(base, base.events, base.at.seq),
            Phase::Replaying { base, durable, .. } => rebuilding(base, base.events, durable.seq),
            Phase::Swapping { base, end, .. } => rebuilding(base, base.events, end.seq),
            // Nothing is left of a rebuild but to hear that it is over.
            Phase::Swapped { at, .. } => Course::CatchingUp { target: at.seq },
            Phase::Live { .. } => Course::Live,
        }
    }

    /// Takes a message of the server.
    pub(crate) fn received(&mut self, message: Message) -> Outputs {
        match message {
            Message::Probe(seqs) => self.probe(seqs),
            Message::Plan(plan) => self.plan(plan),
            Message::BaseChunk { recovery, ordinal, events } => self.base_chunk(recovery, ordinal, events),
            Message::BaseEnd { recovery, at, base_events, digest } => {
                self.base_end(recovery, at, base_events, digest)
            }
            Message::Events { recovery, events, head } => self.events(recovery, events, head),
            Message::Completed { recovery, at } => self.completed(recovery, at),
            Message::Bookmark { head } => self.bookmark(head),
        }
    }

    fn out_of_place(&self, message: &'static str) -> Fault {
        let during = match self.phase {
            Phase::Introduced => "the introduction",
            Phase::Asked => "a probe",
            Phase::Cutting { .. } => "a cut",
            Phase::CatchingUp { .. } => "a catch-up",
            Phase::Receiving { .. } => "the transfer of a base",
            Phase::Sealing { .. } => "the check of a base",
            Phase::Replaying { .. } | Phase::Swapping { .. } | Phase::Swapped { .. } => "a rebuild",
            Phase::Live { .. } => "the live stream",
        };
        Fault::OutOfPlace { message, during }
    }

    fn probe(&mut self, seqs: Vec<Seq>) -> Outputs {
        if self.phase != Phase::Introduced {
            return Err(self.out_of_place("a probe"));
        }
        self.probes += 1;
        if self.probes > PROBES_MAX {
            return Err(Fault::ProbesWithoutEnd);
        }
        self.phase = Phase::Asked;
        Ok(vec![Output::Store(Work::Tell(seqs))])
    }

    fn plan(&mut self, plan: Plan) -> Outputs {
        if self.phase != Phase::Introduced {
            return Err(self.out_of_place("a plan"));
        }
        let Plan { recovery, history, need } = plan;
        if let Some(held) = self.start.history.filter(|held| *held != history) {
            return Err(Fault::ForeignHistory { held, offered: Some(history) });
        }
        let end = self.start.end;
        match need {
            Need::Nothing { at } => {
                if at != end {
                    return Err(Fault::NotOurs { named: at, held: end });
                }
                self.phase = Phase::Live { last: recovery, handed: end.seq, durable: end };
                Ok(self.follow(history))
            }
            Need::Events { truncate_to, from, target } => {
                let (start, is_cut) = match truncate_to {
                    Some(to) if to.seq < self.start.base || to.seq >= end.seq => {
                        return Err(Fault::NotOurs { named: to, held: end });
                    }
                    Some(to) => (to, true),
                    None => (end, false),
                };
                if from != start {
                    return Err(Fault::NotOurs { named: from, held: start });
                }
                if target < from.seq {
                    return Err(Fault::Target { target, from: from.seq });
                }
                let mut outputs = self.follow(history);
                self.phase = if is_cut {
                    outputs.push(Output::Store(Work::Truncate(from)));
                    Phase::Cutting { recovery, from, target }
                } else {
                    Phase::CatchingUp { recovery, target, handed: from.seq, durable: from }
                };
                Ok(outputs)
            }
            Need::Base { source, at, events, target, reason } => {
                if target < at.seq {
                    return Err(Fault::Target { target, from: at.seq });
                }
                let base = Base { recovery, source, at, events, target, reason };
                self.phase = Phase::Receiving { base, ordinal: 0, handed: 0, durable: 0 };
                Ok(vec![Output::Store(Work::Stage { history, at, events })])
            }
        }
    }

    /// An empty replica follows the history of its first plan.
    fn follow(&self, history: HistoryId) -> Vec<Output> {
        match self.start.history {
            Some(_) => Vec::new(),
            None => vec![Output::Store(Work::Follow(history))],
        }
    }

    fn base_chunk(&mut self, named: RecoveryId, found: u64, events: Vec<Event>) -> Outputs {
        let Phase::Receiving { base, ordinal, handed, .. } = &mut self.phase else {
            return Err(self.out_of_place("a part of a base"));
        };
        same(base.recovery, named)?;
        if *ordinal != found {
            return Err(Fault::ChunkOrder { expected: *ordinal, found });
        }
        *ordinal += 1;
        *handed += events.len() as u64;
        Ok(vec![Output::Store(Work::StageBase(events))])
    }

    fn base_end(&mut self, named: RecoveryId, at: LogPoint, events: u64, digest: BaseDigest) -> Outputs {
        let Phase::Receiving { base, handed, .. } = &self.phase else {
            return Err(self.out_of_place("the end of a base"));
        };
        same(base.recovery, named)?;
        if at != base.at {
            return Err(Fault::NotOurs { named: at, held: base.at });
        }
        if events != base.events || *handed != base.events {
            return Err(Fault::BaseLength { planned: base.events, said: events, received: *handed });
        }
        self.phase = Phase::Sealing { base: base.clone() };
        Ok(vec![Output::Store(Work::Seal(digest))])
    }

    fn events(&mut self, named: Option<RecoveryId>, events: Vec<Event>, head: Seq) -> Outputs {
        let out_of_place = self.out_of_place("events");
        let work = match (&mut self.phase, named) {
            (Phase::CatchingUp { recovery, target, handed, .. }, Some(named)) => {
                same(*recovery, named)?;
                advance(handed, &events, Some(*target))?;
                Work::Append(events)
            }
            (Phase::Replaying { base, handed, .. }, Some(named)) => {
                same(base.recovery, named)?;
                advance(handed, &events, Some(base.target))?;
                Work::StageTail(events)
            }
            (Phase::Live { handed, .. }, None) => {
                advance(handed, &events, None)?;
                Work::Append(events)
            }
            (
                Phase::Introduced
                | Phase::Asked
                | Phase::Cutting { .. }
                | Phase::CatchingUp { .. }
                | Phase::Receiving { .. }
                | Phase::Sealing { .. }
                | Phase::Replaying { .. }
                | Phase::Swapping { .. }
                | Phase::Swapped { .. }
                | Phase::Live { .. },
                Some(_) | None,
            ) => return Err(out_of_place),
        };
        self.head = Some(head);
        Ok(vec![Output::Store(work)])
    }

    fn completed(&mut self, named: RecoveryId, at: LogPoint) -> Outputs {
        let out_of_place = self.out_of_place("the end of a recovery");
        let (recovery, held) = match &mut self.phase {
            Phase::CatchingUp { recovery, target, durable, .. } if durable.seq == *target => {
                (*recovery, *durable)
            }
            Phase::Swapped { recovery, at } => (*recovery, *at),
            // The plan of a replica that needs nothing is the end already; saying so once more is harmless.
            Phase::Live { last, durable, .. } if *last == named && *durable == at => return Ok(Vec::new()),
            Phase::Introduced
            | Phase::Asked
            | Phase::Cutting { .. }
            | Phase::CatchingUp { .. }
            | Phase::Receiving { .. }
            | Phase::Sealing { .. }
            | Phase::Replaying { .. }
            | Phase::Swapping { .. }
            | Phase::Live { .. } => return Err(out_of_place),
        };
        same(recovery, named)?;
        if at != held {
            return Err(Fault::NotOurs { named: at, held });
        }
        self.phase = Phase::Live { last: recovery, handed: held.seq, durable: held };
        Ok(Vec::new())
    }

    fn bookmark(&mut self, head: LogPoint) -> Outputs {
        if let Phase::Live { handed, durable, .. } = &self.phase {
            if head.seq < *handed {
                return Err(Fault::Behind { head: head.seq, at: *handed });
            }
            if head.seq == durable.seq && head != *durable {
                return Err(Fault::NotOurs { named: head, held: *durable });
            }
        }
        self.head = Some(head.seq);
        Ok(Vec::new())
    }

    /// Takes what came of the oldest work that is under way.
    pub(crate) fn done(&mut self, done: Done) -> Outputs {
        let unexpected = Fault::OutOfPlace { message: "the store's answer", during: "another phase" };
        match (done, &mut self.phase) {
            (Done::Told(points), Phase::Asked) => {
                self.phase = Phase::Introduced;
                Ok(vec![Output::Send(Reply::ProbeAnswer(points))])
            }
            // The whole base may be there before there is a place for it.
            (Done::Followed, _) | (Done::Staged, Phase::Receiving { .. } | Phase::Sealing { .. }) => {
                Ok(Vec::new())
            }
            (Done::Truncated(at), Phase::Cutting { recovery, from, target }) if at == *from => {
                let recovery = *recovery;
                self.phase = Phase::CatchingUp { recovery, target: *target, handed: at.seq, durable: at };
                Ok(vec![Output::Send(Reply::Truncated { recovery, at })])
            }
            (Done::Appended(at), Phase::CatchingUp { recovery, durable, .. }) => {
                *durable = at;
                Ok(vec![acknowledgement(Some(*recovery), at)])
            }
            (Done::Appended(at), Phase::Live { durable, .. }) => {
                *durable = at;
                Ok(vec![acknowledgement(None, at)])
            }
            // The last parts may become durable when the end is there already.
            (Done::BaseStaged(_), Phase::Sealing { .. }) => Ok(Vec::new()),
            (Done::BaseStaged(received), Phase::Receiving { durable, .. }) => {
                *durable = received;
                Ok(Vec::new())
            }
            (Done::Sealed(at), Phase::Sealing { base }) => {
                let base = base.clone();
                let received = base_received(&base);
                // A base without a tail is all there is to do: the server may end the recovery when it hears of it, so
                // it is in place by then.
                Ok(vec![self.replayed(base, at.seq, at).unwrap_or(received)])
            }
            (Done::TailStaged(at), Phase::Replaying { base, handed, .. }) => {
                let (base, handed) = (base.clone(), *handed);
                let recovery = base.recovery;
                let swap = self.replayed(base, handed, at);
                // The place of the target is acknowledged when the application reads it.
                Ok(swap.map_or_else(|| vec![acknowledgement(Some(recovery), at)], |swap| vec![swap]))
            }
            (Done::Swapped(at), Phase::Swapping { base, end }) if at == *end => {
                let recovery = base.recovery;
                let received = (base.at == at).then(|| base_received(base));
                self.phase = Phase::Swapped { recovery, at };
                Ok(received.into_iter().chain([acknowledgement(Some(recovery), at)]).collect())
            }
            (
                Done::Told(_)
                | Done::Truncated(_)
                | Done::Appended(_)
                | Done::Staged
                | Done::BaseStaged(_)
                | Done::Sealed(_)
                | Done::TailStaged(_)
                | Done::Swapped(_),
                _,
            ) => Err(unexpected),
        }
    }

    /// What was received is durable up to `durable`. At the target it is put in place.
    fn replayed(&mut self, base: Base, handed: Seq, durable: LogPoint) -> Option<Output> {
        if durable.seq < base.target {
            self.phase = Phase::Replaying { base, handed, durable };
            return None;
        }
        let reason = format!("{} ({} of {})", base.reason, base.source, base.at);
        self.phase = Phase::Swapping { base, end: durable };
        Some(Output::Store(Work::Swap { reason }))
    }
}

fn base_received(base: &Base) -> Output {
    Output::Send(Reply::BaseReceived { recovery: base.recovery, at: base.at })
}

fn acknowledgement(recovery: Option<RecoveryId>, at: LogPoint) -> Output {
    Output::Send(Reply::Acknowledgement { recovery, at })
}

fn same(recovery: RecoveryId, named: RecoveryId) -> Result<(), Fault> {
    if recovery == named { Ok(()) } else { Err(Fault::OtherRecovery) }
}

/// Counts events that are handed over: they must follow what was handed over before, up to the target if there is one.
fn advance(handed: &mut Seq, events: &[Event], target: Option<Seq>) -> Result<(), Fault> {
    for event in events {
        if handed.next() != Some(event.seq) {
            return Err(Fault::Gap { after: *handed, found: event.seq });
        }
        if let Some(target) = target.filter(|target| event.seq > *target) {
            return Err(Fault::BeyondTarget { target, found: event.seq });
        }
        *handed = event.seq;
    }
    Ok(())
}

#[cfg(test)]
mod tests;
