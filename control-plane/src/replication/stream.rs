//! One stream of one replica: what is heard goes to the engine, and what the engine wants is done.
//!
//! Hearing and doing go on beside each other: a replica that does not read is still heard, and what it is sent waits in a
//! channel of a few messages. What is on its way to it is bounded by the engine's window. The stream ends with its
//! reader, the token, the node's slot, or the term, by a refusal that says which.

use std::{sync::Arc, time::Duration};

use contracts::{
    ParticipantId, RecoveryId, Refusal, SessionId,
    limits::{EVENT_BYTES_PER_MESSAGE_MAX, EVENTS_PER_MESSAGE_MAX},
    log::{LogPoint, Seq},
    wire::v1::{self, ReplicateRequest, ReplicateResponse, replicate_response::Message},
};
use metrics::{counter, gauge};
use tokio::{
    sync::mpsc,
    time::{interval, timeout},
};
use tokio_util::sync::CancellationToken;
use tonic::{Status, Streaming};
use uuid::Uuid;

use super::{
    Hub,
    base::{self, Proven},
    engine::{Act, BaseSource, Endpoint, Heard, ReplicaId, Stale, Stream},
    wire::{self, Introduction},
};
use crate::{
    auth::Principal,
    event_log::store::{self as log_store, BaseKind},
    failure::Fault,
    leadership::{self, Leader},
    nodes,
    server::refused_by_transport,
};

/// Messages that may wait for the reader, on top of what the transport holds.
const MESSAGES_IN_FLIGHT: usize = 4;
/// How long a stream may take to say whose it is.
const INTRODUCTION_TIMEOUT: Duration = Duration::from_secs(10);
/// How often it is looked at whether the node still holds its slot.
const RIGHT_PERIOD: Duration = Duration::from_secs(1);

/// Starts the exchange with a replica. It ends when its reader goes away, or with a refusal.
pub(crate) fn replicate(
    leader: &Arc<Leader>,
    principal: Principal,
    mut requests: Streaming<ReplicateRequest>,
) -> mpsc::Receiver<Result<ReplicateResponse, Status>> {
    let (messages, reader) = mpsc::channel(MESSAGES_IN_FLIGHT);
    let stopped = leader.stopped();
    let exchange = {
        let (leader, principal, out) = (Arc::clone(leader), principal.clone(), messages.clone());
        async move { exchange(&leader, &principal, &mut requests, out).await }
    };
    leader.spawn(async move {
        let status = tokio::select! {
            () = messages.closed() => return,
            ended = exchange => match ended {
                Ok(never) => match never {},
                Err(End::Gone) => return,
                Err(End::Refused(status)) => status,
            },
            refusal = principal.ended() => refusal.into(),
            () = stopped.cancelled() => leadership::ended().into(),
        };
        // Not awaited: a reader that does not read must not hold up the end of the leader.
        if messages.try_send(Err(status)).is_err() {
            tracing::debug!("a replication stream ended without a word, for its reader had stopped reading");
        }
    });
    reader
}

/// Why a stream ends.
enum End {
    /// The other side went away.
    Gone,
    /// With this.
    Refused(Status),
}

impl From<Refusal> for End {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal.into())
    }
}

impl From<Fault> for End {
    fn from(fault: Fault) -> Self {
        Self::from(Refusal::from(fault))
    }
}

impl From<Stale> for End {
    /// The engine has ended the stream, or will: it says why by itself. This is for one that ended in between.
    fn from(_: Stale) -> Self {
        Self::from(wire::closing(super::engine::Closing::Superseded))
    }
}

async fn exchange(
    leader: &Arc<Leader>,
    principal: &Principal,
    requests: &mut Streaming<ReplicateRequest>,
    out: mpsc::Sender<Result<ReplicateResponse, Status>>,
) -> Result<std::convert::Infallible, End> {
    let participant = principal.participant()?;
    let first = timeout(INTRODUCTION_TIMEOUT, next(requests)).await;
    let first = first.map_err(|_| {
        Refusal::new(
            contracts::Code::ReplicationOutOfStep,
            "no introduction came. Open a new stream and begin with one",
        )
    })??;
    let introduction = Introduction::parse(first)?;
    let Introduction { session_id, ref node_id, generation, standing } = introduction;
    nodes::check_holds(leader, participant, node_id, generation, session_id).await?;
    let hub = leader.replication();
    hub.take_care_of(leader, session_id).await?;

    let endpoint = Endpoint { generation: generation.unsigned_abs(), stream: hub.next_stream() };
    let replica = ReplicaId { session_id, node_id: node_id.clone() };
    let stream = Stream { replica, endpoint, epoch: hub.epoch() };
    let (acts, closing) = hub.listen(&stream);
    let out = Outbox { messages: out, closing };
    // However the stream ends, also by being given up from outside in the middle of a step.
    let _known = Known::new(hub, &stream);
    let seat = Seat { leader, stream: &stream };
    let introduced =
        hub.tell(|engine, now| engine.introduced(stream.clone(), standing, RecoveryId(Uuid::new_v4()), now));
    match introduced {
        Err(stale) => Err(stale.into()),
        Ok(()) => tokio::select! {
            ended = seat.hear(requests) => ended,
            ended = seat.act(acts, &out) => ended,
            ended = seat.keep_right(participant, &introduction) => ended,
        },
    }
}

/// That the engine knows of a stream. Dropped, it does not any more: no replica is in sync, and nothing is held, by a
/// stream that is gone.
struct Known<'a> {
    hub: &'a Hub,
    stream: &'a Stream,
}

impl<'a> Known<'a> {
    fn new(hub: &'a Hub, stream: &'a Stream) -> Self {
        gauge!("rollcall_replication_streams").increment(1.0);
        Self { hub, stream }
    }
}

impl Drop for Known<'_> {
    fn drop(&mut self) {
        self.hub.leave(self.stream);
        gauge!("rollcall_replication_streams").decrement(1.0);
    }
}

async fn next(requests: &mut Streaming<ReplicateRequest>) -> Result<ReplicateRequest, End> {
    match requests.message().await {
        Ok(Some(request)) => Ok(request),
        Ok(None) => Err(End::Gone),
        Err(status) => Err(End::Refused(refused_by_transport(status))),
    }
}

/// The way to the replica. Sending waits while the replica does not read, unless the stream is to end.
struct Outbox {
    messages: mpsc::Sender<Result<ReplicateResponse, Status>>,
    closing: CancellationToken,
}

impl Outbox {
    async fn send(&self, message: Message) -> Result<(), Undone> {
        let sent = self.messages.send(Ok(ReplicateResponse { message: Some(message) }));
        tokio::select! {
            biased;
            sent = sent => sent.map_err(|_| Undone::End(End::Gone)),
            () = self.closing.cancelled() => Err(Undone::Stale),
        }
    }
}

/// A stream that is known to the engine.
struct Seat<'a> {
    leader: &'a Arc<Leader>,
    stream: &'a Stream,
}

/// A base that is open.
struct OpenBase {
    proven: Proven,
    /// Of one that was made for this stream.
    _made: Option<MadeBase>,
}

/// A base that is made for one stream. Dropped, it is deleted: also when the stream ends in the middle of a step, and
/// whatever of it was written by then. What cannot be deleted goes with the next recovery.
struct MadeBase {
    leader: Arc<Leader>,
    id: Uuid,
}

impl Drop for MadeBase {
    fn drop(&mut self) {
        let (leader, id) = (Arc::clone(&self.leader), self.id);
        self.leader.spawn(async move {
            if let Err(fault) = log_store::delete_base(leader.db(), id).await {
                leader.tell_fenced(&fault);
                tracing::warn!(error = crate::failure::chain(&fault), "a base stays until the next recovery");
            }
        });
    }
}

impl Seat<'_> {
    fn session_id(&self) -> SessionId {
        self.stream.replica.session_id
    }

    fn tell(&self, heard: Heard) -> Result<(), Stale> {
        self.leader.replication().tell(|engine, now| engine.hear(self.stream, heard, now))
    }

    /// Tells the engine what the replica says.
    async fn hear(
        &self,
        requests: &mut Streaming<ReplicateRequest>,
    ) -> Result<std::convert::Infallible, End> {
        loop {
            let heard = wire::heard(next(requests).await?)?;
            if self.tell(heard).is_err() {
                // The engine ended the stream, and says why to whoever does its acts.
                std::future::pending::<()>().await;
            }
        }
    }

    /// Waits until the node does not hold its slot any more.
    async fn keep_right(
        &self,
        participant: ParticipantId,
        introduction: &Introduction,
    ) -> Result<std::convert::Infallible, End> {
        let Introduction { session_id, node_id, generation, .. } = introduction;
        let mut looks = interval(RIGHT_PERIOD);
        loop {
            looks.tick().await;
            nodes::check_holds(self.leader, participant, node_id, *generation, *session_id).await?;
        }
    }

    /// Does what the engine wants, in its order.
    async fn act(
        &self,
        mut acts: mpsc::Receiver<Act>,
        out: &Outbox,
    ) -> Result<std::convert::Infallible, End> {
        let mut open = None;
        loop {
            let Some(act) = acts.recv().await else {
                return Err(Refusal::new(
                    contracts::Code::ReplicationOutOfStep,
                    "the replica asked for more than was done. Open a new stream and introduce the replica as it is",
                )
                .into());
            };
            match self.do_act(act, &mut open, out).await {
                Ok(()) => {}
                Err(Undone::End(end)) => return Err(end),
                // The engine has something else in mind by now, and says so next.
                Err(Undone::Stale) => {}
            }
        }
    }

    async fn do_act(&self, act: Act, open: &mut Option<OpenBase>, out: &Outbox) -> Result<(), Undone> {
        let db = self.leader.db();
        match act {
            Act::ReadHashes(places) => {
                let points = log_store::hashes_at(db, self.session_id(), &places).await?;
                self.tell(Heard::HashesRead(points))?;
            }
            Act::SendProbe(places) => {
                out.send(Message::Probe(v1::Probe { seqs: places.iter().map(|seq| seq.get()).collect() }))
                    .await?;
            }
            Act::SendPlan { recovery, history_id, plan } => {
                out.send(wire::plan(recovery, history_id, plan)).await?;
            }
            Act::OpenBase(source) => {
                *open = None;
                match self.open(source).await? {
                    Some(opened) => {
                        let (at, events) = (opened.proven.base.at, opened.proven.base.events);
                        *open = Some(opened);
                        self.tell(Heard::BaseOpened { at, events })?;
                    }
                    None => self.tell(Heard::BaseFailed)?,
                }
            }
            Act::SendBase(recovery) => {
                let Some(base) = open.take() else {
                    self.tell(Heard::BaseFailed)?;
                    return Ok(());
                };
                self.send_base(recovery, &base.proven, out).await?;
            }
            Act::SendEvents { recovery, after, to } => self.send_events(recovery, after, to, out).await?,
            Act::SendCompleted { recovery, at } => {
                let at = Some(at.into());
                out.send(Message::Completed(v1::Completed { recovery_id: recovery.to_string(), at })).await?;
            }
            Act::SendBookmark(head) => {
                out.send(Message::Bookmark(v1::Bookmark { head: Some(head.into()) })).await?;
            }
            Act::Close(closing) => {
                counter!("rollcall_replication_closed_total", "reason" => closing.name()).increment(1);
                return Err(Undone::End(wire::closing(closing).into()));
            }
        }
        Ok(())
    }

    /// Makes a base ready. None when there is none that holds.
    async fn open(&self, source: BaseSource) -> Result<Option<OpenBase>, Fault> {
        let (db, session_id) = (self.leader.db(), self.session_id());
        match source {
            BaseSource::Checkpoint(at) => {
                let stored = log_store::checkpoints(db, session_id).await?;
                let Some(base) = stored.into_iter().find(|base| base.at == at) else { return Ok(None) };
                let proven = base::prove(db, session_id, base).await?;
                if proven.is_none() {
                    counter!("rollcall_checkpoints_damaged_total").increment(1);
                    tracing::error!(%session_id, %at, "a checkpoint is not what its digest says, and is trusted no longer");
                    log_store::set_digest(db, base.id, None).await?;
                }
                Ok(proven.map(|proven| OpenBase { proven, _made: None }))
            }
            BaseSource::Full(_) => {
                let made = MadeBase { leader: Arc::clone(self.leader), id: Uuid::now_v7() };
                let proven = base::make(db, session_id, made.id, BaseKind::FullBase).await?;
                Ok(proven.map(|proven| OpenBase { proven, _made: Some(made) }))
            }
        }
    }

    async fn send_base(&self, recovery: RecoveryId, proven: &Proven, out: &Outbox) -> Result<(), Undone> {
        let Proven { base, digest } = *proven;
        let recovery_id = recovery.to_string();
        let (mut after, mut sent) = (Seq::ORIGIN, 0);
        for ordinal in 0.. {
            let events = base::part(self.leader.db(), self.session_id(), base.id, after).await?;
            let Some(last) = events.last() else { break };
            after = last.seq;
            sent += events.len() as u64;
            self.tell(Heard::BaseProgress(sent))?;
            let events = events.into_iter().map(v1::Event::from).collect();
            out.send(Message::BaseChunk(v1::BaseChunk { recovery_id: recovery_id.clone(), ordinal, events }))
                .await?;
        }
        self.tell(Heard::BaseSent)?;
        let (at, digest) = (Some(base.at.into()), digest.as_bytes().to_vec());
        out.send(Message::BaseEnd(v1::BaseEnd { recovery_id, at, base_events: base.events, digest })).await
    }

    async fn send_events(
        &self,
        recovery: Option<RecoveryId>,
        after: LogPoint,
        to: Seq,
        out: &Outbox,
    ) -> Result<(), Undone> {
        let wanted = to.since(after.seq).min(EVENTS_PER_MESSAGE_MAX as u64);
        let read = log_store::read(
            self.leader.db(),
            self.session_id(),
            after.seq,
            i64::try_from(wanted).unwrap_or(i64::MAX),
            EVENT_BYTES_PER_MESSAGE_MAX as i64,
        )
        .await?;
        let next = after.seq.next().unwrap_or(Seq::MAX);
        if read.events.first().is_none_or(|first| first.seq != next || first.prev_hash != after.hash) {
            self.tell(Heard::EventMissing(next))?;
            return Ok(());
        }
        self.tell(Heard::EventsSent(read.events.iter().map(contracts::log::Event::point).collect()))?;
        counter!("rollcall_replication_events_sent_total").increment(read.events.len() as u64);
        out.send(Message::Events(v1::EventBatch {
            recovery_id: recovery.map(|recovery| recovery.to_string()).unwrap_or_default(),
            events: read.events.into_iter().map(v1::Event::from).collect(),
            head: read.head.seq.get(),
        }))
        .await
    }
}

/// An act that was not done.
enum Undone {
    /// For the stream ends.
    End(End),
    /// For the engine does not want it any more.
    Stale,
}

impl From<Fault> for Undone {
    fn from(fault: Fault) -> Self {
        Self::End(fault.into())
    }
}

impl From<Stale> for Undone {
    fn from(_: Stale) -> Self {
        Self::Stale
    }
}
