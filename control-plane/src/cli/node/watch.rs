//! `rollcall node watch`: the roster of a session, then each change; a cut is survived by resuming at the last revision.

use std::time::Duration;

use contracts::{
    SessionId,
    wire::v1::{
        WatchRosterRequest, WatchRosterResponse, runtime_node_service_client::RuntimeNodeServiceClient,
        watch_roster_response::Event,
    },
};
use tokio::time::{sleep, timeout};
use tonic::Streaming;

use crate::cli::{
    exit::after_help,
    failure::Failure,
    node::{
        roster::{RosterLines, RosterView},
        watched_session::watched_session,
    },
    output::Output,
    servers::{ANSWER_BYTES_MAX, Ended, Servers, is_for_now, read_status},
};

/// An idle stream has a bookmark every 10 s; three that are missing mean that the server hangs.
const SILENCE_MAX: Duration = Duration::from_secs(30);
const BACKOFF_FIRST: Duration = Duration::from_millis(250);
const BACKOFF_MAX: Duration = Duration::from_secs(10);

#[derive(Debug, clap::Args)]
#[command(after_help = after_help!("\
Prints the roster, then one line a change, with the time of this machine. A lost connection is taken up \
again where it was cut. Ctrl-C ends with exit code 0.

With --json, each line is one object with an `event`: snapshot_chunk, snapshot_end, change, bookmark, or \
resync, which says to forget what was read because a snapshot follows.

Examples:
  rollcall node watch
  rollcall node watch --session 0198c5a2-6f1e-7c3a-9b54-2f8e1d0c7a61
  rollcall node watch --json | jq -r 'select(.event == \"change\").node.node_id'"))]
pub(crate) struct Watch {
    /// The session; may be left out when exactly one is active
    #[arg(long, value_name = "ID")]
    session: Option<SessionId>,

    /// Print one JSON object a line for each event
    #[arg(long)]
    json: bool,
}

/// A watch and its place.
struct Place {
    session_id: String,
    /// Where to go on; empty for a snapshot.
    revision: String,
    backoff: Duration,
}

impl Watch {
    /// Ends only by failure.
    pub(crate) async fn run(self, servers: &mut Servers, output: &mut Output) -> Result<(), Failure> {
        let mut view = if self.json { RosterView::Json } else { RosterView::Lines(RosterLines::default()) };
        let session_id = watched_session(self.session, servers, output).await?;
        let mut place = Place { session_id, revision: String::new(), backoff: BACKOFF_FIRST };
        // A watch that never began fails at once: the address may be wrong.
        let mut stream = place.open(servers).await?;
        loop {
            let cause = place.follow(&mut stream, &mut view, output).await?;
            drop(stream);
            output.note(&format!("the connection was lost: {cause}"));
            if place.revision.is_empty() {
                view.snapshot_lost(output)?;
            }
            stream = place.reopen(servers, output).await?;
        }
    }
}

impl Place {
    async fn open(&self, servers: &mut Servers) -> Result<Streaming<WatchRosterResponse>, Failure> {
        let request =
            WatchRosterRequest { session_id: self.session_id.clone(), revision: self.revision.clone() };
        servers
            .call(&request, async |channel, request| {
                RuntimeNodeServiceClient::new(channel)
                    .max_decoding_message_size(ANSWER_BYTES_MAX)
                    .watch_roster(request)
                    .await
            })
            .await
    }

    /// Opens again for as long as it takes, unless the server says no.
    async fn reopen(
        &mut self,
        servers: &mut Servers,
        output: &mut Output,
    ) -> Result<Streaming<WatchRosterResponse>, Failure> {
        loop {
            output.note(&format!("trying again in {}", humantime::format_duration(self.backoff)));
            sleep(self.backoff).await;
            self.backoff = (self.backoff * 2).min(BACKOFF_MAX);
            match self.open(servers).await {
                Ok(stream) => {
                    self.tell_resumed(servers, output);
                    return Ok(stream);
                }
                Err(Failure::Unreachable(_)) => output.note("no server answers"),
                Err(Failure::Refused(refusal)) if is_for_now(&refusal) => output.note(&refusal.message),
                Err(failure) => return Err(failure),
            }
        }
    }

    fn tell_resumed(&self, servers: &Servers, output: &mut Output) {
        let server = servers.answering().map(|address| format!(" to {address}")).unwrap_or_default();
        match self.revision.as_str() {
            "" => output.note(&format!("connected again{server}, from the beginning")),
            revision => output.note(&format!("connected again{server}, going on from revision {revision}")),
        }
    }

    /// Shows events until the stream is cut; gives the cause.
    async fn follow(
        &mut self,
        stream: &mut Streaming<WatchRosterResponse>,
        view: &mut RosterView,
        output: &mut Output,
    ) -> Result<String, Failure> {
        loop {
            let message = match timeout(SILENCE_MAX, stream.message()).await {
                Ok(Ok(Some(message))) => message,
                Ok(Ok(None)) => return Ok("the server ended the stream".to_owned()),
                Ok(Err(status)) => {
                    return match read_status(&status) {
                        Ended::Lost(lost) => Ok(lost.cause),
                        Ended::Refused(refusal) if is_for_now(&refusal) => Ok(refusal.message),
                        Ended::Refused(refusal) => Err(Failure::Refused(refusal)),
                        Ended::Unusable(failure) => Err(failure),
                    };
                }
                Err(_) => {
                    return Ok(format!("nothing was heard for {}", humantime::format_duration(SILENCE_MAX)));
                }
            };
            self.backoff = BACKOFF_FIRST;
            // A kind of event that is newer than this build is passed over.
            if let Some(event) = message.event {
                let revision = revision_after(&event);
                // First shown, then remembered: a resume never skips what was not shown.
                view.event(event, output)?;
                if let Some(revision) = revision {
                    self.revision = revision;
                }
            }
        }
    }
}

/// The place after `event`; `None` when it moves nothing.
fn revision_after(event: &Event) -> Option<String> {
    match event {
        Event::SnapshotChunk(_) => None,
        Event::SnapshotEnd(end) => Some(end.revision.clone()),
        Event::Change(change) => Some(change.revision.clone()),
        Event::Bookmark(bookmark) => Some(bookmark.revision.clone()),
        Event::Resync(_) => Some(String::new()),
    }
}
