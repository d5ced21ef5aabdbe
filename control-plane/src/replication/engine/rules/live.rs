//! The live tail: events as they are committed, bounded, and whether the replica keeps up.

use super::*;

fn in_sync(settings: Settings) -> (Bench, Stream) {
    let mut bench = Bench::new(log(80, 100), settings);
    let (stream, ..) = bench.introduce(point(100));
    (bench, stream)
}

fn append(bench: &mut Bench, head: u64) -> Vec<Act> {
    acts(bench.engine.appended(session(), point(head), bench.now).unwrap())
}

#[test]
fn events_are_sent_as_they_are_committed_and_no_more_than_the_window() {
    let (mut bench, stream) = in_sync(Settings { window: 5, ..WIDE });
    assert_eq!(
        append(&mut bench, 103),
        [Act::SendEvents { recovery: None, after: point(100), to: seq(103) }]
    );
    assert_eq!(append(&mut bench, 110), [], "the driver is at it");
    assert_eq!(append(&mut bench, 108), [], "a late notice");
    let send = |after, to| Act::SendEvents { recovery: None, after: point(after), to: seq(to) };
    assert_eq!(bench.hear(&stream, Heard::EventsSent(points(101..=103))), [send(103, 105)]);
    assert_eq!(bench.hear(&stream, Heard::EventsSent(points(104..=105))), []);
    assert_eq!(bench.acknowledge(&stream, None, point(104)), [send(105, 109)]);
    assert_eq!(bench.replica("a").lag, 6);
}

#[test]
fn a_live_acknowledgement_is_of_what_was_sent_or_ends_the_stream() {
    for (recovery, at) in [
        (None, point(99)),
        (None, point(103)),
        (None, other(102)),
        (Some(RecoveryId(Uuid::from_u128(77))), point(102)),
    ] {
        let (mut bench, stream) = in_sync(WIDE);
        append(&mut bench, 110);
        bench.hear(&stream, Heard::EventsSent(points(101..=102)));
        let acts = bench.acknowledge(&stream, recovery, at);
        assert!(matches!(closing(&acts), Some(Closing::OutOfStep(_))), "{at}: {acts:?}");
        assert_eq!(bench.replica("a").acknowledged.map(|acknowledged| acknowledged.at), Some(point(100)));
        bench.is("a", ReplicaState::Disconnected);
    }
}

#[test]
fn a_replica_that_falls_behind_is_degraded_until_it_is_back() {
    let (mut bench, stream) = in_sync(Settings { lag_max: 10, ..WIDE });
    append(&mut bench, 110);
    bench.is("a", ReplicaState::InSync);
    append(&mut bench, 111);
    bench.is("a", ReplicaState::Degraded);
    bench.hear(&stream, Heard::EventsSent(points(101..=110)));
    bench.acknowledge(&stream, None, point(101));
    bench.is("a", ReplicaState::InSync);
    assert_eq!(bench.names().iter().filter(|name| **name == "degraded").count(), 1);
    assert_eq!(bench.names().last(), Some(&"recovered"));
}

/// A12: the timer looks at the facts.
#[test]
fn a_replica_that_is_silent_while_it_lacks_something_is_degraded() {
    let (mut bench, stream) = in_sync(WIDE);
    bench.later(1_000);
    bench.tick();
    bench.is("a", ReplicaState::InSync);
    append(&mut bench, 101);
    bench.hear(&stream, Heard::EventsSent(points(101..=101)));
    bench.later(30);
    bench.tick();
    bench.is("a", ReplicaState::InSync);
    bench.later(1);
    bench.tick();
    bench.is("a", ReplicaState::Degraded);
    bench.acknowledge(&stream, None, point(101));
    bench.is("a", ReplicaState::InSync);
}

#[test]
fn a_replica_that_has_everything_is_told_so_now_and_then() {
    let (mut bench, stream) = in_sync(WIDE);
    assert_eq!(bench.tick(), []);
    bench.later(10);
    assert_eq!(bench.tick(), [Act::SendBookmark(point(100))]);
    assert_eq!(bench.tick(), []);
    append(&mut bench, 101);
    bench.later(10);
    assert_eq!(bench.tick(), [], "events are on their way");
    bench.hear(&stream, Heard::EventsSent(points(101..=101)));
    bench.later(9);
    assert_eq!(bench.tick(), []);
    bench.later(1);
    assert_eq!(bench.tick(), [Act::SendBookmark(point(101))]);
}

#[test]
fn an_append_that_was_first_seen_in_a_state_is_sent_to_all() {
    let (mut bench, _) = in_sync(WIDE);
    let stream = bench.stream("b", 1);
    let (stream, _, acts) = bench.introduce_on(stream, point(10));
    assert_eq!(acts, [Act::OpenBase(BaseSource::Full(WhyFull::NoCheckpoint))]);
    let acts = bench.hear(&stream, Heard::BaseOpened { at: point(103), events: 1 });
    assert!(acts.contains(&Act::SendEvents { recovery: None, after: point(100), to: seq(103) }), "{acts:?}");
    assert_eq!(append(&mut bench, 103), [], "the notice is no news any more");
    // Nobody who has it is told to cut it off.
    let again = bench.stream("b", 1);
    let (_, _, acts) = bench.introduce_on(again, point(103));
    assert!(matches!(outline(&acts), Some(Outline::ZeroGap { .. })), "{acts:?}");
}

/// Three replicas, three outcomes.
#[test]
fn each_replica_has_its_own_way() {
    let mut bench = Bench::new(with_checkpoint(log(80, 100), Some((90, true))), WIDE);
    for (name, end) in [("a", 100), ("b", 90), ("c", 10)] {
        let stream = bench.stream(name, 1);
        let (stream, _, acts) = bench.introduce_on(stream, point(end));
        if acts == [Act::ReadHashes(vec![seq(90)])] {
            bench.read(&stream, 90);
        }
    }
    bench.engine.assign(&intent(&[("a", 1), ("b", 1), ("c", 1), ("d", 1)]), bench.now).unwrap();
    let expected =
        Counts { total: 4, in_sync: 1, catching_up: 1, rebuilding: 1, disconnected: 1, ..Counts::default() };
    assert_eq!(bench.engine.status(session()).unwrap().counts(), expected);
}
