//! One replication stream, from its introduction to its end.

use std::{collections::VecDeque, time::Duration};

use contracts::wire::v1;
use tokio::{
    sync::mpsc,
    time::{Instant, sleep_until, timeout},
};
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Status as RpcStatus, Streaming};

use super::{
    Position, Rebuilding, State, Status,
    fault::Fault,
    machine::{Course, Done, Machine, Output, Start},
    message::{self, Identity, Message, Reply},
    status::StatusSender,
    worker::{Failure, Worker},
};
use crate::{Caller, Setback, Way};

/// How long a server may take to open a stream.
const OPEN_DEADLINE: Duration = Duration::from_secs(10);
/// How long nothing may come while something is due.
const SILENCE_MAX: Duration = Duration::from_secs(60);
/// The same for the plan: a server recovers so many replicas at once, and the others wait for their turn.
const QUEUE_MAX: Duration = Duration::from_secs(10 * 60);
/// Messages that wait to be sent at most, beside acknowledgements, of which the last one counts.
const OUTBOX_MAX: usize = 8;

/// How a stream ended.
pub(super) enum End {
    /// The server said why, or could not be reached.
    Call(Setback),
    /// The server ended it without a word.
    Ended,
    Fault(Fault),
    Worker(Failure),
}

/// A stream that is open.
struct Open {
    caller: Caller,
    incoming: Streaming<v1::ReplicateResponse>,
    outgoing: mpsc::Sender<v1::ReplicateRequest>,
}

/// Opens a stream and follows it until it ends. The worker is at rest before; afterwards work may be under way.
pub(super) async fn follow(
    way: &mut Way,
    identity: &Identity,
    worker: &mut Worker,
    status: &StatusSender,
) -> End {
    let Position { history_id, begins, end } = worker.position();
    let start = Start { history: history_id, base: begins.seq, end };
    let introduction = message::introduction(identity, start.history, start.base, start.end);
    match open(way, introduction).await {
        Ok(open) => {
            let machine = Machine::new(start);
            Exchange { identity, open, machine, worker, status, outbox: VecDeque::new() }.run().await
        }
        Err(setback) => End::Call(setback),
    }
}

async fn open(way: &mut Way, introduction: v1::ReplicateRequest) -> Result<Open, Setback> {
    let connection = way.connect(OPEN_DEADLINE).await?;
    let caller = connection.caller().await?;
    let (outgoing, messages) = mpsc::channel(1);
    let mut client = caller.log();
    let opening = async {
        // It waits in the channel until the call takes it.
        let _ = outgoing.send(introduction).await;
        client.replicate(ReceiverStream::new(messages)).await
    };
    match timeout(OPEN_DEADLINE, opening).await {
        Ok(Ok(response)) => Ok(Open { incoming: response.into_inner(), outgoing, caller }),
        Ok(Err(status)) => Err(caller.setback(&status)),
        Err(_) => Err(caller.no_answer(OPEN_DEADLINE)),
    }
}

/// What happens next on a stream.
enum Happening {
    Done(Result<Option<Done>, Failure>),
    Incoming(Incoming),
    Silence(Duration),
}

type Incoming = Result<Option<v1::ReplicateResponse>, RpcStatus>;

struct Exchange<'a> {
    identity: &'a Identity,
    open: Open,
    machine: Machine,
    worker: &'a mut Worker,
    status: &'a StatusSender,
    outbox: VecDeque<Reply>,
}

impl Exchange<'_> {
    async fn run(mut self) -> End {
        let mut heard_at = Instant::now();
        loop {
            self.tell();
            let patience = patience(&self.machine.course()).filter(|_| self.worker.is_idle());
            let reads = self.worker.has_room() && self.outbox.len() < OUTBOX_MAX;
            let happening = tokio::select! {
                biased;
                done = self.worker.done() => Happening::Done(done),
                permit = self.open.outgoing.reserve(), if !self.outbox.is_empty() => {
                    match permit {
                        Ok(permit) => {
                            if let Some(reply) = self.outbox.pop_front() {
                                permit.send(reply.into());
                            }
                        }
                        // The call has ended: what comes in says why.
                        Err(_) => self.outbox.clear(),
                    }
                    continue;
                }
                incoming = self.open.incoming.message(), if reads => Happening::Incoming(incoming),
                silence = silence(heard_at, patience) => Happening::Silence(silence),
            };
            heard_at = Instant::now();
            let outputs = match happening {
                Happening::Done(Ok(Some(done))) => self.machine.done(done),
                Happening::Done(Ok(None)) => Ok(Vec::new()),
                Happening::Done(Err(failure)) => return End::Worker(failure),
                Happening::Incoming(incoming) => match self.take(incoming) {
                    Ok(outputs) => outputs,
                    Err(end) => return end,
                },
                Happening::Silence(silence) => Err(Fault::Silent(silence)),
            };
            match outputs {
                Ok(outputs) => outputs.into_iter().for_each(|output| self.carry_out(output)),
                Err(fault) => return End::Fault(fault),
            }
        }
    }

    #[expect(clippy::result_large_err, reason = "a stream ends once")]
    fn take(&mut self, incoming: Incoming) -> Result<Result<Vec<Output>, Fault>, End> {
        match incoming {
            Ok(Some(wire)) => Ok(Message::parse(self.identity.session_id, wire)
                .map_err(Fault::from)
                .and_then(|message| self.machine.received(message))),
            Ok(None) => Err(End::Ended),
            Err(status) => Err(End::Call(self.open.caller.setback(&status))),
        }
    }

    fn carry_out(&mut self, output: Output) {
        match output {
            Output::Store(work) => self.worker.push(work),
            Output::Send(reply) => {
                // Of acknowledgements of one kind that wait, the last one says it all.
                if is_said_by(self.outbox.back(), &reply) {
                    self.outbox.pop_back();
                }
                self.outbox.push_back(reply);
            }
        }
    }

    fn tell(&self) {
        let position = self.worker.position();
        let state = state(self.machine.course());
        let is_in_sync = state == State::InSync;
        self.status.change(|status| {
            status.position = Some(position);
            status.head = self.machine.head().or(status.head).max(Some(position.end.seq));
            if is_in_sync {
                *status = Status { setback: None, faults: 0, ..status.clone() };
            }
            status.state = state;
        });
    }
}

/// How long nothing may come; for ever where nothing has to.
fn patience(course: &Course) -> Option<Duration> {
    match course {
        Course::Introduced => Some(QUEUE_MAX),
        Course::CatchingUp { .. } | Course::Rebuilding { .. } => Some(SILENCE_MAX),
        Course::Live => None,
    }
}

async fn silence(since: Instant, patience: Option<Duration>) -> Duration {
    match patience {
        Some(patience) => {
            sleep_until(since + patience).await;
            patience
        }
        None => std::future::pending().await,
    }
}

fn is_said_by(waiting: Option<&Reply>, next: &Reply) -> bool {
    match (waiting, next) {
        (Some(Reply::Acknowledgement { recovery: one, .. }), Reply::Acknowledgement { recovery, .. }) => {
            one == recovery
        }
        (
            Some(
                Reply::Acknowledgement { .. }
                | Reply::ProbeAnswer(_)
                | Reply::Truncated { .. }
                | Reply::BaseReceived { .. },
            )
            | None,
            _,
        ) => false,
    }
}

fn state(course: Course) -> State {
    match course {
        Course::Introduced => State::Introduced,
        Course::CatchingUp { target } => State::CatchingUp { target },
        Course::Rebuilding { source, reason, base_received, base_events, replayed, target } => {
            State::Rebuilding(Rebuilding { source, reason, base_received, base_events, replayed, target })
        }
        Course::Live => State::InSync,
    }
}
