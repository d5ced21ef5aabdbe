//! A small server that answers as it is told, on a real socket, in a runtime of its own: stopping it takes its
//! connections down at once, as killing a process does.

use std::{
    collections::{HashSet, VecDeque},
    net::SocketAddr,
    sync::{Arc, Mutex},
    time::Duration,
};

use crate::log_service::LogScript;
use contracts::{
    Code, Refusal,
    wire::v1::{
        self,
        event_log_service_server::EventLogServiceServer,
        runtime_node_service_server::{RuntimeNodeService, RuntimeNodeServiceServer},
        token_service_server::TokenServiceServer,
    },
};
use daemon_client::Address;
use tokio::{net::TcpListener, runtime::Runtime, sync::watch};
use tokio_stream::wrappers::{ReceiverStream, TcpListenerStream};
use tonic::{
    Request, Response, Status,
    transport::{Identity, Server, ServerTlsConfig},
};

pub(crate) const TOKEN: &str = "t0ken";

/// A call as it arrived.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Call {
    Attach(v1::AttachRequest),
    Beat(v1::Beat),
    Update(v1::UpdateCapabilitiesRequest),
    Detach(v1::DetachRequest),
    Append(v1::AppendEventsRequest),
    /// With the token that was presented.
    Renew(String),
    /// With the join token.
    Exchange(String),
}

/// What the server answers, and what it was asked. Outlives restarts, as a database does.
#[derive(Clone)]
pub(crate) struct Script {
    answers: Arc<Mutex<Answers>>,
    calls: watch::Sender<Vec<Call>>,
    pub(crate) log: LogScript,
}

pub(crate) struct Answers {
    interval: Duration,
    offline_after: Duration,
    generation: u64,
    declaration_outcome: v1::DeclarationOutcome,
    read_only: bool,
    attach_refusals: VecDeque<Status>,
    attach_takes: Duration,
    beat_refusal: Option<Status>,
    update_refusals: VecDeque<Status>,
    is_mute: bool,
    valid_tokens: HashSet<String>,
    /// The token of the last beat.
    beat_token: String,
    /// Calls whose token was refused.
    tokens_refused: usize,
    pub(crate) renewals: VecDeque<Result<String, Status>>,
    pub(crate) exchanges: VecDeque<Result<String, Status>>,
}

impl Script {
    pub(crate) fn new() -> Self {
        let answers = Answers {
            interval: Duration::from_millis(60),
            offline_after: Duration::from_secs(60),
            generation: 1,
            declaration_outcome: v1::DeclarationOutcome::Absent,
            read_only: false,
            attach_refusals: VecDeque::new(),
            attach_takes: Duration::ZERO,
            beat_refusal: None,
            update_refusals: VecDeque::new(),
            is_mute: false,
            valid_tokens: HashSet::from([TOKEN.to_owned()]),
            beat_token: String::new(),
            tokens_refused: 0,
            renewals: VecDeque::new(),
            exchanges: VecDeque::new(),
        };
        Self {
            answers: Arc::new(Mutex::new(answers)),
            calls: watch::Sender::new(Vec::new()),
            log: LogScript::new(),
        }
    }

    pub(crate) fn answers<T>(&self, change: impl FnOnce(&mut Answers) -> T) -> T {
        change(&mut self.answers.lock().unwrap())
    }

    pub(crate) fn offline_after(self, offline_after: Duration) -> Self {
        self.answers(|answers| answers.offline_after = offline_after);
        self
    }

    pub(crate) fn interval(self, interval: Duration) -> Self {
        self.answers(|answers| answers.interval = interval);
        self
    }

    pub(crate) fn generation(&self, generation: u64) {
        self.answers(|answers| answers.generation = generation);
    }

    pub(crate) fn attaches_are_repeats(&self) {
        self.answers(|answers| answers.declaration_outcome = v1::DeclarationOutcome::Repeated);
    }

    pub(crate) fn read_only(&self, read_only: bool) {
        self.answers(|answers| answers.read_only = read_only);
    }

    pub(crate) fn refuse_attach(&self, refusal: impl Into<Status>) {
        self.answers(|answers| answers.attach_refusals.push_back(refusal.into()));
    }

    pub(crate) fn attach_takes(&self, time: Duration) {
        self.answers(|answers| answers.attach_takes = time);
    }

    pub(crate) fn refuse_beats(&self, refusal: Refusal) {
        self.answers(|answers| answers.beat_refusal = Some(refusal.into()));
    }

    pub(crate) fn accept_beats(&self) {
        self.answers(|answers| answers.beat_refusal = None);
    }

    pub(crate) fn refuse_update(&self, refusal: Refusal) {
        self.answers(|answers| answers.update_refusals.push_back(refusal.into()));
    }

    /// Beats are taken, and never answered.
    pub(crate) fn mute(&self, is_mute: bool) {
        self.answers(|answers| answers.is_mute = is_mute);
    }

    /// These tokens are valid from now on, and no others.
    pub(crate) fn valid_tokens(&self, tokens: &[&str]) {
        self.answers(|answers| answers.valid_tokens = tokens.iter().map(|&token| token.to_owned()).collect());
    }

    pub(crate) fn tokens_refused(&self) -> usize {
        self.answers(|answers| answers.tokens_refused)
    }

    /// Waits for a beat with this token.
    pub(crate) async fn beat_with(&self, token: &str) {
        self.until("beat with the token", |script| script.answers(|answers| answers.beat_token == token))
            .await;
    }

    /// The token of a call, if it is valid.
    pub(crate) fn token<T>(&self, request: &Request<T>) -> Result<String, Status> {
        let sent = request.metadata().get("authorization").and_then(|value| value.to_str().ok());
        let token = sent.and_then(|sent| sent.strip_prefix("Bearer ")).unwrap().to_owned();
        self.answers(|answers| {
            if answers.valid_tokens.contains(&token) {
                return Ok(token);
            }
            answers.tokens_refused += 1;
            Err(Refusal::new(Code::AuthTokenExpired, "the token is over").into())
        })
    }

    /// The calls so far.
    pub(crate) fn calls(&self) -> Vec<Call> {
        self.calls.borrow().clone()
    }

    pub(crate) fn count(&self, is_counted: impl Fn(&Call) -> bool) -> usize {
        self.calls.borrow().iter().filter(|call| is_counted(call)).count()
    }

    pub(crate) fn attaches(&self) -> usize {
        self.count(|call| matches!(call, Call::Attach(_)))
    }

    pub(crate) fn beats(&self) -> usize {
        self.count(|call| matches!(call, Call::Beat(_)))
    }

    /// Waits until the calls are as asked.
    pub(crate) async fn until(&self, what: &str, is_so: impl Fn(&Self) -> bool) {
        let mut calls = self.calls.subscribe();
        within(what, async {
            while !is_so(self) {
                calls.changed().await.unwrap();
            }
        })
        .await;
    }

    /// Waits for some more beats.
    pub(crate) async fn more_beats(&self, more: usize) {
        let beats = self.beats() + more;
        self.until("more beats", |script| script.beats() >= beats).await;
    }

    pub(crate) fn note(&self, call: Call) {
        self.calls.send_modify(|calls| calls.push(call));
    }
}

/// Fails a test that waits for what does not come.
pub(crate) async fn within<T>(what: &str, future: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(20), future)
        .await
        .unwrap_or_else(|_| panic!("no {what} in time"))
}

/// A server that runs until it is dropped.
pub(crate) struct Running {
    pub(crate) socket: SocketAddr,
    runtime: Option<Runtime>,
}

impl Running {
    pub(crate) async fn start(script: &Script) -> Self {
        Self::start_at(script, "127.0.0.1:0".parse().unwrap()).await
    }

    pub(crate) async fn start_at(script: &Script, socket: SocketAddr) -> Self {
        Self::serve(script, socket, Server::builder()).await
    }

    pub(crate) async fn start_tls(script: &Script, identity: Identity) -> Self {
        let tls = ServerTlsConfig::new().identity(identity);
        let server = Server::builder().tls_config(tls).unwrap();
        Self::serve(script, "127.0.0.1:0".parse().unwrap(), server).await
    }

    async fn serve(script: &Script, socket: SocketAddr, mut server: Server) -> Self {
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let script = script.clone();
        let socket = runtime
            .spawn(async move {
                let listener = TcpListener::bind(socket).await.unwrap();
                let socket = listener.local_addr().unwrap();
                let serve = server
                    .add_service(RuntimeNodeServiceServer::new(script.clone()))
                    .add_service(TokenServiceServer::new(script.clone()))
                    .add_service(EventLogServiceServer::new(script))
                    .serve_with_incoming(TcpListenerStream::new(listener));
                tokio::spawn(serve);
                socket
            })
            .await
            .unwrap();
        Self { socket, runtime: Some(runtime) }
    }

    pub(crate) fn address(&self) -> Address {
        self.socket.to_string().parse().unwrap()
    }

    pub(crate) fn secure_address(&self) -> Address {
        format!("https://{}", self.socket).parse().unwrap()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            // A server that is dropped is gone: one that winds down in the background may answer the next
            // call. A runtime may not be waited for within another, hence the thread.
            let stop = std::thread::spawn(|| runtime.shutdown_timeout(Duration::from_secs(10)));
            stop.join().expect("the server's runtime stops");
        }
    }
}

fn duration(duration: Duration) -> Option<prost_types::Duration> {
    duration.try_into().ok()
}

#[tonic::async_trait]
impl RuntimeNodeService for Script {
    async fn attach(
        &self,
        request: Request<v1::AttachRequest>,
    ) -> Result<Response<v1::AttachResponse>, Status> {
        self.token(&request)?;
        self.note(Call::Attach(request.into_inner()));
        tokio::time::sleep(self.answers(|answers| answers.attach_takes)).await;
        self.answers(|answers| match answers.attach_refusals.pop_front() {
            Some(refusal) => Err(refusal),
            None => Ok(Response::new(v1::AttachResponse {
                attachment_id: "6b1e2c52-8f3c-4d3e-9a4b-0d6f2f6f8a10".to_owned(),
                generation: answers.generation,
                state: v1::SlotState::Online.into(),
                declaration_outcome: answers.declaration_outcome.into(),
                read_only: answers.read_only,
                next_heartbeat_in: duration(answers.interval),
                offline_after: duration(answers.offline_after),
                ..v1::AttachResponse::default()
            })),
        })
    }

    async fn heartbeat(
        &self,
        request: Request<v1::HeartbeatRequest>,
    ) -> Result<Response<v1::HeartbeatResponse>, Status> {
        let token = self.token(&request)?;
        self.answers(|answers| answers.beat_token = token);
        self.note(Call::Beat(request.into_inner().beat.unwrap()));
        if self.answers(|answers| answers.is_mute) {
            std::future::pending::<()>().await;
        }
        self.answers(|answers| match &answers.beat_refusal {
            Some(refusal) => Err(refusal.clone()),
            None => Ok(Response::new(v1::HeartbeatResponse {
                ack: Some(v1::BeatAck {
                    next_heartbeat_in: duration(answers.interval),
                    read_only: answers.read_only,
                    min_client_version: if answers.read_only { "9.0".to_owned() } else { String::new() },
                }),
            })),
        })
    }

    async fn update_capabilities(
        &self,
        request: Request<v1::UpdateCapabilitiesRequest>,
    ) -> Result<Response<v1::UpdateCapabilitiesResponse>, Status> {
        self.token(&request)?;
        let request = request.into_inner();
        let state = match request.health() {
            v1::ReportedHealth::Degraded => v1::SlotState::Degraded,
            v1::ReportedHealth::Unspecified | v1::ReportedHealth::Online => v1::SlotState::Online,
        };
        self.note(Call::Update(request));
        self.answers(|answers| match answers.update_refusals.pop_front() {
            Some(refusal) => Err(refusal),
            None => Ok(Response::new(v1::UpdateCapabilitiesResponse {
                state: state.into(),
                ..v1::UpdateCapabilitiesResponse::default()
            })),
        })
    }

    async fn detach(
        &self,
        request: Request<v1::DetachRequest>,
    ) -> Result<Response<v1::DetachResponse>, Status> {
        self.token(&request)?;
        self.note(Call::Detach(request.into_inner()));
        Ok(Response::new(v1::DetachResponse {}))
    }

    type StreamHeartbeatsStream = ReceiverStream<Result<v1::StreamHeartbeatsResponse, Status>>;

    async fn stream_heartbeats(
        &self,
        _: Request<tonic::Streaming<v1::StreamHeartbeatsRequest>>,
    ) -> Result<Response<Self::StreamHeartbeatsStream>, Status> {
        Err(Status::unimplemented("not used by daemons"))
    }

    async fn get_roster(
        &self,
        _: Request<v1::GetRosterRequest>,
    ) -> Result<Response<v1::GetRosterResponse>, Status> {
        Err(Status::unimplemented("not used by daemons"))
    }

    type WatchRosterStream = ReceiverStream<Result<v1::WatchRosterResponse, Status>>;

    async fn watch_roster(
        &self,
        _: Request<v1::WatchRosterRequest>,
    ) -> Result<Response<Self::WatchRosterStream>, Status> {
        Err(Status::unimplemented("not used by daemons"))
    }
}
