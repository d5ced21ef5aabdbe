//! Rebuilds: where they begin, what they hold, how they go on and end.

use super::*;

/// A replica that ends far behind the tail, and the source that was selected for it.
fn behind(history: RetainedHistory) -> (Bench, Stream, RecoveryId, BaseSource) {
    let mut bench = Bench::new(history, WIDE);
    let (stream, recovery, acts) = bench.introduce(point(10));
    let [Act::OpenBase(source)] = acts[..] else { panic!("{acts:?}") };
    bench.is("a", ReplicaState::Rebuilding);
    (bench, stream, recovery, source)
}

fn checkpointed() -> (Bench, Stream, RecoveryId, BaseSource) {
    behind(with_checkpoint(log(80, 100), Some((90, true))))
}

/// FC4, A7.
#[test]
fn a_gap_that_is_not_retained_is_rebuilt_from_the_checkpoint_and_what_comes_after_it() {
    let (mut bench, stream, recovery, source) = checkpointed();
    assert_eq!(source, BaseSource::Checkpoint(point(90)));
    assert_eq!(bench.pins("a"), [(PinKind::Checkpoint, 90), (PinKind::Events, 90)]);
    let reason = "gap_beyond_retention: the replica ends at 10, retained are the events after 80";
    assert_eq!(bench.details(EventName::Escalated), [reason]);

    let acts = bench.hear(&stream, Heard::BaseOpened { at: point(90), events: 7 });
    let reason = RebuildReason::BehindTail { at: seq(10), tail: seq(80) };
    let plan = Outline::Rebuild { source, at: point(90), base_events: 7, target: seq(100), reason };
    assert_eq!(acts, [Act::SendPlan { recovery, history_id: history_id(), plan }, Act::SendBase(recovery)]);
    assert_eq!(bench.hear(&stream, Heard::BaseProgress(5)), []);
    assert_eq!(bench.replica("a").recovery.and_then(|recovery| recovery.base_sent), Some((5, 7)));
    assert_eq!(bench.hear(&stream, Heard::BaseProgress(7)), []);
    assert_eq!(bench.hear(&stream, Heard::BaseSent), []);
    let acts = bench.hear(&stream, Heard::BaseReceived { recovery, at: point(90) });
    assert_eq!(acts, [Act::SendEvents { recovery: Some(recovery), after: point(90), to: seq(100) }]);
    assert_eq!(bench.replica("a").recovery.and_then(|recovery| recovery.source), Some(source));
    bench.hear(&stream, Heard::EventsSent(points(91..=100)));
    bench.acknowledge(&stream, Some(recovery), point(95));
    assert!(bench.replica("a").acknowledged.is_none(), "until it is done the replica shows its old state");
    let acts = bench.acknowledge(&stream, Some(recovery), point(100));
    assert_eq!(acts, [Act::SendCompleted { recovery, at: point(100) }]);
    bench.is("a", ReplicaState::InSync);
    assert_eq!((bench.replica("a").reason.as_str(), bench.pins("a")), ("", vec![]));
    assert_eq!(
        bench.names(),
        [
            "sender_added",
            "session_created",
            "connected",
            "escalated",
            "handshake",
            "rebuild_source_selected",
            "plan_rebuild_snapshot_tail",
            "exec_rebuild_started",
            "rebuild_base_received",
            "exec_rebuild_completed",
            "exec_completed",
            "exec_resources_released"
        ]
    );
}

/// FC5.
#[test]
fn a_trusted_checkpoint_whose_tail_is_gone_is_no_base() {
    let (mut bench, stream, recovery, source) = behind(with_checkpoint(log(80, 100), Some((50, true))));
    let lacks = Unrecoverable::BeforeTail { after: seq(50), tail: seq(80) };
    assert_eq!(source, BaseSource::Full(WhyFull::UnreplayableTail { checkpoint: seq(50), lacks }));
    assert_eq!(bench.pins("a"), [(PinKind::FullBase, 100)]);
    let why = "trusted_checkpoint_unreplayable_tail: checkpoint at 50, events after 50, retained are those after 80";
    assert_eq!(bench.details(EventName::PlanRebuildFullBase), [why]);

    // The state is read a little later, when the log has grown; then that is where the rebuild ends.
    let acts = bench.hear(&stream, Heard::BaseOpened { at: point(103), events: 0 });
    let Some(Outline::Rebuild { at, target, base_events: 0, .. }) = outline(&acts) else {
        panic!("{acts:?}")
    };
    assert_eq!((at, target), (point(103), seq(103)));
    bench.hear(&stream, Heard::BaseSent);
    let acts = bench.hear(&stream, Heard::BaseReceived { recovery, at: point(103) });
    assert_eq!(acts, [Act::SendCompleted { recovery, at: point(103) }]);
    // The replica may have said so itself, as it swapped.
    assert_eq!(bench.acknowledge(&stream, Some(recovery), point(103)), []);
    bench.is("a", ReplicaState::InSync);
    assert!(bench.names().contains(&"exec_resources_released"));
}

/// FC8.
#[test]
fn a_checkpoint_that_fails_its_proof_is_distrusted_and_the_state_is_taken() {
    let (mut bench, stream, _, _) = checkpointed();
    let acts = bench.hear(&stream, Heard::BaseFailed);
    assert_eq!(acts, [Act::OpenBase(BaseSource::Full(WhyFull::UntrustedCheckpoint(seq(90))))]);
    assert_eq!(bench.pins("a"), [(PinKind::FullBase, 100)], "the checkpoint is let go");
    assert!(bench.names().contains(&"snapshot_pin_failed"));
    assert_eq!(
        bench.engine.status(session()).unwrap().checkpoint.map(|checkpoint| checkpoint.trusted),
        Some(false)
    );

    let acts = bench.hear(&stream, Heard::BaseFailed);
    assert_eq!(closing(&acts), Some(Closing::BaseFailed));
    bench.is("a", ReplicaState::NeedsRebuild);
    assert_eq!(bench.pins("a"), []);
    assert!(bench.names().contains(&"full_base_pin_failed"));
}

/// Later checkpoints, appends and prunes do not change a plan.
#[test]
fn a_rebuild_keeps_to_its_plan_whatever_happens_to_the_log() {
    let (mut bench, stream, recovery, source) = checkpointed();
    let later = Checkpoint { at: point(120), trusted: true };
    bench.engine.appended(session(), point(120), bench.now).unwrap();
    bench.engine.checkpointed(session(), later).unwrap().unwrap();
    let acts = bench.hear(&stream, Heard::BaseOpened { at: point(90), events: 0 });
    let Some(Outline::Rebuild { source: planned, target, .. }) = outline(&acts) else { panic!("{acts:?}") };
    assert_eq!((planned, target), (source, seq(100)));
    let wanted =
        Wanted { tail: Marks { by_count: Some(seq(119)), ..Marks::default() }, hold: Marks::default() };
    let (prune, _) = bench.engine.prune(session(), wanted, bench.now).unwrap();
    assert_eq!(prune, Prune::To { tail: seq(90), kept_by: KeptBy::Pin }, "its events are held");
    bench.hear(&stream, Heard::BaseSent);
    let acts = bench.hear(&stream, Heard::BaseReceived { recovery, at: point(90) });
    assert_eq!(acts, [Act::SendEvents { recovery: Some(recovery), after: point(90), to: seq(100) }]);
}

#[test]
fn only_the_base_of_the_plan_is_opened_and_received() {
    for wrong in [point(89), point(91), other(90)] {
        let (mut bench, stream, ..) = checkpointed();
        let acts = bench.hear(&stream, Heard::BaseOpened { at: wrong, events: 1 });
        assert_eq!(closing(&acts), Some(Closing::OutOfStep(Violation::OtherBase)));
        bench.is("a", ReplicaState::NeedsRebuild);
    }
    let before = behind(log(80, 100));
    let (mut bench, stream, ..) = before;
    let acts = bench.hear(&stream, Heard::BaseOpened { at: point(99), events: 1 });
    assert_eq!(
        closing(&acts),
        Some(Closing::OutOfStep(Violation::OtherBase)),
        "a state from before it was held"
    );
    for wrong in [point(89), other(90)] {
        let (mut bench, stream, recovery, _) = checkpointed();
        bench.hear(&stream, Heard::BaseOpened { at: point(90), events: 0 });
        bench.hear(&stream, Heard::BaseSent);
        let acts = bench.hear(&stream, Heard::BaseReceived { recovery, at: wrong });
        assert_eq!(closing(&acts), Some(Closing::OutOfStep(Violation::OtherBase)));
    }
}

#[test]
fn a_base_goes_forward_strictly_and_is_as_long_as_was_said() {
    let check = |steps: &[Heard], is_fine: bool| {
        let (mut bench, stream, ..) = checkpointed();
        bench.hear(&stream, Heard::BaseOpened { at: point(90), events: 5 });
        let closings = steps.iter().map(|step| closing(&bench.hear(&stream, step.clone())));
        let ends = closings.collect::<Vec<_>>();
        assert_eq!(ends.last().copied().flatten().is_none(), is_fine, "{steps:?}: {ends:?}");
        assert!(ends.iter().rev().skip(1).all(Option::is_none), "{steps:?}: {ends:?}");
    };
    // The first recovery of a bench has this name.
    let received = Heard::BaseReceived { recovery: RecoveryId(Uuid::from_u128(1)), at: point(90) };
    check(&[Heard::BaseProgress(1), Heard::BaseProgress(5), Heard::BaseSent, received.clone()], true);
    check(&[Heard::BaseProgress(0)], false);
    check(&[Heard::BaseProgress(3), Heard::BaseProgress(3)], false);
    check(&[Heard::BaseProgress(3), Heard::BaseProgress(2)], false);
    check(&[Heard::BaseProgress(6)], false);
    check(&[Heard::BaseProgress(4), Heard::BaseSent], false);
    check(&[Heard::BaseSent], false);
    check(&[Heard::BaseProgress(5), Heard::BaseSent, Heard::BaseSent], false);
    check(&[Heard::BaseProgress(5), received], false);
}

/// A rebuild takes no step of a catch-up, and a catch-up none of a rebuild.
#[test]
fn rebuild_and_catch_up_do_not_mix() {
    let (mut bench, stream, recovery, _) = checkpointed();
    let acts = bench.acknowledge(&stream, Some(recovery), point(90));
    assert!(matches!(
        closing(&acts),
        Some(Closing::OutOfStep(Violation::Unexpected { phase: "source_select", .. }))
    ));
    let (mut bench, stream, recovery, _) = checkpointed();
    bench.hear(&stream, Heard::BaseOpened { at: point(90), events: 0 });
    let acts = bench.acknowledge(&stream, Some(recovery), point(90));
    assert!(matches!(
        closing(&acts),
        Some(Closing::OutOfStep(Violation::Unexpected { phase: "transfer", .. }))
    ));
    let recovery = RecoveryId(Uuid::from_u128(1));
    for foreign in [
        Heard::BaseOpened { at: point(90), events: 0 },
        Heard::BaseFailed,
        Heard::BaseProgress(1),
        Heard::BaseSent,
        Heard::BaseReceived { recovery, at: point(90) },
        Heard::Truncated { recovery, at: point(90) },
        Heard::HashesRead(vec![]),
        Heard::ProbeAnswered(vec![]),
    ] {
        let mut bench = Bench::new(log(80, 100), WIDE);
        let (stream, ..) = bench.introduce(point(90));
        bench.read(&stream, 90);
        let acts = bench.hear(&stream, foreign.clone());
        let expected = Violation::Unexpected { heard: foreign.name(), phase: "catch_up" };
        assert_eq!(closing(&acts), Some(Closing::OutOfStep(expected)));
        assert_eq!(bench.pins("a"), []);
    }
}

#[test]
fn a_rebuild_has_a_budget_too() {
    let rebuild =
        Budget { entries_max: Some(5), stall_max: Some(Duration::from_secs(9)), ..Budget::default() };
    let start = || {
        let mut bench =
            Bench::new(with_checkpoint(log(80, 100), Some((90, true))), Settings { rebuild, ..WIDE });
        let (stream, ..) = bench.introduce(point(10));
        bench.hear(&stream, Heard::BaseOpened { at: point(90), events: 9 });
        (bench, stream)
    };
    let (mut bench, stream) = start();
    assert_eq!(bench.hear(&stream, Heard::BaseProgress(5)), []);
    let acts = bench.hear(&stream, Heard::BaseProgress(6));
    assert_eq!(closing(&acts), Some(Closing::BudgetSpent(Spent::Entries(6))));
    bench.is("a", ReplicaState::NeedsRebuild);
    let (mut bench, _) = start();
    bench.later(9);
    assert_eq!(bench.tick(), []);
    bench.later(1);
    assert!(matches!(closing(&bench.tick()), Some(Closing::BudgetSpent(Spent::Stall(_)))));
    assert_eq!(bench.pins("a"), []);
}

/// A replica that was rebuilt and lost its stream before it could say so is not rebuilt again.
#[test]
fn what_was_found_is_looked_for_anew_on_the_next_stream() {
    let (mut bench, stream, ..) = checkpointed();
    bench.engine.stream_closed(&stream, bench.now).unwrap();
    bench.is("a", ReplicaState::NeedsRebuild);
    let (stream, ..) = bench.introduce(point(90));
    let acts = bench.read(&stream, 90);
    assert!(matches!(outline(&acts), Some(Outline::CatchUp { truncate_to: None, .. })), "{acts:?}");
    bench.is("a", ReplicaState::CatchingUp);
    assert_eq!(bench.replica("a").reason, "");
}
