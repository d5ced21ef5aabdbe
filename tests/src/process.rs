//! A child process that does not outlive its test, with its log.

use std::{
    io::{BufRead, BufReader, Read},
    process::{Child, Command, ExitStatus, Stdio},
    sync::{Arc, Mutex},
    thread,
};

use serde_json::Value;

use crate::wait::eventually;

/// A running binary; killed when dropped.
#[derive(Debug)]
pub struct Process {
    name: String,
    child: Child,
    lines: Arc<Mutex<Vec<String>>>,
}

impl Process {
    /// Starts a command with its stderr captured.
    pub fn start(name: &str, command: &mut Command) -> Self {
        Self::start_into(name, command, Stdio::null())
    }

    /// The same, with its stdout going there.
    pub fn start_into(name: &str, command: &mut Command, stdout: Stdio) -> Self {
        let mut child = command
            .stdin(Stdio::null())
            .stdout(stdout)
            .stderr(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| panic!("{name} does not start: {error}"));
        let lines = Arc::new(Mutex::new(Vec::new()));
        let stderr = child.stderr.take().expect("stderr is piped");
        thread::spawn({
            let lines = Arc::clone(&lines);
            move || keep_lines(stderr, &lines)
        });
        Self { name: name.to_owned(), child, lines }
    }

    /// What it wrote to stderr so far.
    pub fn log(&self) -> Vec<String> {
        self.lines.lock().expect("the log is readable").clone()
    }

    /// Waits for a log line with this message, and gives its fields.
    pub async fn logged(&self, message: &str) -> Value {
        let find = async || {
            let lines = self.log();
            let parsed = lines.iter().filter_map(|line| serde_json::from_str::<Value>(line).ok());
            parsed.into_iter().find(|line| line["message"] == message).ok_or(lines)
        };
        eventually(&format!("{} logs {message:?}", self.name), find, Result::is_ok)
            .await
            .expect("it was found")
    }

    /// Sends a signal by name, such as KILL, TERM, STOP or CONT.
    pub fn signal(&self, signal: &str) {
        let sent = Command::new("kill").args([&format!("-{signal}"), &self.child.id().to_string()]).status();
        assert!(sent.expect("kill runs").success(), "{} takes SIG{signal}", self.name);
    }

    /// `kill -9`, and waits until it is gone.
    pub fn kill(&mut self) {
        // It may be gone already; gone is what is wanted.
        drop(self.child.kill());
        self.child.wait().expect("a killed child can be waited for");
    }

    /// Waits until it ends by itself.
    pub async fn ended(&mut self) -> ExitStatus {
        let name = self.name.clone();
        let look = async || self.child.try_wait().expect("a child can be asked");
        eventually(&format!("{name} ends"), look, Option::is_some).await.expect("it ended")
    }

    /// Whether it still runs.
    pub fn is_running(&mut self) -> bool {
        self.child.try_wait().expect("a child can be asked").is_none()
    }

    /// Its process id.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Resident memory in KiB.
    pub fn memory_kib(&self) -> u64 {
        let status =
            std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).expect("the process runs");
        let line = status.lines().find(|line| line.starts_with("VmRSS:")).expect("it has memory");
        line.split_whitespace().nth(1).and_then(|number| number.parse().ok()).expect("a number of kilobytes")
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
        if thread::panicking() {
            eprintln!("--- log of {}", self.name);
            for line in self.log() {
                eprintln!("{line}");
            }
        }
    }
}

fn keep_lines(stderr: impl Read, lines: &Mutex<Vec<String>>) {
    for line in BufReader::new(stderr).lines() {
        let Ok(line) = line else { return };
        lines.lock().expect("the log is writable").push(line);
    }
}
