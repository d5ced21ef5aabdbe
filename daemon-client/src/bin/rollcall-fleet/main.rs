//! `rollcall-fleet`: a fleet of simulated nodes that knows what it did, and tells what it saw that should not be.
//!
//! - [`plan`] lays the fleet out, [`pace`] and [`wheel`] tell when a node beats: pure, as are [`gaps`], [`histogram`] and
//!   [`judgement`];
//! - [`link`](mod@link) keeps connections, [`attach`] attaches over them, [`beats`] is one stream of beats, [`watch`]
//!   follows the rosters, [`detach`] gives all back;
//! - [`drill`] is what they share, [`course`] takes a run from its start to its end, and [`report`] says what it came to.

mod attach;
mod beats;
mod clock;
mod course;
mod detach;
mod drill;
mod events;
mod exit;
mod flags;
mod gaps;
mod histogram;
mod judgement;
mod link;
#[path = "../rollcall-daemon/logging.rs"]
mod logging;
mod pace;
mod plan;
mod progress;
mod report;
mod roster;
#[path = "../rollcall-daemon/server_flags.rs"]
mod server_flags;
mod sessions;
#[path = "../rollcall-daemon/signals.rs"]
mod signals;
mod silence;
mod tally;
mod watch;
mod wheel;

use std::process::ExitCode;

use clap::Parser;

use crate::{
    course::{Fault, Outcome},
    exit::{Exit, hint},
    flags::Flags,
};

fn main() -> ExitCode {
    let flags = Flags::parse();
    logging::start();
    match course::run(flags) {
        Ok(Outcome { report, is_json }) => {
            // Nobody is left to tell when stdout is gone.
            drop(print(&report, is_json));
            let exit = if report.is_fine() { Exit::Fine } else { Exit::Wrong };
            exit.into()
        }
        Err(fault) => {
            match fault {
                Fault::Usage(usage) => drop(usage.print()),
                Fault::Setback(setback) => eprintln!("error: {setback}\nhint: {}", hint(&setback)),
                Fault::Io(what, error) => eprintln!("error: {what}: {error}"),
                Fault::Interrupted => eprintln!("error: interrupted before the first attach"),
            }
            Exit::CouldNotRun.into()
        }
    }
}

fn print(report: &report::Report, is_json: bool) -> std::io::Result<()> {
    use std::io::Write;

    let mut stdout = std::io::stdout().lock();
    if is_json {
        serde_json::to_writer_pretty(&mut stdout, report)?;
        writeln!(stdout)
    } else {
        write!(stdout, "{report}")
    }
}
