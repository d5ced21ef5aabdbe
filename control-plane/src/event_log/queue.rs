//! Appends that wait, and the two writers that take them.
//!
//! The queue is bounded in events and in bytes; at a bound an append is refused with a delay. What waits is written
//! together, by one transaction at a time. Appends that are put off, and those of a transaction that failed for a reason
//! that may be one session's own, go to the second writer, which waits for locks and takes one session at a time. What
//! is put off still counts in the queue.

use std::{collections::VecDeque, sync::Arc, time::Instant};

use contracts::{LogPoint, Refusal, SessionId};
use metrics::{counter, histogram};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot, watch};
use tokio_util::sync::CancellationToken;

use super::{
    append::{Append, Appended},
    group::{Fate, Group, Patience, write_group},
    heads::{Broken, Heads, Recorded},
    refusals,
};
use crate::{
    failure::Fault,
    leadership::{self, Leader},
};

/// Events that may wait.
const EVENTS_QUEUED_MAX: u32 = 65_536;
/// KiB of payloads that may wait.
const KIB_QUEUED_MAX: u32 = 64 * 1_024;
/// Events of one transaction, unless one append alone has more.
const GROUP_EVENTS_MAX: usize = 4_096;
/// Bytes of payloads of one transaction, unless one append alone has more.
const GROUP_BYTES_MAX: usize = 4 * 1_024 * 1_024;
const KIB: usize = 1_024;

/// The logs, as a leader has them.
#[derive(Debug)]
pub struct Log {
    parcels: mpsc::Sender<Parcel>,
    /// Bound the queue, a permit for each event, and for each KiB. A parcel has at least one, so no channel is full.
    events: Arc<Semaphore>,
    kib: Arc<Semaphore>,
    heads: Heads,
    broken: Broken,
}

/// An append that waits for its answer.
struct Parcel {
    append: Append,
    answer: oneshot::Sender<Result<Appended, Refusal>>,
    _room: [OwnedSemaphorePermit; 2],
}

/// The work of the writers, to be run by the leader.
pub struct WriterTasks {
    waiting: mpsc::Receiver<Parcel>,
    put_off: mpsc::Sender<Parcel>,
    put_off_waiting: mpsc::Receiver<Parcel>,
}

impl Log {
    /// Makes the queue and its writers; nothing is appended to the logs that are broken.
    pub fn new(broken: impl IntoIterator<Item = SessionId>) -> (Self, WriterTasks) {
        let (parcels, waiting) = mpsc::channel(EVENTS_QUEUED_MAX as usize);
        let (put_off, put_off_waiting) = mpsc::channel(EVENTS_QUEUED_MAX as usize);
        let log = Self {
            parcels,
            events: Arc::new(Semaphore::new(EVENTS_QUEUED_MAX as usize)),
            kib: Arc::new(Semaphore::new(KIB_QUEUED_MAX as usize)),
            heads: Heads::default(),
            broken: broken.into_iter().collect(),
        };
        (log, WriterTasks { waiting, put_off, put_off_waiting })
    }

    /// Follows a log: the receiver changes after each commit that appends to it. Nothing is known at first: whoever
    /// follows reads the log after this call.
    pub fn follow(&self, session_id: SessionId) -> watch::Receiver<Option<LogPoint>> {
        self.heads.follow(session_id)
    }

    /// Tells who follows where logs end, after the commit.
    pub fn committed(&self, recorded: Recorded) {
        self.heads.tell(recorded);
    }

    /// Whether a log can be appended to.
    ///
    /// # Errors
    ///
    /// It was found to disagree with itself.
    pub(super) fn check_whole(&self, session_id: SessionId) -> Result<(), Fault> {
        match self.broken.contains(&session_id) {
            true => Err(Fault::LogBroken(session_id)),
            false => Ok(()),
        }
    }

    /// Appends, and answers once it is committed. Goes on when the caller goes away.
    ///
    /// # Errors
    ///
    /// The append is refused, or the queue is full.
    pub(super) async fn append(&self, append: Append) -> Result<Appended, Refusal> {
        let events = room(&self.events, "events_queued", EVENTS_QUEUED_MAX, append.drafts.len())?;
        let kib = room(&self.kib, "event_kib_queued", KIB_QUEUED_MAX, append.bytes().div_ceil(KIB).max(1))?;
        let (answer, answered) = oneshot::channel();
        let parcel = Parcel { append, answer, _room: [events, kib] };
        self.parcels.try_send(parcel).map_err(|_| leadership::ended())?;
        answered.await.unwrap_or_else(|_| Err(leadership::ended()))
    }
}

fn room(
    of: &Arc<Semaphore>,
    resource: &'static str,
    max: u32,
    wanted: usize,
) -> Result<OwnedSemaphorePermit, Refusal> {
    let permits = u32::try_from(wanted).unwrap_or(u32::MAX);
    Arc::clone(of).try_acquire_many_owned(permits).map_err(|_| {
        let free = u32::try_from(of.available_permits()).unwrap_or(max);
        refusals::queue_full(resource, max.into(), max.saturating_sub(free).into())
    })
}

impl WriterTasks {
    /// Starts both writers. They write until the leader ends; what waits then is dropped, and whoever waits for it is
    /// told so.
    pub(crate) fn start(self, leader: &Arc<Leader>) {
        let Self { waiting, put_off, put_off_waiting } = self;
        leader.spawn(write_together(Arc::clone(leader), waiting, put_off));
        leader.spawn(write_put_off(Arc::clone(leader), put_off_waiting));
    }
}

async fn write_together(
    leader: Arc<Leader>,
    mut waiting: mpsc::Receiver<Parcel>,
    put_off: mpsc::Sender<Parcel>,
) {
    let stop = leader.stopped();
    while let Some(parcels) = arrived(&mut waiting, &stop).await {
        let mut rest = VecDeque::from(parcels);
        while !rest.is_empty() && !stop.is_cancelled() {
            for parcel in write(&leader, take_group(&mut rest), Patience::None).await {
                // It has room for as many as the queue.
                drop(put_off.try_send(parcel));
            }
        }
    }
}

async fn write_put_off(leader: Arc<Leader>, mut waiting: mpsc::Receiver<Parcel>) {
    let stop = leader.stopped();
    while let Some(mut parcels) = arrived(&mut waiting, &stop).await {
        while let Some(first) = parcels.first().filter(|_| !stop.is_cancelled()) {
            let session_id = first.append.session_id;
            let (of_session, others): (Vec<_>, Vec<_>) =
                parcels.into_iter().partition(|parcel| parcel.append.session_id == session_id);
            parcels = others;
            let mut of_session = VecDeque::from(of_session);
            while !of_session.is_empty() {
                let left = write(&leader, take_group(&mut of_session), Patience::Waits).await;
                refuse(&leadership::busy(), left);
            }
        }
    }
}

/// What waits, as soon as something does; nothing once the leader ends.
async fn arrived(waiting: &mut mpsc::Receiver<Parcel>, stop: &CancellationToken) -> Option<Vec<Parcel>> {
    let mut parcels = Vec::new();
    tokio::select! {
        biased;
        () = stop.cancelled() => None,
        received = waiting.recv_many(&mut parcels, GROUP_EVENTS_MAX) => (received > 0).then_some(parcels),
    }
}

/// Takes from the front as much as one transaction holds.
fn take_group(waiting: &mut VecDeque<Parcel>) -> Vec<Parcel> {
    let (mut events, mut bytes) = (0, 0);
    let mut group = Vec::new();
    while let Some(parcel) = waiting.front() {
        events += parcel.append.drafts.len();
        bytes += parcel.append.bytes();
        if !group.is_empty() && (events > GROUP_EVENTS_MAX || bytes > GROUP_BYTES_MAX) {
            break;
        }
        group.extend(waiting.pop_front());
    }
    group
}

/// Writes a group and answers; gives those that are put off.
async fn write(leader: &Leader, group: Vec<Parcel>, patience: Patience) -> Vec<Parcel> {
    // Held until the commit. An append that came before maintenance began may be too late for it here.
    let _writing = match leader.maintenance().writing().await {
        Ok(writing) => writing,
        Err(refusal) => {
            refuse(&refusal, group);
            return Vec::new();
        }
    };
    let started = Instant::now();
    let appends: Vec<_> = group.iter().map(|parcel| &parcel.append).collect();
    let written = write_group(leader, &appends, patience).await;
    histogram!("rollcall_log_group_seconds").record(started.elapsed().as_secs_f64());
    match written {
        Ok(Group { fates, recorded, events }) => {
            histogram!("rollcall_log_group_events").record(events as f64);
            counter!("rollcall_log_events_total").increment(events as u64);
            leader.log().committed(recorded);
            answer(group, fates)
        }
        Err(fault) => {
            counter!("rollcall_log_groups_failed_total").increment(1);
            if patience == Patience::None && fault.may_be_of_one_request() {
                return group;
            }
            leader.doubt(&fault);
            refuse(&Refusal::from(fault), group);
            Vec::new()
        }
    }
}

fn answer(group: Vec<Parcel>, fates: Vec<Fate>) -> Vec<Parcel> {
    let mut put_off = Vec::new();
    for (parcel, fate) in group.into_iter().zip(fates) {
        match fate {
            // The caller may have gone away; what it appended is there all the same.
            Fate::Decided(decided) => drop(parcel.answer.send(decided)),
            Fate::PutOff => put_off.push(parcel),
        }
    }
    put_off
}

fn refuse(refusal: &Refusal, parcels: Vec<Parcel>) {
    for parcel in parcels {
        drop(parcel.answer.send(Err(refusal.clone())));
    }
}
