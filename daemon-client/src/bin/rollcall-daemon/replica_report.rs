//! Prints what is in a replica's folder: tables for people, JSON for programs. A field of the JSON is never renamed or
//! removed; new ones may come.

use std::{
    fmt,
    io::{self, Write},
    path::Path,
};

use base64::{Engine, engine::general_purpose::STANDARD};
use contracts::{EventHash, LogPoint, Seq, log::Event};
use daemon_client::replica::{self, Aside, OpenError, Summary, Verified};
use serde::Serialize;
use time::{OffsetDateTime, format_description::well_known::Rfc3339};

use crate::{
    exit::Exit,
    replica_flags::{AsideFlags, Command, Place, ReplicaCommand},
};

/// Events that are read at a time.
const PAGE: usize = 500;

/// Why there is no report, or not all of it.
#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error(transparent)]
    Replica(#[from] OpenError),
    #[error("nothing is kept aside under the number {0}")]
    NoSuchAside(u64),
    #[error(transparent)]
    Output(#[from] io::Error),
    #[error(transparent)]
    Json(#[from] serde_json::Error),
}

pub(crate) fn run(command: Command) -> Exit {
    let Command::Replica(command) = command;
    let done = match &command {
        ReplicaCommand::Show(place) => show(place),
        ReplicaCommand::Verify(place) => verify(place),
        ReplicaCommand::Aside(flags) => aside(flags),
    };
    match done {
        Ok(()) => Exit::Stopped,
        Err(failure) => {
            // Nothing is left to do when stderr is gone.
            let _ = writeln!(io::stderr(), "error: {failure}");
            Exit::Fault
        }
    }
}

fn show(place: &Place) -> Result<(), Failure> {
    let summary = replica::summary(&place.folder)?;
    if place.json {
        return json(&SummaryRow::from(&summary));
    }
    let SummaryRow { session_id, history_id, begins, end, base_events, events, bytes, aside, put_aside } =
        SummaryRow::from(&summary);
    print(&Fields(vec![
        ("session", session_id),
        ("history", history_id.unwrap_or_else(|| "none yet".to_owned())),
        ("begins after", begins.to_string()),
        ("ends at", end.to_string()),
        ("events", format!("{events}, {base_events} of them in the base")),
        ("bytes", format!("about {bytes}")),
        ("kept aside", format!("{} in the file, {} files", aside.len(), put_aside.len())),
    ]))?;
    put_aside.iter().try_for_each(|file| print(&format_args!("put aside     {file}\n")))
}

fn verify(place: &Place) -> Result<(), Failure> {
    let verified = replica::verify(&place.folder)?;
    let row = VerifiedRow::from(&verified);
    if place.json {
        return json(&row);
    }
    print(&Fields(vec![
        ("session", row.session_id),
        ("begins after", row.begins.to_string()),
        ("ends at", row.end.to_string()),
        ("proven", format!("{} events of the base, {} after it", row.base_events, row.events)),
        ("kept aside", format!("{} proven", row.aside)),
    ]))
}

fn aside(flags: &AsideFlags) -> Result<(), Failure> {
    let folder = &flags.place.folder;
    let kept = replica::summary(folder)?.aside;
    if let Some(id) = flags.events {
        if !kept.iter().any(|kept| kept.id == id) {
            return Err(Failure::NoSuchAside(id));
        }
        return events_aside(folder, id);
    }
    let rows: Vec<_> = kept.iter().map(AsideRow::from).collect();
    if flags.place.json {
        return json(&rows);
    }
    rows.into_iter().try_for_each(|row| {
        print(&Fields(vec![
            ("number", row.number.to_string()),
            ("kept at", row.kept_at),
            ("why", row.why),
            ("begins after", row.begins.to_string()),
            ("ended at", row.end.to_string()),
            ("events", format!("{}, {} more were dropped", row.events, row.dropped_events)),
        ]))?;
        print(&"\n")
    })
}

fn events_aside(folder: &Path, id: u64) -> Result<(), Failure> {
    let mut after = Seq::ORIGIN;
    loop {
        let events = replica::events_aside(folder, id, after, PAGE)?;
        let Some(last) = events.last() else { return Ok(()) };
        after = last.seq;
        for event in events {
            print(&format_args!("{}\n", serde_json::to_string(&EventRow::from(event))?))?;
        }
    }
}

fn json(value: &impl Serialize) -> Result<(), Failure> {
    print(&format_args!("{}\n", serde_json::to_string_pretty(value)?))
}

fn print(text: &impl fmt::Display) -> Result<(), Failure> {
    Ok(write!(io::stdout(), "{text}")?)
}

/// One field a line.
struct Fields(Vec<(&'static str, String)>);

impl fmt::Display for Fields {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|(name, value)| writeln!(f, "{name:<12}  {value}"))
    }
}

#[derive(Serialize)]
struct PointRow {
    seq: u64,
    hash: String,
}

impl From<LogPoint> for PointRow {
    fn from(point: LogPoint) -> Self {
        Self { seq: point.seq.get(), hash: point.hash.to_string() }
    }
}

impl fmt::Display for PointRow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.seq, self.hash)
    }
}

#[derive(Serialize)]
struct SummaryRow {
    session_id: String,
    /// Null before the first plan.
    history_id: Option<String>,
    /// The events after this place are all there.
    begins: PointRow,
    end: PointRow,
    base_events: u64,
    /// Those of the base included.
    events: u64,
    bytes: u64,
    aside: Vec<AsideRow>,
    /// Files that were put aside whole.
    put_aside: Vec<String>,
}

impl From<&Summary> for SummaryRow {
    fn from(summary: &Summary) -> Self {
        Self {
            session_id: summary.session_id.to_string(),
            history_id: summary.position.history_id.map(|history| history.to_string()),
            begins: summary.position.begins.into(),
            end: summary.position.end.into(),
            base_events: summary.base_events,
            events: summary.events,
            bytes: summary.bytes,
            aside: summary.aside.iter().map(AsideRow::from).collect(),
            put_aside: summary.put_aside.iter().map(|file| file.display().to_string()).collect(),
        }
    }
}

#[derive(Serialize)]
struct VerifiedRow {
    session_id: String,
    history_id: Option<String>,
    begins: PointRow,
    end: PointRow,
    base_events: u64,
    /// Those after the base.
    events: u64,
    aside: u64,
}

impl From<&Verified> for VerifiedRow {
    fn from(verified: &Verified) -> Self {
        Self {
            session_id: verified.session_id.to_string(),
            history_id: verified.history_id.map(|history| history.to_string()),
            begins: verified.begins.into(),
            end: verified.end.into(),
            base_events: verified.base_events,
            events: verified.events,
            aside: verified.aside,
        }
    }
}

#[derive(Serialize)]
struct AsideRow {
    number: u64,
    kept_at: String,
    why: String,
    history_id: Option<String>,
    begins: PointRow,
    end: PointRow,
    events: u64,
    bytes: u64,
    dropped_events: u64,
}

impl From<&Aside> for AsideRow {
    fn from(aside: &Aside) -> Self {
        Self {
            number: aside.id,
            kept_at: time_of(aside.kept_at, 0),
            why: aside.why.clone(),
            history_id: aside.history_id.map(|history| history.to_string()),
            begins: aside.begins.into(),
            end: aside.end.into(),
            events: aside.events,
            bytes: aside.bytes,
            dropped_events: aside.dropped_events,
        }
    }
}

#[derive(Serialize)]
struct EventRow {
    seq: u64,
    event_id: String,
    epoch: u64,
    envelope_version: String,
    r#type: String,
    key: Option<String>,
    actor: String,
    content_type: String,
    /// Base64.
    payload: String,
    occurred_at: String,
    recorded_at: String,
    prev_hash: String,
    hash: String,
}

impl From<Event> for EventRow {
    fn from(event: Event) -> Self {
        let hash = |hash: EventHash| hash.to_string();
        Self {
            seq: event.seq.get(),
            event_id: event.id.to_string(),
            epoch: event.epoch,
            envelope_version: event.envelope_version.to_string(),
            r#type: event.event_type.to_string(),
            key: event.key.map(|key| key.to_string()),
            actor: event.actor.to_string(),
            content_type: event.content_type.to_string(),
            payload: STANDARD.encode(&event.payload),
            occurred_at: time_of_micros(event.occurred_at),
            recorded_at: time_of_micros(event.recorded_at),
            prev_hash: hash(event.prev_hash),
            hash: hash(event.hash),
        }
    }
}

fn time_of_micros(micros: i64) -> String {
    time_of(micros.div_euclid(1_000_000), micros.rem_euclid(1_000_000) * 1_000)
}

/// As RFC 3339 has it, or the bare number where it has none.
fn time_of(seconds: i64, nanos: i64) -> String {
    let time = OffsetDateTime::from_unix_timestamp(seconds).ok();
    let time = time.and_then(|time| time.checked_add(time::Duration::nanoseconds(nanos)));
    time.and_then(|time| time.format(&Rfc3339).ok()).unwrap_or_else(|| seconds.to_string())
}
