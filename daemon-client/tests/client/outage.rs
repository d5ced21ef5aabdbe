//! Servers that stop, come back, or are not the active one.

use std::time::Duration;

use contracts::{Code, Refusal};
use daemon_client::{Addresses, Standing};
use tokio::{
    io::{AsyncReadExt, copy_bidirectional},
    net::{TcpListener, TcpStream},
    sync::oneshot,
    task::JoinHandle,
    time::Instant,
};

use crate::{
    node::{node, until, until_attached},
    server::{Running, Script, within},
};

fn both(first: &Running, second: &Running) -> Addresses {
    format!("{},{}", first.address(), second.address()).parse().unwrap()
}

fn standby(active: Option<&Running>) -> Refusal {
    let refusal = Refusal::new(Code::ControllerStandby, "this server is a standby");
    match active {
        Some(active) => refusal.with_fact("active_address", active.address().to_string()),
        None => refusal,
    }
}

#[tokio::test]
async fn a_server_that_restarts_is_beaten_to_again_without_a_new_attach() {
    let script = Script::new();
    let server = Running::start(&script).await;
    let node = node(server.address());
    until_attached(&node).await;
    script.more_beats(1).await;
    let socket = server.socket;
    drop(server);
    until(&node, "setback", |standing| matches!(standing, Standing::Attached { setback: Some(_), .. })).await;
    let _server = Running::start_at(&script, socket).await;
    script.more_beats(2).await;
    until(&node, "acknowledgement", |standing| matches!(standing, Standing::Attached { setback: None, .. }))
        .await;
    assert_eq!(script.attaches(), 1);
}

#[tokio::test]
async fn the_next_address_is_tried_when_one_is_gone() {
    let (first, second) = (Script::new(), Script::new());
    let (gone, server) = (Running::start(&first).await, Running::start(&second).await);
    let node = node(both(&gone, &server));
    until_attached(&node).await;
    first.more_beats(1).await;
    drop(gone);
    second.more_beats(3).await;
    assert_eq!((first.attaches(), second.attaches()), (1, 0), "the generation is still valid");
    until(&node, "acknowledgement", |standing| matches!(standing, Standing::Attached { setback: None, .. }))
        .await;
}

#[tokio::test]
async fn a_server_that_takes_calls_and_never_answers_is_left() {
    let (first, second) = (Script::new(), Script::new());
    let (mute, server) = (Running::start(&first).await, Running::start(&second).await);
    let node = node(both(&mute, &server));
    until_attached(&node).await;
    first.mute(true);
    second.more_beats(2).await;
}

/// Takes calls to `server` until it is told to swallow all that comes. Then nothing ever goes back, as when a machine
/// lost its power, and the time until the client hangs up is told.
struct Swallower {
    address: daemon_client::Address,
    swallow: oneshot::Sender<()>,
    hung_up_after: JoinHandle<Duration>,
}

impl Swallower {
    async fn before(server: &Running) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string().parse().unwrap();
        let socket = server.socket;
        let (swallow, mut swallowed) = oneshot::channel();
        let hung_up_after = tokio::spawn(async move {
            let (mut client, _) = listener.accept().await.unwrap();
            let mut server = TcpStream::connect(socket).await.unwrap();
            tokio::select! {
                _ = copy_bidirectional(&mut client, &mut server) => panic!("hung up too early"),
                _ = &mut swallowed => {}
            }
            let since = Instant::now();
            let mut buffer = [0; 1024];
            while client.read(&mut buffer).await.is_ok_and(|bytes| bytes > 0) {}
            since.elapsed()
        });
        Self { address, swallow, hung_up_after }
    }
}

#[tokio::test]
async fn a_dead_connection_is_found_in_less_than_10_s_even_when_no_beat_is_due() {
    let script = Script::new().interval(Duration::from_secs(600));
    let server = Running::start(&script).await;
    let swallower = Swallower::before(&server).await;
    let node = node(swallower.address.clone());
    until_attached(&node).await;
    swallower.swallow.send(()).unwrap();
    let hung_up_after = within("hang-up", swallower.hung_up_after).await.unwrap();
    assert!(hung_up_after < Duration::from_secs(10), "{hung_up_after:?}");
    drop(node);
}

#[tokio::test]
async fn a_standby_is_left_for_the_address_that_it_names() {
    let (active, other) = (Script::new(), Script::new());
    let (active_server, standby_server) = (Running::start(&active).await, Running::start(&other).await);
    other.refuse_attach(standby(Some(&active_server)));
    // The active one is not in the list.
    let node = node(standby_server.address());
    until_attached(&node).await;
    active.more_beats(2).await;
    assert_eq!((other.attaches(), other.beats(), active.attaches()), (1, 0, 1));
}

#[tokio::test]
async fn a_takeover_is_followed_in_the_middle_of_an_attachment() {
    let (old, new) = (Script::new(), Script::new());
    let (old_server, new_server) = (Running::start(&old).await, Running::start(&new).await);
    let node = node(old_server.address());
    until_attached(&node).await;
    old.refuse_beats(standby(Some(&new_server)));
    new.more_beats(2).await;
    // And back again: the one that is left names nobody, so the list counts.
    old.accept_beats();
    new.refuse_beats(standby(None));
    old.more_beats(2).await;
    assert_eq!((old.attaches(), new.attaches()), (1, 0));
}

#[tokio::test]
async fn a_fleet_is_heard_within_one_cadence_of_the_return() {
    const CADENCE: Duration = Duration::from_secs(2);
    let script = Script::new().interval(CADENCE);
    let server = Running::start(&script).await;
    let socket = server.socket;
    let nodes: Vec<_> = (0..10).map(|_| node(server.address())).collect();
    for node in &nodes {
        until_attached(node).await;
    }
    drop(server);
    for node in &nodes {
        until(node, "setback", |standing| matches!(standing, Standing::Attached { setback: Some(_), .. }))
            .await;
    }
    let before = script.beats();
    let _server = Running::start_at(&script, socket).await;
    let returned_at = Instant::now();
    for node in &nodes {
        until(node, "acknowledgement", |standing| {
            matches!(standing, Standing::Attached { setback: None, .. })
        })
        .await;
    }
    assert!(returned_at.elapsed() <= CADENCE, "{:?}", returned_at.elapsed());
    assert!(script.beats() >= before + nodes.len());
    assert_eq!(script.attaches(), nodes.len());
}
