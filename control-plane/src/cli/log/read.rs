//! `rollcall log read`.

use std::time::Instant;

use contracts::{Seq, SessionId, log::Event, wire::v1};

use super::{
    json,
    pages::{LogPage, page},
    payload,
};
use crate::cli::{
    age::rfc3339, exit::after_help, failure::Failure, output::Output, progress::Progress, servers::Servers,
    table::Table,
};

#[derive(Debug, clap::Args)]
#[command(after_help = after_help!("\
Examples:
  rollcall log read 0198c5a2-6f1e-7c3a-9b54-2f8e1d0c7a61
  rollcall log read 0198c5a2-6f1e-7c3a-9b54-2f8e1d0c7a61 --after 100 --limit 1000
  rollcall log read 0198c5a2-6f1e-7c3a-9b54-2f8e1d0c7a61 --json | jq -r '.events[] | [.seq, .type, .key] | @tsv'"))]
pub(crate) struct Read {
    /// The session
    #[arg(value_name = "SESSION")]
    session: SessionId,

    /// Events after this number; 0 for all that are there
    #[arg(long, value_name = "SEQ", default_value_t = 0, value_parser = clap::value_parser!(u64).range(..=Seq::MAX.get()))]
    after: u64,

    /// At most this many events
    #[arg(long, value_name = "COUNT", default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..))]
    limit: u32,

    /// Print {\"events\": [...]}
    #[arg(long)]
    json: bool,
}

impl Read {
    pub(crate) async fn run(self, servers: &mut Servers, output: &mut Output) -> Result<(), Failure> {
        let LogPage { events, head, tail } = self.read(servers, output).await?;
        let reached = events.last().map_or(head.seq, |last| last.seq);
        let has_more = reached < head.seq;
        if self.json {
            let events = events.into_iter().map(json::Event::from).collect();
            return output.json(&json::Events { events, head: head.into(), tail: tail.into(), has_more });
        }
        if events.is_empty() {
            output.note(&format!("nothing there: the log ends at {}", head.seq));
            return Ok(());
        }
        // The payload comes last: it is the only long one, and is never padded.
        let mut table = Table::with_headings(&["SEQ", "RECORDED AT", "TYPE", "KEY", "ACTOR", "PAYLOAD"]);
        for event in events {
            table.row(row(event));
        }
        output.table(&table)?;
        if has_more {
            output.note(&format!("the log ends at {}", head.seq));
            output.hint(&format!("go on with --after {reached}, or see more with --limit"));
        }
        Ok(())
    }

    async fn read(&self, servers: &mut Servers, output: &mut Output) -> Result<LogPage, Failure> {
        let limit = usize::try_from(self.limit).unwrap_or(usize::MAX);
        let mut progress = Progress::of("events");
        let mut after = Seq::new(self.after).unwrap_or(Seq::MAX);
        let mut events: Vec<Event> = Vec::new();
        loop {
            let next = page(servers, self.session, after, limit - events.len()).await?;
            let Some(last) = next.events.last().map(|event| event.seq) else {
                return Ok(LogPage { events, ..next });
            };
            events.extend(next.events);
            if events.len() >= limit || last >= next.head.seq {
                events.truncate(limit);
                return Ok(LogPage { events, head: next.head, tail: next.tail });
            }
            if last <= after {
                return Err(Failure::Answer("the server gave the same events twice".to_owned()));
            }
            after = last;
            progress.tell(events.len(), None, Instant::now(), output);
        }
    }
}

fn row(event: Event) -> [String; 6] {
    let absent = || "-".to_owned();
    let shown = payload::shown(&event.payload);
    let event = v1::Event::from(event);
    [
        event.seq.to_string(),
        rfc3339(event.recorded_at.as_ref()).unwrap_or_else(absent),
        event.r#type,
        event.key.unwrap_or_else(absent),
        event.actor,
        shown,
    ]
}
