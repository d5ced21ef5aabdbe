//! What a watch holds and shows: people see the first snapshot as a table and then one line a change; programs see each
//! event as one line of JSON.

use std::collections::BTreeMap;

use contracts::wire::v1::{ResyncReason, RuntimeNode, watch_roster_response::Event};

use crate::cli::{
    clock,
    failure::Failure,
    node::{json::WatchEvent, roster_change::describe, text},
    output::Output,
    wire_word::word,
};

/// How the events of a watch are shown.
pub(crate) enum RosterView {
    /// To people.
    Lines(RosterLines),
    /// To programs.
    Json,
}

impl RosterView {
    /// Shows one event.
    pub(crate) fn event(&mut self, event: Event, output: &mut Output) -> Result<(), Failure> {
        match self {
            Self::Lines(lines) => lines.event(event, output),
            Self::Json => output.json_line(&json_event(event)?),
        }
    }

    /// A snapshot was cut short, and another follows from its beginning.
    pub(crate) fn snapshot_lost(&mut self, output: &mut Output) -> Result<(), Failure> {
        match self {
            Self::Lines(lines) => {
                lines.arriving.clear();
                Ok(())
            }
            Self::Json => output.json_line(&WatchEvent::Resync { reason: "connection_lost".to_owned() }),
        }
    }
}

/// The roster as people were told it.
#[derive(Default)]
pub(crate) struct RosterLines {
    /// By node id. `None` until the first snapshot is complete.
    held: Option<BTreeMap<String, RuntimeNode>>,
    /// The part of a snapshot that is there so far.
    arriving: BTreeMap<String, RuntimeNode>,
}

impl RosterLines {
    fn event(&mut self, event: Event, output: &mut Output) -> Result<(), Failure> {
        match event {
            Event::SnapshotChunk(chunk) => {
                self.arriving.extend(chunk.nodes.into_iter().map(|node| (node.node_id.clone(), node)));
                Ok(())
            }
            Event::SnapshotEnd(_) => self.snapshot_end(output),
            Event::Change(change) => match change.node {
                Some(node) => self.change(node, output),
                None => Err(Failure::missing("node")),
            },
            Event::Bookmark(_) => Ok(()),
            Event::Resync(resync) => {
                let reason = word::<ResyncReason>(resync.reason);
                output.note(&format!("changes were missed ({reason}); reading the roster anew"));
                self.arriving.clear();
                Ok(())
            }
        }
    }

    fn snapshot_end(&mut self, output: &mut Output) -> Result<(), Failure> {
        let roster = std::mem::take(&mut self.arriving);
        let shown = match self.held.take() {
            None => show_table(&roster, output),
            // The reader has seen the roster before: only what happened in between is news.
            Some(before) => show_differences(&before, &roster, output),
        };
        self.held = Some(roster);
        shown
    }

    fn change(&mut self, node: RuntimeNode, output: &mut Output) -> Result<(), Failure> {
        let held = self.held.get_or_insert_default();
        let shown = show_line(held.get(&node.node_id), &node, output);
        held.insert(node.node_id.clone(), node);
        shown
    }
}

fn show_table(roster: &BTreeMap<String, RuntimeNode>, output: &mut Output) -> Result<(), Failure> {
    if roster.is_empty() {
        output.note("no nodes yet; watching for the first one, Ctrl-C ends");
        return Ok(());
    }
    let mut table = text::table();
    for node in roster.values() {
        table.row(text::row(node, clock::now()));
    }
    output.table(&table)?;
    output.note("watching for changes, Ctrl-C ends");
    Ok(())
}

fn show_differences(
    before: &BTreeMap<String, RuntimeNode>,
    after: &BTreeMap<String, RuntimeNode>,
    output: &mut Output,
) -> Result<(), Failure> {
    for (node_id, node) in after {
        let held = before.get(node_id);
        if held != Some(node) {
            show_line(held, node, output)?;
        }
    }
    for node_id in before.keys().filter(|node_id| !after.contains_key(*node_id)) {
        let time = clock::time_of_day(clock::now());
        output.line(&format!("{time}  {node_id}  no longer in the roster"))?;
    }
    Ok(())
}

fn show_line(before: Option<&RuntimeNode>, after: &RuntimeNode, output: &mut Output) -> Result<(), Failure> {
    let now = clock::now();
    let time = clock::time_of_day(now);
    output.line(&format!("{time}  {}  {}", after.node_id, describe(before, after, now)))
}

fn json_event(event: Event) -> Result<WatchEvent, Failure> {
    Ok(match event {
        Event::SnapshotChunk(chunk) => {
            WatchEvent::SnapshotChunk { nodes: chunk.nodes.into_iter().map(Into::into).collect() }
        }
        Event::SnapshotEnd(end) => WatchEvent::SnapshotEnd { revision: end.revision },
        Event::Change(change) => {
            let node = Box::new(change.node.ok_or_else(|| Failure::missing("node"))?.into());
            WatchEvent::Change { revision: change.revision, node }
        }
        Event::Bookmark(bookmark) => WatchEvent::Bookmark { revision: bookmark.revision },
        Event::Resync(resync) => WatchEvent::Resync { reason: word::<ResyncReason>(resync.reason) },
    })
}
