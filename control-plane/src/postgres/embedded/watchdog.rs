//! Ends the server when this process dies, however it dies: SIGKILL runs no destructor, and the kernel's own
//! parent-death signal exists on Linux only and follows the thread, not the process.
//!
//! The watchdog is a shell that waits on a pipe from us. A line tells it to stand down; the end of the pipe, which
//! is our death, makes it stop the server. Nothing else does: a signal to all processes of a service or a terminal
//! passes it by, or nobody would be left to act on our death.

use std::path::Path;
use std::process::Stdio;

use tokio::io::AsyncWriteExt;
use tokio::process::{Child, Command};

use super::Error;
use super::account::Account;

/// `$1` is the pid file and `$2` the server. Where the file names another server, ours was replaced and its number
/// may be anyone's: that is looked at each time, for another process may start the next server within a second. A
/// fast shutdown that hangs becomes an immediate one.
const SCRIPT: &str = r#"
trap '' HUP INT TERM
read -r _ && exit 0
ours() { [ -e "$1" ] && read -r pid < "$1" && [ "$pid" = "$2" ]; }
if [ -e "$1" ]; then ours "$1" "$2" || exit 0; fi
kill -INT "$2" || exit 0
seconds=0
while ours "$1" "$2" && [ "$seconds" -lt 30 ]; do sleep 1; seconds=$((seconds + 1)); done
ours "$1" "$2" && kill -QUIT "$2"
"#;

#[derive(Debug)]
pub(super) struct Watchdog {
    shell: Child,
}

impl Watchdog {
    pub(super) fn start(account: &Account, pid_file: &Path, pid: u32) -> Result<Self, Error> {
        let mut shell: Command = account.command("/bin/sh");
        shell.args(["-c", SCRIPT, "sh"]).arg(pid_file).arg(pid.to_string());
        shell.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
        let shell = shell.spawn().map_err(|source| Error::Spawn { program: "/bin/sh".into(), source })?;
        Ok(Self { shell })
    }

    /// After the server has ended: its number must not be signalled any more.
    pub(super) async fn stand_down(mut self) {
        if let Some(mut pipe) = self.shell.stdin.take() {
            // Someone may have killed the watchdog; then there is nothing to tell it.
            let _ = pipe.write_all(b"\n").await;
        }
        let _ = self.shell.wait().await;
    }
}
