//! What replicas are tested on: a server, the log that it is to serve, and a folder; and waiting for where one stands.

use std::time::Duration;

use contracts::log::Event;
use daemon_client::{
    Config, Handle,
    replica::{self, Replica, Status},
    start,
};
use tokio::time::timeout;

use crate::{
    fixture::{Log, SESSION, TestFolder, seq},
    log_service::Stream,
    node::config,
    server::{Running, Script},
};

/// How long a status is waited for.
const PATIENCE: Duration = Duration::from_secs(20);

/// A server, and what its nodes replicate, and where to. The server goes first, the folder last.
pub(crate) struct Bench {
    pub(crate) server: Running,
    pub(crate) script: Script,
    pub(crate) log: Log,
    pub(crate) folder: TestFolder,
}

impl Bench {
    /// With a log of so many events, and an empty folder.
    pub(crate) async fn of(events: u64) -> Self {
        Self::with(Log::of(events)).await
    }

    pub(crate) async fn with(log: Log) -> Self {
        let script = Script::new();
        Self { server: Running::start(&script).await, script, log, folder: TestFolder::new() }
    }

    /// Of a node that replicates into the folder.
    pub(crate) fn config(&self) -> Config {
        Config {
            session_id: SESSION,
            replica: Some(replica::Config::new(&self.folder.0)),
            ..config(self.server.address())
        }
    }

    /// The next stream that a replica opens.
    pub(crate) async fn stream(&self) -> Stream {
        self.script.log.stream().await
    }

    /// Starts a node; gives it with the stream that its replica opens.
    pub(crate) async fn start(&self) -> (Handle, Stream) {
        let node = start(self.config());
        (node, self.stream().await)
    }

    /// Starts a node on the empty folder, and takes its replica to this place, where it is in sync.
    pub(crate) async fn filled(&self, to: u64) -> (Handle, Stream) {
        let (node, mut stream) = self.start().await;
        stream.fill(&self.log, to).await;
        until_in_sync_at(&replica(&node), to).await;
        (node, stream)
    }
}

pub(crate) fn replica(node: &Handle) -> Replica {
    node.replica().unwrap().clone()
}

/// Waits for a status, and gives it.
pub(crate) async fn until(replica: &Replica, what: &str, is_so: impl FnMut(&Status) -> bool) -> Status {
    let mut status = replica.status();
    match timeout(PATIENCE, status.wait_for(is_so)).await {
        Ok(status) => status.unwrap().clone(),
        Err(_) => panic!("no {what} in time: {:?}", replica.status().borrow()),
    }
}

pub(crate) async fn until_in_sync_at(replica: &Replica, at: u64) {
    until(replica, "sync", |status| {
        status.is_in_sync() && status.position.is_some_and(|position| position.end.seq == seq(at))
    })
    .await;
}

/// All events after a place, as they were written.
pub(crate) async fn events(replica: &Replica, after: u64) -> Vec<Event> {
    let page = replica.events(seq(after), 1_000).await.unwrap();
    page.entries.iter().map(|entry| entry.original().clone()).collect()
}
