//! Follows the rosters of the fleet's sessions, one watch each, and has what they show judged.

use std::sync::Arc;

use contracts::wire::v1::{self, watch_roster_response::Event};
use daemon_client::Setback;
use serde_json::json;
use tokio::time::{sleep, timeout};

use crate::{
    drill::{DEADLINE, Drill, Meaning, meaning},
    judgement::Judgement,
    link::{Link, Numbered},
    report::millis,
};

/// Watches over one connection. A server takes 200 streams on one, and calls need some.
pub(crate) const WATCHES_PER_LINK: usize = 100;

/// A watch of one session.
pub(crate) struct Watcher {
    pub(crate) drill: Arc<Drill>,
    pub(crate) link: Link,
    pub(crate) session_id: String,
    /// How far it is; empty before the first snapshot.
    pub(crate) revision: String,
}

impl Watcher {
    pub(crate) async fn run(mut self) {
        loop {
            let numbered = self.link.connection().await;
            let setback = self.follow(&numbered).await;
            let Some(setback) = setback else { continue };
            self.drill.note(&setback);
            let wait = match &setback {
                Setback::Refused(refusal) => match meaning(refusal) {
                    Meaning::Wait(wait) | Meaning::Reattach(wait) => Some(wait),
                    Meaning::Elsewhere => None,
                    // The session is gone, or not ours to see.
                    Meaning::Lost => return self.drill.end(setback),
                },
                Setback::NoToken { .. } | Setback::Distrusted { .. } | Setback::Unreachable { .. } => None,
            };
            match wait {
                Some(wait) => sleep(wait).await,
                None => {
                    self.link.failed(numbered.number, setback).await;
                    self.link.is_over(numbered.number).await;
                }
            }
        }
    }

    /// Follows until it is cut off. Gives why, or none when its connection was replaced.
    async fn follow(&mut self, numbered: &Numbered) -> Option<Setback> {
        let caller = match numbered.connection.caller().await {
            Ok(caller) => caller,
            Err(setback) => return Some(setback),
        };
        let request =
            v1::WatchRosterRequest { session_id: self.session_id.clone(), revision: self.revision.clone() };
        let mut nodes = caller.nodes();
        let opened = tokio::select! {
            opened = timeout(DEADLINE, nodes.watch_roster(request)) => opened,
            () = self.link.is_over(numbered.number) => return None,
        };
        let mut events = match opened {
            Ok(Ok(events)) => events.into_inner(),
            Ok(Err(status)) => return Some(caller.setback(&status)),
            Err(_) => return Some(caller.no_answer(DEADLINE)),
        };
        loop {
            let message = tokio::select! {
                message = events.message() => message,
                () = self.link.is_over(numbered.number) => return None,
            };
            match message {
                Ok(Some(response)) => {
                    self.link.answered();
                    self.see(response.event);
                }
                Ok(None) => return Some(caller.no_answer(std::time::Duration::ZERO)),
                Err(status) => return Some(caller.setback(&status)),
            }
        }
    }

    fn see(&mut self, event: Option<Event>) {
        match event {
            Some(Event::SnapshotChunk(chunk)) => chunk.nodes.iter().for_each(|node| self.show(node)),
            Some(Event::Change(change)) => {
                change.node.iter().for_each(|node| self.show(node));
                self.revision = change.revision;
            }
            Some(Event::SnapshotEnd(end)) => self.revision = end.revision,
            Some(Event::Bookmark(bookmark)) => self.revision = bookmark.revision,
            // What is held is only what was judged, and stays so.
            Some(Event::Resync(_)) | None => {}
        }
    }

    fn show(&self, shown: &v1::RuntimeNode) {
        let drill = &self.drill;
        let Some(node) = drill.plan.node(&shown.node_id) else { return };
        let Some(presence) = &shown.presence else { return };
        let at = drill.clock.now();
        let known = (&drill.plan, &drill.silence, &drill.contacts);
        let Some((judgement, last_contact)) = drill.roster().show(known, node, presence, at) else { return };
        let judged = match judgement {
            Judgement::Alive => "alive",
            Judgement::Found { .. } => "found",
            Judgement::Wrong(wrong) => wrong.as_str(),
        };
        let fields = json!({
            "node": shown.node_id,
            "health": presence.health().as_str_name().trim_start_matches("PRESENCE_HEALTH_").to_lowercase(),
            "cause": presence.cause().as_str_name().trim_start_matches("PRESENCE_CAUSE_").to_lowercase(),
            "judgement": judged,
            "since_contact_ms": millis(at.saturating_sub(last_contact)),
        });
        drill.events.write("transition", at, fields);
    }
}
