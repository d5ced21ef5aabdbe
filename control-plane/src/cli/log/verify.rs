//! `rollcall log verify`.

use std::time::Instant;

use contracts::{LogPoint, Seq, SessionId, log::verify_chain};

use super::{
    json,
    pages::{LogPage, page},
};
use crate::cli::{
    exit::after_help, failure::Failure, output::Output, pages::PAGE_SIZE, progress::Progress,
    servers::Servers,
};

#[derive(Debug, clap::Args)]
#[command(after_help = after_help!("\
All events that are there are read, and their hashes are computed here, from the tail to the head. A log that does not \
hold is named with the first event that does not fit, and this ends with 1.

Examples:
  rollcall log verify 0198c5a2-6f1e-7c3a-9b54-2f8e1d0c7a61
  rollcall log verify 0198c5a2-6f1e-7c3a-9b54-2f8e1d0c7a61 --json | jq .verified_events"))]
pub(crate) struct Verify {
    /// The session
    #[arg(value_name = "SESSION")]
    session: SessionId,

    /// Print what was verified as JSON
    #[arg(long)]
    json: bool,
}

impl Verify {
    pub(crate) async fn run(self, servers: &mut Servers, output: &mut Output) -> Result<(), Failure> {
        let (from, to) = self.verify(servers, output).await?;
        let verified_events = to.seq.since(from.seq);
        if self.json {
            return output.json(&json::Verified { verified_events, from: from.into(), to: to.into() });
        }
        output.line(&format!("{verified_events} events hold, from {from} to {to}"))
    }

    async fn verify(
        &self,
        servers: &mut Servers,
        output: &mut Output,
    ) -> Result<(LogPoint, LogPoint), Failure> {
        let mut progress = Progress::of("events");
        // The first page begins at the tail, wherever that is.
        let LogPage { mut events, mut head, tail } =
            page(servers, self.session, Seq::ORIGIN, usize_of(PAGE_SIZE)).await?;
        let mut at = tail;
        loop {
            at = verify_chain(at, &events).map_err(|broken| does_not_hold(&broken.to_string()))?;
            if at.seq >= head.seq {
                break;
            }
            if events.is_empty() {
                return Err(does_not_hold(&format!(
                    "it ends at {}, and the events after {} are not there",
                    head.seq, at.seq
                )));
            }
            let read = usize::try_from(at.seq.since(tail.seq)).unwrap_or(usize::MAX);
            progress.tell(read, i64::try_from(head.seq.since(tail.seq)).ok(), Instant::now(), output);
            // It may have grown meanwhile, and so may have its end.
            LogPage { events, head, .. } = page(servers, self.session, at.seq, usize_of(PAGE_SIZE)).await?;
        }
        if at != head {
            return Err(does_not_hold(&format!("event {} is not the end that the log says it has", at.seq)));
        }
        Ok((tail, at))
    }
}

fn usize_of(page_size: i32) -> usize {
    usize::try_from(page_size).unwrap_or_default()
}

fn does_not_hold(why: &str) -> Failure {
    Failure::Answer(format!("the log does not hold: {why}"))
}
