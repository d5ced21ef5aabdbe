//! Runs the store where it may block, one piece of work at a time, in order.
//!
//! What waits is bounded: [`Worker::has_room`] says whether more may be read from the stream. Pieces that wait and are of
//! one kind become one, and so one transaction and one flush: the slower the disk, the more events share it.

use std::{collections::VecDeque, mem};

use contracts::log::Event;
use tokio::task::{JoinError, JoinHandle};
use tracing::warn;

use super::{
    Position,
    machine::{Done, Work},
    store::{self, Dropped, Store},
};

/// Pieces that wait at most before no more is read.
const WAITING_MAX: usize = 32;
/// Payload bytes that wait at most before no more is read, and in one piece at most.
const BYTES_MAX: usize = 8 * 1024 * 1024;
/// Events in one piece at most.
const EVENTS_MAX: usize = 4_096;

/// The store, and the work that it has and that waits.
pub(super) struct Worker {
    store: At,
    /// What the replica holds by the work that is done.
    position: Position,
    waiting: VecDeque<Piece>,
    waiting_bytes: usize,
}

enum At {
    Rest(Box<Store>),
    Work(JoinHandle<(Box<Store>, store::Result<Finished>)>),
    /// A fault in this crate took it down.
    Gone,
}

enum Piece {
    Work(Work),
    /// What is kept aside is brought within its bounds, after something was added to it.
    Tidy,
}

enum Finished {
    Work(Done),
    Tidied(Dropped),
}

/// Why work was not done.
#[derive(Debug)]
pub(super) enum Failure {
    Store(store::Error),
    /// The thread that did it panicked.
    Died(JoinError),
}

impl Worker {
    pub(super) fn new(store: Store) -> Self {
        let position = position(&store);
        Self { store: At::Rest(Box::new(store)), position, waiting: VecDeque::new(), waiting_bytes: 0 }
    }

    /// What the replica holds, durably.
    pub(super) fn position(&self) -> Position {
        self.position
    }

    pub(super) fn has_room(&self) -> bool {
        self.waiting.len() < WAITING_MAX && self.waiting_bytes < BYTES_MAX
    }

    pub(super) fn is_idle(&self) -> bool {
        matches!(self.store, At::Rest(_)) && self.waiting.is_empty()
    }

    /// Takes a piece of work, and begins with it if there is none before it.
    pub(super) fn push(&mut self, work: Work) {
        self.waiting_bytes += bytes_of(&work);
        let tidies = matches!(work, Work::Truncate(_) | Work::Swap { .. } | Work::Stage { .. });
        let merged = match self.waiting.back_mut() {
            Some(Piece::Work(last)) => merge(last, work),
            Some(Piece::Tidy) | None => Err(work),
        };
        if let Err(work) = merged {
            self.waiting.push_back(Piece::Work(work));
        }
        if tidies {
            self.waiting.push_back(Piece::Tidy);
        }
        self.begin();
    }

    /// Waits for what comes of the work under way, for ever if there is none; none for work that nobody asked for. May be
    /// cancelled.
    pub(super) async fn done(&mut self) -> Result<Option<Done>, Failure> {
        let At::Work(job) = &mut self.store else { return std::future::pending().await };
        let finished = job.await;
        self.store = At::Gone;
        let (store, result) = finished.map_err(Failure::Died)?;
        self.position = position(&store);
        self.store = At::Rest(store);
        self.begin();
        match result.map_err(Failure::Store)? {
            Finished::Work(done) => Ok(Some(done)),
            Finished::Tidied(dropped) => {
                report(dropped);
                Ok(None)
            }
        }
    }

    /// Forgets what waits, lets what is under way finish, and gives the store back.
    pub(super) async fn into_store(mut self) -> Option<Store> {
        self.waiting.clear();
        match mem::replace(&mut self.store, At::Gone) {
            At::Rest(store) => Some(*store),
            At::Work(job) => job.await.ok().map(|(store, _)| *store),
            At::Gone => None,
        }
    }

    fn begin(&mut self) {
        self.store = match mem::replace(&mut self.store, At::Gone) {
            At::Rest(mut store) => match self.waiting.pop_front() {
                Some(piece) => {
                    if let Piece::Work(work) = &piece {
                        self.waiting_bytes -= bytes_of(work);
                    }
                    At::Work(tokio::task::spawn_blocking(move || {
                        let result = finish(&mut store, piece);
                        (store, result)
                    }))
                }
                None => At::Rest(store),
            },
            busy @ (At::Work(_) | At::Gone) => busy,
        };
    }
}

pub(super) fn position(store: &Store) -> Position {
    let strand = store.current();
    Position { history_id: strand.history, begins: strand.base.at, end: strand.end }
}

fn finish(store: &mut Store, piece: Piece) -> store::Result<Finished> {
    match piece {
        Piece::Work(work) => perform(store, work).map(Finished::Work),
        Piece::Tidy => store.tidy().map(Finished::Tidied),
    }
}

/// Does a piece of work. Blocking.
pub(super) fn perform(store: &mut Store, work: Work) -> store::Result<Done> {
    Ok(match work {
        Work::Tell(seqs) => Done::Told(store.points(&seqs)?),
        Work::Follow(history) => store.follow(history).map(|()| Done::Followed)?,
        Work::Truncate(to) => {
            let before = store.current().end;
            let at = store.truncate(to)?;
            if before != at {
                warn!(after = %at, to = %before, "events that the log has not are cut off, and kept aside");
            }
            Done::Truncated(at)
        }
        Work::Append(events) => Done::Appended(store.append(&events)?),
        Work::Stage { history, at, events } => store.stage(history, at, events).map(|()| Done::Staged)?,
        Work::StageBase(events) => Done::BaseStaged(store.stage_base(&events)?),
        Work::Seal(digest) => Done::Sealed(store.seal_base(digest)?),
        Work::StageTail(events) => Done::TailStaged(store.stage_tail(&events)?),
        Work::Swap { reason } => Done::Swapped(store.swap(&reason)?),
    })
}

/// Adds `next` to the piece before it, if they are of one kind and together not too large.
fn merge(last: &mut Work, next: Work) -> Result<(), Work> {
    let fits = |one: &[Event], other: &[Event]| {
        one.len() + other.len() <= EVENTS_MAX && payloads(one) + payloads(other) <= BYTES_MAX
    };
    match (last, next) {
        (Work::Append(events), Work::Append(more))
        | (Work::StageBase(events), Work::StageBase(more))
        | (Work::StageTail(events), Work::StageTail(more))
            if fits(events, &more) =>
        {
            events.extend(more);
            Ok(())
        }
        (_, next) => Err(next),
    }
}

fn bytes_of(work: &Work) -> usize {
    match work {
        Work::Append(events) | Work::StageBase(events) | Work::StageTail(events) => payloads(events),
        Work::Tell(_)
        | Work::Follow(_)
        | Work::Truncate(_)
        | Work::Stage { .. }
        | Work::Seal(_)
        | Work::Swap { .. } => 0,
    }
}

fn payloads(events: &[Event]) -> usize {
    events.iter().map(|event| event.payload.len()).sum()
}

pub(super) fn report(dropped: Dropped) {
    let Dropped { events, bytes } = dropped;
    if events > 0 {
        warn!(
            events,
            bytes, "the oldest of what the replica keeps aside was dropped: there is no more room for it"
        );
    }
}
