//! The only writer: data to stdout, everything else to stderr.

use std::io::{self, Write};

use serde::Serialize;

use crate::cli::{failure::Failure, table::Table};

/// Where a verb writes.
pub(crate) struct Output {
    data: Box<dyn Write + Send>,
    notes: Box<dyn Write + Send>,
}

impl Output {
    /// The process' own stdout and stderr.
    pub(crate) fn of_process() -> Self {
        Self::new(io::stdout(), io::stderr())
    }

    pub(crate) fn new(data: impl Write + Send + 'static, notes: impl Write + Send + 'static) -> Self {
        Self { data: Box::new(data), notes: Box::new(notes) }
    }

    /// One line of data.
    pub(crate) fn line(&mut self, line: &str) -> Result<(), Failure> {
        writeln!(self.data, "{line}").map_err(Failure::Output)
    }

    /// A table as data.
    pub(crate) fn table(&mut self, table: &Table) -> Result<(), Failure> {
        // In one piece: a table of thousands of rows is one write instead of thousands.
        self.text(table.to_string().as_bytes())
    }

    /// Lines of data, as they are.
    pub(crate) fn text(&mut self, text: &[u8]) -> Result<(), Failure> {
        self.data.write_all(text).and_then(|()| self.data.flush()).map_err(Failure::Output)
    }

    /// A JSON document as data, indented.
    pub(crate) fn json(&mut self, document: &impl Serialize) -> Result<(), Failure> {
        serde_json::to_string_pretty(document)
            .map_err(|error| Failure::Output(error.into()))
            .and_then(|text| self.line(&text))
    }

    /// A JSON document as one line of data, at once: a reader of a stream waits for it.
    pub(crate) fn json_line(&mut self, document: &impl Serialize) -> Result<(), Failure> {
        let text = serde_json::to_string(document).map_err(|error| Failure::Output(error.into()))?;
        self.line(&text)?;
        self.data.flush().map_err(Failure::Output)
    }

    /// A line for people. A reader that is gone does not matter: the data may still be read.
    pub(crate) fn note(&mut self, line: &str) {
        let _ = writeln!(self.notes, "{line}");
    }

    /// What to do next, for people.
    pub(crate) fn hint(&mut self, hint: &str) {
        self.note(&format!("hint: {hint}"));
    }

    /// The beginning of a line that a person completes.
    pub(crate) fn prompt(&mut self, text: &str) {
        let _ = write!(self.notes, "{text}").and_then(|()| self.notes.flush());
    }
}
