//! `rollcall log status`.

use contracts::{Seq, SessionId};

use super::{json, pages::page};
use crate::cli::{exit::after_help, failure::Failure, output::Output, servers::Servers, table::Table};

#[derive(Debug, clap::Args)]
#[command(after_help = after_help!("\
HEAD is the last event, TAIL the place up to which the log was pruned: the events after it are there.

Examples:
  rollcall log status 0198c5a2-6f1e-7c3a-9b54-2f8e1d0c7a61
  rollcall log status 0198c5a2-6f1e-7c3a-9b54-2f8e1d0c7a61 --json | jq .head.seq"))]
pub(crate) struct Status {
    /// The session
    #[arg(value_name = "SESSION")]
    session: SessionId,

    /// Print as JSON
    #[arg(long)]
    json: bool,
}

impl Status {
    pub(crate) async fn run(self, servers: &mut Servers, output: &mut Output) -> Result<(), Failure> {
        // After the last number there is: no event, but the ends of the log.
        let log = page(servers, self.session, Seq::MAX, 1).await?;
        let retained_events = log.head.seq.since(log.tail.seq);
        if self.json {
            let status = json::Status { head: log.head.into(), tail: log.tail.into(), retained_events };
            return output.json(&status);
        }
        output.table(&Table::of_fields([
            ("head", log.head.seq.to_string()),
            ("head hash", log.head.hash.to_string()),
            ("tail", log.tail.seq.to_string()),
            ("tail hash", log.tail.hash.to_string()),
            ("retained events", retained_events.to_string()),
        ]))
    }
}
