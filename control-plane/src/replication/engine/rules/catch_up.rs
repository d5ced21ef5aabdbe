//! Catch-up, truncation, acknowledgements, budgets.

use super::*;

fn truncation(bench: &Bench) -> Option<Truncation> {
    bench.replica("a").recovery.map(|recovery| recovery.truncation)
}

/// A4, FC3: the seven entries that every catch-up leaves, and what it holds meanwhile.
#[test]
fn a_short_gap_is_caught_up_and_leaves_its_trace() {
    let mut bench = Bench::new(log(80, 100), WIDE);
    let (stream, recovery, acts) = bench.introduce(point(90));
    assert_eq!(acts, [Act::ReadHashes(vec![seq(90)])]);
    bench.is("a", ReplicaState::Connecting);

    let acts = bench.read(&stream, 90);
    let plan = Outline::CatchUp { truncate_to: None, from: point(90), target: seq(100) };
    assert_eq!(
        acts,
        [
            Act::SendPlan { recovery, history_id: history_id(), plan },
            Act::SendEvents { recovery: Some(recovery), after: point(90), to: seq(100) },
        ]
    );
    bench.is("a", ReplicaState::CatchingUp);
    assert_eq!(bench.pins("a"), [(PinKind::Events, 90)]);

    assert_eq!(
        bench.hear(&stream, Heard::EventsSent(points(91..=95))),
        [Act::SendEvents { recovery: Some(recovery), after: point(95), to: seq(100) }]
    );
    assert_eq!(bench.hear(&stream, Heard::EventsSent(points(96..=100))), []);
    assert_eq!(bench.acknowledge(&stream, Some(recovery), point(97)), []);
    let acts = bench.acknowledge(&stream, Some(recovery), point(100));
    assert_eq!(acts, [Act::SendCompleted { recovery, at: point(100) }]);
    bench.is("a", ReplicaState::InSync);
    assert_eq!(bench.pins("a"), []);
    assert_eq!(
        bench.names(),
        [
            "sender_added",
            "session_created",
            "connected",
            "handshake",
            "plan_catchup",
            "exec_catchup_started",
            "exec_completed",
            "exec_resources_released"
        ]
    );
}

#[test]
fn a_replica_that_lacks_nothing_is_in_sync_at_once_and_holds_nothing() {
    let mut bench = Bench::new(log(80, 100), WIDE);
    let (_, recovery, acts) = bench.introduce(point(100));
    let plan = Outline::ZeroGap { at: point(100) };
    assert_eq!(
        acts,
        [
            Act::SendPlan { recovery, history_id: history_id(), plan },
            Act::SendCompleted { recovery, at: point(100) },
        ]
    );
    bench.is("a", ReplicaState::InSync);
    assert!(!bench.names().contains(&"exec_resources_released"), "there was nothing to release");
}

/// A2, FC6.
#[test]
fn a_replica_that_is_ahead_cuts_exactly_where_it_must_before_anything_else() {
    let demand = |common: u64| {
        let mut bench = Bench::new(log(80, 100), WIDE);
        let (stream, recovery, acts) = bench.introduce(other(105));
        let [Act::ReadHashes(places)] = &acts[..] else { panic!("{acts:?}") };
        let of_log: Vec<_> = places.iter().map(|place| point(place.get())).collect();
        let of_replica = places.iter().map(|place| place.get());
        let of_replica = of_replica.map(|place| if place <= common { point(place) } else { other(place) });
        let of_replica: Vec<_> = of_replica.collect();
        assert_eq!(bench.hear(&stream, Heard::HashesRead(of_log)), [Act::SendProbe(places.clone())]);
        let mut acts = bench.hear(&stream, Heard::ProbeAnswered(of_replica));
        while let [Act::ReadHashes(places)] = &acts[..] {
            let of_log: Vec<_> = places.iter().map(|place| point(place.get())).collect();
            let theirs =
                |place: &Seq| if place.get() <= common { point(place.get()) } else { other(place.get()) };
            let of_replica = places.iter().map(theirs).collect();
            bench.hear(&stream, Heard::HashesRead(of_log));
            acts = bench.hear(&stream, Heard::ProbeAnswered(of_replica));
        }
        (bench, stream, recovery, acts)
    };
    let (mut bench, stream, recovery, acts) = demand(100);
    let plan = Outline::CatchUp { truncate_to: Some(point(100)), from: point(100), target: seq(100) };
    assert_eq!(outline(&acts), Some(plan));
    assert_eq!(acts.len(), 1, "nothing is sent before the cut");
    assert_eq!(bench.pins("a"), [], "a cut alone holds nothing");
    let acts = bench.hear(&stream, Heard::Truncated { recovery, at: point(100) });
    assert_eq!(acts, [Act::SendCompleted { recovery, at: point(100) }]);

    let (mut bench, stream, recovery, acts) = demand(97);
    let plan = Outline::CatchUp { truncate_to: Some(point(97)), from: point(97), target: seq(100) };
    assert_eq!(outline(&acts), Some(plan));
    assert_eq!(truncation(&bench), Some(Truncation::Required { to: point(97) }));
    let acts = bench.hear(&stream, Heard::Truncated { recovery, at: point(97) });
    assert_eq!(acts, [Act::SendEvents { recovery: Some(recovery), after: point(97), to: seq(100) }]);
    assert_eq!(truncation(&bench), Some(Truncation::Done { to: point(97) }));

    for wrong in [point(96), point(98), other(97)] {
        let (mut bench, stream, recovery, _) = demand(97);
        let acts = bench.hear(&stream, Heard::Truncated { recovery, at: wrong });
        let violation = Violation::WrongCut { expected: seq(97), found: wrong.seq };
        assert_eq!(closing(&acts), Some(Closing::OutOfStep(violation)));
        assert!(bench.names().ends_with(&[
            "truncation_failed",
            "plan_cancelled",
            "exec_resources_released",
            "session_invalidated"
        ]));
    }
    let (mut bench, stream, recovery, _) = demand(97);
    let acts = bench.acknowledge(&stream, Some(recovery), point(97));
    assert!(closing(&acts).is_some(), "nothing can be acknowledged before the cut");
}

/// The reference could not demand a cut to nothing, since 0 meant that none was demanded.
#[test]
fn a_cut_to_nothing_is_demanded_like_any_other() {
    let mut bench = Bench::new(log(0, 0), WIDE);
    let (stream, recovery, acts) = bench.introduce(other(5));
    assert_eq!(acts, [Act::ReadHashes(vec![seq(0)])]);
    bench.read(&stream, 0);
    let acts = bench.hear(&stream, Heard::ProbeAnswered(vec![point(0)]));
    let plan = Outline::CatchUp { truncate_to: Some(point(0)), from: point(0), target: seq(0) };
    assert_eq!(outline(&acts), Some(plan));
    let acts = bench.hear(&stream, Heard::Truncated { recovery, at: point(0) });
    assert_eq!(acts, [Act::SendCompleted { recovery, at: point(0) }]);
}

#[test]
fn only_what_was_asked_for_is_an_answer_to_a_probe() {
    for wrong in [vec![point(99)], vec![point(100), point(99)], vec![point(100), point(100)], vec![point(7)]]
    {
        let mut bench = Bench::new(log(98, 100), WIDE);
        let (stream, _, acts) = bench.introduce(other(105));
        assert_eq!(acts, [Act::ReadHashes(vec![seq(98), seq(99), seq(100)])]);
        let early = bench.engine.hear(&stream, Heard::ProbeAnswered(vec![point(99)]), bench.now).unwrap();
        let is_early_refused = closing(&super::acts(early)).is_some();
        assert!(is_early_refused, "an answer before the question");

        let (stream, _, _) = bench.introduce(other(105));
        bench.hear(&stream, Heard::HashesRead(points(98..=100)));
        let acts = bench.hear(&stream, Heard::ProbeAnswered(wrong.clone()));
        let is_answer = wrong == [point(99)];
        assert_eq!(closing(&acts).is_none(), is_answer, "{wrong:?}: {acts:?}");
    }
}

#[test]
fn the_target_is_fixed_when_the_plan_is_made() {
    let mut bench = Bench::new(log(80, 100), WIDE);
    let (stream, recovery, _) = bench.introduce(point(90));
    bench.read(&stream, 90);
    let effects = bench.engine.appended(session(), point(120), bench.now).unwrap();
    assert_eq!(effects, [], "a recovery goes on to its own end");
    assert_eq!(bench.hear(&stream, Heard::EventsSent(points(91..=100))), []);
    let acts = bench.acknowledge(&stream, Some(recovery), point(100));
    assert_eq!(
        acts,
        [
            Act::SendCompleted { recovery, at: point(100) },
            Act::SendEvents { recovery: None, after: point(100), to: seq(120) },
        ]
    );
    let mut beyond = Bench::new(log(80, 100), WIDE);
    let (stream, ..) = beyond.introduce(point(90));
    beyond.read(&stream, 90);
    let acts = beyond.hear(&stream, Heard::EventsSent(points(91..=101)));
    assert_eq!(closing(&acts), Some(Closing::OutOfStep(Violation::NotNext(seq(90)))));
}

/// A11: one that is late, wrong or of another recovery ends the exchange and changes nothing.
#[test]
fn acknowledgements_of_what_is_not_so_end_the_exchange_and_change_nothing() {
    let cases = [
        (None, point(95), Violation::OtherRecovery),
        (Some(RecoveryId(Uuid::from_u128(99))), point(95), Violation::OtherRecovery),
        (
            Some(RecoveryId(Uuid::from_u128(1))),
            point(92),
            Violation::Backwards { acknowledged: seq(93), found: seq(92) },
        ),
        (
            Some(RecoveryId(Uuid::from_u128(1))),
            point(96),
            Violation::BeyondSent { sent: seq(95), found: seq(96) },
        ),
        (Some(RecoveryId(Uuid::from_u128(1))), other(95), Violation::WrongHash(seq(95))),
    ];
    for (recovery, at, violation) in cases {
        let mut bench = Bench::new(log(80, 100), WIDE);
        let (stream, own, _) = bench.introduce(point(90));
        bench.read(&stream, 90);
        bench.hear(&stream, Heard::EventsSent(points(91..=95)));
        bench.acknowledge(&stream, Some(own), point(93));
        let acts = bench.acknowledge(&stream, recovery, at);
        assert_eq!(closing(&acts), Some(Closing::OutOfStep(violation)));
        assert_eq!(bench.replica("a").acknowledged.map(|acknowledged| acknowledged.at), Some(point(93)));
        bench.is("a", ReplicaState::Disconnected);
        assert_eq!(bench.pins("a"), []);
        assert!(
            bench.engine.hear(&stream, Heard::BaseSent, bench.now).is_err(),
            "nothing more is heard on it"
        );
    }
}

fn with_budget(catch_up: Budget) -> (Bench, Stream, RecoveryId) {
    let mut bench = Bench::new(log(0, 100), Settings { catch_up, ..WIDE });
    let (stream, recovery, _) = bench.introduce(point(70));
    bench.read(&stream, 70);
    bench.hear(&stream, Heard::EventsSent(points(71..=100)));
    (bench, stream, recovery)
}

/// A5, FC7.
#[test]
fn a_recovery_that_does_not_converge_ends_in_a_rebuild() {
    let entries = Budget { entries_max: Some(20), ..Budget::default() };
    let (mut bench, stream, recovery) = with_budget(entries);
    assert_eq!(bench.acknowledge(&stream, Some(recovery), point(90)), [], "20 are within 20");
    let acts = bench.acknowledge(&stream, Some(recovery), point(91));
    assert_eq!(closing(&acts), Some(Closing::BudgetSpent(Spent::Entries(21))));
    bench.is("a", ReplicaState::NeedsRebuild);
    assert_eq!(bench.pins("a"), []);
    assert!(bench.names().contains(&"budget_escalated"));

    // It stays so whatever it says of itself, until it was rebuilt.
    let (_, _, acts) = bench.introduce(point(100));
    assert!(matches!(acts[..], [Act::OpenBase(_)]), "{acts:?}");
    bench.is("a", ReplicaState::Rebuilding);

    let duration = Budget { duration_max: Some(Duration::from_secs(10)), ..Budget::default() };
    let (mut bench, ..) = with_budget(duration);
    bench.later(10);
    assert_eq!(bench.tick(), []);
    bench.later(1);
    assert!(matches!(closing(&bench.tick()), Some(Closing::BudgetSpent(Spent::Duration(_)))));

    let stall = Budget { stall_max: Some(Duration::from_secs(10)), ..Budget::default() };
    let (mut bench, stream, recovery) = with_budget(stall);
    bench.later(10);
    assert_eq!(bench.tick(), []);
    bench.acknowledge(&stream, Some(recovery), point(71));
    bench.later(10);
    assert_eq!(bench.tick(), []);
    bench.acknowledge(&stream, Some(recovery), point(71));
    bench.later(1);
    assert!(
        matches!(closing(&bench.tick()), Some(Closing::BudgetSpent(Spent::Stall(_)))),
        "saying it again is no step"
    );
}

/// A12: the last step converges, and then no bound is looked at.
#[test]
fn a_last_step_that_converges_is_never_too_late() {
    let tight = Budget {
        duration_max: Some(Duration::from_secs(1)),
        entries_max: Some(1),
        stall_max: Some(Duration::from_secs(1)),
    };
    let (mut bench, stream, recovery) = with_budget(tight);
    bench.later(500);
    let acts = bench.acknowledge(&stream, Some(recovery), point(100));
    assert_eq!(acts, [Act::SendCompleted { recovery, at: point(100) }]);
    assert_eq!(bench.tick(), []);
    bench.is("a", ReplicaState::InSync);
}

#[test]
fn what_a_recovery_holds_is_let_go_when_it_stands_still() {
    let (mut bench, stream, recovery) = with_budget(Budget::default());
    bench.later(299);
    bench.acknowledge(&stream, Some(recovery), point(71));
    bench.later(300);
    assert_eq!(bench.tick(), []);
    assert_eq!(bench.pins("a"), [(PinKind::Events, 70)]);
    bench.later(1);
    assert_eq!(closing(&bench.tick()), Some(Closing::PinExpired));
    assert_eq!(bench.pins("a"), []);
    bench.is("a", ReplicaState::Disconnected);
}

#[test]
fn a_handshake_is_bounded_in_time() {
    let mut bench = Bench::new(log(0, 100), WIDE);
    let (stream, ..) = bench.introduce(point(50));
    bench.later(30);
    assert_eq!(bench.tick(), []);
    bench.later(1);
    assert_eq!(closing(&bench.tick()), Some(Closing::HandshakeTimeout));
    assert!(bench.names().ends_with(&["handshake_failed", "session_invalidated"]));
    assert_eq!(
        bench.engine.hear(&stream, Heard::HashesRead(vec![point(50)]), bench.now),
        Err(Stale::Endpoint)
    );
}

/// A6: a hole that shows only while it is read.
#[test]
fn an_event_that_is_missing_ends_a_catch_up_and_the_next_one_is_a_rebuild() {
    let mut bench = Bench::new(log(0, 100), WIDE);
    let (stream, ..) = bench.introduce(point(50));
    bench.read(&stream, 50);
    let acts = bench.hear(&stream, Heard::EventMissing(seq(60)));
    assert_eq!(closing(&acts), Some(Closing::EventMissing(seq(60))));
    assert!(bench.names().contains(&"wal_pin_failed"));
    bench.is("a", ReplicaState::Disconnected);
    assert_eq!(bench.pins("a"), []);
    let (stream, ..) = bench.introduce(point(50));
    let acts = bench.read(&stream, 50);
    assert_eq!(acts, [Act::OpenBase(BaseSource::Full(WhyFull::NoCheckpoint))]);
    assert_eq!(bench.details(EventName::Escalated), ["gap_unreplayable: event 60 is missing in the log"]);
}

#[test]
fn another_history_is_left_alone() {
    let mut bench = Bench::new(log(0, 100), WIDE);
    let (stream, theirs) = (bench.stream("a", 1), contracts::log::HistoryId(Uuid::from_u128(9)));
    let standing = Standing::new(Some(theirs), Some(point(100)), Seq::ORIGIN).unwrap();
    let recovery = bench.recovery();
    let effects = bench.engine.introduced(stream, standing, recovery, bench.now).unwrap();
    let ours = history_id();
    assert_eq!(acts(effects), [Act::Close(Closing::ForeignHistory { theirs, ours })]);
    bench.is("a", ReplicaState::Disconnected);
}
