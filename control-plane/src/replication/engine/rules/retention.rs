//! What may be pruned, and who has held the log for too long.

use super::*;

fn to(tail: u64) -> Wanted {
    Wanted { tail: Marks { by_count: Some(seq(tail)), ..Marks::default() }, hold: Marks::default() }
}

fn held_until(tail: u64, hold: u64) -> Wanted {
    Wanted { hold: Marks { by_age: Some(seq(hold)), ..Marks::default() }, ..to(tail) }
}

fn check(history: &RetainedHistory, wanted: u64, holds: &[Hold], expected: Prune) {
    assert_eq!(prunable(history, seq(wanted), holds.iter().copied()), expected, "{wanted} {holds:?}");
}

#[test]
fn the_highest_mark_counts_and_without_one_everything_is_kept() {
    let marks = |by_count: Option<u64>, by_bytes: Option<u64>, by_age: Option<u64>| {
        let marks =
            Marks { by_count: by_count.map(seq), by_bytes: by_bytes.map(seq), by_age: by_age.map(seq) };
        marks.highest().map(Seq::get)
    };
    assert_eq!(marks(None, None, None), None);
    assert_eq!(marks(Some(5), None, None), Some(5));
    assert_eq!(marks(Some(5), Some(9), None), Some(9));
    assert_eq!(marks(Some(5), Some(9), Some(11)), Some(11));
}

#[test]
fn nothing_is_pruned_that_a_recovery_a_replica_or_a_rebuild_needs() {
    let history = with_checkpoint(log(10, 100), Some((60, true)));
    let until = |tail, kept_by| Prune::To { tail: seq(tail), kept_by };
    check(&history, 50, &[], until(50, KeptBy::Retention));
    check(&history, 60, &[], until(60, KeptBy::Retention));
    check(&history, 61, &[], until(60, KeptBy::Checkpoint));
    check(&history, 50, &[Hold::Pin(seq(30)), Hold::Acknowledged(seq(40))], until(30, KeptBy::Pin));
    check(&history, 50, &[Hold::Pin(seq(45)), Hold::Acknowledged(seq(40))], until(40, KeptBy::Replica));
    check(&history, 50, &[Hold::Acknowledged(seq(51))], until(50, KeptBy::Retention));
    check(&history, 50, &[Hold::Pin(seq(11))], until(11, KeptBy::Pin));
    check(&history, 50, &[Hold::Pin(seq(10))], Prune::Nothing(KeptBy::Pin));
    check(&history, 50, &[Hold::Acknowledged(seq(9))], Prune::Nothing(KeptBy::Replica));
    check(&history, 11, &[], until(11, KeptBy::Retention));
    check(&history, 10, &[], Prune::Nothing(KeptBy::Retention));
    check(&log(10, 100), 50, &[], Prune::Nothing(KeptBy::NoTrustedCheckpoint));
    let untrusted = with_checkpoint(log(10, 100), Some((60, false)));
    check(&untrusted, 50, &[], Prune::Nothing(KeptBy::NoTrustedCheckpoint));
    let mut pruning = history.clone();
    pruning.begin_pruning(seq(20));
    check(&pruning, 50, &[], Prune::Nothing(KeptBy::PruneUnderWay));
}

/// What is let go and what is planned on can never overlap: the one is a step before or after the other.
#[test]
fn a_plan_after_the_decision_counts_on_nothing_that_was_let_go() {
    let mut bench = Bench::new(with_checkpoint(log(0, 100), Some((60, true))), WIDE);
    let (stream, ..) = bench.introduce(point(40));
    let (prune, _) = bench.engine.prune(session(), to(50), bench.now).unwrap();
    assert_eq!(prune, Prune::To { tail: seq(50), kept_by: KeptBy::Retention });
    let acts = bench.read(&stream, 40);
    assert!(matches!(acts[..], [Act::OpenBase(_)]), "{acts:?}");
    let (again, _) = bench.engine.prune(session(), to(55), bench.now).unwrap();
    assert_eq!(again, Prune::Nothing(KeptBy::PruneUnderWay));

    // It failed; the events are there after all.
    bench.engine.pruned(session(), point(0)).unwrap();
    let (stream, ..) = bench.introduce(point(40));
    let acts = bench.read(&stream, 40);
    assert!(matches!(outline(&acts), Some(Outline::CatchUp { .. })), "{acts:?}");
    let (prune, _) = bench.engine.prune(session(), to(50), bench.now).unwrap();
    assert_eq!(prune, Prune::To { tail: seq(40), kept_by: KeptBy::Pin });
    bench.engine.pruned(session(), point(40)).unwrap();
    assert_eq!(bench.engine.status(session()).unwrap().tail, point(40));
}

fn with_row(acknowledged: u64) -> Bench {
    let mut bench = Bench::new(with_checkpoint(log(0, 100), Some((90, true))), WIDE);
    let mut rows = intent(&[]);
    rows.replicas.insert(node("a"), Assigned { generation: 1, row: Row::Acknowledged(point(acknowledged)) });
    bench.engine.assign(&rows, bench.now).unwrap();
    bench
}

#[test]
fn a_replica_within_its_budget_holds_the_log_and_one_beyond_it_is_let_go_visibly() {
    let prune = |acknowledged, wanted| {
        let mut bench = with_row(acknowledged);
        let (prune, effects) = bench.engine.prune(session(), wanted, bench.now).unwrap();
        (bench, prune, effects)
    };
    let kept = |tail| Prune::To { tail: seq(tail), kept_by: KeptBy::Replica };
    let (bench, outcome, effects) = prune(30, held_until(80, 30));
    assert_eq!((outcome, effects), (kept(30), vec![]), "at the bound it holds");
    bench.is("a", ReplicaState::Disconnected);

    let (mut bench, outcome, effects) = prune(29, held_until(80, 30));
    assert_eq!(outcome, Prune::To { tail: seq(80), kept_by: KeptBy::Retention });
    let reason = RebuildReason::OverRetention { acknowledged: seq(29), hold_after: seq(30) };
    let replica = ReplicaId { session_id: session(), node_id: node("a") };
    assert_eq!(effects, [Effect::Record { replica, record: Record::NeedsRebuild(reason) }]);
    bench.is("a", ReplicaState::NeedsRebuild);
    assert!(bench.names().ends_with(&["retention_escalated", "escalated"]));
    let (_, _, acts) = bench.introduce(point(100));
    assert!(matches!(acts[..], [Act::OpenBase(_)]), "{acts:?}");

    let (_, outcome, _) = prune(30, to(80));
    assert_eq!(outcome, kept(30), "without a bound it may hold for ever");
    let (bench, outcome, _) = prune(20, held_until(20, 90));
    assert_eq!(outcome, Prune::To { tail: seq(20), kept_by: KeptBy::Retention });
    bench.is("a", ReplicaState::Disconnected);
    let (bench, outcome, _) = prune(20, Wanted { tail: Marks::default(), ..held_until(0, 90) });
    assert_eq!(outcome, Prune::Nothing(KeptBy::Retention), "it is in nobody's way");
    bench.is("a", ReplicaState::Disconnected);
}

#[test]
fn a_live_replica_beyond_its_budget_is_let_go_too_and_one_that_is_recovered_is_not() {
    let mut bench = Bench::new(with_checkpoint(log(0, 100), Some((90, true))), WIDE);
    bench.introduce(point(100));
    bench.engine.appended(session(), point(200), bench.now).unwrap();
    bench.engine.checkpointed(session(), Checkpoint { at: point(200), trusted: true }).unwrap().unwrap();
    let (_, effects) = bench.engine.prune(session(), held_until(150, 101), bench.now).unwrap();
    assert_eq!(closing(&acts(effects)), Some(Closing::OverRetention));
    bench.is("a", ReplicaState::NeedsRebuild);

    let mut bench = Bench::new(with_checkpoint(log(0, 100), Some((90, true))), WIDE);
    let (stream, ..) = bench.introduce(point(50));
    let (outcome, effects) = bench.engine.prune(session(), held_until(80, 80), bench.now).unwrap();
    assert_eq!(effects, [], "one that is about to say what it has is not judged by what was known before");
    assert_eq!(outcome, Prune::To { tail: seq(80), kept_by: KeptBy::Retention });
    bench.engine.pruned(session(), point(0)).unwrap();
    bench.read(&stream, 50);
    let (outcome, effects) = bench.engine.prune(session(), held_until(80, 80), bench.now).unwrap();
    assert_eq!((outcome, effects), (Prune::To { tail: seq(50), kept_by: KeptBy::Pin }, vec![]));
    bench.is("a", ReplicaState::CatchingUp);
}

#[test]
fn a_row_that_was_left_behind_holds_nothing_for_ever() {
    let mut bench = Bench::new(with_checkpoint(log(50, 100), Some((90, true))), WIDE);
    let mut rows = intent(&[]);
    rows.replicas.insert(node("a"), Assigned { generation: 1, row: Row::Acknowledged(point(49)) });
    bench.engine.assign(&rows, bench.now).unwrap();
    let (outcome, _) = bench.engine.prune(session(), to(80), bench.now).unwrap();
    assert_eq!(outcome, Prune::To { tail: seq(80), kept_by: KeptBy::Retention });
    assert_eq!(
        bench.details(EventName::Escalated),
        ["gap_beyond_retention: the replica ends at 49, retained are the events after 50"]
    );
}

#[test]
fn after_a_promotion_nothing_is_pruned_for_a_while() {
    let settings = Settings { reconnect_grace: Duration::from_secs(120), ..WIDE };
    let mut bench = Bench::new(with_checkpoint(log(0, 100), Some((90, true))), settings);
    bench.later(119);
    let (outcome, _) = bench.engine.prune(session(), held_until(80, 80), bench.now).unwrap();
    assert_eq!(outcome, Prune::Nothing(KeptBy::Grace));
    bench.later(1);
    let (outcome, _) = bench.engine.prune(session(), held_until(80, 80), bench.now).unwrap();
    assert_eq!(outcome, Prune::To { tail: seq(80), kept_by: KeptBy::Retention });
}

/// The log has no hashes any more of what was pruned while they were read. That disproves nothing about what comes after.
#[test]
fn what_is_pruned_while_it_is_read_is_in_question_no_more() {
    let mut bench = Bench::new(with_checkpoint(log(0, 100), Some((60, true))), WIDE);
    let (stream, _, acts) = bench.introduce(other(10));
    assert_eq!(acts, [Act::ReadHashes(vec![seq(10)])]);
    let acts = bench.hear(&stream, Heard::HashesRead(vec![point(10)]));
    let Some(Act::ReadHashes(places)) = acts.first() else { panic!("{acts:?}") };
    assert_eq!(places.iter().map(|place| place.get()).collect::<Vec<_>>(), [0, 2, 6, 8, 9]);
    let (prune, _) = bench.engine.prune(session(), to(5), bench.now).unwrap();
    assert_eq!(prune, Prune::To { tail: seq(5), kept_by: KeptBy::Retention });
    bench.engine.pruned(session(), point(5)).unwrap();
    let acts = bench.hear(&stream, Heard::HashesRead(vec![point(6), point(8), point(9)]));
    assert_eq!(acts, [Act::SendProbe(vec![seq(6), seq(8), seq(9)])]);
    let acts = bench.hear(&stream, Heard::ProbeAnswered(vec![point(6), other(8), other(9)]));
    assert_eq!(acts, [Act::ReadHashes(vec![seq(7)])]);
    let acts = bench.read(&stream, 7);
    assert_eq!(acts, [Act::SendProbe(vec![seq(7)])]);
    let acts = bench.hear(&stream, Heard::ProbeAnswered(vec![point(7)]));
    let plan = Outline::CatchUp { truncate_to: Some(point(7)), from: point(7), target: seq(100) };
    assert_eq!(outline(&acts), Some(plan));

    // Nothing of what was asked for is left.
    let mut bench = Bench::new(with_checkpoint(log(0, 100), Some((60, true))), WIDE);
    let (stream, ..) = bench.introduce(other(10));
    bench.hear(&stream, Heard::HashesRead(vec![point(10)]));
    bench.engine.prune(session(), to(10), bench.now).unwrap();
    let acts = bench.hear(&stream, Heard::HashesRead(vec![]));
    assert!(matches!(acts[..], [Act::OpenBase(_)]), "{acts:?}");
    let found = RebuildReason::NothingInCommon { lowest: seq(10), highest: seq(10) };
    assert_eq!(bench.replica("a").reason, found.to_string());
}
