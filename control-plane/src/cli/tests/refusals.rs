//! How a "no" is told, and who is asked instead.

use std::time::Duration;

use contracts::{Code, Refusal};

use crate::cli::{
    fake_server::{FakeServer, Prepared, SESSION, session},
    tests::rollcall,
};

fn refusing(refusals: Vec<Refusal>) -> Prepared {
    Prepared { sessions: vec![session(SESSION, "demo")], refusals, ..Prepared::default() }
}

#[tokio::test]
async fn a_refusal_has_its_message_its_code_and_a_hint() {
    let refusal = Refusal::new(Code::AuthTokenInvalid, "the token has expired");
    let server = FakeServer::start(refusing(vec![refusal])).await;
    let (captured, code) = rollcall(&["session", "archive", SESSION, &server.addr()]).await;
    assert_eq!((captured.data().as_str(), code), ("", 1));
    assert_eq!(
        captured.notes(),
        "error: the token has expired\n\
         code: auth.token_invalid (docs/errors/auth.token_invalid.md)\n\
         hint: export ROLLCALL_TOKEN as printed by `rollcall dev`, or give --token or --token-file\n"
    );
}

#[tokio::test]
async fn a_refusal_that_says_it_all_has_no_hint() {
    let server = FakeServer::start(refusing(vec![Refusal::permission_denied()])).await;
    let (captured, code) = rollcall(&["session", "archive", SESSION, &server.addr()]).await;
    assert_eq!(code, 1);
    assert!(!captured.notes().contains("hint:"), "{}", captured.notes());
}

#[tokio::test]
async fn a_missing_server_ends_with_3_and_names_the_ways_out() {
    let address = FakeServer::start(Prepared::default()).await.kill();
    // A killed server closes its socket in its own time.
    let (captured, code) = loop {
        let ran = rollcall(&["session", "list", &format!("--addr={address}"), "--timeout=2s"]).await;
        if ran.0.notes().contains("refused") {
            break ran;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    };
    assert_eq!(code, 3);
    assert!(captured.notes().starts_with(&format!("error: no server answers at http://{address}: ")));
    assert!(captured.notes().contains("\nhint: start a server with `rollcall dev`"), "{}", captured.notes());
}

#[tokio::test]
async fn a_server_that_hangs_is_given_up_after_the_timeout() {
    // Accepts into the backlog, and never answers.
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = silent.local_addr().unwrap();
    let (captured, code) =
        rollcall(&["session", "list", &format!("--addr={address}"), "--timeout=200ms"]).await;
    assert_eq!(code, 3);
    assert!(captured.notes().contains("no answer within 200ms"), "{}", captured.notes());
}

#[tokio::test]
async fn the_next_address_is_asked_when_the_first_does_not_answer() {
    let gone = FakeServer::start(Prepared::default()).await.kill();
    let server = FakeServer::start(refusing(Vec::new())).await;
    let addresses = format!("--addr={gone},http://{}", server.address);
    let (captured, code) = rollcall(&["session", "archive", SESSION, &addresses]).await;
    assert_eq!(code, 0, "{}", captured.notes());
}

#[tokio::test]
async fn a_standby_that_names_the_active_server_is_followed() {
    let active = FakeServer::start(refusing(Vec::new())).await;
    let refusal = Refusal::new(Code::ControllerStandby, "this server is a standby")
        .with_fact("active_address", format!("http://{}", active.address));
    let standby = FakeServer::start(refusing(vec![refusal])).await;
    let (captured, code) = rollcall(&["session", "archive", SESSION, &standby.addr()]).await;
    assert_eq!(code, 0, "{}", captured.notes());
    assert_eq!((standby.calls().len(), active.calls().len()), (1, 1));
}

#[tokio::test]
async fn a_takeover_is_waited_for() {
    let recovering =
        Refusal::new(Code::ControllerRecovering, "recovering").with_retry_delay(Duration::from_millis(10));
    let server = FakeServer::start(refusing(vec![recovering.clone(), recovering])).await;
    let (captured, code) = rollcall(&["session", "archive", SESSION, &server.addr()]).await;
    assert_eq!(code, 0, "{}", captured.notes());
    assert_eq!(server.calls().len(), 3);
}

#[tokio::test]
async fn standbys_that_name_each_other_are_told_as_a_refusal() {
    let standby = |address| {
        Refusal::new(Code::ControllerStandby, "this server is a standby").with_fact("active_address", address)
    };
    let gone = FakeServer::start(Prepared::default()).await.kill();
    let server = FakeServer::start(refusing(vec![standby(format!("{gone}")); 100])).await;
    let (captured, code) = rollcall(&["session", "archive", SESSION, &server.addr(), "--timeout=3s"]).await;
    assert_eq!(code, 1);
    assert!(
        captured.notes().starts_with(
            "error: this server is a standby\n\
             code: controller.standby (docs/errors/controller.standby.md)\n\
             hint: the active server is said to be at "
        ),
        "{}",
        captured.notes()
    );
    // A round each quarter of a second, and the first at once.
    assert!(server.calls().len() <= 13, "rounds are paced: {:?}", server.calls());
}

#[tokio::test]
async fn addresses_are_all_by_tls_or_none() {
    let addresses = "--addr=https://127.0.0.1:1,http://127.0.0.1:1";
    let (captured, code) = rollcall(&["session", "list", addresses]).await;
    assert_eq!(code, 2);
    assert!(captured.notes().starts_with("error: some addresses are https:// and some are not\nhint: "));
}

#[tokio::test]
async fn faults_of_what_to_trust_are_usage_errors_that_say_why() {
    let (captured, code) = rollcall(&["session", "list", "--ca-cert=/nowhere/ca.pem"]).await;
    assert_eq!(code, 2);
    let notes = captured.notes();
    assert!(notes.starts_with("error: --ca-cert: cannot read /nowhere/ca.pem: No such file"), "{notes}");
    let (captured, code) = rollcall(&["session", "list", "--tls-server-name=https://h"]).await;
    assert_eq!(code, 2);
    assert!(captured.notes().starts_with("error: --tls-server-name: `https://h` is not a name"));
}
