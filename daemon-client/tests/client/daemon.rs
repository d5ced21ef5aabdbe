//! The reference daemon as a process: what it sends, how it ends.

use std::{
    env,
    path::PathBuf,
    process::{Command, ExitStatus, Output, Stdio},
    time::Duration,
};

use contracts::{Code, Refusal};

use crate::{
    node::SESSION,
    server::{Call, Running, Script, TOKEN, within},
    tls::Authority,
};

fn daemon() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_rollcall-daemon"));
    command.env_clear().env("ROLLCALL_TOKEN", TOKEN).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

fn tour(server: &Running) -> Command {
    let mut command = daemon();
    command.env("ROLLCALL_ADDR", server.address().to_string()).args([
        "--session",
        SESSION,
        "--node-id",
        "laptop-1",
        "--capability",
        "codex",
    ]);
    command
}

async fn finish(mut command: Command) -> Output {
    let output = tokio::task::spawn_blocking(move || command.output().unwrap());
    let output = within("end of the daemon", output).await.unwrap();
    assert!(output.stdout.is_empty(), "nothing is data");
    assert!(!text(&output).contains(TOKEN), "the token is never shown: {}", text(&output));
    output
}

fn text(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[cfg(unix)]
#[tokio::test]
async fn sigterm_detaches_and_ends_well() {
    let script = Script::new();
    let server = Running::start(&script).await;
    let child = tour(&server).spawn().unwrap();
    script.more_beats(2).await;
    terminate(child.id());
    let output = tokio::task::spawn_blocking(move || child.wait_with_output().unwrap());
    let output = within("end of the daemon", output).await.unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", text(&output));
    let calls = script.calls();
    assert!(matches!(&calls[0], Call::Attach(attach)
        if attach.node_id == "laptop-1" && attach.client_version == "1.0"
            && attach.declaration.as_ref().is_some_and(|declaration| declaration.capabilities[0].key == "codex")));
    assert!(matches!(calls.last(), Some(Call::Detach(detach)) if detach.reason == "stopped by SIGTERM"));
    let log = text(&output);
    for line in ["starting", "attached", "stopping", "detached"] {
        assert!(log.contains(line), "{line}: {log}");
    }
    assert!(log.lines().all(|line| line.starts_with('{')), "JSON outside of a terminal: {log}");
}

#[cfg(unix)]
#[tokio::test]
async fn a_second_signal_ends_at_once() {
    let script = Script::new();
    let server = Running::start(&script).await;
    let child = tour(&server).spawn().unwrap();
    script.more_beats(1).await;
    // With the server gone the detach would take its 2 s.
    drop(server);
    let id = child.id();
    terminate(id);
    let output = tokio::task::spawn_blocking(move || child.wait_with_output().unwrap());
    let signals = async {
        loop {
            // Signals that arrive together are one.
            tokio::time::sleep(Duration::from_millis(300)).await;
            terminate(id);
        }
    };
    let output = tokio::select! {
        output = within("end of the daemon", output) => output.unwrap(),
        () = signals => unreachable!(),
    };
    assert_eq!(output.status.code(), Some(130), "{}", text(&output));
}

#[cfg(unix)]
fn terminate(id: u32) {
    // It may be gone already, which is what the test then sees.
    let _: ExitStatus = Command::new("kill").arg(id.to_string()).stderr(Stdio::null()).status().unwrap();
}

#[tokio::test]
async fn refusals_have_exit_codes_of_their_own() {
    let script = Script::new();
    let server = Running::start(&script).await;
    for (code, exit) in [
        (Code::RuntimeNodeGenerationSuperseded, 10),
        (Code::RuntimeNodeAttachRevoked, 11),
        (Code::SessionNotActive, 12),
        (Code::RuntimeNodePermissionDenied, 13),
        (Code::AuthTokenInvalid, 14),
        (Code::AuthTokenExpired, 14),
        (Code::VersionFloorExceeded, 15),
        (Code::ArgumentInvalid, 16),
    ] {
        script.refuse_attach(Refusal::new(code, "no"));
        let output = finish(tour(&server)).await;
        assert_eq!(output.status.code(), Some(exit), "{code}: {}", text(&output));
        assert!(text(&output).contains(code.entry().code), "{}", text(&output));
    }
}

#[tokio::test]
async fn the_token_stays_hidden_in_the_most_detailed_logs() {
    let script = Script::new();
    script.refuse_attach(Refusal::new(Code::SessionNotActive, "no"));
    let server = Running::start(&script).await;
    let mut command = tour(&server);
    command.env("RUST_LOG", "trace");
    // `finish` looks for it.
    let output = finish(command).await;
    assert!(text(&output).contains("h2"), "the transport's own lines are among them");
}

#[tokio::test]
async fn usage_errors_are_two() {
    for arguments in [&["--session", "not-a-uuid"][..], &["--session", SESSION, "--addr", "ftp://x"], &[]] {
        let mut command = daemon();
        command.args(arguments);
        assert_eq!(finish(command).await.status.code(), Some(2), "{arguments:?}");
    }
    let mut command = daemon();
    command.env("ROLLCALL_TOKEN", "s3cret word").args(["--session", SESSION, "--node-id", "n"]);
    let output = finish(command).await;
    assert_eq!(output.status.code(), Some(2));
    assert!(!text(&output).contains("s3cret"), "{}", text(&output));
}

#[cfg(unix)]
#[tokio::test]
async fn a_new_machine_joins_over_tls_and_starts_again_with_what_it_got() {
    let script = Script::new();
    script.exchange_brings(Ok(TOKEN));
    let authority = Authority::new();
    let server = authority.serve(&script, "rollcall.example").await;
    let state = authority.folder().join("state");
    for _ in 0..2 {
        let mut command = tour(&server);
        command
            .env("ROLLCALL_ADDR", server.secure_address().to_string())
            .env_remove("ROLLCALL_TOKEN")
            .env("ROLLCALL_JOIN_TOKEN", "j0in")
            .env("RUST_LOG", "trace")
            .arg("--ca-cert")
            .arg(authority.file())
            .args(["--tls-server-name", "rollcall.example", "--state-dir"])
            .arg(&state);
        let child = command.spawn().unwrap();
        let id = child.id();
        // So much is logged that nobody may wait before it is read.
        let output = tokio::task::spawn_blocking(move || child.wait_with_output().unwrap());
        script.more_beats(1).await;
        terminate(id);
        let output = within("end of the daemon", output).await.unwrap();
        assert_eq!(output.status.code(), Some(0), "{}", text(&output));
        for secret in [TOKEN, "j0in"] {
            assert!(!text(&output).contains(secret), "{secret} is never shown: {}", text(&output));
        }
    }
    assert_eq!(script.count(|call| matches!(call, Call::Exchange(_))), 1, "the second start has a token");
    assert_eq!(std::fs::read_to_string(state.join("token")).unwrap().trim(), TOKEN);
}

#[tokio::test]
async fn the_node_id_is_kept_from_start_to_start() {
    let script = Script::new();
    let server = Running::start(&script).await;
    let folder: PathBuf = env::temp_dir().join(format!("rollcall-daemon-{}", std::process::id()));
    for _ in 0..2 {
        script.refuse_attach(Refusal::new(Code::SessionNotActive, "no"));
        let mut command = daemon();
        command
            .env("ROLLCALL_ADDR", server.address().to_string())
            .env("XDG_STATE_HOME", &folder)
            .args(["--session", SESSION]);
        assert_eq!(finish(command).await.status.code(), Some(12));
    }
    std::fs::remove_dir_all(&folder).unwrap();
    let ids: Vec<String> = script
        .calls()
        .into_iter()
        .filter_map(|call| match call {
            Call::Attach(attach) => Some(attach.node_id),
            Call::Beat(_)
            | Call::Update(_)
            | Call::Detach(_)
            | Call::Renew(_)
            | Call::Exchange(_)
            | Call::Append(_) => None,
        })
        .collect();
    assert_eq!(ids.len(), 2);
    assert_eq!(ids[0], ids[1]);
}
