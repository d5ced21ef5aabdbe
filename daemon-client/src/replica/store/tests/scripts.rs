//! Random servers: whatever they send, the replica verifies, and holds a part of a log that was sent to it.

use std::collections::VecDeque;

use contracts::{RecoveryId, Seq};
use proptest::prelude::*;
use uuid::Uuid;

use super::*;
use crate::replica::{
    fault::Fault,
    machine::{Machine, Output, Start, Work},
    message::{Message, Need, Plan, Source},
    worker::perform,
};

/// What a server does next, and how it does it wrong.
#[derive(Clone, Debug)]
enum Move {
    /// A new stream.
    Introduce,
    Probe,
    Plan(PlanOf, Twist),
    Events {
        count: u64,
        twist: Twist,
    },
    Chunk {
        count: usize,
        twist: Twist,
    },
    BaseEnd(Twist),
    Completed(Twist),
    Bookmark(Twist),
    /// The replica's process is killed and starts again.
    Restart,
    /// So many pieces of what the store is to do are done.
    Work(usize),
}

#[derive(Clone, Copy, Debug)]
enum PlanOf {
    Nothing,
    /// As the server that knows both logs would, to some number.
    CatchUp {
        target: u64,
    },
    Rebuild {
        at: u64,
        target: u64,
    },
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Twist {
    None,
    /// Of the other log.
    OtherLog,
    Tampered,
    Skips,
    OtherRecovery,
    OtherHash,
}

fn twist() -> impl Strategy<Value = Twist> {
    prop_oneof![
        12 => Just(Twist::None),
        1 => Just(Twist::OtherLog),
        1 => Just(Twist::Tampered),
        1 => Just(Twist::Skips),
        1 => Just(Twist::OtherRecovery),
        1 => Just(Twist::OtherHash),
    ]
}

fn plans() -> impl Strategy<Value = PlanOf> {
    prop_oneof![
        Just(PlanOf::Nothing),
        (0..=LENGTH).prop_map(|target| PlanOf::CatchUp { target }),
        (0..=LENGTH, 0..4_u64).prop_map(|(at, more)| PlanOf::Rebuild { at, target: (at + more).min(LENGTH) }),
    ]
}

fn moves() -> impl Strategy<Value = Move> {
    prop_oneof![
        3 => Just(Move::Introduce),
        1 => Just(Move::Probe),
        4 => (plans(), twist()).prop_map(|(plan, twist)| Move::Plan(plan, twist)),
        8 => (1..6_u64, twist()).prop_map(|(count, twist)| Move::Events { count, twist }),
        6 => (1..4_usize, twist()).prop_map(|(count, twist)| Move::Chunk { count, twist }),
        4 => twist().prop_map(Move::BaseEnd),
        3 => twist().prop_map(Move::Completed),
        2 => twist().prop_map(Move::Bookmark),
        1 => Just(Move::Restart),
        6 => (1..4_usize).prop_map(Move::Work),
    ]
}

const LENGTH: u64 = 24;
const COMMON: u64 = 9;

/// A server with two logs that part at some place, of which it follows the first, and one replica.
struct World {
    folder: TestFolder,
    store: Option<Store>,
    machine: Machine,
    /// What the store is to do.
    waiting: VecDeque<Work>,
    /// Whether it does so at once.
    is_eager: bool,
    log: Log,
    other: Log,
    /// What the plan under way says: recovery, where the next events come from, and where they end.
    recovery: Option<RecoveryId>,
    sent: u64,
    target: u64,
    base: u64,
    chunks: (u64, usize),
    recoveries: u128,
}

impl World {
    fn new(is_eager: bool) -> Self {
        let folder = TestFolder::new();
        let store = open(&folder);
        let log = Log::of(LENGTH);
        let other = log.forked(COMMON, LENGTH - COMMON, 1);
        let machine = Machine::new(start(&store));
        Self {
            folder,
            store: Some(store),
            machine,
            waiting: VecDeque::new(),
            is_eager,
            log,
            other,
            recovery: None,
            sent: 0,
            target: 0,
            base: 0,
            chunks: (0, 0),
            recoveries: 0,
        }
    }

    fn store(&mut self) -> &mut Store {
        self.store.as_mut().unwrap()
    }

    fn introduce(&mut self) {
        self.waiting.clear();
        let start = start(self.store());
        self.machine = Machine::new(start);
        self.recovery = None;
    }

    fn restart(&mut self) {
        self.store = None;
        self.store = Some(open(&self.folder));
        self.introduce();
    }

    fn make(&mut self, made: &Move) {
        let message = match made {
            Move::Introduce => return self.introduce(),
            Move::Restart => return self.restart(),
            Move::Work(count) => {
                if !self.work(*count) {
                    self.introduce();
                }
                return;
            }
            Move::Probe => Message::Probe(vec![seq(0), seq(COMMON), seq(LENGTH)]),
            Move::Plan(plan, twist) => self.plan(*plan, *twist),
            Move::Events { count, twist } => self.events(*count, *twist),
            Move::Chunk { count, twist } => self.chunk(*count, *twist),
            Move::BaseEnd(twist) => Message::BaseEnd {
                recovery: self.named(*twist),
                at: self.twisted_point(self.base, *twist),
                base_events: self.log.base(self.base).len() as u64,
                digest: self.of(*twist).digest(self.base),
            },
            Move::Completed(twist) => Message::Completed {
                recovery: self.named(*twist),
                at: self.twisted_point(self.target, *twist),
            },
            Move::Bookmark(twist) => Message::Bookmark { head: self.twisted_point(LENGTH, *twist) },
        };
        let outputs = self.machine.received(message);
        let is_well = self.take(outputs) && (!self.is_eager || self.work(usize::MAX));
        if !is_well {
            self.introduce();
        }
    }

    /// Hands what the machine asks for to the store; gives whether it had no fault to find.
    fn take(&mut self, outputs: Result<Vec<Output>, Fault>) -> bool {
        let Ok(outputs) = outputs else { return false };
        self.waiting.extend(outputs.into_iter().filter_map(|output| match output {
            Output::Store(work) => Some(work),
            Output::Send(_) => None,
        }));
        true
    }

    /// Does some of what waits, and gives whether that went well.
    fn work(&mut self, count: usize) -> bool {
        for _ in 0..count {
            let Some(work) = self.waiting.pop_front() else { return true };
            let outputs = match perform(self.store(), work) {
                Ok(done) => self.machine.done(done),
                Err(Error::Misfit(_)) => return false,
                Err(error) => panic!("{error}"),
            };
            if let Err(Fault::OutOfPlace { message: "the store's answer", .. }) = outputs {
                panic!("the machine does not know what it asked for: {:?}", self.machine);
            }
            if !self.take(outputs) {
                return false;
            }
        }
        true
    }

    fn plan(&mut self, plan: PlanOf, twist: Twist) -> Message {
        self.recoveries += 1;
        let recovery = RecoveryId(Uuid::from_u128(self.recoveries));
        self.recovery = Some(recovery);
        self.chunks = (0, 0);
        let end = self.store().current().end;
        // The last place that the replica and the server's log have in common.
        let common =
            (0..=end.seq.get()).rev().find(|at| self.told(*at) == Some(self.log.at(*at))).unwrap_or(0);
        let need = match plan {
            PlanOf::Nothing => Need::Nothing { at: self.twisted_point(end.seq.get(), twist) },
            PlanOf::CatchUp { target } => {
                let target = target.max(common);
                (self.sent, self.target) = (common, target);
                let from = self.twisted_point(common, twist);
                let truncate_to = (common < end.seq.get()).then_some(from);
                Need::Events { truncate_to, from, target: seq(target) }
            }
            PlanOf::Rebuild { at, target } => {
                (self.base, self.sent, self.target) = (at, at, target);
                let events = self.log.base(at).len() as u64;
                let at = self.twisted_point(at, twist);
                Need::Base { source: Source::Full, at, events, target: seq(target), reason: String::new() }
            }
        };
        Message::Plan(Plan { recovery, history: HISTORY, need })
    }

    fn told(&mut self, at: u64) -> Option<LogPoint> {
        self.store().points(&[seq(at)]).unwrap().pop()
    }

    fn events(&mut self, count: u64, twist: Twist) -> Message {
        let from = (self.sent + u64::from(twist == Twist::Skips)).min(LENGTH);
        let through = (from + count).min(LENGTH);
        let mut events = self.of(twist).after(from, through).to_vec();
        if let (Twist::Tampered, Some(last)) = (twist, events.last_mut()) {
            *last = tampered(last);
        }
        self.sent = through;
        let is_live = self.recovery.is_none() || through > self.target;
        let recovery = (!is_live).then(|| self.named(twist));
        Message::Events { recovery, events, head: seq(LENGTH) }
    }

    fn chunk(&mut self, count: usize, twist: Twist) -> Message {
        let base = self.of(twist).base(self.base);
        let (ordinal, begin) = self.chunks;
        let begin = (begin + usize::from(twist == Twist::Skips)).min(base.len());
        let end = (begin + count).min(base.len());
        let mut events = base[begin..end].to_vec();
        if let (Twist::Tampered, Some(last)) = (twist, events.last_mut()) {
            *last = tampered(last);
        }
        self.chunks = (ordinal + 1, end);
        Message::BaseChunk { recovery: self.named(twist), ordinal, events }
    }

    fn of(&self, twist: Twist) -> &Log {
        if twist == Twist::OtherLog { &self.other } else { &self.log }
    }

    fn named(&self, twist: Twist) -> RecoveryId {
        match self.recovery {
            Some(recovery) if twist != Twist::OtherRecovery => recovery,
            Some(_) | None => RecoveryId(Uuid::from_u128(0xbad)),
        }
    }

    fn twisted_point(&self, at: u64, twist: Twist) -> LogPoint {
        let point = self.of(twist).at(at);
        if twist == Twist::OtherHash { other_hash(point) } else { point }
    }

    /// It verifies, and its history is a stretch of one of the two logs.
    fn check(&self) {
        let verified = verify(&at(&self.folder)).unwrap();
        let (begins, end) = (verified.begins.seq.get(), verified.end.seq.get());
        let held = self.held(verified.begins.seq);
        let is_of = |log: &Log| verified.end == log.at(end) && held == log.after(begins, end);
        assert!(is_of(&self.log) || is_of(&self.other), "{verified:?}");
    }

    fn held(&self, after: Seq) -> Vec<Event> {
        events(&self.folder, after.get())
    }
}

fn start(store: &Store) -> Start {
    let strand = store.current();
    Start { history: strand.history, base: strand.base.at.seq, end: strand.end }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    #[test]
    fn whatever_a_server_sends_the_replica_verifies(
        moves in prop::collection::vec(moves(), 1..60),
        is_eager in any::<bool>(),
    ) {
        let mut world = World::new(is_eager);
        for made in &moves {
            world.make(made);
            world.check();
        }
        world.restart();
        world.check();
    }
}

/// The property above would hold of a machine that refuses everything.
#[test]
fn a_server_without_a_fault_gets_through_however_late_the_store_is() {
    for is_eager in [true, false] {
        let mut world = World::new(is_eager);
        let settle = Move::Work(usize::MAX);
        for made in [
            Move::Plan(PlanOf::CatchUp { target: 8 }, Twist::None),
            Move::Events { count: 5, twist: Twist::None },
            Move::Events { count: 3, twist: Twist::None },
            settle.clone(),
            Move::Completed(Twist::None),
            Move::Events { count: 2, twist: Twist::None },
            settle.clone(),
        ] {
            world.make(&made);
            world.check();
        }
        let end = world.store().current().end;
        assert_eq!(end, world.log.at(10));
        for made in [
            Move::Introduce,
            Move::Plan(PlanOf::Rebuild { at: 18, target: 20 }, Twist::None),
            Move::Chunk { count: 3, twist: Twist::None },
            Move::Chunk { count: 3, twist: Twist::None },
            Move::BaseEnd(Twist::None),
            settle.clone(),
            Move::Events { count: 2, twist: Twist::None },
            settle.clone(),
            Move::Completed(Twist::None),
            Move::Events { count: 4, twist: Twist::None },
            settle.clone(),
        ] {
            world.make(&made);
            world.check();
        }
        let end = world.store().current().end;
        assert_eq!(end, world.log.at(24));
    }
}
