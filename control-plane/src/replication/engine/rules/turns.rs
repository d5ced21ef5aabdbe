//! A fleet that comes back at once is recovered a few at a time.

use super::*;

fn crowd(settings: Settings) -> (Bench, Vec<(Stream, RecoveryId)>) {
    let mut bench = Bench::new(with_checkpoint(log(80, 100), Some((90, true))), settings);
    let streams = ["a", "b", "c"].map(|name| {
        let stream = bench.stream(name, 1);
        let (stream, recovery, _) = bench.introduce_on(stream, point(90));
        bench.read(&stream, 90);
        (stream, recovery)
    });
    (bench, streams.to_vec())
}

const ONE: Settings = Settings { recoveries_max: 1, ..WIDE };

#[test]
fn whoever_waits_for_longest_is_next_however_the_one_before_ends() {
    type End = fn(&mut Bench, &Stream, RecoveryId);
    let completed: End = |bench, stream, recovery| {
        bench.hear(stream, Heard::EventsSent(points(91..=100)));
        let acts = bench.acknowledge(stream, Some(recovery), point(100));
        assert!(
            matches!(acts[..], [Act::SendCompleted { .. }, Act::SendPlan { .. }, Act::SendEvents { .. }]),
            "{acts:?}"
        );
    };
    let closed: End = |bench, stream, _| drop(bench.engine.stream_closed(stream, bench.now).unwrap());
    let broken: End = |bench, stream, _| drop(bench.hear(stream, Heard::BaseSent));
    let removed: End =
        |bench, _, _| drop(bench.engine.assign(&intent(&[("b", 1), ("c", 1)]), bench.now).unwrap());
    let expired: End = |bench, _, _| {
        bench.later(301);
        bench.tick();
    };
    let superseded: End = |bench, _, _| drop(bench.introduce(point(100)));
    for end in [completed, closed, broken, removed, expired, superseded] {
        let (mut bench, streams) = crowd(ONE);
        bench.is("a", ReplicaState::CatchingUp);
        bench.is("b", ReplicaState::Connecting);
        assert_eq!(bench.engine.recoveries(), (1, 2));
        assert_eq!(bench.names().iter().filter(|name| **name == "recovery_queued").count(), 2);
        end(&mut bench, &streams[0].0, streams[0].1);
        bench.is("b", ReplicaState::CatchingUp);
        bench.is("c", ReplicaState::Connecting);
        assert_eq!(bench.engine.recoveries(), (1, 1));
    }
}

#[test]
fn who_leaves_the_queue_is_not_waited_for() {
    let (mut bench, streams) = crowd(ONE);
    bench.engine.stream_closed(&streams[1].0, bench.now).unwrap();
    bench.engine.stream_closed(&streams[0].0, bench.now).unwrap();
    bench.is("c", ReplicaState::CatchingUp);
    assert_eq!(bench.engine.recoveries(), (1, 0));
}

/// What a replica needs is looked at again when its turn comes.
#[test]
fn a_turn_that_comes_too_late_for_a_catch_up_is_a_rebuild() {
    let (mut bench, streams) = crowd(ONE);
    bench.engine.assign(&intent(&[("a", 1), ("b", 1), ("c", 1)]), bench.now).unwrap();
    bench.engine.appended(session(), point(200), bench.now).unwrap();
    bench.engine.checkpointed(session(), Checkpoint { at: point(200), trusted: true }).unwrap().unwrap();
    let wanted = Wanted {
        tail: Marks { by_count: Some(seq(150)), ..Marks::default() },
        hold: Marks { by_count: Some(seq(95)), ..Marks::default() },
    };
    let (prune, effects) = bench.engine.prune(session(), wanted, bench.now).unwrap();
    assert_eq!(prune, Prune::To { tail: seq(90), kept_by: KeptBy::Pin });
    let ended = acts(effects).into_iter().filter(|act| *act == Act::Close(Closing::OverRetention)).count();
    assert_eq!(ended, 2, "those that wait hold what they acknowledged, and that was too little");
    bench.is("b", ReplicaState::NeedsRebuild);
    bench.is("a", ReplicaState::CatchingUp);
    assert!(bench.engine.hear(&streams[1].0, Heard::BaseSent, bench.now).is_err());
}

#[test]
fn who_lacks_nothing_waits_for_nobody() {
    let (mut bench, _) = crowd(ONE);
    let stream = bench.stream("d", 1);
    bench.introduce_on(stream, point(100));
    bench.is("d", ReplicaState::InSync);
}
