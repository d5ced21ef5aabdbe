//! The reference daemon with a replica, killed and started again, and what it prints about a folder.

#![cfg(unix)]

use std::process::{Child, Command, Output, Stdio};

use contracts::wire::v1::replicate_request as request;
use serde_json::{Value, json};

use crate::{
    fixture::{HISTORY, Log, SESSION, TestFolder},
    log_service::{RECOVERY, base_end},
    replica_bench::Bench,
    server::TOKEN,
};

fn binary() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_rollcall-daemon"));
    command.env_clear().env("ROLLCALL_TOKEN", TOKEN).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// A daemon that is killed at the end of its test, however that ends.
struct Daemon(Child);

impl Daemon {
    fn start(bench: &Bench) -> Self {
        let mut command = binary();
        command.args(["--node-id", "laptop-1", "--session", &SESSION.to_string(), "--replica"]);
        command
            .arg(&bench.folder.0)
            .env("ROLLCALL_ADDR", bench.server.address().to_string())
            .stderr(Stdio::null());
        Self(command.spawn().unwrap())
    }

    fn kill(&mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        // It may be dead already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn looks(verb: &str, folder: &TestFolder, more: &[&str]) -> Output {
    // A setting of the daemon is in nobody's way.
    let session = SESSION.to_string();
    binary()
        .env("ROLLCALL_SESSION", session)
        .args(["replica", verb])
        .arg(&folder.0)
        .args(more)
        .output()
        .unwrap()
}

fn text(output: &Output) -> String {
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout.clone()).unwrap()
}

fn parsed(output: &Output) -> Value {
    serde_json::from_str(&text(output)).unwrap()
}

fn point(log: &Log, at: u64) -> Value {
    json!({ "seq": at, "hash": log.at(at).hash.to_string() })
}

#[tokio::test]
async fn a_daemon_that_is_killed_in_a_rebuild_has_its_old_replica_and_one_killed_after_it_the_new() {
    let bench = Bench::of(24).await;
    let (folder, log) = (&bench.folder, &bench.log);
    let mut daemon = Daemon::start(&bench);
    let mut stream = bench.stream().await;
    stream.fill(log, 4).await;
    daemon.kill();
    drop(stream);

    for reaches in ["the middle of the base", "the end of the base", "the middle of the tail", "the end"] {
        let mut daemon = Daemon::start(&bench);
        let mut stream = bench.stream().await;
        let at = stream.introduction.at.clone();
        assert_eq!(at, Some(log.at(4).into()), "before {reaches}: what was acknowledged is there");
        stream.rebuild(log, 18, 21).await;
        stream.chunk(0, &log.base(18)[..2]).await;
        if reaches != "the middle of the base" {
            stream.chunk(1, &log.base(18)[2..]).await;
            stream.send(base_end(log, 18)).await;
            assert!(matches!(stream.receive().await, request::Message::BaseReceived(_)));
        }
        if reaches == "the middle of the tail" || reaches == "the end" {
            stream.recovered(log, 18, 20).await;
            stream.until_acknowledged(RECOVERY, log.at(20)).await;
        }
        let is_whole = reaches == "the end";
        if is_whole {
            stream.recovered(log, 20, 21).await;
            stream.until_acknowledged(RECOVERY, log.at(21)).await;
        }
        daemon.kill();
        let verified = parsed(&looks("verify", folder, &["--json"]));
        let end = if is_whole { point(log, 21) } else { point(log, 4) };
        assert_eq!(verified["end"], end, "killed at {reaches}");
    }
}

#[tokio::test]
async fn a_folder_is_shown_verified_and_listed_while_its_daemon_runs() {
    let bench = Bench::of(9).await;
    let (folder, log) = (&bench.folder, &bench.log);
    let _daemon = Daemon::start(&bench);
    let mut stream = bench.stream().await;
    stream.fill(log, 9).await;
    drop(stream);
    let forked = log.forked(6, 1, 1);
    let mut stream = bench.stream().await;
    stream.cut(&forked, 6, 7).await;
    assert!(matches!(stream.receive().await, request::Message::Truncated(_)));
    stream.recovered(&forked, 6, 7).await;
    stream.until_acknowledged(RECOVERY, forked.at(7)).await;

    let shown = parsed(&looks("show", folder, &["--json"]));
    assert_eq!(shown["session_id"], SESSION.to_string());
    assert_eq!(shown["history_id"], HISTORY.to_string());
    assert_eq!((&shown["begins"], &shown["end"]), (&point(log, 0), &point(&forked, 7)));
    assert_eq!(
        (&shown["events"], &shown["base_events"], &shown["put_aside"]),
        (&json!(7), &json!(0), &json!([]))
    );
    let table = text(&looks("show", folder, &[]));
    assert!(table.contains(&format!("ends at       {} ({})", 7, forked.at(7).hash)), "{table}");
    let table = text(&looks("verify", folder, &[]));
    assert!(table.contains("proven        0 events of the base, 7 after it"), "{table}");

    let listed = parsed(&looks("aside", folder, &["--json"]));
    let aside = &listed[0];
    assert_eq!(
        (&aside["begins"], &aside["end"], &aside["events"]),
        (&point(log, 6), &point(log, 9), &json!(3))
    );
    let number = aside["number"].to_string();
    assert!(text(&looks("aside", folder, &[])).contains("why           cut off"));
    let lines = text(&looks("aside", folder, &["--events", &number]));
    let events: Vec<Value> = lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(events.len(), 3);
    assert_eq!((&events[0]["seq"], &events[2]["hash"]), (&json!(7), &point(log, 9)["hash"]));
    assert_eq!(events[0]["payload"], "MDogZXZlbnQgNw==", "the payload, in Base64");
}

#[test]
fn what_cannot_be_shown_is_said_and_is_a_failure() {
    let folder = TestFolder::new();
    for verb in ["show", "verify", "aside"] {
        let output = looks(verb, &folder, &[]);
        assert_eq!((output.status.code(), output.stdout.len()), (Some(1), 0), "{verb}");
        let error = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(error.contains("there is no replica in the folder"), "{error}");
    }
    std::fs::write(folder.0.join("replica.db"), [0x5a; 8192]).unwrap();
    let output = looks("verify", &folder, &["--json"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&output.stderr).contains("damaged"), "{output:?}");
}
