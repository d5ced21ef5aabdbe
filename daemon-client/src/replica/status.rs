//! Where a replica stands, for the application and the log.

use std::path::PathBuf;

use contracts::{HistoryId, LogPoint, Seq};
use tokio::sync::watch;
use tracing::{debug, error, info, warn};

use super::{OpenError, Source, fault::Fault};

/// Faults in a row after which a replica is said to be stuck. Fewer may be the race of a server that is replaced.
const FAULTS_WORTH_AN_ERROR: u32 = 3;

/// Where a replica stands.
#[derive(Clone, Debug, PartialEq)]
pub struct Status {
    /// What it is doing.
    pub state: State,
    /// What it holds; none before it is open.
    pub position: Option<Position>,
    /// Where the log ends, as far as the server said on the stream that is open, or was last.
    pub head: Option<Seq>,
    /// Why the last stream ended, or why there is none.
    pub setback: Option<Setback>,
    /// Faults in a row, without having been in sync in between.
    pub faults: u32,
    /// The file that was last put aside in this run, and why.
    pub put_aside: Option<PutAside>,
}

/// What a replica is doing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum State {
    /// The file is being opened and checked.
    Opening,
    /// It has no stream: the node is not attached, or the next try is waited for.
    Apart,
    /// It has said where it stands, and waits for what the server makes of it.
    Introduced,
    /// It gets the events that it lacks.
    CatchingUp {
        /// Where that ends.
        target: Seq,
    },
    /// It is built anew beside what it holds, which stays readable.
    Rebuilding(Rebuilding),
    /// Equal to the log but for what is on its way.
    InSync,
    /// It does nothing more until someone decides.
    Halted(Halt),
    /// The client has ended. What is in the file stays readable.
    Ended,
}

/// How far a rebuild is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rebuilding {
    /// What the base is.
    pub source: Source,
    /// Why nothing less helps, in the server's words.
    pub reason: String,
    /// Events of the base that are there.
    pub base_received: u64,
    /// Events that it has.
    pub base_events: u64,
    /// How far the events after the base are there.
    pub replayed: Seq,
    /// Where they end.
    pub target: Seq,
}

/// What a replica holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Position {
    /// The history that it follows; none before its first plan.
    pub history_id: Option<HistoryId>,
    /// Where its history begins: at the origin, or at the place of its base. The events after it are all there.
    pub begins: LogPoint,
    /// Where it ends. All up to here is durable.
    pub end: LogPoint,
}

/// Why a replica does nothing more.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Halt {
    /// The server follows another history: it was restored, or is another installation. Which of the two is right is
    /// for people to say.
    #[error("the server follows another history than {held}: see docs/operations/replica.md")]
    ForeignHistory {
        /// The replica's.
        held: HistoryId,
        /// The server's, if it said.
        offered: Option<HistoryId>,
    },
    /// The folder is not for this client.
    #[error(transparent)]
    Folder(OpenError),
}

/// Why there is no stream.
#[derive(Clone, Debug, PartialEq)]
pub enum Setback {
    /// It could not be opened, or the server ended it.
    Call(crate::Setback),
    /// The server ended it without a word.
    Ended,
    /// It was given up.
    Fault(Fault),
    /// The folder cannot be used now.
    Folder(OpenError),
    /// What came could not be written.
    Disk(String),
}

/// A file that was put aside, so that the replica could begin anew.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PutAside {
    /// Its new name.
    pub file: PathBuf,
    /// Why, for people.
    pub why: String,
}

impl Status {
    /// Events that the log has and the replica has not, as far as the server said.
    pub fn lag(&self) -> Option<u64> {
        Some(self.head?.since(self.position?.end.seq))
    }

    /// Whether it is equal to the log but for what is on its way.
    pub fn is_in_sync(&self) -> bool {
        self.state == State::InSync
    }
}

impl std::fmt::Display for Setback {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Call(setback) => setback.fmt(f),
            Self::Ended => f.write_str("the server ended the stream"),
            Self::Fault(fault) => write!(f, "the stream was given up: {fault}"),
            Self::Folder(error) => write!(f, "the folder cannot be used: {error}"),
            Self::Disk(error) => write!(f, "the replica cannot be written: {error}"),
        }
    }
}

impl Setback {
    /// Whether both are of one kind, so that the second is no news.
    fn is_like(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Call(one), Self::Call(other)) => one.is_like(other),
            (Self::Ended, Self::Ended) | (Self::Disk(_), Self::Disk(_)) => true,
            (Self::Folder(one), Self::Folder(other)) => one == other,
            // Each may tell something that the others do not.
            (Self::Call(_) | Self::Ended | Self::Fault(_) | Self::Folder(_) | Self::Disk(_), _) => false,
        }
    }
}

/// Holds the writing end of the watch. When it is dropped, the client has ended.
#[derive(Debug)]
pub(super) struct StatusSender(watch::Sender<Status>);

impl StatusSender {
    pub(super) fn new() -> (Self, watch::Receiver<Status>) {
        let (sender, receiver) = watch::channel(Status {
            state: State::Opening,
            position: None,
            head: None,
            setback: None,
            faults: 0,
            put_aside: None,
        });
        (Self(sender), receiver)
    }

    /// Changes what is different, and tells of it.
    pub(super) fn change(&self, change: impl FnOnce(&mut Status)) {
        let before = self.0.borrow().clone();
        let mut after = before.clone();
        change(&mut after);
        if after != before {
            log(&before, &after);
            self.0.send_replace(after);
        }
    }

    /// The history that the replica follows.
    pub(super) fn held_history(&self) -> Option<HistoryId> {
        self.0.borrow().position.and_then(|position| position.history_id)
    }
}

impl Drop for StatusSender {
    fn drop(&mut self) {
        self.change(|status| status.state = State::Ended);
    }
}

fn log(before: &Status, after: &Status) {
    if let Some(put_aside) = after.put_aside.as_ref().filter(|_| before.put_aside != after.put_aside) {
        warn!(file = %put_aside.file.display(), reason = put_aside.why, "the replica's file was put aside");
    }
    if before.setback != after.setback {
        log_setback(before, after);
    }
    // Progress within one state is for whoever watches.
    if std::mem::discriminant(&before.state) != std::mem::discriminant(&after.state) {
        log_state(after);
    }
}

fn log_setback(before: &Status, after: &Status) {
    match &after.setback {
        Some(setback @ Setback::Fault(_)) if after.faults >= FAULTS_WORTH_AN_ERROR => {
            error!(reason = %setback, faults = after.faults, "the replica does not get on");
        }
        Some(setback) if before.setback.as_ref().is_some_and(|before| before.is_like(setback)) => {
            debug!(reason = %setback, "the replica waits, and tries again");
        }
        Some(setback) => warn!(reason = %setback, "the replica waits, and tries again"),
        None => {}
    }
}

fn log_state(status: &Status) {
    let seq = status.position.map_or(Seq::ORIGIN, |position| position.end.seq);
    match &status.state {
        State::Opening | State::Apart | State::Introduced | State::Ended => {
            debug!(state = ?status.state, %seq, "replica");
        }
        State::CatchingUp { target } => info!(%seq, %target, "the replica catches up"),
        State::Rebuilding(rebuilding) => warn!(
            %seq,
            target = %rebuilding.target,
            source = %rebuilding.source,
            base_events = rebuilding.base_events,
            reason = rebuilding.reason,
            "the replica is built anew, beside what it holds"
        ),
        State::InSync => info!(%seq, "the replica is in sync"),
        State::Halted(halt) => error!(reason = %halt, "the replica is halted"),
    }
}
