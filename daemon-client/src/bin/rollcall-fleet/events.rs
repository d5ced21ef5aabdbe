//! What happens, one JSON object a line, for `--events`.
//!
//! Every line has `event`, `at_ms` (milliseconds since the start of the run) and `unix_ms` (the same instant since 1970,
//! by the clock of this machine). The events and their further fields:
//!
//! | event | fields |
//! | --- | --- |
//! | `started` | `nodes`, `sessions` |
//! | `attached` | `nodes`: all that can be attached are |
//! | `connected`, `disconnected` | `connection`, and of the latter `reason` |
//! | `gap` | `last_ack_at_ms`, `next_ack_at_ms`, `last_ack_unix_ms`, `next_ack_unix_ms`, `ms`: no beat of any node was acknowledged in between, for longer than the threshold |
//! | `reattaching` | `node`, `code`: the server did not know its attachment |
//! | `lost` | `node`, `code`: refused for ever |
//! | `silenced`, `returned` | `node` |
//! | `transition` | `node`, `health`, `cause`, `judgement` (`alive`, `found` or a kind of wrong), `since_contact_ms` |
//! | `ended` | `reason` |

use std::{
    fs::File,
    io::{self, BufWriter, Write},
    path::Path,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use serde_json::{Map, Value, json};

use crate::{clock::Clock, gaps::Gap, report::millis};

/// The file of events, if one was asked for.
pub(crate) struct Events {
    clock: Clock,
    file: Option<Mutex<BufWriter<File>>>,
}

impl Events {
    pub(crate) fn new(path: Option<&Path>, clock: Clock) -> io::Result<Self> {
        let file = path.map(File::create).transpose()?;
        Ok(Self { clock, file: file.map(|file| Mutex::new(BufWriter::new(file))) })
    }

    /// Writes an event with its further fields, an object.
    pub(crate) fn write(&self, event: &str, at: Duration, fields: Value) {
        let Some(file) = &self.file else { return };
        let mut line = Map::new();
        line.insert("event".to_owned(), event.into());
        line.insert("at_ms".to_owned(), millis(at).into());
        line.insert("unix_ms".to_owned(), millis(self.clock.unix(at)).into());
        if let Value::Object(fields) = fields {
            line.extend(fields);
        }
        let mut file = file.lock().unwrap_or_else(PoisonError::into_inner);
        // A full disk must not end a drill; the report does not depend on the events.
        drop(writeln!(file, "{}", Value::Object(line)));
    }

    pub(crate) fn gap(&self, gap: Gap) {
        let fields = json!({
            "last_ack_at_ms": millis(gap.last_ack_at),
            "next_ack_at_ms": millis(gap.next_ack_at),
            "last_ack_unix_ms": millis(self.clock.unix(gap.last_ack_at)),
            "next_ack_unix_ms": millis(self.clock.unix(gap.next_ack_at)),
            "ms": millis(gap.length()),
        });
        self.write("gap", gap.next_ack_at, fields);
    }

    /// Lets readers see what was written.
    pub(crate) fn flush(&self) {
        if let Some(file) = &self.file {
            drop(file.lock().unwrap_or_else(PoisonError::into_inner).flush());
        }
    }
}
