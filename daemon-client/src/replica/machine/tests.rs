//! Each message in its place, and each out of it.

use uuid::Uuid;

use super::*;
use crate::replica::fixture::{HISTORY, Log, other_hash, seq};

const RECOVERY: u128 = 7;

fn recovery() -> RecoveryId {
    RecoveryId(Uuid::from_u128(RECOVERY))
}

fn start(log: &Log, end: u64, base: u64) -> Start {
    Start { history: (end > 0).then_some(HISTORY), base: seq(base), end: log.at(end) }
}

fn machine(log: &Log, end: u64) -> Machine {
    Machine::new(start(log, end, 0))
}

fn plan(need: Need) -> Message {
    Message::Plan(Plan { recovery: recovery(), history: HISTORY, need })
}

fn catch_up(log: &Log, from: u64, target: u64) -> Message {
    plan(Need::Events { truncate_to: None, from: log.at(from), target: seq(target) })
}

fn cut(log: &Log, to: u64, target: u64) -> Message {
    plan(Need::Events { truncate_to: Some(log.at(to)), from: log.at(to), target: seq(target) })
}

fn rebuild(log: &Log, at: u64, target: u64) -> Message {
    let events = log.base(at).len() as u64;
    let reason = "why".to_owned();
    plan(Need::Base { source: Source::Full, at: log.at(at), events, target: seq(target), reason })
}

fn recovered(log: &Log, after: u64, through: u64) -> Message {
    let events = log.after(after, through).to_vec();
    Message::Events { recovery: Some(recovery()), events, head: log.head().seq }
}

fn live(log: &Log, after: u64, through: u64) -> Message {
    Message::Events { recovery: None, events: log.after(after, through).to_vec(), head: log.head().seq }
}

fn chunk(ordinal: u64, events: &[Event]) -> Message {
    Message::BaseChunk { recovery: recovery(), ordinal, events: events.to_vec() }
}

fn base_end(log: &Log, at: u64) -> Message {
    let base_events = log.base(at).len() as u64;
    Message::BaseEnd { recovery: recovery(), at: log.at(at), base_events, digest: log.digest(at) }
}

fn completed(log: &Log, at: u64) -> Message {
    Message::Completed { recovery: recovery(), at: log.at(at) }
}

fn acknowledged(recovery: Option<RecoveryId>, at: LogPoint) -> Vec<Output> {
    vec![Output::Send(Reply::Acknowledgement { recovery, at })]
}

fn store(work: Work) -> Vec<Output> {
    vec![Output::Store(work)]
}

#[test]
fn a_replica_that_needs_nothing_is_live_at_once() {
    let log = Log::of(6);
    let mut machine = machine(&log, 6);
    assert_eq!(machine.course(), Course::Introduced);
    assert_eq!(machine.received(plan(Need::Nothing { at: log.at(6) })), Ok(Vec::new()));
    assert_eq!(machine.course(), Course::Live);
    assert_eq!(machine.received(completed(&log, 6)), Ok(Vec::new()), "said once more");
    let mut machine = Machine::new(start(&log, 6, 0));
    let elsewhere = plan(Need::Nothing { at: other_hash(log.at(6)) });
    assert!(matches!(machine.received(elsewhere), Err(Fault::NotOurs { .. })));
}

#[test]
fn probes_are_answered_and_are_not_without_end() {
    let log = Log::of(6);
    let mut machine = machine(&log, 6);
    let seqs = vec![seq(2), seq(9)];
    for _ in 0..PROBES_MAX {
        assert_eq!(machine.received(Message::Probe(seqs.clone())), Ok(store(Work::Tell(seqs.clone()))));
        let points = vec![log.at(2)];
        let answer = vec![Output::Send(Reply::ProbeAnswer(points.clone()))];
        assert_eq!(machine.done(Done::Told(points)), Ok(answer));
    }
    assert_eq!(machine.received(Message::Probe(seqs)), Err(Fault::ProbesWithoutEnd));
}

#[test]
fn a_catch_up_acknowledges_what_is_durable_and_ends_at_its_target() {
    let log = Log::of(9);
    let mut machine = machine(&log, 3);
    assert_eq!(machine.received(catch_up(&log, 3, 8)), Ok(Vec::new()));
    assert_eq!(machine.course(), Course::CatchingUp { target: seq(8) });
    for (after, through) in [(3, 5), (5, 8)] {
        let work = Work::Append(log.after(after, through).to_vec());
        assert_eq!(machine.received(recovered(&log, after, through)), Ok(store(work)));
    }
    assert_eq!(machine.head(), Some(seq(9)));
    assert!(machine.received(completed(&log, 8)).is_err(), "nothing of it is durable yet");
    // Both at once: the store made one piece of them.
    assert_eq!(machine.done(Done::Appended(log.at(8))), Ok(acknowledged(Some(recovery()), log.at(8))));
    assert_eq!(machine.received(completed(&log, 8)), Ok(Vec::new()));
    assert_eq!(machine.course(), Course::Live);
    let work = Work::Append(log.after(8, 9).to_vec());
    assert_eq!(machine.received(live(&log, 8, 9)), Ok(store(work)));
    assert_eq!(machine.done(Done::Appended(log.at(9))), Ok(acknowledged(None, log.at(9))));
}

#[test]
fn an_empty_replica_follows_the_history_of_its_plan_before_anything_else() {
    let log = Log::of(2);
    let mut machine = machine(&log, 0);
    assert_eq!(machine.received(catch_up(&log, 0, 2)), Ok(store(Work::Follow(HISTORY))));
    assert_eq!(machine.done(Done::Followed), Ok(Vec::new()));
}

#[test]
fn a_cut_comes_before_the_events_and_is_told() {
    let log = Log::of(9);
    let mut machine = machine(&log, 6);
    assert_eq!(machine.received(cut(&log, 4, 8)), Ok(store(Work::Truncate(log.at(4)))));
    assert!(matches!(machine.clone().received(recovered(&log, 4, 5)), Err(Fault::OutOfPlace { .. })));
    let told = vec![Output::Send(Reply::Truncated { recovery: recovery(), at: log.at(4) })];
    assert_eq!(machine.done(Done::Truncated(log.at(4))), Ok(told));
    assert!(machine.received(recovered(&log, 4, 8)).is_ok());
}

#[test]
fn a_cut_alone_is_complete_when_it_is_done() {
    let log = Log::of(9);
    let mut machine = machine(&log, 6);
    machine.received(cut(&log, 4, 4)).unwrap();
    machine.done(Done::Truncated(log.at(4))).unwrap();
    assert_eq!(machine.received(completed(&log, 4)), Ok(Vec::new()));
    assert_eq!(machine.course(), Course::Live);
}

#[test]
fn a_cut_is_neither_below_the_base_nor_beyond_the_end() {
    let log = Log::of(9);
    let begin = || Machine::new(start(&log, 6, 4));
    assert!(begin().received(cut(&log, 4, 8)).is_ok(), "at the base");
    for to in [3, 6, 7] {
        assert!(matches!(begin().received(cut(&log, to, 8)), Err(Fault::NotOurs { .. })), "{to}");
    }
}

#[test]
fn a_rebuild_is_received_sealed_replayed_and_put_in_place() {
    let log = Log::of(12);
    let base = log.base(9);
    let mut machine = machine(&log, 3);
    let events = base.len() as u64;
    let stage = Work::Stage { history: HISTORY, at: log.at(9), events };
    assert_eq!(machine.received(rebuild(&log, 9, 11)), Ok(store(stage)));
    assert_eq!(machine.done(Done::Staged), Ok(Vec::new()));
    let (first, second) = base.split_at(2);
    for (ordinal, part) in [(0, first), (1, second)] {
        let work = Work::StageBase(part.to_vec());
        assert_eq!(machine.received(chunk(ordinal, part)), Ok(store(work)));
    }
    assert_eq!(machine.done(Done::BaseStaged(2)), Ok(Vec::new()));
    assert!(matches!(machine.course(), Course::Rebuilding { base_received: 2, .. }));
    assert_eq!(machine.received(base_end(&log, 9)), Ok(store(Work::Seal(log.digest(9)))));
    assert_eq!(machine.done(Done::BaseStaged(events)), Ok(Vec::new()));
    let received = Reply::BaseReceived { recovery: recovery(), at: log.at(9) };
    assert_eq!(machine.done(Done::Sealed(log.at(9))), Ok(vec![Output::Send(received)]));
    for through in [10, 11] {
        let work = Work::StageTail(log.after(through - 1, through).to_vec());
        assert_eq!(machine.received(recovered(&log, through - 1, through)), Ok(store(work)));
    }
    let acknowledgement = acknowledged(Some(recovery()), log.at(10));
    assert_eq!(machine.done(Done::TailStaged(log.at(10))), Ok(acknowledgement));
    let swap = machine.done(Done::TailStaged(log.at(11))).unwrap();
    assert!(matches!(&swap[..], [Output::Store(Work::Swap { .. })]), "{swap:?}: the target is not said yet");
    let acknowledgement = acknowledged(Some(recovery()), log.at(11));
    assert_eq!(machine.done(Done::Swapped(log.at(11))), Ok(acknowledgement));
    assert_ne!(machine.course(), Course::Live);
    assert_eq!(machine.received(completed(&log, 11)), Ok(Vec::new()));
    assert_eq!(machine.course(), Course::Live);
}

#[test]
fn a_whole_base_may_be_there_before_any_of_it_is_durable() {
    let log = Log::of(12);
    let events = log.base(9).len() as u64;
    let mut machine = machine(&log, 3);
    machine.received(rebuild(&log, 9, 11)).unwrap();
    machine.received(chunk(0, &log.base(9))).unwrap();
    machine.received(base_end(&log, 9)).unwrap();
    assert_eq!(machine.done(Done::Staged), Ok(Vec::new()));
    assert_eq!(machine.done(Done::BaseStaged(events)), Ok(Vec::new()));
    assert!(machine.done(Done::Sealed(log.at(9))).is_ok());
}

/// A machine that has the whole base, and nothing after it.
fn sealed(log: &Log, at: u64, target: u64) -> (Machine, Vec<Output>) {
    let mut machine = machine(log, 3);
    machine.received(rebuild(log, at, target)).unwrap();
    machine.received(chunk(0, &log.base(at))).unwrap();
    machine.received(base_end(log, at)).unwrap();
    let outputs = machine.done(Done::Sealed(log.at(at))).unwrap();
    (machine, outputs)
}

#[test]
fn a_base_without_a_tail_is_in_place_before_the_server_hears_of_it() {
    let log = Log::of(9);
    let (mut machine, outputs) = sealed(&log, 9, 9);
    assert!(matches!(&outputs[..], [Output::Store(Work::Swap { .. })]), "{outputs:?}");
    assert!(machine.clone().received(completed(&log, 9)).is_err());
    let received = Output::Send(Reply::BaseReceived { recovery: recovery(), at: log.at(9) });
    let said = [vec![received], acknowledged(Some(recovery()), log.at(9))].concat();
    assert_eq!(machine.done(Done::Swapped(log.at(9))), Ok(said));
    assert_eq!(machine.received(completed(&log, 9)), Ok(Vec::new()));
    assert_eq!(machine.course(), Course::Live);
}

#[test]
fn parts_of_a_base_come_in_their_order_and_in_their_number() {
    let log = Log::of(9);
    let base = log.base(9);
    let begin = || {
        let mut machine = machine(&log, 3);
        machine.received(rebuild(&log, 9, 9)).unwrap();
        machine
    };
    assert_eq!(begin().received(chunk(1, &base)), Err(Fault::ChunkOrder { expected: 0, found: 1 }));
    let mut repeated = begin();
    repeated.received(chunk(0, &base)).unwrap();
    assert_eq!(repeated.received(chunk(0, &base)), Err(Fault::ChunkOrder { expected: 1, found: 0 }));
    let mut short = begin();
    short.received(chunk(0, &base[1..])).unwrap();
    assert!(matches!(short.received(base_end(&log, 9)), Err(Fault::BaseLength { .. })));
    let mut elsewhere = begin();
    elsewhere.received(chunk(0, &base)).unwrap();
    let end = Message::BaseEnd {
        recovery: recovery(),
        at: log.at(8),
        base_events: base.len() as u64,
        digest: log.digest(9),
    };
    assert!(matches!(elsewhere.received(end), Err(Fault::NotOurs { .. })));
}

#[test]
fn events_come_one_after_the_other_and_not_beyond_the_target() {
    let log = Log::of(12);
    let begin = || {
        let mut machine = machine(&log, 3);
        machine.received(catch_up(&log, 3, 8)).unwrap();
        machine
    };
    for (after, through) in [(4, 6), (2, 4), (0, 1)] {
        let fault = begin().received(recovered(&log, after, through)).unwrap_err();
        assert_eq!(fault, Fault::Gap { after: seq(3), found: seq(after + 1) });
    }
    let fault = begin().received(recovered(&log, 3, 9)).unwrap_err();
    assert_eq!(fault, Fault::BeyondTarget { target: seq(8), found: seq(9) });
    assert!(begin().received(recovered(&log, 3, 8)).is_ok());
    let (mut rebuilt, _) = sealed(&log, 9, 11);
    assert!(matches!(rebuilt.clone().received(recovered(&log, 10, 11)), Err(Fault::Gap { .. })));
    assert!(matches!(rebuilt.received(recovered(&log, 9, 12)), Err(Fault::BeyondTarget { .. })));
}

#[test]
fn plans_that_cannot_be_are_faults() {
    let log = Log::of(12);
    let target = |target| plan(Need::Events { truncate_to: None, from: log.at(6), target: seq(target) });
    assert!(machine(&log, 6).received(target(6)).is_ok());
    assert_eq!(machine(&log, 6).received(target(5)), Err(Fault::Target { target: seq(5), from: seq(6) }));
    assert!(matches!(machine(&log, 6).received(catch_up(&log, 5, 8)), Err(Fault::NotOurs { .. })));
    assert!(matches!(machine(&log, 6).received(rebuild(&log, 9, 8)), Err(Fault::Target { .. })));
    let elsewhere = plan(Need::Events { truncate_to: None, from: other_hash(log.at(6)), target: seq(8) });
    assert!(matches!(machine(&log, 6).received(elsewhere), Err(Fault::NotOurs { .. })));
    let foreign = HistoryId(uuid::Uuid::from_u128(99));
    let plan = Plan { recovery: recovery(), history: foreign, need: Need::Nothing { at: log.at(6) } };
    assert_eq!(
        machine(&log, 6).received(Message::Plan(plan)),
        Err(Fault::ForeignHistory { held: HISTORY, offered: Some(foreign) })
    );
}

#[test]
fn a_bookmark_tells_the_head_and_a_live_one_must_fit() {
    let log = Log::of(12);
    let bookmark = |head| Message::Bookmark { head };
    let mut machine = machine(&log, 6);
    machine.received(plan(Need::Nothing { at: log.at(6) })).unwrap();
    assert_eq!(machine.received(bookmark(log.at(6))), Ok(Vec::new()));
    assert_eq!(machine.head(), Some(seq(6)));
    assert!(matches!(machine.clone().received(bookmark(log.at(5))), Err(Fault::Behind { .. })));
    assert!(matches!(machine.clone().received(bookmark(other_hash(log.at(6)))), Err(Fault::NotOurs { .. })));
    assert_eq!(machine.received(bookmark(log.at(9))), Ok(Vec::new()));
    assert_eq!(machine.head(), Some(seq(9)));
}

#[test]
fn every_message_has_its_place_and_is_a_fault_elsewhere() {
    let log = Log::of(12);
    let (replaying, _) = sealed(&log, 9, 11);
    let (swapping, _) = sealed(&log, 9, 9);
    let mut swapped = swapping.clone();
    swapped.done(Done::Swapped(log.at(9))).unwrap();
    let with = |end, message: Message| {
        let mut machine = machine(&log, end);
        machine.received(message).unwrap();
        machine
    };
    let mut sealing = with(3, rebuild(&log, 9, 11));
    sealing.received(chunk(0, &log.base(9))).unwrap();
    sealing.received(base_end(&log, 9)).unwrap();
    let machines = [
        ("introduced", machine(&log, 6)),
        ("asked", with(6, Message::Probe(vec![seq(1)]))),
        ("cutting", with(6, cut(&log, 4, 8))),
        ("catching up", with(6, catch_up(&log, 6, 8))),
        ("receiving", with(3, rebuild(&log, 9, 11))),
        ("sealing", sealing),
        ("replaying", replaying),
        ("swapping", swapping),
        ("swapped", swapped),
        ("live", with(6, plan(Need::Nothing { at: log.at(6) }))),
    ];
    let messages = [
        ("probe", Message::Probe(vec![seq(1)])),
        ("plan", plan(Need::Nothing { at: log.at(6) })),
        ("chunk", chunk(0, &log.base(9))),
        ("base end", base_end(&log, 9)),
        ("recovered", recovered(&log, 6, 7)),
        ("replayed", recovered(&log, 9, 10)),
        ("live", live(&log, 6, 7)),
        ("completed", completed(&log, 9)),
    ];
    let fits = [
        ("introduced", "probe"),
        ("introduced", "plan"),
        ("catching up", "recovered"),
        ("receiving", "chunk"),
        ("replaying", "replayed"),
        ("swapped", "completed"),
        ("live", "live"),
    ];
    for (phase, machine) in &machines {
        for (name, message) in &messages {
            let outcome = machine.clone().received(message.clone());
            assert_eq!(outcome.is_ok(), fits.contains(&(*phase, *name)), "{name} while {phase}: {outcome:?}");
        }
    }
}

#[test]
fn a_message_of_another_recovery_is_a_fault() {
    let log = Log::of(12);
    let another = RecoveryId(Uuid::from_u128(8));
    let mut catching_up = machine(&log, 6);
    catching_up.received(catch_up(&log, 6, 8)).unwrap();
    let events = log.after(6, 7).to_vec();
    let message = Message::Events { recovery: Some(another), events, head: seq(12) };
    assert_eq!(catching_up.received(message), Err(Fault::OtherRecovery));
    let mut receiving = machine(&log, 3);
    receiving.received(rebuild(&log, 9, 11)).unwrap();
    let message = Message::BaseChunk { recovery: another, ordinal: 0, events: log.base(9) };
    assert_eq!(receiving.received(message), Err(Fault::OtherRecovery));
    let (mut swapped, _) = sealed(&log, 9, 9);
    swapped.done(Done::Swapped(log.at(9))).unwrap();
    let message = Message::Completed { recovery: another, at: log.at(9) };
    assert_eq!(swapped.received(message), Err(Fault::OtherRecovery));
}
