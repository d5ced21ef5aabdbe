//! What a replica's file holds, read from outside: without the library that wrote it.

use std::{
    collections::HashSet,
    path::{Path, PathBuf},
    process::{Command, Output},
};

use contracts::log::Event;
use rusqlite::{Connection, OpenFlags};
use uuid::Uuid;

use crate::{binaries::binary, postgres::FOLDER_PREFIX};

/// An empty folder for one replica; removed when dropped.
#[derive(Debug)]
pub struct ReplicaFolder(PathBuf);

/// An event of a log, by what tells it from all others.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Its number.
    pub seq: u64,
    /// Its key.
    pub key: Option<String>,
    /// Its hash, which is that of all before it too.
    pub hash: Vec<u8>,
}

/// A replica as its file has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Held {
    /// The place of the base; 0 where there is none.
    pub begins: u64,
    /// The events of the base.
    pub base: Vec<Entry>,
    /// The events after it.
    pub events: Vec<Entry>,
    /// What is kept aside: why, and its events.
    pub aside: Vec<(String, Vec<Entry>)>,
}

impl Default for ReplicaFolder {
    fn default() -> Self {
        let name = format!("{FOLDER_PREFIX}{}.{}", std::process::id(), Uuid::new_v4().simple());
        Self(std::env::temp_dir().join(name))
    }
}

impl ReplicaFolder {
    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// As a flag has it.
    pub fn text(&self) -> &str {
        self.0.to_str().expect("paths of tests are UTF-8")
    }

    /// `rollcall-daemon replica <verb>` on it.
    pub fn look(&self, verb: &str) -> Output {
        let mut command = Command::new(binary("rollcall-daemon"));
        command.args(["replica", verb, self.text(), "--json"]).output().expect("the command runs")
    }

    /// Proves the file by `rollcall-daemon replica verify`, and reads it.
    pub fn verified(&self) -> Held {
        let verified = self.look("verify");
        assert!(verified.status.success(), "the replica does not hold: {verified:?}");
        self.held()
    }

    /// Reads the file, at one moment.
    pub fn held(&self) -> Held {
        let file = self.0.join("replica.db");
        let mut file =
            Connection::open_with_flags(&file, OpenFlags::SQLITE_OPEN_READ_ONLY).expect("there is a file");
        let read = file.transaction().expect("it can be read");
        let mut strands = read
            .prepare("select id, part, base_seq, coalesce(why, '') from strands where part in ('current', 'aside') order by id")
            .expect("it has strands");
        let rows = strands
            .query_map([], |row| {
                Ok((row.get(0)?, row.get::<_, String>(1)?, row.get::<_, i64>(2)?, row.get(3)?))
            })
            .expect("strands can be read");
        let mut held = Held { begins: 0, base: Vec::new(), events: Vec::new(), aside: Vec::new() };
        for row in rows {
            let (id, part, base_seq, why): (i64, String, i64, String) = row.expect("a strand can be read");
            let events = events_of(&read, id);
            if part == "current" {
                held.begins = base_seq.unsigned_abs();
                (held.base, held.events) = events.into_iter().partition(|event| event.seq <= held.begins);
            } else {
                held.aside.push((why, events));
            }
        }
        held
    }
}

fn events_of(file: &Connection, strand: i64) -> Vec<Entry> {
    let mut events = file
        .prepare("select seq, key, hash from events where strand = ?1 order by seq")
        .expect("it has events");
    let rows = events
        .query_map([strand], |row| {
            Ok(Entry { seq: row.get::<_, i64>(0)?.unsigned_abs(), key: row.get(1)?, hash: row.get(2)? })
        })
        .expect("events can be read");
    rows.map(|row| row.expect("an event can be read")).collect()
}

impl Drop for ReplicaFolder {
    fn drop(&mut self) {
        // It may not have been made. What stays is removed by a later run.
        drop(std::fs::remove_dir_all(&self.0));
    }
}

impl From<&Event> for Entry {
    fn from(event: &Event) -> Self {
        Self {
            seq: event.seq.get(),
            key: event.key.as_ref().map(ToString::to_string),
            hash: event.hash.as_bytes().to_vec(),
        }
    }
}

impl Held {
    /// Where it ends.
    pub fn end(&self) -> u64 {
        self.events.last().map_or(self.begins, |event| event.seq)
    }

    /// Asserts that it is what it says that it is of this log, which is whole: the events after its base are the log's,
    /// one by one and up to its end, and the base is the state there.
    ///
    /// The file was verified, so each hash is that of the event that is stored beside it.
    pub fn equals(&self, log: &[Entry]) {
        let numbers = log.iter().map(|event| event.seq);
        assert!(numbers.eq(1..=log.len() as u64), "the log is whole");
        let begins = usize::try_from(self.begins).expect("logs of tests are short");
        assert!(begins <= log.len(), "the base is of {begins}, and the log ends at {}", log.len());
        let (before, after) = log.split_at(begins);
        assert_eq!(self.end(), log.len() as u64, "where it ends");
        assert!(self.events == after, "its events after {begins} are not the log's");
        let mut seen = HashSet::new();
        let mut state: Vec<_> =
            before.iter().rev().filter(|event| event.key.is_some() && seen.insert(&event.key)).collect();
        state.reverse();
        assert!(self.base.iter().eq(state), "its base is not the state at {begins}");
    }
}
