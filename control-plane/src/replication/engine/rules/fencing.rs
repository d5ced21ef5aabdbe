//! Terms, streams, generations, intents: what is stale is turned away and leaves no trace.

use super::*;

/// Everything that can be seen of the engine.
fn seen(bench: &Bench) -> (Option<LogStatus>, Vec<Entry>, (usize, usize)) {
    let engine = &bench.engine;
    (engine.status(session()), engine.recent(session(), usize::MAX), engine.recoveries())
}

/// A3: at the sender, in the exchange, and at assignment.
#[test]
fn an_input_of_another_term_is_turned_away_everywhere_and_leaves_no_trace() {
    let mut bench = Bench::new(log(80, 100), WIDE);
    let (stream, recovery, _) = bench.introduce(point(90));
    bench.read(&stream, 90);
    let before = seen(&bench);
    for found in [Epoch(4), Epoch(6)] {
        let stale = Stale::Epoch { held: EPOCH, found };
        let other_term = Stream { epoch: found, ..stream.clone() };
        let later = Stream { epoch: found, ..bench.stream("a", 2) };
        let standing = Standing::new(None, None, Seq::ORIGIN).unwrap();
        let (now, engine) = (bench.now, &mut bench.engine);
        assert_eq!(engine.introduced(later, standing, RecoveryId(Uuid::from_u128(50)), now), Err(stale));
        let heard = Heard::Acknowledged { recovery: Some(recovery), at: point(90) };
        assert_eq!(engine.hear(&other_term, heard, now), Err(stale));
        assert_eq!(engine.stream_closed(&other_term, now), Err(stale));
        // An intent of an earlier term would have removed the replica.
        let stale_intent = Intent { epoch: found, ..intent(&[]) };
        assert_eq!(engine.assign(&stale_intent, now).map(drop), Err(stale));
        assert_eq!(seen(&bench), before);
    }
}

/// FC2: between any two steps.
#[test]
fn the_end_of_a_term_ends_every_exchange_and_frees_all_that_was_held() {
    type Start = fn(&mut Bench) -> Stream;
    let handshake: Start = |bench| bench.introduce(point(90)).0;
    let catch_up: Start = |bench| {
        let (stream, ..) = bench.introduce(point(90));
        bench.read(&stream, 90);
        stream
    };
    let half_way: Start = |bench| {
        let (stream, recovery, _) = bench.introduce(point(90));
        bench.read(&stream, 90);
        bench.hear(&stream, Heard::EventsSent(points(91..=95)));
        bench.acknowledge(&stream, Some(recovery), point(95));
        stream
    };
    let rebuild: Start = |bench| bench.introduce(point(10)).0;
    let transfer: Start = |bench| {
        let (stream, ..) = bench.introduce(point(10));
        bench.hear(&stream, Heard::BaseOpened { at: point(90), events: 3 });
        stream
    };
    let live: Start = |bench| bench.introduce(point(100)).0;
    for (start, held) in
        [(handshake, 0), (catch_up, 1), (half_way, 1), (rebuild, 2), (transfer, 2), (live, 0)]
    {
        let mut bench = Bench::new(with_checkpoint(log(80, 100), Some((90, true))), WIDE);
        let stream = start(&mut bench);
        assert_eq!(bench.pins("a").len(), held);
        let acts = acts(bench.engine.end(bench.now));
        assert_eq!(acts, [Act::Close(Closing::EpochOver)]);
        assert_eq!(bench.pins("a"), []);
        assert_eq!(bench.engine.recoveries(), (0, 0));
        let last = bench.names().pop();
        assert_eq!(last, Some("session_invalidated"));
        assert_eq!(bench.names().contains(&"exec_resources_released"), held > 0);
        assert!(![ReplicaState::InSync, ReplicaState::CatchingUp].contains(&bench.replica("a").state));
        let before = seen(&bench);
        let (now, engine) = (bench.now, &mut bench.engine);
        assert_eq!(engine.hear(&stream, Heard::EventsSent(points(91..=92)), now), Err(Stale::Over));
        assert_eq!(engine.assign(&intent(&[]), now).map(drop), Err(Stale::Over));
        assert_eq!(engine.appended(session(), point(101), now), Err(Stale::Over));
        assert_eq!(engine.open_log(log(0, 0)), Err(Stale::Over));
        assert_eq!(engine.prune(session(), Wanted::default(), now).map(drop), Err(Stale::Over));
        assert_eq!(engine.tick(now), []);
        assert_eq!(seen(&bench), before);
    }
}

/// A10, FC1: the same replica, wherever it dials in from.
#[test]
fn a_later_stream_supersedes_and_an_earlier_one_never_comes_back() {
    let mut bench = Bench::new(log(80, 100), WIDE);
    let (first, ..) = bench.introduce(point(90));
    bench.read(&first, 90);
    assert_eq!(bench.pins("a"), [(PinKind::Events, 90)]);
    let second = bench.stream("a", 2);
    let (second, _, acts) = bench.introduce_on(second, point(95));
    assert_eq!(acts, [Act::Close(Closing::Superseded), Act::ReadHashes(vec![seq(95)])]);
    assert_eq!(bench.pins("a"), [], "what the first one held is free");
    assert!(bench.details(EventName::PlanCancelled).contains(&"endpoint_changed in catch_up".to_owned()));
    assert_eq!(bench.names().iter().filter(|name| **name == "sender_added").count(), 1);
    assert_eq!(bench.names().iter().filter(|name| **name == "session_created").count(), 2);

    let before = seen(&bench);
    let now = bench.now;
    for former in [&first, &Stream { endpoint: Endpoint { generation: 1, stream: 99 }, ..first.clone() }] {
        let standing = Standing::new(None, None, Seq::ORIGIN).unwrap();
        let again = bench.engine.introduced(former.clone(), standing, RecoveryId(Uuid::from_u128(60)), now);
        assert_eq!(again, Err(Stale::Endpoint));
        assert_eq!(bench.engine.hear(former, Heard::EventsSent(points(91..=95)), now), Err(Stale::Endpoint));
        assert_eq!(bench.engine.stream_closed(former, now), Err(Stale::Endpoint));
    }
    assert_eq!(seen(&bench), before);
    bench.read(&second, 95);
    bench.is("a", ReplicaState::CatchingUp);
}

#[test]
fn a_replica_keeps_its_identity_over_any_number_of_streams() {
    let mut bench = Bench::new(log(80, 100), WIDE);
    for generation in 1..=5 {
        let stream = bench.stream("a", generation);
        let (stream, ..) = bench.introduce_on(stream, point(90));
        bench.read(&stream, 90);
        bench.engine.stream_closed(&stream, bench.now).unwrap();
        bench.is("a", ReplicaState::Disconnected);
    }
    assert_eq!(bench.engine.status(session()).unwrap().replicas.len(), 1);
    assert_eq!(bench.names().iter().filter(|name| **name == "sender_added").count(), 1);
    assert_eq!(bench.engine.recoveries(), (0, 0));
}

#[test]
fn the_name_of_a_recovery_is_used_once() {
    let mut bench = Bench::new(log(80, 100), WIDE);
    let (_, recovery, _) = bench.introduce(point(90));
    let (stream, standing) = (bench.stream("a", 1), Standing::new(None, None, Seq::ORIGIN).unwrap());
    assert_eq!(bench.engine.introduced(stream, standing, recovery, bench.now), Err(Stale::RecoveryId));
}

#[test]
fn the_same_intent_again_changes_nothing() {
    let mut bench = Bench::new(log(80, 100), WIDE);
    let both = intent(&[("a", 1), ("b", 1)]);
    let (changed, effects) = bench.engine.assign(&both, bench.now).unwrap();
    assert_eq!((changed.added, effects), (vec![node("a"), node("b")], vec![]));
    let (stream, ..) = bench.introduce(point(90));
    bench.read(&stream, 90);
    let before = seen(&bench);
    for _ in 0..5 {
        assert_eq!(bench.engine.assign(&both, bench.now), Ok(Default::default()));
    }
    assert_eq!(seen(&bench), before, "a recovery under way goes on");
}

#[test]
fn an_intent_adds_removes_and_supersedes() {
    let mut bench = Bench::new(log(80, 100), WIDE);
    bench.engine.assign(&intent(&[("a", 1), ("b", 1)]), bench.now).unwrap();
    let (stream, ..) = bench.introduce(point(90));
    bench.read(&stream, 90);
    let (changed, effects) = bench.engine.assign(&intent(&[("a", 2), ("c", 1)]), bench.now).unwrap();
    let expected = Changed { added: vec![node("c")], removed: vec![node("b")], superseded: vec![node("a")] };
    assert_eq!(changed, expected);
    assert_eq!(acts(effects), [Act::Close(Closing::Superseded)]);
    assert_eq!(bench.pins("a"), []);
    let (former, standing) = (bench.stream("a", 1), Standing::new(None, None, Seq::ORIGIN).unwrap());
    let recovery = bench.recovery();
    assert_eq!(bench.engine.introduced(former, standing, recovery, bench.now), Err(Stale::Endpoint));

    // One that goes back is turned away whole: `b` is not added, `c` not removed.
    let before = seen(&bench);
    assert_eq!(bench.engine.assign(&intent(&[("a", 1), ("b", 1)]), bench.now), Err(Stale::Endpoint));
    assert_eq!(seen(&bench), before);

    let later = bench.stream("a", 2);
    let (stream, ..) = bench.introduce_on(later, point(90));
    bench.read(&stream, 90);
    let (_, effects) = bench.engine.assign(&intent(&[]), bench.now).unwrap();
    assert_eq!(acts(effects), [Act::Close(Closing::Removed)]);
    assert_eq!(bench.engine.status(session()).unwrap().replicas, []);
    assert_eq!(bench.engine.recoveries(), (0, 0));
}

/// The reference left a replica in sync whose term or endpoint had changed while it had no recovery.
#[test]
fn a_replica_in_sync_is_disconnected_when_its_generation_is_over() {
    let mut bench = Bench::new(log(80, 100), WIDE);
    bench.introduce(point(100));
    bench.is("a", ReplicaState::InSync);
    bench.engine.assign(&intent(&[("a", 2)]), bench.now).unwrap();
    bench.is("a", ReplicaState::Disconnected);
}

#[test]
fn rows_say_what_an_earlier_server_knew() {
    let mut bench = Bench::new(log(80, 100), WIDE);
    let mut rows = intent(&[("a", 1), ("b", 1)]);
    rows.replicas.insert(node("a"), Assigned { generation: 1, row: Row::Acknowledged(point(95)) });
    rows.replicas.insert(node("b"), Assigned { generation: 1, row: Row::NeedsRebuild });
    let (_, effects) = bench.engine.assign(&rows, bench.now).unwrap();
    assert_eq!(effects, [], "what is read is not written again");
    bench.is("a", ReplicaState::Disconnected);
    assert_eq!(
        (bench.replica("a").acknowledged.map(|row| row.at), bench.replica("a").lag),
        (Some(point(95)), 5)
    );
    bench.is("b", ReplicaState::NeedsRebuild);
    bench.engine.assign(&rows, bench.now).unwrap();
    bench.is("b", ReplicaState::NeedsRebuild);
    let stream = bench.stream("b", 1);
    let (_, _, acts) = bench.introduce_on(stream, point(100));
    assert!(matches!(acts[..], [Act::OpenBase(_)]), "{acts:?}");
}

#[test]
fn logs_that_are_not_in_care_are_turned_away() {
    let mut bench = Bench::new(log(80, 100), WIDE);
    let (stream, ..) = bench.introduce(point(90));
    bench.read(&stream, 90);
    assert_eq!(acts(bench.engine.close_log(session(), bench.now).unwrap()), [Act::Close(Closing::Removed)]);
    assert_eq!(bench.engine.close_log(session(), bench.now), Err(Stale::Log));
    assert_eq!(bench.engine.hear(&stream, Heard::BaseSent, bench.now), Err(Stale::Log));
    assert_eq!(bench.engine.recoveries(), (0, 0));
}
