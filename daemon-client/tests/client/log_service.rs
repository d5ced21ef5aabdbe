//! The scripted server's log: streams that the test itself is the other end of, and appends that are made once.

use std::{
    collections::{HashMap, VecDeque},
    sync::{Arc, Mutex},
    time::Duration,
};

use contracts::{
    Code, LogPoint, Refusal,
    log::Event,
    wire::v1::{
        self, event_log_service_server::EventLogService, plan, replicate_request as request,
        replicate_response as response,
    },
};
use tokio::sync::{mpsc, watch};
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status, Streaming};

use crate::{
    fixture::{HISTORY, Log, SESSION},
    server::{Call, Script, within},
};

/// What the test decides about the log.
#[derive(Clone)]
pub(crate) struct LogScript {
    streams: Arc<Mutex<VecDeque<Stream>>>,
    opened: watch::Sender<usize>,
    refusals: Arc<Mutex<VecDeque<Status>>>,
    appends: Arc<Mutex<Appends>>,
}

#[derive(Default)]
struct Appends {
    /// Refusals of the next appends; those that are `true` come after the append was made.
    refusals: VecDeque<(Status, bool)>,
    /// Appends under other generations are refused.
    generation: Option<u64>,
    made: HashMap<String, u64>,
    head: u64,
}

/// The server's end of a stream.
pub(crate) struct Stream {
    pub(crate) introduction: v1::Introduction,
    incoming: Streaming<v1::ReplicateRequest>,
    outgoing: mpsc::Sender<Result<v1::ReplicateResponse, Status>>,
}

pub(crate) const RECOVERY: &str = "0193e4a0-7c5b-7d11-8f3a-2b6c4d5e6f99";

impl LogScript {
    pub(crate) fn new() -> Self {
        Self {
            streams: Arc::default(),
            opened: watch::Sender::new(0),
            refusals: Arc::default(),
            appends: Arc::default(),
        }
    }

    /// The next stream that a replica opens.
    pub(crate) async fn stream(&self) -> Stream {
        let mut opened = self.opened.subscribe();
        within("stream", async {
            loop {
                opened.borrow_and_update();
                if let Some(stream) = self.streams.lock().unwrap().pop_front() {
                    return stream;
                }
                opened.changed().await.unwrap();
            }
        })
        .await
    }

    /// Streams that were opened so far, refused ones included.
    pub(crate) fn opened(&self) -> usize {
        *self.opened.borrow()
    }

    pub(crate) async fn until_opened(&self, count: usize) {
        let mut opened = self.opened.subscribe();
        within("streams", opened.wait_for(|opened| *opened >= count)).await.unwrap();
    }

    pub(crate) fn refuse_stream(&self, refusal: impl Into<Status>) {
        self.refusals.lock().unwrap().push_back(refusal.into());
    }

    pub(crate) fn refuse_append(&self, refusal: impl Into<Status>) {
        self.appends.lock().unwrap().refusals.push_back((refusal.into(), false));
    }

    /// The append is made, and the answer to it is lost.
    pub(crate) fn lose_answer_of_append(&self) {
        let lost = Status::unavailable("connection reset");
        self.appends.lock().unwrap().refusals.push_back((lost, true));
    }

    /// The attachment of this generation is the one from now on.
    pub(crate) fn appends_by(&self, generation: u64) {
        self.appends.lock().unwrap().generation = Some(generation);
    }

    pub(crate) fn appended(&self) -> u64 {
        self.appends.lock().unwrap().head
    }
}

impl Stream {
    pub(crate) async fn send(&self, message: response::Message) {
        let message = v1::ReplicateResponse { message: Some(message) };
        within("room to send", self.outgoing.send(Ok(message))).await.unwrap();
    }

    /// Sends if there is room for it within `wait`.
    pub(crate) async fn try_send(&self, message: response::Message, wait: Duration) -> bool {
        let message = v1::ReplicateResponse { message: Some(message) };
        tokio::time::timeout(wait, self.outgoing.send(Ok(message))).await.is_ok_and(|sent| sent.is_ok())
    }

    pub(crate) async fn refuse(&self, refusal: impl Into<Status>) {
        self.outgoing.send(Err(refusal.into())).await.unwrap();
    }

    pub(crate) async fn receive(&mut self) -> request::Message {
        let message = within("message of the replica", self.incoming.message()).await;
        message.unwrap().unwrap().message.unwrap()
    }

    /// Waits for the replica to give the stream up.
    pub(crate) async fn until_given_up(&mut self) {
        within("end of the stream", async { while let Ok(Some(_)) = self.incoming.message().await {} }).await;
    }

    /// Waits until this place is acknowledged: the replica may say so bit by bit.
    pub(crate) async fn until_acknowledged(&mut self, recovery_id: &str, at: LogPoint) {
        let expected = v1::Acknowledgement { recovery_id: recovery_id.to_owned(), at: Some(at.into()) };
        loop {
            let request::Message::Acknowledgement(acknowledgement) = self.receive().await else {
                panic!("not an acknowledgement")
            };
            assert_eq!(acknowledgement.recovery_id, expected.recovery_id);
            if acknowledgement == expected {
                return;
            }
            assert!(acknowledgement.at.unwrap().seq < at.seq.get(), "beyond what is waited for");
        }
    }

    pub(crate) async fn plan(&self, outcome: plan::Outcome) {
        self.send(response::Message::Plan(v1::Plan {
            recovery_id: RECOVERY.to_owned(),
            history_id: HISTORY.to_string(),
            outcome: Some(outcome),
        }))
        .await;
    }

    pub(crate) async fn zero_gap(&self, at: LogPoint) {
        self.plan(plan::Outcome::ZeroGap(v1::ZeroGap { at: Some(at.into()) })).await;
    }

    pub(crate) async fn catch_up(&self, log: &Log, from: u64, target: u64) {
        self.plan(plan::Outcome::CatchUp(v1::CatchUp {
            truncate_to: None,
            from: Some(log.at(from).into()),
            target,
        }))
        .await;
    }

    pub(crate) async fn cut(&self, log: &Log, to: u64, target: u64) {
        let to = Some(log.at(to).into());
        self.plan(plan::Outcome::CatchUp(v1::CatchUp { truncate_to: to.clone(), from: to, target })).await;
    }

    pub(crate) async fn rebuild(&self, log: &Log, at: u64, target: u64) {
        self.plan(plan::Outcome::Rebuild(v1::Rebuild {
            source: v1::BaseSource::Checkpoint.into(),
            at: Some(log.at(at).into()),
            base_events: log.base(at).len() as u64,
            target,
            reason: "gap_beyond_retention".to_owned(),
        }))
        .await;
    }

    pub(crate) async fn recovered(&self, log: &Log, after: u64, through: u64) {
        self.send(events(RECOVERY, log.after(after, through), log.head().seq.get())).await;
    }

    pub(crate) async fn live(&self, log: &Log, after: u64, through: u64) {
        self.send(events("", log.after(after, through), through)).await;
    }

    pub(crate) async fn completed(&self, at: LogPoint) {
        let completed = v1::Completed { recovery_id: RECOVERY.to_owned(), at: Some(at.into()) };
        self.send(response::Message::Completed(completed)).await;
    }

    pub(crate) async fn bookmark(&self, head: LogPoint) {
        self.send(response::Message::Bookmark(v1::Bookmark { head: Some(head.into()) })).await;
    }

    pub(crate) async fn chunk(&self, ordinal: u64, events: &[Event]) {
        self.send(chunk(ordinal, events)).await;
    }

    /// Sends a whole base, in parts, with its end.
    pub(crate) async fn base(&self, log: &Log, at: u64) {
        for (ordinal, events) in log.base(at).chunks(2).enumerate() {
            self.chunk(ordinal as u64, events).await;
        }
        self.send(base_end(log, at)).await;
    }

    /// Takes the replica of an empty folder to this place.
    pub(crate) async fn fill(&mut self, log: &Log, to: u64) {
        self.bring(log, 0, to).await;
    }

    /// Takes a replica on from one place to another, in one recovery.
    pub(crate) async fn bring(&mut self, log: &Log, from: u64, to: u64) {
        self.catch_up(log, from, to).await;
        self.recovered(log, from, to).await;
        self.until_acknowledged(RECOVERY, log.at(to)).await;
        self.completed(log.at(to)).await;
    }
}

pub(crate) fn events(recovery_id: &str, events: &[Event], head: u64) -> response::Message {
    let events = events.iter().cloned().map(v1::Event::from).collect();
    response::Message::Events(v1::EventBatch { recovery_id: recovery_id.to_owned(), events, head })
}

pub(crate) fn chunk(ordinal: u64, events: &[Event]) -> response::Message {
    let events = events.iter().cloned().map(v1::Event::from).collect();
    response::Message::BaseChunk(v1::BaseChunk { recovery_id: RECOVERY.to_owned(), ordinal, events })
}

pub(crate) fn base_end(log: &Log, at: u64) -> response::Message {
    response::Message::BaseEnd(v1::BaseEnd {
        recovery_id: RECOVERY.to_owned(),
        at: Some(log.at(at).into()),
        base_events: log.base(at).len() as u64,
        digest: log.digest(at).as_bytes().to_vec(),
    })
}

#[tonic::async_trait]
impl EventLogService for Script {
    async fn append_events(
        &self,
        request: Request<v1::AppendEventsRequest>,
    ) -> Result<Response<v1::AppendEventsResponse>, Status> {
        self.token(&request)?;
        let request = request.into_inner();
        self.note(Call::Append(request.clone()));
        let mut appends = self.log.appends.lock().unwrap();
        if appends.generation.is_some_and(|generation| generation != request.generation) {
            return Err(Refusal::new(Code::RuntimeNodeNotAttached, "attach first").into());
        }
        let (refusal, is_made) = appends.refusals.pop_front().unzip();
        if let (Some(refusal), Some(false)) = (&refusal, is_made) {
            return Err(refusal.clone());
        }
        let ids: Vec<_> = request.events.iter().map(|event| event.event_id.clone()).collect();
        let repeated = ids.iter().all(|id| appends.made.contains_key(id));
        if !repeated {
            for id in &ids {
                appends.head += 1;
                let seq = appends.head;
                assert!(appends.made.insert(id.clone(), seq).is_none(), "a repeat of a part of a batch");
            }
        }
        let first_seq = appends.made[&ids[0]];
        let last = v1::LogPoint { seq: appends.made[&ids[ids.len() - 1]], hash: vec![7; 32] };
        match refusal {
            Some(lost) => Err(lost),
            None => Ok(Response::new(v1::AppendEventsResponse { first_seq, last: Some(last), repeated })),
        }
    }

    async fn read_events(
        &self,
        _: Request<v1::ReadEventsRequest>,
    ) -> Result<Response<v1::ReadEventsResponse>, Status> {
        Err(Status::unimplemented("not used by daemons"))
    }

    type ReplicateStream = ReceiverStream<Result<v1::ReplicateResponse, Status>>;

    async fn replicate(
        &self,
        request: Request<Streaming<v1::ReplicateRequest>>,
    ) -> Result<Response<Self::ReplicateStream>, Status> {
        self.token(&request)?;
        let mut incoming = request.into_inner();
        let first = incoming.message().await?.and_then(|first| first.message);
        let Some(request::Message::Introduction(introduction)) = first else {
            panic!("a stream begins with an introduction")
        };
        assert_eq!(introduction.session_id, SESSION.to_string());
        let refusal = self.log.refusals.lock().unwrap().pop_front();
        // Room for one: what the replica does not read is not taken from the test.
        let (outgoing, responses) = mpsc::channel(1);
        if refusal.is_none() {
            self.log.streams.lock().unwrap().push_back(Stream { introduction, incoming, outgoing });
        }
        self.log.opened.send_modify(|opened| *opened += 1);
        match refusal {
            Some(refusal) => Err(refusal),
            None => Ok(Response::new(ReceiverStream::new(responses))),
        }
    }

    async fn get_replication_status(
        &self,
        _: Request<v1::GetReplicationStatusRequest>,
    ) -> Result<Response<v1::GetReplicationStatusResponse>, Status> {
        Err(Status::unimplemented("not used by daemons"))
    }
}
