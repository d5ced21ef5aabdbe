//! A watch of a session's roster that never looks away.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use contracts::wire::v1::{
    PresenceCause, PresenceHealth, RuntimeNode, WatchRosterRequest, watch_roster_response::Event,
};
use tokio::{task::JoinHandle, time::sleep};

use crate::{Client, eventually};

const RETRY_DELAY: Duration = Duration::from_millis(10);

/// What a watch shows, from when it is started until it is dropped. When the server goes, it comes back with it.
#[derive(Debug)]
pub struct RosterWatch {
    seen: Arc<Mutex<Seen>>,
    task: JoinHandle<()>,
}

#[derive(Debug, Default)]
struct Seen {
    snapshots: usize,
    shown: Vec<(String, PresenceHealth, PresenceCause)>,
}

impl RosterWatch {
    /// Starts one, and waits for its first snapshot.
    pub async fn start(client: &Client, session_id: &str) -> Self {
        let watch = Self::start_in_advance(client, session_id);
        watch.has_snapshots(1).await;
        watch
    }

    /// Starts one that tries until there is a server to show something.
    pub fn start_in_advance(client: &Client, session_id: &str) -> Self {
        let seen = Arc::new(Mutex::new(Seen::default()));
        let task = tokio::spawn(look(client.clone(), session_id.to_owned(), Arc::clone(&seen)));
        Self { seen, task }
    }

    /// How many snapshots it has got: one, and one more each time it was cut off.
    pub fn snapshots(&self) -> usize {
        self.seen.lock().expect("what was seen is readable").snapshots
    }

    /// Waits until it has got that many snapshots.
    pub async fn has_snapshots(&self, count: usize) {
        let look = async || self.snapshots();
        eventually("the watch has its snapshot", look, |snapshots| *snapshots >= count).await;
    }

    /// The healths that a node was shown with, with their causes, in order and without repeats.
    pub fn shown(&self, node_id: &str) -> Vec<(PresenceHealth, PresenceCause)> {
        let seen = self.seen.lock().expect("what was seen is readable");
        let of_node = seen.shown.iter().filter(|(shown, _, _)| shown == node_id);
        let mut healths: Vec<_> = of_node.map(|(_, health, cause)| (*health, *cause)).collect();
        healths.dedup();
        healths
    }

    /// Waits until a node is shown with this health.
    pub async fn shows(&self, node_id: &str, health: PresenceHealth) {
        let look = async || self.shown(node_id);
        let is_last = |shown: &Vec<(PresenceHealth, PresenceCause)>| {
            shown.last().is_some_and(|(last, _)| *last == health)
        };
        eventually(&format!("the watch shows {node_id} {}", health.as_str_name()), look, is_last).await;
    }
}

impl Drop for RosterWatch {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn look(client: Client, session_id: String, seen: Arc<Mutex<Seen>>) {
    loop {
        let request = WatchRosterRequest { session_id: session_id.clone(), revision: String::new() };
        if let Ok(events) = client.nodes.clone().watch_roster(request).await {
            let mut events = events.into_inner();
            while let Ok(Some(response)) = events.message().await {
                seen.lock().expect("what was seen is writable").note(response.event);
            }
        }
        sleep(RETRY_DELAY).await;
    }
}

impl Seen {
    fn note(&mut self, event: Option<Event>) {
        match event.expect("a message has an event") {
            Event::SnapshotChunk(chunk) => chunk.nodes.into_iter().for_each(|node| self.note_node(node)),
            Event::SnapshotEnd(_) => self.snapshots += 1,
            Event::Change(change) => self.note_node(change.node.expect("a change has its node")),
            Event::Bookmark(_) | Event::Resync(_) => {}
        }
    }

    fn note_node(&mut self, node: RuntimeNode) {
        let Some(presence) = node.presence else { return };
        self.shown.push((node.node_id, presence.health(), presence.cause()));
    }
}
