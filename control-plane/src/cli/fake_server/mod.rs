//! A small server of prepared answers on loopback, for tests of what goes over the wire.

pub(crate) mod access;

use std::{
    any::Any,
    collections::VecDeque,
    net::SocketAddr,
    pin::Pin,
    sync::{Arc, Mutex},
};

use contracts::{
    Code, Refusal,
    wire::v1::{
        self,
        audit_service_server::AuditServiceServer,
        membership_service_server::MembershipServiceServer,
        node_admin_service_server::{NodeAdminService, NodeAdminServiceServer},
        runtime_node_service_server::{RuntimeNodeService, RuntimeNodeServiceServer},
        session_service_server::{SessionService, SessionServiceServer},
        token_service_server::TokenServiceServer,
        watch_roster_response::Event,
    },
};
use prost_types::Timestamp;
use tokio::{net::TcpListener, runtime::Runtime, sync::mpsc};
use tokio_stream::{
    Stream, StreamExt,
    wrappers::{ReceiverStream, TcpListenerStream},
};
use tonic::{Request, Response, Status, Streaming, transport::Server};

pub(crate) const SESSION: &str = "0198c5a2-6f1e-7c3a-9b54-2f8e1d0c7a61";
pub(crate) const PARTICIPANT: &str = "5f0c3a52-93d5-4a26-8f58-0f6a3f2f6f10";
/// 2023-11-14T22:13:20Z.
const THEN: i64 = 1_700_000_000;

/// An active session with 3 nodes and no floor.
pub(crate) fn session(id: &str, name: &str) -> v1::Session {
    v1::Session {
        session_id: id.to_owned(),
        name: name.to_owned(),
        state: v1::SessionState::Active.into(),
        min_client_version: String::new(),
        active_nodes: 3,
        created_at: Some(Timestamp { seconds: THEN, nanos: 0 }),
        updated_at: Some(Timestamp { seconds: THEN, nanos: 500_000_000 }),
    }
}

/// A node that is online and declared nothing.
pub(crate) fn node(id: &str) -> v1::RuntimeNode {
    let then = Some(Timestamp { seconds: THEN, nanos: 0 });
    v1::RuntimeNode {
        node_id: id.to_owned(),
        session_id: SESSION.to_owned(),
        participant_id: PARTICIPANT.to_owned(),
        attachment_id: "7d1b9b8e-2c1c-4a43-9a35-5b8f3f0f4c11".to_owned(),
        generation: 4,
        slot_state: v1::SlotState::Online.into(),
        presence: Some(v1::Presence {
            health: v1::PresenceHealth::Online.into(),
            cause: v1::PresenceCause::SelfReported.into(),
            last_heartbeat_at: then,
        }),
        read_only: false,
        client_version: "1.0".to_owned(),
        declaration: None,
        state_reasons: Vec::new(),
        attached_at: then,
    }
}

/// What the server holds and says.
#[derive(Default)]
pub(crate) struct Prepared {
    pub(crate) sessions: Vec<v1::Session>,
    pub(crate) nodes: Vec<v1::RuntimeNode>,
    pub(crate) affected_nodes: Vec<v1::AffectedNode>,
    pub(crate) members: Vec<v1::Member>,
    pub(crate) audit_entries: Vec<v1::AuditEntry>,
    /// Said to writes, one a call, before they succeed.
    pub(crate) refusals: Vec<Refusal>,
    /// One a watch, in order.
    pub(crate) watches: Vec<WatchScript>,
    /// Items on a page, however many are asked for.
    pub(crate) page_size: usize,
}

/// What becomes of one watch.
pub(crate) struct WatchScript {
    pub(crate) events: Vec<Event>,
    pub(crate) ending: Ending,
}

/// How a watch ends.
pub(crate) enum Ending {
    /// Not.
    Stays,
    /// As a server ends its streams.
    Closes,
    /// By this refusal.
    Refuses(Refusal),
}

/// A server that runs until it is killed or dropped.
pub(crate) struct FakeServer {
    pub(crate) address: SocketAddr,
    seen: Arc<Seen>,
    runtime: Option<Runtime>,
}

/// What was asked of the server.
#[derive(Default)]
struct Seen {
    revisions: Mutex<Vec<String>>,
    calls: Mutex<Vec<&'static str>>,
    tokens: Mutex<Vec<String>>,
    requests: Mutex<Vec<Box<dyn Any + Send>>>,
}

impl FakeServer {
    pub(crate) async fn start(prepared: Prepared) -> Self {
        Self::start_at("127.0.0.1:0".parse().unwrap(), prepared).await
    }

    /// Starts on a runtime of its own, so that a kill closes every connection at once.
    pub(crate) async fn start_at(address: SocketAddr, prepared: Prepared) -> Self {
        let listener = bind(address).await;
        let address = listener.local_addr().unwrap();
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let seen = Arc::new(Seen::default());
        let service = Service(Arc::new(State {
            refusals: Mutex::new(prepared.refusals.into()),
            watches: Mutex::new(prepared.watches.into()),
            sessions: prepared.sessions,
            nodes: prepared.nodes,
            affected_nodes: prepared.affected_nodes,
            members: prepared.members,
            audit_entries: prepared.audit_entries,
            page_size: prepared.page_size.max(1),
            open: Mutex::default(),
            seen: seen.clone(),
        }));
        runtime.spawn(async move {
            let incoming = TcpListenerStream::new(TcpListener::from_std(listener).unwrap());
            Server::builder()
                .add_service(SessionServiceServer::new(service.clone()))
                .add_service(NodeAdminServiceServer::new(service.clone()))
                .add_service(MembershipServiceServer::new(service.clone()))
                .add_service(TokenServiceServer::new(service.clone()))
                .add_service(AuditServiceServer::new(service.clone()))
                .add_service(RuntimeNodeServiceServer::new(service))
                .serve_with_incoming(incoming)
                .await
                .unwrap();
        });
        Self { address, seen, runtime: Some(runtime) }
    }

    pub(crate) fn kill(mut self) -> SocketAddr {
        self.stop();
        self.address
    }

    pub(crate) fn addr(&self) -> String {
        format!("--addr={}", self.address)
    }

    /// The revisions that watches asked for.
    pub(crate) fn revisions(&self) -> Vec<String> {
        self.seen.revisions.lock().unwrap().clone()
    }

    pub(crate) fn calls(&self) -> Vec<&'static str> {
        self.seen.calls.lock().unwrap().clone()
    }

    pub(crate) fn tokens(&self) -> Vec<String> {
        self.seen.tokens.lock().unwrap().clone()
    }

    /// The requests of one kind.
    pub(crate) fn requests<Q: Clone + 'static>(&self) -> Vec<Q> {
        self.seen
            .requests
            .lock()
            .unwrap()
            .iter()
            .filter_map(|request| request.downcast_ref())
            .cloned()
            .collect()
    }

    fn stop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

impl Drop for FakeServer {
    fn drop(&mut self) {
        self.stop();
    }
}

/// A port that a killed server had may take a moment to be free.
async fn bind(address: SocketAddr) -> std::net::TcpListener {
    for _ in 0..200 {
        if let Ok(listener) = TcpListener::bind(address).await {
            return listener.into_std().unwrap();
        }
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
    panic!("{address} is taken");
}

struct State {
    sessions: Vec<v1::Session>,
    nodes: Vec<v1::RuntimeNode>,
    affected_nodes: Vec<v1::AffectedNode>,
    members: Vec<v1::Member>,
    audit_entries: Vec<v1::AuditEntry>,
    refusals: Mutex<VecDeque<Refusal>>,
    watches: Mutex<VecDeque<WatchScript>>,
    page_size: usize,
    /// Senders of the streams that stay.
    open: Mutex<Vec<mpsc::Sender<Result<v1::WatchRosterResponse, Status>>>>,
    seen: Arc<Seen>,
}

#[derive(Clone)]
struct Service(Arc<State>);

impl Service {
    fn called<Q: Clone + Send + 'static>(&self, call: &'static str, request: Request<Q>) -> Q {
        self.0.seen.calls.lock().unwrap().push(call);
        if let Some(token) = request.metadata().get("authorization") {
            self.0.seen.tokens.lock().unwrap().push(token.to_str().unwrap().to_owned());
        }
        let request = request.into_inner();
        self.0.seen.requests.lock().unwrap().push(Box::new(request.clone()));
        request
    }

    fn refuse_if_prepared(&self) -> Result<(), Status> {
        match self.0.refusals.lock().unwrap().pop_front() {
            Some(refusal) => Err(refusal.into()),
            None => Ok(()),
        }
    }

    fn session(&self, id: &str) -> Result<v1::Session, Status> {
        self.0
            .sessions
            .iter()
            .find(|session| session.session_id == id)
            .cloned()
            .ok_or_else(|| Refusal::new(Code::SessionNotFound, "there is no such session").into())
    }

    /// A page token is the number of the first item.
    fn page<T: Clone>(&self, items: &[T], token: &str) -> (Vec<T>, String) {
        let first: usize = if token.is_empty() { 0 } else { token.parse().unwrap() };
        let end = items.len().min(first + self.0.page_size);
        let next = if end < items.len() { end.to_string() } else { String::new() };
        (items[first..end].to_vec(), next)
    }
}

#[tonic::async_trait]
impl SessionService for Service {
    async fn create_session(
        &self,
        request: Request<v1::CreateSessionRequest>,
    ) -> Result<Response<v1::CreateSessionResponse>, Status> {
        let request = self.called("create_session", request);
        self.refuse_if_prepared()?;
        let created = v1::Session {
            min_client_version: request.min_client_version,
            active_nodes: 0,
            ..session(&request.session_id, &request.name)
        };
        Ok(Response::new(v1::CreateSessionResponse { session: Some(created) }))
    }

    async fn get_session(
        &self,
        request: Request<v1::GetSessionRequest>,
    ) -> Result<Response<v1::GetSessionResponse>, Status> {
        let request = self.called("get_session", request);
        let session = self.session(&request.session_id)?;
        Ok(Response::new(v1::GetSessionResponse { session: Some(session) }))
    }

    async fn list_sessions(
        &self,
        request: Request<v1::ListSessionsRequest>,
    ) -> Result<Response<v1::ListSessionsResponse>, Status> {
        let request = self.called("list_sessions", request);
        let (sessions, next_page_token) = self.page(&self.0.sessions, &request.page_token);
        Ok(Response::new(v1::ListSessionsResponse { sessions, next_page_token }))
    }

    async fn archive_session(
        &self,
        request: Request<v1::ArchiveSessionRequest>,
    ) -> Result<Response<v1::ArchiveSessionResponse>, Status> {
        let request = self.called("archive_session", request);
        self.refuse_if_prepared()?;
        let session =
            v1::Session { state: v1::SessionState::Archived.into(), ..self.session(&request.session_id)? };
        Ok(Response::new(v1::ArchiveSessionResponse { session: Some(session) }))
    }

    async fn close_session(
        &self,
        request: Request<v1::CloseSessionRequest>,
    ) -> Result<Response<v1::CloseSessionResponse>, Status> {
        let request = self.called("close_session", request);
        self.refuse_if_prepared()?;
        let session = v1::Session {
            state: v1::SessionState::Closed.into(),
            active_nodes: 0,
            ..self.session(&request.session_id)?
        };
        Ok(Response::new(v1::CloseSessionResponse { session: Some(session), detached_nodes: 3 }))
    }

    async fn raise_version_floor(
        &self,
        request: Request<v1::RaiseVersionFloorRequest>,
    ) -> Result<Response<v1::RaiseVersionFloorResponse>, Status> {
        let request = self.called("raise_version_floor", request);
        self.refuse_if_prepared()?;
        let session = v1::Session {
            min_client_version: request.min_client_version,
            ..self.session(&request.session_id)?
        };
        let (affected_nodes, mut next_page_token) = self.page(&self.0.affected_nodes, &request.page_token);
        if !request.validate_only {
            next_page_token.clear();
        }
        Ok(Response::new(v1::RaiseVersionFloorResponse {
            session: Some(session),
            affected_nodes_count: i64::try_from(self.0.affected_nodes.len()).unwrap(),
            affected_nodes,
            next_page_token,
        }))
    }
}

#[tonic::async_trait]
impl NodeAdminService for Service {
    async fn list_nodes(
        &self,
        request: Request<v1::ListNodesRequest>,
    ) -> Result<Response<v1::ListNodesResponse>, Status> {
        let request = self.called("list_nodes", request);
        let (nodes, next_page_token) = self.page(&self.0.nodes, &request.page_token);
        Ok(Response::new(v1::ListNodesResponse { nodes, next_page_token }))
    }

    async fn get_node(
        &self,
        request: Request<v1::GetNodeRequest>,
    ) -> Result<Response<v1::GetNodeResponse>, Status> {
        let request = self.called("get_node", request);
        let slots: Vec<_> =
            self.0.nodes.iter().filter(|node| node.node_id == request.node_id).cloned().collect();
        if slots.is_empty() {
            return Err(Refusal::new(Code::RuntimeNodeNotFound, "no node of that name was ever seen").into());
        }
        Ok(Response::new(v1::GetNodeResponse {
            slots,
            first_seen_at: Some(Timestamp { seconds: THEN, nanos: 0 }),
            generation: 4,
        }))
    }

    async fn explain_node(
        &self,
        request: Request<v1::ExplainNodeRequest>,
    ) -> Result<Response<v1::ExplainNodeResponse>, Status> {
        let request = self.called("explain_node", request);
        Ok(Response::new(v1::ExplainNodeResponse {
            node: Some(node(&request.node_id)),
            summary: format!("{} is read-only: its version 1.0 is below the floor 1.2", request.node_id),
            findings: vec![v1::Finding {
                kind: v1::FindingKind::BelowFloor.into(),
                text: "the floor of the session is 1.2".to_owned(),
                at: None,
            }],
        }))
    }

    async fn detach_node(
        &self,
        request: Request<v1::DetachNodeRequest>,
    ) -> Result<Response<v1::DetachNodeResponse>, Status> {
        let request = self.called("detach_node", request);
        self.refuse_if_prepared()?;
        let node = v1::RuntimeNode { slot_state: v1::SlotState::Offline.into(), ..node(&request.node_id) };
        Ok(Response::new(v1::DetachNodeResponse { node: Some(node) }))
    }

    async fn revoke_node(
        &self,
        request: Request<v1::RevokeNodeRequest>,
    ) -> Result<Response<v1::RevokeNodeResponse>, Status> {
        let request = self.called("revoke_node", request);
        self.refuse_if_prepared()?;
        let slot = v1::RuntimeNode { slot_state: v1::SlotState::Revoked.into(), ..node(&request.node_id) };
        Ok(Response::new(v1::RevokeNodeResponse { slots: vec![slot] }))
    }

    async fn transfer_node(
        &self,
        request: Request<v1::TransferNodeRequest>,
    ) -> Result<Response<v1::TransferNodeResponse>, Status> {
        self.called("transfer_node", request);
        self.refuse_if_prepared()?;
        Ok(Response::new(v1::TransferNodeResponse { generation: 5 }))
    }

    async fn forget_node(
        &self,
        request: Request<v1::ForgetNodeRequest>,
    ) -> Result<Response<v1::ForgetNodeResponse>, Status> {
        self.called("forget_node", request);
        self.refuse_if_prepared()?;
        Ok(Response::new(v1::ForgetNodeResponse {}))
    }
}

type Answers<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

fn not_prepared() -> Status {
    Status::unimplemented("not prepared")
}

#[tonic::async_trait]
impl RuntimeNodeService for Service {
    async fn attach(&self, _: Request<v1::AttachRequest>) -> Result<Response<v1::AttachResponse>, Status> {
        Err(not_prepared())
    }

    async fn heartbeat(
        &self,
        _: Request<v1::HeartbeatRequest>,
    ) -> Result<Response<v1::HeartbeatResponse>, Status> {
        Err(not_prepared())
    }

    type StreamHeartbeatsStream = Answers<v1::StreamHeartbeatsResponse>;

    async fn stream_heartbeats(
        &self,
        _: Request<Streaming<v1::StreamHeartbeatsRequest>>,
    ) -> Result<Response<Self::StreamHeartbeatsStream>, Status> {
        Err(not_prepared())
    }

    async fn update_capabilities(
        &self,
        _: Request<v1::UpdateCapabilitiesRequest>,
    ) -> Result<Response<v1::UpdateCapabilitiesResponse>, Status> {
        Err(not_prepared())
    }

    async fn detach(&self, _: Request<v1::DetachRequest>) -> Result<Response<v1::DetachResponse>, Status> {
        Err(not_prepared())
    }

    async fn get_roster(
        &self,
        _: Request<v1::GetRosterRequest>,
    ) -> Result<Response<v1::GetRosterResponse>, Status> {
        Err(not_prepared())
    }

    type WatchRosterStream = Answers<v1::WatchRosterResponse>;

    async fn watch_roster(
        &self,
        request: Request<v1::WatchRosterRequest>,
    ) -> Result<Response<Self::WatchRosterStream>, Status> {
        let request = self.called("watch_roster", request);
        self.0.seen.revisions.lock().unwrap().push(request.revision);
        let script = self.0.watches.lock().unwrap().pop_front().ok_or_else(not_prepared)?;
        let prepared: Vec<_> = script
            .events
            .into_iter()
            .map(|event| Ok(v1::WatchRosterResponse { event: Some(event) }))
            .collect();
        let (sender, ending) = mpsc::channel(1);
        match script.ending {
            Ending::Stays => self.0.open.lock().unwrap().push(sender),
            Ending::Closes => {}
            Ending::Refuses(refusal) => sender.try_send(Err(refusal.into())).unwrap(),
        }
        let answers = tokio_stream::iter(prepared).chain(ReceiverStream::new(ending));
        Ok(Response::new(Box::pin(answers)))
    }
}
