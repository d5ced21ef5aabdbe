//! A replica that follows a log: it catches up, stays in sync, is cut, and is built anew.

use contracts::{
    Code, Refusal,
    log::EventKey,
    wire::v1::{self, Probe, ProbeAnswer, replicate_request as request, replicate_response as response},
};
use daemon_client::{
    replica::{self, Entry, ReadError, State, Unreadable},
    start,
};

use crate::{
    fixture::{HISTORY, Log, SESSION, event, seq},
    log_service::{RECOVERY, base_end},
    replica_bench::{Bench, events, replica, until, until_in_sync_at},
    server::Running,
};

#[tokio::test]
async fn an_empty_replica_catches_up_and_then_follows() {
    let bench = Bench::of(12).await;
    let log = &bench.log;
    let (node, mut stream) = bench.start().await;
    let replica = replica(&node);

    let introduction = v1::Introduction {
        session_id: SESSION.to_string(),
        node_id: "laptop-1".to_owned(),
        generation: 1,
        ..v1::Introduction::default()
    };
    assert_eq!(stream.introduction, introduction);
    stream.catch_up(log, 0, 8).await;
    stream.recovered(log, 0, 5).await;
    stream.until_acknowledged(RECOVERY, log.at(5)).await;
    assert_eq!(events(&replica, 0).await, log.after(0, 5), "acknowledged is readable");
    stream.recovered(log, 5, 8).await;
    stream.until_acknowledged(RECOVERY, log.at(8)).await;
    let status = replica.status().borrow().clone();
    assert_eq!(status.state, State::CatchingUp { target: seq(8) });
    assert_eq!(status.lag(), Some(4), "the log is further than this recovery goes");
    stream.completed(log.at(8)).await;
    until_in_sync_at(&replica, 8).await;

    stream.live(log, 8, 9).await;
    stream.until_acknowledged("", log.at(9)).await;
    stream.bookmark(log.at(12)).await;
    until(&replica, "lag", |status| status.lag() == Some(3)).await;
    stream.live(log, 9, 12).await;
    stream.until_acknowledged("", log.at(12)).await;
    until(&replica, "no lag", |status| status.lag() == Some(0)).await;
    assert_eq!(events(&replica, 0).await, log.0, "to the byte");

    let key = EventKey::parse("key", "task/1").unwrap();
    let latest = log.0.iter().rfind(|event| event.key.as_ref() == Some(&key)).unwrap();
    assert_eq!(replica.state(key).await.unwrap(), Some(Entry::Event(latest.clone())));
    let state = replica.states(None, 100).await.unwrap();
    assert_eq!((state.entries.len(), state.position.end), (log.base(12).len(), log.at(12)));

    node.detach("done").await;
    until(&replica, "end", |status| status.state == State::Ended).await;
    assert_eq!(events(&replica, 0).await, log.0, "and is readable after the end");
}

#[tokio::test]
async fn a_replica_introduces_itself_as_it_stands_and_answers_probes() {
    let bench = Bench::of(9).await;
    let log = &bench.log;
    let (node, _stream) = bench.filled(9).await;
    node.detach("").await;

    let (node, mut stream) = bench.start().await;
    let v1::Introduction { history_id, at, base_seq, .. } = stream.introduction.clone();
    assert_eq!((history_id, at, base_seq), (HISTORY.to_string(), Some(log.at(9).into()), 0));
    stream.send(response::Message::Probe(Probe { seqs: vec![0, 4, 9, 12] })).await;
    let points = [0, 4, 9].map(|at| log.at(at).into()).to_vec();
    assert_eq!(stream.receive().await, request::Message::ProbeAnswer(ProbeAnswer { points }));
    stream.zero_gap(log.at(9)).await;
    until_in_sync_at(&replica(&node), 9).await;
}

#[tokio::test]
async fn what_is_cut_off_is_kept_aside_and_told() {
    let bench = Bench::of(9).await;
    let log = &bench.log;
    let forked = log.forked(6, 4, 1);
    let (node, stream) = bench.filled(9).await;
    let replica = replica(&node);
    drop(stream);

    let mut stream = bench.stream().await;
    stream.cut(&forked, 6, 10).await;
    let truncated = v1::Truncated { recovery_id: RECOVERY.to_owned(), at: Some(log.at(6).into()) };
    assert_eq!(stream.receive().await, request::Message::Truncated(truncated));
    let aside = replica.aside().await.unwrap();
    assert_eq!((aside[0].begins, aside[0].end, aside[0].events), (log.at(6), log.at(9), 3));
    stream.recovered(&forked, 6, 10).await;
    stream.until_acknowledged(RECOVERY, forked.at(10)).await;
    stream.completed(forked.at(10)).await;
    until_in_sync_at(&replica, 10).await;
    assert_eq!(events(&replica, 0).await, forked.0);
    let kept = replica.events_aside(aside[0].id, seq(0), 100).await.unwrap();
    assert_eq!(kept, log.after(6, 9).iter().cloned().map(Entry::Event).collect::<Vec<_>>());
}

#[tokio::test]
async fn a_rebuild_goes_on_beside_the_old_state_and_replaces_it_in_one_step() {
    let bench = Bench::of(24).await;
    let log = &bench.log;
    let (node, stream) = bench.filled(4).await;
    let replica = replica(&node);
    drop(stream);

    let mut stream = bench.stream().await;
    stream.rebuild(log, 18, 21).await;
    let base = log.base(18);
    stream.chunk(0, &base[..2]).await;
    let status = until(
        &replica,
        "part of the base",
        |status| matches!(&status.state, State::Rebuilding(rebuilding) if rebuilding.base_received == 2),
    )
    .await;
    let State::Rebuilding(rebuilding) = status.state else { panic!() };
    assert_eq!(
        (rebuilding.base_events, rebuilding.target, rebuilding.reason.as_str()),
        (base.len() as u64, seq(21), "gap_beyond_retention")
    );
    stream.chunk(1, &base[2..]).await;
    stream.send(base_end(log, 18)).await;
    let received = v1::BaseReceived { recovery_id: RECOVERY.to_owned(), at: Some(log.at(18).into()) };
    assert_eq!(stream.receive().await, request::Message::BaseReceived(received));
    stream.recovered(log, 18, 20).await;
    stream.until_acknowledged(RECOVERY, log.at(20)).await;
    assert_eq!(events(&replica, 0).await, log.after(0, 4), "the old state is what is read");
    stream.recovered(log, 20, 21).await;
    stream.until_acknowledged(RECOVERY, log.at(21)).await;
    assert_eq!(events(&replica, 18).await, log.after(18, 21), "the new one is read before the end is said");
    assert_eq!(
        replica.events(seq(17), 10).await,
        Err(ReadError::BeforeHistory { begins: seq(18) }),
        "nothing is passed over in silence"
    );
    assert_eq!(replica.states(None, 100).await.unwrap().entries.len(), log.base(21).len());
    assert_eq!(replica.aside().await.unwrap()[0].events, 4);
    stream.completed(log.at(21)).await;
    stream.live(log, 21, 24).await;
    stream.until_acknowledged("", log.at(24)).await;
    drop(stream);

    let stream = bench.stream().await;
    assert_eq!((stream.introduction.base_seq, &stream.introduction.at), (18, &Some(log.at(24).into())));
}

#[tokio::test]
async fn a_rebuild_without_a_tail_is_in_place_when_it_is_acknowledged() {
    let bench = Bench::of(12).await;
    let log = &bench.log;
    let (node, mut stream) = bench.start().await;
    stream.rebuild(log, 12, 12).await;
    stream.base(log, 12).await;
    assert!(matches!(stream.receive().await, request::Message::BaseReceived(_)));
    stream.until_acknowledged(RECOVERY, log.at(12)).await;
    stream.completed(log.at(12)).await;
    until_in_sync_at(&replica(&node), 12).await;
}

#[tokio::test]
async fn a_lost_attachment_ends_the_stream_and_the_next_has_the_new_generation() {
    let bench = Bench::of(6).await;
    let (node, mut stream) = bench.filled(6).await;
    bench.script.generation(2);
    bench.script.refuse_beats(Refusal::new(Code::RuntimeNodeNotAttached, "attach first"));
    stream.until_given_up().await;
    bench.script.accept_beats();
    // While the beats are refused, it may attach more than once.
    let stream = loop {
        let stream = bench.stream().await;
        if stream.introduction.generation == 2 {
            break stream;
        }
    };
    stream.zero_gap(bench.log.at(6)).await;
    until_in_sync_at(&replica(&node), 6).await;
}

#[tokio::test]
async fn a_replica_outlives_a_server_that_is_replaced() {
    let mut bench = Bench::of(9).await;
    let (node, _stream) = bench.filled(6).await;
    let replica = replica(&node);
    let log = &bench.log;
    let socket = bench.server.socket;
    drop(bench.server);
    until(&replica, "cut", |status| status.state == State::Apart).await;
    assert_eq!(events(&replica, 0).await, log.after(0, 6), "there is no server, and it is read");
    bench.server = Running::start_at(&bench.script, socket).await;
    let mut stream = bench.stream().await;
    assert_eq!(stream.introduction.at, Some(log.at(6).into()));
    stream.bring(log, 6, 9).await;
    until_in_sync_at(&replica, 9).await;
}

#[tokio::test]
async fn a_newer_major_is_a_stub_until_a_program_knows_how_to_read_it() {
    let of_tomorrow = event(Log::of(3).head(), 0, "9.4".parse().unwrap(), b"words".to_vec());
    let bench = Bench::with(Log([Log::of(3).0, vec![of_tomorrow.clone()]].concat())).await;
    let (node, _stream) = bench.filled(4).await;
    let last = |page: replica::Page| page.entries.last().cloned().unwrap();
    let Entry::Stub(stub) = last(replica(&node).events(seq(0), 10).await.unwrap()) else { panic!("no stub") };
    assert_eq!((&stub.original, stub.why), (&of_tomorrow, Unreadable::NewerMajor));
    node.detach("").await;

    let mut config = bench.config();
    let read = |reading: &replica::Reading| {
        Ok(replica::Reading {
            version: "1.0".parse().map_err(|_| "no version")?,
            payload: reading.payload.to_ascii_uppercase(),
            ..reading.clone()
        })
    };
    config.replica = Some(replica::Config {
        upcasters: replica::Upcasters::new().with(
            of_tomorrow.event_type.clone(),
            "9.0".parse().unwrap(),
            read,
        ),
        ..replica::Config::new(&bench.folder.0)
    });
    let node = start(config);
    until(&replica(&node), "open file", |status| status.position.is_some()).await;
    let Entry::Upcast(upcast) = last(replica(&node).events(seq(0), 10).await.unwrap()) else { panic!() };
    assert_eq!(upcast.original, of_tomorrow, "what is stored is as it was");
    assert_eq!(upcast.reading.payload, of_tomorrow.payload.to_ascii_uppercase());
}
