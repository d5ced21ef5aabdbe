//! The program as a process of its own, with what it writes.

use std::{
    io::{Read, Write},
    os::unix::process::ExitStatusExt,
    path::Path,
    process::{Child, Command, ExitStatus, Stdio},
    sync::{Arc, Mutex},
    thread::{self, JoinHandle},
    time::Duration,
};

use rustix::process::Signal;

use super::{Account, Place, eventually, signal};

/// `rollcall` with these arguments, and with nothing that the machine's own settings would add.
pub(crate) fn rollcall(account: Account, place: &Place, arguments: &[&str]) -> Command {
    let mut command = Command::new(account.program(place));
    for (name, _) in std::env::vars_os() {
        let begins_with = |prefix: &str| name.as_encoded_bytes().starts_with(prefix.as_bytes());
        // By cargo's variables the program would know that it was started in a checkout.
        if ["DATABASE_URL", "ROLLCALL_", "RUST_LOG", "CARGO"].into_iter().any(begins_with) {
            command.env_remove(name);
        }
    }
    account.lend(&mut command, place);
    command.args(arguments).current_dir(Path::new("/"));
    command
}

/// How a process ended.
#[derive(Debug)]
pub(crate) struct Ended {
    /// None when a signal ended it.
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Ended {
    /// Checks that it failed with this code and said all of this on stderr.
    #[track_caller]
    pub(crate) fn refused(&self, code: i32, words: &[&str]) {
        assert_eq!(self.code, Some(code), "{self:?}");
        for word in words {
            assert!(self.stderr.contains(word), "no {word:?} in: {}", self.stderr);
        }
    }

    #[track_caller]
    pub(crate) fn succeeded(self) -> Self {
        assert_eq!(self.code, Some(0), "{self:?}");
        self
    }
}

/// Runs a command to its end.
pub(crate) fn run(command: Command) -> Ended {
    Running::start(command).wait()
}

/// A running process; killed when dropped.
#[derive(Debug)]
pub(crate) struct Running {
    child: Child,
    stdout: Captured,
    stderr: Captured,
}

impl Running {
    pub(crate) fn start(mut command: Command) -> Self {
        let mut child =
            command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let stdout = Captured::of(child.stdout.take().unwrap());
        let stderr = Captured::of(child.stderr.take().unwrap());
        Self { child, stdout, stderr }
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    pub(crate) fn stdout(&self) -> String {
        self.stdout.so_far()
    }

    pub(crate) fn stderr(&self) -> String {
        self.stderr.so_far()
    }

    pub(crate) fn has_ended(&mut self) -> bool {
        self.status().is_some()
    }

    pub(crate) fn signal(&self, which: Signal) {
        signal(self.pid(), which);
    }

    /// As `kill -9` does.
    pub(crate) fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    pub(crate) fn wait(mut self) -> Ended {
        eventually("the process ends", || self.has_ended());
        let code = self.status().and_then(|status| {
            assert!(status.code().is_some() || status.signal().is_some(), "{status:?}");
            status.code()
        });
        Ended { code, stdout: self.stdout.whole(), stderr: self.stderr.whole() }
    }

    fn status(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().unwrap()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
        if thread::panicking() {
            // Not eprintln, which the test harness may have given to another test by now.
            let text = format!("--- stderr of process {}\n{}", self.child.id(), self.stderr.so_far());
            let _ = std::io::stderr().write_all(text.as_bytes());
        }
    }
}

/// What a process writes into a pipe, read as it comes, so that the pipe never fills.
#[derive(Debug)]
struct Captured {
    text: Arc<Mutex<Vec<u8>>>,
    reader: JoinHandle<()>,
}

impl Captured {
    fn of(mut pipe: impl Read + Send + 'static) -> Self {
        let text = Arc::new(Mutex::new(Vec::new()));
        let reader = thread::spawn({
            let text = Arc::clone(&text);
            move || {
                let mut bytes = [0; 4096];
                while let Ok(count @ 1..) = pipe.read(&mut bytes) {
                    text.lock().unwrap().extend_from_slice(&bytes[..count]);
                }
            }
        });
        Self { text, reader }
    }

    fn so_far(&self) -> String {
        String::from_utf8_lossy(&self.text.lock().unwrap()).into_owned()
    }

    /// Also a test: whoever holds the pipe open after the process has ended was left behind by it.
    fn whole(&self) -> String {
        eventually("the pipe is closed", || {
            thread::sleep(Duration::from_millis(1));
            self.reader.is_finished()
        });
        self.so_far()
    }
}
