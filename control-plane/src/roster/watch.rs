//! `WatchRoster`: a snapshot, then each change as it commits.
//!
//! A watch holds a number and reads the session's bounded log of changes at its own pace; nothing is buffered for it
//! but the messages in flight. A reader that is too slow for the log gets a resync and a new snapshot.

use std::{sync::Arc, time::Duration};

use contracts::{
    Refusal, SessionId,
    refusal::FieldViolation,
    wire::v1::{
        ResyncReason, RosterBookmark, RosterChange, RosterResync, RosterSnapshotChunk, RosterSnapshotEnd,
        WatchRosterResponse, watch_roster_response::Event,
    },
};
use prost::Message;
use tokio::{sync::mpsc, time::timeout};
use tonic::Status;

use super::fleet::{Fleet, Watch};
use crate::{
    auth::Principal,
    leadership::{self, Leader},
    nodes::slot::Slot,
    sessions::{self, floor::Floor},
};

/// Messages that may wait for the reader, on top of what the transport holds.
const MESSAGES_IN_FLIGHT: usize = 4;
/// Bytes of a snapshot chunk, about; well below what a client accepts in one message.
const CHUNK_BYTES: usize = 256 * 1024;
/// Changes taken from the log at a time.
const CHANGES_AT_A_TIME: usize = 64;
/// A watch that has nothing to tell says so this often.
const BOOKMARK_AFTER: Duration = Duration::from_secs(10);

/// How far a watch is: the epoch that numbered the change, and its number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Revision {
    epoch: i64,
    change: u64,
}

impl Revision {
    /// Parses the revision of a request; none when it is empty.
    ///
    /// # Errors
    ///
    /// The text was never given out as a revision.
    pub fn parse(text: &str) -> Result<Option<Self>, FieldViolation> {
        if text.is_empty() {
            return Ok(None);
        }
        let parse = || {
            let (epoch, change) = text.split_once('.')?;
            let revision = Self { epoch: epoch.parse().ok()?, change: change.parse().ok()? };
            // One text a revision: numbers also parse with a sign or leading zeros.
            (revision.epoch > 0 && revision.to_string() == text).then_some(revision)
        };
        parse()
            .map(Some)
            .ok_or_else(|| FieldViolation::new("revision", "must be a revision of an earlier answer"))
    }
}

impl std::fmt::Display for Revision {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}.{}", self.epoch, self.change)
    }
}

/// Starts a watch. It ends when its reader goes away, or with the token, the right to see the session, or the leader, by
/// a refusal that says which.
pub fn watch(
    leader: &Arc<Leader>,
    principal: Principal,
    session_id: SessionId,
    from: Option<Revision>,
) -> mpsc::Receiver<Result<WatchRosterResponse, Status>> {
    let (messages, reader) = mpsc::channel(MESSAGES_IN_FLIGHT);
    let mut stream = Stream {
        epoch: leader.epoch(),
        watch: Fleet::watch(leader.fleet(), session_id),
        messages: messages.clone(),
    };
    let stopped = leader.stopped();
    let right_ended = right_ended(Arc::clone(leader), principal.clone(), session_id);
    leader.spawn(async move {
        let refusal = tokio::select! {
            () = messages.closed() => return,
            _ = stream.run(from) => return,
            refusal = principal.ended() => refusal,
            refusal = right_ended => refusal,
            () = stopped.cancelled() => leadership::ended(),
        };
        // Not awaited: a reader that does not read must not hold up the end of the leader.
        if messages.try_send(Err(refusal.into())).is_err() {
            tracing::debug!("a watch ended without a word, for its reader had stopped reading");
        }
    });
    reader
}

/// Waits until the principal may no longer see the session. Looks at once, for the right may have ended since the call
/// was let in.
async fn right_ended(leader: Arc<Leader>, principal: Principal, session_id: SessionId) -> Refusal {
    let mut changes = leader.fleet().members_of(session_id);
    loop {
        let actor = match principal.actor() {
            Ok(actor) => actor,
            Err(refusal) => return refusal,
        };
        match sessions::store::may_see(leader.db(), session_id, actor).await {
            Ok(true) => {}
            Ok(false) => return Refusal::permission_denied(),
            Err(fault) => return fault.into(),
        }
        // The sender lives as long as the fleet, which the leader holds.
        let _: Result<_, tokio::sync::watch::error::RecvError> = changes.changed().await;
    }
}

/// The reader went away.
struct Gone;

struct Stream {
    epoch: i64,
    watch: Watch,
    messages: mpsc::Sender<Result<WatchRosterResponse, Status>>,
}

impl Stream {
    async fn run(&mut self, from: Option<Revision>) -> Result<(), Gone> {
        let mut seen = match from {
            None => self.snapshot().await?,
            Some(revision)
                if revision.epoch == self.epoch && self.watch.changes(revision.change, 1).is_ok() =>
            {
                revision.change
            }
            Some(_) => self.resync(ResyncReason::RevisionUnknown).await?,
        };
        loop {
            match self.watch.changes(seen, CHANGES_AT_A_TIME) {
                Err(_) => seen = self.resync(ResyncReason::SlowReader).await?,
                Ok((changes, _)) if changes.is_empty() => {
                    let wait = self.watch.wait_for_change_after(seen);
                    if timeout(BOOKMARK_AFTER, wait).await.is_err() {
                        self.send(Event::Bookmark(RosterBookmark { revision: self.revision(seen) })).await?;
                    }
                }
                Ok((changes, floor)) => {
                    for (number, slot) in changes {
                        let (revision, node) = (self.revision(number), Some(slot.to_wire(&floor)));
                        self.send(Event::Change(RosterChange { revision, node })).await?;
                        seen = number;
                    }
                }
            }
        }
    }

    async fn resync(&mut self, reason: ResyncReason) -> Result<u64, Gone> {
        self.send(Event::Resync(RosterResync { reason: reason.into() })).await?;
        self.snapshot().await
    }

    async fn snapshot(&mut self) -> Result<u64, Gone> {
        let (slots, floor, head) = self.watch.snapshot();
        for nodes in chunks(&slots, &floor) {
            self.send(Event::SnapshotChunk(RosterSnapshotChunk { nodes })).await?;
        }
        self.send(Event::SnapshotEnd(RosterSnapshotEnd { revision: self.revision(head) })).await?;
        Ok(head)
    }

    async fn send(&self, event: Event) -> Result<(), Gone> {
        let message = WatchRosterResponse { event: Some(event) };
        self.messages.send(Ok(message)).await.map_err(|_| Gone)
    }

    fn revision(&self, change: u64) -> String {
        Revision { epoch: self.epoch, change }.to_string()
    }
}

/// The slots as messages of bounded size, made one at a time.
fn chunks<'a>(
    slots: &'a [Arc<Slot>],
    floor: &'a Floor,
) -> impl Iterator<Item = Vec<contracts::wire::v1::RuntimeNode>> + Send + 'a {
    let mut slots = slots.iter().map(|slot| slot.to_wire(floor)).peekable();
    std::iter::from_fn(move || {
        let mut chunk = vec![slots.next()?];
        let mut bytes = chunk[0].encoded_len();
        while let Some(node) = slots.next_if(|node| bytes + node.encoded_len() <= CHUNK_BYTES) {
            bytes += node.encoded_len();
            chunk.push(node);
        }
        Some(chunk)
    })
}
