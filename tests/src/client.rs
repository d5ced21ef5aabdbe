//! A client that speaks the protocol as it is, without the comforts of the daemon's library.

use client_tls::Trust;
use contracts::{
    ParticipantId,
    refusal::ReceivedRefusal,
    wire::v1::{
        AttachRequest, AttachResponse, AuditEntry, Beat, BeatAck, Capability, CreateSessionRequest,
        Declaration, DetachNodeRequest, DetachRequest, GetRosterRequest, HeartbeatRequest,
        ListAuditEntriesRequest, ListMembersRequest, Member, MemberRole, MemberState, RemoveMemberRequest,
        ReportedHealth, RevokeNodeRequest, RuntimeNode, SetMaintenanceRequest, SetMemberRequest,
        UpdateCapabilitiesRequest, UpdateCapabilitiesResponse, audit_service_client::AuditServiceClient,
        event_log_service_client::EventLogServiceClient, leadership_service_client::LeadershipServiceClient,
        maintenance_service_client::MaintenanceServiceClient,
        membership_service_client::MembershipServiceClient,
        node_admin_service_client::NodeAdminServiceClient, revoke_node_request::Scope,
        runtime_node_service_client::RuntimeNodeServiceClient, session_service_client::SessionServiceClient,
        token_service_client::TokenServiceClient,
    },
};
use tonic::{
    Request, Status,
    metadata::{Ascii, MetadataValue},
    service::{Interceptor, interceptor::InterceptedService},
    transport::{Channel, Endpoint},
};
use uuid::Uuid;

/// Adds the token to each call.
#[derive(Clone, Debug)]
pub struct Bearer(MetadataValue<Ascii>);

impl Interceptor for Bearer {
    fn call(&mut self, mut request: Request<()>) -> Result<Request<()>, Status> {
        request.metadata_mut().insert("authorization", self.0.clone());
        Ok(request)
    }
}

type Authenticated = InterceptedService<Channel, Bearer>;

/// All services over one connection.
#[derive(Clone, Debug)]
pub struct Client {
    /// `RuntimeNodeService`.
    pub nodes: RuntimeNodeServiceClient<Authenticated>,
    /// `SessionService`.
    pub sessions: SessionServiceClient<Authenticated>,
    /// `NodeAdminService`.
    pub admin: NodeAdminServiceClient<Authenticated>,
    /// `MembershipService`.
    pub members: MembershipServiceClient<Authenticated>,
    /// `TokenService`.
    pub tokens: TokenServiceClient<Authenticated>,
    /// `AuditService`.
    pub audit: AuditServiceClient<Authenticated>,
    /// `LeadershipService`.
    pub leadership: LeadershipServiceClient<Authenticated>,
    /// `MaintenanceService`.
    pub maintenance: MaintenanceServiceClient<Authenticated>,
    /// `EventLogService`.
    pub log: EventLogServiceClient<Authenticated>,
}

/// An attach, with a healthy daemon of version 1.0 that declares nothing as its default.
#[derive(Clone, Debug)]
pub struct Attaching(pub AttachRequest);

impl Attaching {
    /// A new instance of this node.
    pub fn new(session_id: &str, node_id: &str) -> Self {
        Self(AttachRequest {
            session_id: session_id.to_owned(),
            node_id: node_id.to_owned(),
            instance_id: Uuid::new_v4().to_string(),
            client_version: "1.0".to_owned(),
            health: ReportedHealth::Online.into(),
            declaration: None,
            participant_id: String::new(),
        })
    }

    /// With this version.
    #[must_use]
    pub fn version(mut self, version: &str) -> Self {
        version.clone_into(&mut self.0.client_version);
        self
    }

    /// Declaring these capabilities, of contract 1.0.
    #[must_use]
    pub fn declaring(mut self, keys: &[&str]) -> Self {
        self.0.declaration = Some(Client::declaration(keys));
        self
    }
}

impl Client {
    /// Connects, in clear.
    pub async fn connect(url: &str, token: &str) -> Self {
        Self::connect_by(&Trust::of_system(), url, token).await
    }

    /// Connects; by TLS, to a server that is trusted.
    pub async fn connect_by(trust: &Trust, url: &str, token: &str) -> Self {
        let endpoint = Endpoint::from_shared(url.to_owned()).expect("the URL is one");
        let endpoint = trust.secure(endpoint).expect("the endpoint can be secured");
        Self::over(endpoint.connect().await.expect("the server accepts connections"), token)
    }

    /// Speaks over this connection.
    pub fn over(channel: Channel, token: &str) -> Self {
        let bearer = Bearer(format!("Bearer {token}").parse().expect("the token is ASCII"));
        Self {
            nodes: RuntimeNodeServiceClient::with_interceptor(channel.clone(), bearer.clone()),
            sessions: SessionServiceClient::with_interceptor(channel.clone(), bearer.clone()),
            admin: NodeAdminServiceClient::with_interceptor(channel.clone(), bearer.clone()),
            members: MembershipServiceClient::with_interceptor(channel.clone(), bearer.clone()),
            tokens: TokenServiceClient::with_interceptor(channel.clone(), bearer.clone()),
            audit: AuditServiceClient::with_interceptor(channel.clone(), bearer.clone()),
            leadership: LeadershipServiceClient::with_interceptor(channel.clone(), bearer.clone()),
            maintenance: MaintenanceServiceClient::with_interceptor(channel.clone(), bearer.clone()),
            log: EventLogServiceClient::with_interceptor(channel, bearer),
        }
    }

    /// Makes a session without a floor and gives its id.
    pub async fn session(&self) -> String {
        self.session_with_floor("").await
    }

    /// Makes a session with this floor and gives its id.
    pub async fn session_with_floor(&self, floor: &str) -> String {
        let request = CreateSessionRequest {
            session_id: String::new(),
            name: "test".to_owned(),
            min_client_version: floor.to_owned(),
            ..Default::default()
        };
        let answer = self.sessions.clone().create_session(request).await.expect("a session can be made");
        answer.into_inner().session.expect("it is in the answer").session_id
    }

    /// A declaration of these capabilities, of contract 1.0.
    pub fn declaration(keys: &[&str]) -> Declaration {
        let capabilities = keys
            .iter()
            .map(|key| Capability {
                key: (*key).to_owned(),
                contract_version: "1.0".to_owned(),
                ..Capability::default()
            })
            .collect();
        Declaration { capabilities }
    }

    /// Attaches.
    pub async fn attach(&self, attaching: &Attaching) -> Result<AttachResponse, Status> {
        Ok(self.nodes.clone().attach(attaching.0.clone()).await?.into_inner())
    }

    /// Attaches a new instance that declares one capability and must be let in; gives its generation.
    pub async fn online(&self, session_id: &str, node_id: &str) -> u64 {
        let attaching = Attaching::new(session_id, node_id).declaring(&["codex"]);
        self.attach(&attaching).await.expect("the node is let in").generation
    }

    /// Beats healthily.
    pub async fn beat(&self, node_id: &str, generation: u64) -> Result<BeatAck, Status> {
        let beat = Beat { node_id: node_id.to_owned(), generation, health: ReportedHealth::Online.into() };
        let answer = self.nodes.clone().heartbeat(HeartbeatRequest { beat: Some(beat) }).await?;
        Ok(answer.into_inner().ack.expect("an answer has its acknowledgement"))
    }

    /// Declares, healthily.
    pub async fn declare(
        &self,
        node_id: &str,
        generation: u64,
        keys: &[&str],
    ) -> Result<UpdateCapabilitiesResponse, Status> {
        let request = UpdateCapabilitiesRequest {
            node_id: node_id.to_owned(),
            generation,
            declaration: Some(Self::declaration(keys)),
            health: Some(ReportedHealth::Online.into()),
            health_reason: String::new(),
        };
        Ok(self.nodes.clone().update_capabilities(request).await?.into_inner())
    }

    /// Detaches.
    pub async fn detach(&self, node_id: &str, generation: u64) -> Result<(), Status> {
        let request = DetachRequest { node_id: node_id.to_owned(), generation, reason: String::new() };
        self.nodes.clone().detach(request).await.map(drop)
    }

    /// The first page of a session's roster.
    pub async fn roster(&self, session_id: &str) -> Vec<RuntimeNode> {
        let request = GetRosterRequest {
            session_id: session_id.to_owned(),
            page_size: 1_000,
            page_token: String::new(),
        };
        self.nodes.clone().get_roster(request).await.expect("the roster can be read").into_inner().nodes
    }

    /// One node of a session's roster.
    pub async fn node(&self, session_id: &str, node_id: &str) -> RuntimeNode {
        let roster = self.roster(session_id).await;
        roster.into_iter().find(|node| node.node_id == node_id).expect("the node is in the roster")
    }
}

/// What owners and admins do.
impl Client {
    /// Makes or changes a membership.
    pub async fn set_member(
        &self,
        session_id: &str,
        participant: ParticipantId,
        role: MemberRole,
        state: MemberState,
    ) -> Result<Member, Status> {
        let request = SetMemberRequest {
            session_id: session_id.to_owned(),
            participant_id: participant.to_string(),
            role: role.into(),
            state: state.into(),
            ..SetMemberRequest::default()
        };
        let answer = self.members.clone().set_member(request).await?;
        Ok(answer.into_inner().member.expect("an answer has its member"))
    }

    /// Makes somebody an active member, which must succeed.
    pub async fn welcome(&self, session_id: &str, participant: ParticipantId, role: MemberRole) {
        let set = self.set_member(session_id, participant, role, MemberState::Active).await;
        set.expect("a member can be made");
    }

    /// Ends a membership.
    pub async fn remove_member(&self, session_id: &str, participant: ParticipantId) -> Result<(), Status> {
        let request = RemoveMemberRequest {
            session_id: session_id.to_owned(),
            participant_id: participant.to_string(),
            ..RemoveMemberRequest::default()
        };
        self.members.clone().remove_member(request).await.map(drop)
    }

    /// The first page of a session's members.
    pub async fn members_of(&self, session_id: &str) -> Result<Vec<Member>, Status> {
        let request = ListMembersRequest { session_id: session_id.to_owned(), ..Default::default() };
        Ok(self.members.clone().list_members(request).await?.into_inner().members)
    }

    /// Takes somebody's node out of its slot.
    pub async fn detach_node(&self, node_id: &str) -> Result<RuntimeNode, Status> {
        let request = DetachNodeRequest { node_id: node_id.to_owned(), ..Default::default() };
        let answer = self.admin.clone().detach_node(request).await?;
        Ok(answer.into_inner().node.expect("an answer has its node"))
    }

    /// Bars a node from a session, or, without one, from all; gives the slots that are revoked.
    pub async fn revoke_node(
        &self,
        node_id: &str,
        session_id: Option<&str>,
    ) -> Result<Vec<RuntimeNode>, Status> {
        let session = session_id.map(|session_id| Scope::SessionId(session_id.to_owned()));
        let request = RevokeNodeRequest {
            node_id: node_id.to_owned(),
            scope: Some(session.unwrap_or(Scope::Everywhere(true))),
            reason: "it was stolen".to_owned(),
            ..RevokeNodeRequest::default()
        };
        Ok(self.admin.clone().revoke_node(request).await?.into_inner().slots)
    }

    /// Turns maintenance on for this reason, or off, which must succeed.
    pub async fn set_maintenance(&self, reason: Option<&str>) {
        let request = SetMaintenanceRequest {
            on: reason.is_some(),
            reason: reason.unwrap_or_default().to_owned(),
            ..SetMaintenanceRequest::default()
        };
        let set = self.maintenance.clone().set_maintenance(request).await;
        set.expect("maintenance can be turned");
    }

    /// The first page of the audit, newest first.
    pub async fn audit(&self) -> Vec<AuditEntry> {
        let request = ListAuditEntriesRequest { page_size: 1_000, ..Default::default() };
        let answer = self.audit.clone().list_audit_entries(request).await;
        answer.expect("the audit can be read").into_inner().entries
    }
}

/// The refusal in a status; panics when it is none of Rollcall's.
pub fn refusal<T: std::fmt::Debug>(result: Result<T, Status>) -> ReceivedRefusal {
    let status = result.expect_err("it was to be refused");
    ReceivedRefusal::from_status(&status).unwrap_or_else(|| panic!("no refusal of Rollcall's: {status:?}"))
}
