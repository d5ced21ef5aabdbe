//! A simulated fleet under test: `rollcall-fleet` as a process, with its report and its events.

use std::{
    fs::{self, File},
    path::PathBuf,
    process::{Command, ExitStatus, Stdio},
};

use serde_json::Value;

use crate::{Plane, Process, binaries::binary, wait::eventually};

/// A running fleet.
#[derive(Debug)]
pub struct Fleet {
    /// The process.
    pub process: Process,
    folder: PathBuf,
}

impl Fleet {
    /// Starts one that beats until it is told to stop, with these further flags, and `load` as the prefix of its nodes.
    pub fn start(plane: &Plane, flags: &[&str]) -> Self {
        Self::start_at(&plane.url(), plane.token(), flags)
    }

    /// Starts one with these addresses.
    pub fn start_at(addresses: &str, token: &str, flags: &[&str]) -> Self {
        let folder = std::env::temp_dir().join(format!("rollcall-fleet-{}", uuid::Uuid::new_v4()));
        fs::create_dir(&folder).expect("a folder can be made");
        let report = File::create(folder.join("report.json")).expect("a file can be made");
        let process = Process::start_into(
            "rollcall-fleet",
            Command::new(binary("rollcall-fleet"))
                .args(["--json", "--prefix", "load", "--events"])
                .arg(folder.join("events.jsonl"))
                .args(flags)
                .env("ROLLCALL_ADDR", addresses)
                .env("ROLLCALL_TOKEN", token),
            Stdio::from(report),
        );
        Self { process, folder }
    }

    /// What happened so far, as far as it is written.
    pub fn events(&self, event: &str) -> Vec<Value> {
        let text = fs::read_to_string(self.folder.join("events.jsonl")).unwrap_or_default();
        // The last line may be half written.
        let events = text.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
        events.filter(|line| line["event"] == event).collect()
    }

    /// Waits until that many of these events happened, and gives them.
    pub async fn happened(&self, event: &str, count: usize) -> Vec<Value> {
        let look = async || self.events(event);
        eventually(&format!("{count} x {event}"), look, |events| events.len() >= count).await
    }

    /// Waits until all nodes are attached.
    pub async fn is_attached(&self) {
        self.happened("attached", 1).await;
    }

    /// Tells it to stop, and gives how it ended and its report.
    pub async fn stopped(&mut self) -> (ExitStatus, Value) {
        self.process.signal("INT");
        self.ended().await
    }

    /// Waits until it ends by itself, and gives how, and its report.
    pub async fn ended(&mut self) -> (ExitStatus, Value) {
        let status = self.process.ended().await;
        let text = fs::read_to_string(self.folder.join("report.json")).expect("the report can be read");
        (status, serde_json::from_str(&text).unwrap_or(Value::Null))
    }
}

impl Drop for Fleet {
    fn drop(&mut self) {
        // It is below the folder of temporary files, and gone with it at the latest.
        drop(fs::remove_dir_all(&self.folder));
    }
}
