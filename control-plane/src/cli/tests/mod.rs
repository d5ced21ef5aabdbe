//! The verbs as a whole: arguments in, wire in between, text out.

mod access;
mod arguments;
mod credentials;
mod paging;
mod refusals;
mod token_verbs;
mod verbs;
mod watching;

use std::{
    io::{self, Write},
    sync::{Arc, Mutex},
    time::Duration,
};

use clap::Parser;

use crate::cli::{Command, failure, output::Output};

#[derive(Debug, Parser)]
#[command(name = "rollcall")]
pub(crate) struct Arguments {
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// What was written.
#[derive(Clone, Default)]
pub(crate) struct Captured {
    data: Sink,
    notes: Sink,
}

#[derive(Clone, Default)]
struct Sink(Arc<Mutex<Vec<u8>>>);

impl Write for Sink {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Sink {
    fn text(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
    }
}

impl Captured {
    pub(crate) fn output() -> (Output, Self) {
        let captured = Self::default();
        (Output::new(captured.data.clone(), captured.notes.clone()), captured)
    }

    pub(crate) fn data(&self) -> String {
        self.data.text()
    }

    pub(crate) fn notes(&self) -> String {
        self.notes.text()
    }

    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.data()).unwrap()
    }

    /// Waits until `text` was written as data.
    pub(crate) async fn has_data(&self, text: &str) {
        while !self.data().contains(text) {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
}

/// Runs `rollcall` with `arguments`; gives what it wrote and its exit code.
pub(crate) async fn rollcall(arguments: &[&str]) -> (Captured, u8) {
    let (output, captured) = Captured::output();
    let code = run(arguments, output, std::future::pending()).await;
    (captured, code)
}

/// Runs `rollcall watch` or the like until `stop` ends.
pub(crate) async fn run(arguments: &[&str], mut output: Output, stop: impl Future<Output = ()>) -> u8 {
    let command = Arguments::try_parse_from([&["rollcall"], arguments].concat()).unwrap().command;
    let ran = async {
        match command {
            Command::Session(command) => command.execute(&mut output).await,
            Command::Node(command) => command.execute(&mut output, stop).await,
            Command::Log(command) => command.execute(&mut output).await,
            Command::Token(command) => command.execute(&mut output).await,
            Command::Leader(command) => command.execute(&mut output).await,
            Command::Audit(command) => command.execute(&mut output).await,
            Command::Maintenance(command) => command.execute(&mut output).await,
        }
    };
    let done = tokio::time::timeout(Duration::from_secs(30), ran).await.expect("the verb hangs");
    failure::end_code(done, &mut output)
}
