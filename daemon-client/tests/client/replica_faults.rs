//! Servers that send what does not fit, and servers that refuse.

use std::time::Duration;

use contracts::{Code, HistoryId, Refusal, wire::v1, wire::v1::replicate_response as response};
use daemon_client::{
    Setback as CallSetback,
    replica::{Fault, Halt, Misfit, OnForeignHistory, Setback, State, Status},
    start,
};
use uuid::Uuid;

use crate::{
    fixture::{HISTORY, Log, TestFolder, other_hash, tampered},
    log_service::{RECOVERY, Stream, base_end, chunk, events as batch},
    replica_bench::{Bench, events, replica, until, until_in_sync_at},
};

const OTHER: HistoryId = HistoryId(Uuid::from_u128(0x99));

fn fault(status: &Status) -> Option<&Fault> {
    match &status.setback {
        Some(Setback::Fault(fault)) => Some(fault),
        Some(Setback::Call(_) | Setback::Ended | Setback::Folder(_) | Setback::Disk(_)) | None => None,
    }
}

/// How a server is wrong, and what the replica says to it.
type Wrong = (&'static str, fn(&Log) -> Vec<response::Message>, fn(&Fault) -> bool);

fn rebuild(log: &Log) -> response::Message {
    response::Message::Plan(v1::Plan {
        recovery_id: RECOVERY.to_owned(),
        history_id: HISTORY.to_string(),
        outcome: Some(v1::plan::Outcome::Rebuild(v1::Rebuild {
            source: v1::BaseSource::Full.into(),
            at: Some(log.at(18).into()),
            base_events: log.base(18).len() as u64,
            target: 20,
            reason: "why".to_owned(),
        })),
    })
}

fn catch_up(log: &Log) -> response::Message {
    response::Message::Plan(v1::Plan {
        recovery_id: RECOVERY.to_owned(),
        history_id: HISTORY.to_string(),
        outcome: Some(v1::plan::Outcome::CatchUp(v1::CatchUp {
            truncate_to: None,
            from: Some(log.at(6).into()),
            target: 12,
        })),
    })
}

const WRONG: [Wrong; 11] = [
    (
        "an event is missing",
        |log| vec![catch_up(log), batch(RECOVERY, log.after(7, 9), 24)],
        |fault| matches!(fault, Fault::Gap { .. }),
    ),
    (
        "the events are of another log",
        |log| vec![catch_up(log), batch(RECOVERY, log.forked(5, 5, 1).after(6, 9), 24)],
        |fault| matches!(fault, Fault::Misfit(Misfit::Chain(_))),
    ),
    (
        "an event is not what its hash says",
        |log| vec![catch_up(log), batch(RECOVERY, &[log.0[6].clone(), tampered(&log.0[7])], 24)],
        |fault| matches!(fault, Fault::Misfit(Misfit::Chain(_))),
    ),
    (
        "events beyond the target",
        |log| vec![catch_up(log), batch(RECOVERY, log.after(6, 13), 24)],
        |fault| matches!(fault, Fault::BeyondTarget { .. }),
    ),
    (
        "events of a recovery that is none",
        |log| vec![catch_up(log), batch(&OTHER.to_string(), log.after(6, 7), 24)],
        |fault| matches!(fault, Fault::OtherRecovery),
    ),
    (
        "live events in the middle of a recovery",
        |log| vec![catch_up(log), batch("", log.after(6, 7), 24)],
        |fault| matches!(fault, Fault::OutOfPlace { .. }),
    ),
    (
        "parts of a base in another order",
        |log| vec![rebuild(log), chunk(1, &log.base(18))],
        |fault| matches!(fault, Fault::ChunkOrder { .. }),
    ),
    (
        "a part of a base is not what its hash says",
        |log| vec![rebuild(log), chunk(0, &[tampered(&log.base(18)[0])])],
        |fault| matches!(fault, Fault::Misfit(Misfit::BaseContent(_))),
    ),
    (
        "a base is not what its digest says",
        |log| {
            let end = v1::BaseEnd {
                recovery_id: RECOVERY.to_owned(),
                at: Some(log.at(18).into()),
                base_events: log.base(18).len() as u64,
                digest: vec![7; 32],
            };
            vec![rebuild(log), chunk(0, &log.base(18)), response::Message::BaseEnd(end)]
        },
        |fault| matches!(fault, Fault::Misfit(Misfit::Digest)),
    ),
    (
        "a base ends too soon",
        |log| vec![rebuild(log), base_end(log, 18)],
        |fault| matches!(fault, Fault::BaseLength { .. }),
    ),
    (
        "a message that says nothing",
        |log| vec![catch_up(log), batch(RECOVERY, &[], 24)],
        |fault| matches!(fault, Fault::Malformed(_)),
    ),
];

#[tokio::test]
async fn what_does_not_fit_costs_the_stream_and_nothing_else() {
    let bench = Bench::of(24).await;
    let log = &bench.log;
    let (node, _stream) = bench.filled(6).await;
    node.detach("").await;
    for (what, messages, is_expected) in WRONG {
        // A client of its own for each, because one that meets fault after fault takes its time.
        let (node, mut stream) = bench.start().await;
        let replica = replica(&node);
        assert_eq!(stream.introduction.at, Some(log.at(6).into()), "before {what}");
        for message in messages(log) {
            stream.send(message).await;
        }
        until(&replica, what, |status| status.faults == 1 && fault(status).is_some_and(is_expected)).await;
        stream.until_given_up().await;
        assert_eq!(events(&replica, 0).await, log.after(0, 6), "after {what}");
        let stream = bench.stream().await;
        assert_eq!(stream.introduction.at, Some(log.at(6).into()), "after {what}: nothing was applied");
        stream.zero_gap(log.at(6)).await;
        until(&replica, "sync", |status| status.is_in_sync() && status.faults == 0).await;
        assert!(replica.aside().await.unwrap().is_empty());
        node.detach("").await;
    }
    assert!(daemon_client::replica::verify(&bench.folder.0).is_ok());
}

#[tokio::test]
async fn faults_in_a_row_are_counted_and_the_last_is_shown() {
    let bench = Bench::of(24).await;
    let log = &bench.log;
    let node = start(bench.config());
    let replica = replica(&node);
    for faults in 1..=3 {
        let mut stream = bench.stream().await;
        stream.zero_gap(other_hash(log.at(0))).await;
        until(&replica, "fault", |status| status.faults == faults).await;
        stream.until_given_up().await;
    }
    let mut stream = bench.stream().await;
    stream.fill(log, 3).await;
    let status = until(&replica, "sync", Status::is_in_sync).await;
    assert_eq!((status.faults, status.setback), (0, None));
}

#[tokio::test]
async fn a_live_stream_that_does_not_fit_is_opened_anew() {
    let bench = Bench::of(24).await;
    let log = &bench.log;
    let (node, stream) = bench.filled(6).await;
    let replica = replica(&node);
    let forked = log.forked(5, 5, 1);
    stream.bookmark(forked.at(6)).await;
    until(&replica, "fault", |status| matches!(fault(status), Some(Fault::NotOurs { .. }))).await;
    let stream = bench.stream().await;
    stream.zero_gap(log.at(6)).await;
    until_in_sync_at(&replica, 6).await;
    stream.bookmark(log.at(5)).await;
    until(&replica, "fault", |status| matches!(fault(status), Some(Fault::Behind { .. }))).await;
}

/// Fills the replica, and has the stream that it opens after this one refused because of its history.
async fn fill_and_refuse(bench: &Bench, mut stream: Stream) {
    stream.fill(&bench.log, 6).await;
    let refusal = Refusal::new(Code::ReplicationForeignHistory, "another history")
        .with_fact("history_id", OTHER.to_string());
    bench.script.log.refuse_stream(refusal);
}

#[tokio::test]
async fn a_foreign_history_halts_the_replica_and_leaves_it_as_it_is() {
    let bench = Bench::of(24).await;
    let (node, stream) = bench.start().await;
    let replica = replica(&node);
    fill_and_refuse(&bench, stream).await;
    let expected = Halt::ForeignHistory { held: HISTORY, offered: Some(OTHER) };
    until(&replica, "halt", |status| status.state == State::Halted(expected.clone())).await;
    assert_eq!(events(&replica, 0).await, bench.log.after(0, 6), "and is readable");
    bench.script.more_beats(2).await;
    assert_eq!(bench.script.log.opened(), 2, "no more streams");
    assert!(node.standing().borrow().attachment().is_some(), "the node stays attached");
}

#[tokio::test]
async fn a_plan_of_another_history_halts_the_replica_too() {
    let bench = Bench::of(24).await;
    let (node, stream) = bench.filled(6).await;
    drop(stream);
    let stream = bench.stream().await;
    let at = Some(bench.log.at(6).into());
    let plan = v1::Plan {
        recovery_id: RECOVERY.to_owned(),
        history_id: OTHER.to_string(),
        outcome: Some(v1::plan::Outcome::ZeroGap(v1::ZeroGap { at })),
    };
    stream.send(response::Message::Plan(plan)).await;
    let expected = Halt::ForeignHistory { held: HISTORY, offered: Some(OTHER) };
    until(&replica(&node), "halt", |status| status.state == State::Halted(expected.clone())).await;
}

#[tokio::test]
async fn whoever_adopts_a_foreign_history_begins_anew_and_keeps_the_old_file() {
    let bench = Bench::of(24).await;
    let log = &bench.log;
    let mut config = bench.config();
    if let Some(replica) = &mut config.replica {
        replica.on_foreign_history = OnForeignHistory::Adopt;
    }
    let node = start(config);
    let replica = replica(&node);
    fill_and_refuse(&bench, bench.stream().await).await;
    let mut stream = bench.stream().await;
    assert_eq!(
        (stream.introduction.history_id.as_str(), &stream.introduction.at),
        ("", &None),
        "it is empty"
    );
    assert_eq!(events(&replica, 0).await, [], "and read as such: the application reads the new file");
    let status = replica.status().borrow().clone();
    let file = status.put_aside.unwrap().file;
    let forked = log.forked(2, 2, 1);
    stream.fill(&forked, 4).await;
    until_in_sync_at(&replica, 4).await;
    assert_eq!(events(&replica, 0).await, forked.0);

    let old = TestFolder::new();
    std::fs::copy(file, old.0.join("replica.db")).unwrap();
    let verified = daemon_client::replica::verify(&old.0).unwrap();
    assert_eq!((verified.end, verified.history_id), (log.at(6), Some(HISTORY)), "the old one is whole");
}

#[tokio::test]
async fn a_standby_is_left_for_the_server_that_it_names() {
    let (standby, active) = (Bench::of(6).await, Bench::of(6).await);
    let named = active.server.address().to_string();
    standby.script.log.refuse_stream(
        Refusal::new(Code::ControllerStandby, "ask the other").with_fact("active_address", named),
    );
    let node = start(standby.config());
    let mut stream = active.stream().await;
    stream.fill(&active.log, 6).await;
    until_in_sync_at(&replica(&node), 6).await;
    assert_eq!(standby.script.log.opened(), 1);
}

#[tokio::test]
async fn refusals_that_pass_are_waited_out() {
    let bench = Bench::of(6).await;
    let log = &bench.log;
    for code in [Code::ControllerRecovering, Code::ReplicationOutOfStep, Code::RuntimeNodeNotAttached] {
        bench.script.log.refuse_stream(Refusal::new(code, "in a moment"));
    }
    let (node, mut stream) = bench.start().await;
    assert_eq!(bench.script.log.opened(), 4);
    stream.fill(log, 3).await;
    stream.refuse(Refusal::new(Code::ReplicationOutOfStep, "in the middle")).await;
    let mut stream = bench.stream().await;
    assert_eq!(stream.introduction.at, Some(log.at(3).into()));
    stream.bring(log, 3, 6).await;
    until_in_sync_at(&replica(&node), 6).await;
}

#[tokio::test]
async fn a_superseded_stream_stops_until_the_node_attaches_anew() {
    let bench = Bench::of(6).await;
    let (node, stream) = bench.filled(6).await;
    let replica = replica(&node);
    stream.refuse(Refusal::new(Code::ReplicationStreamSuperseded, "a newer stream took over")).await;
    until(&replica, "setback", |status| {
        status.state == State::Apart
            && matches!(&status.setback, Some(Setback::Call(CallSetback::Refused(refusal)))
                if refusal.known() == Some(Code::ReplicationStreamSuperseded))
    })
    .await;
    // Time for many tries, were there any: a back-off begins with a quarter of a second at most.
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(bench.script.log.opened(), 1, "two programs do not take it from each other in turns");
    bench.script.generation(2);
    bench.script.refuse_beats(Refusal::new(Code::RuntimeNodeNotAttached, "attach first"));
    bench.script.log.until_opened(2).await;
}
