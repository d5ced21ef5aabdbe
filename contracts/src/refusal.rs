//! The registry of refusals, and the one place that maps them to statuses.
//!
//! The registry is append-only: a code keeps its meaning, its statuses and its advice for ever. Each has a page,
//! `docs/errors/<code>.md`. On the wire a refusal is a gRPC status whose details are `google.rpc.ErrorInfo` (reason,
//! and the dotted code, the advice and facts in its metadata), `RetryInfo` where waiting helps, and `BadRequest` for
//! arguments.

use std::{
    collections::{BTreeMap, HashMap},
    fmt,
    time::Duration,
};

use prost::Message;
use prost_types::Any;
use tonic::Status;
use tonic_types::{BadRequest, ErrorInfo, RetryInfo, StatusExt, pb};

use crate::wire::v1;

/// `domain` of every `ErrorInfo` that Rollcall sends.
pub const DOMAIN: &str = "rollcall";
const METADATA_CODE: &str = "code";
const METADATA_RETRY: &str = "retry";

/// What a program may do about a refusal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum RetryAdvice {
    /// The same request will be refused again.
    Never,
    /// The same request may succeed later, here.
    SameRequest,
    /// The same request may succeed at another address.
    Elsewhere,
    /// Attach again, then send it anew.
    AfterReattach,
    /// Only a newer client will succeed.
    AfterUpgrade,
}

impl RetryAdvice {
    const ALL: [Self; 5] =
        [Self::Never, Self::SameRequest, Self::Elsewhere, Self::AfterReattach, Self::AfterUpgrade];

    /// The advice as it stands in the metadata of a status.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Never => "never",
            Self::SameRequest => "same_request",
            Self::Elsewhere => "elsewhere",
            Self::AfterReattach => "after_reattach",
            Self::AfterUpgrade => "after_upgrade",
        }
    }

    fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|advice| advice.as_str() == text)
    }
}

/// What the registry says about a code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Dotted code, the name for people and documents.
    pub code: &'static str,
    /// `ErrorInfo.reason`.
    pub reason: &'static str,
    /// Status of the RPC.
    pub grpc: tonic::Code,
    /// Status where the same refusal is answered over HTTP.
    pub http: u16,
    /// What a program may do.
    pub retry: RetryAdvice,
}

macro_rules! registry {
    ($($(#[$doc:meta])* $variant:ident = $code:literal, $reason:literal, $grpc:ident, $http:literal, $retry:ident;)*) => {
        /// A registered refusal.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum Code {
            $($(#[$doc])* $variant,)*
        }

        impl Code {
            /// Every code, in the order of registration.
            pub const ALL: &[Self] = &[$(Self::$variant),*];

            /// The registry's row for this code.
            pub const fn entry(self) -> Entry {
                match self {
                    $(Self::$variant => Entry {
                        code: $code,
                        reason: $reason,
                        grpc: tonic::Code::$grpc,
                        http: $http,
                        retry: RetryAdvice::$retry,
                    },)*
                }
            }
        }
    };
}

registry! {
    /// A field of the request breaks a rule.
    ArgumentInvalid = "argument.invalid", "ARGUMENT_INVALID", InvalidArgument, 400, Never;
    /// No token, or one that is not valid here.
    AuthTokenInvalid = "auth.token_invalid", "AUTH_TOKEN_INVALID", Unauthenticated, 401, Never;
    /// The body names another participant than the token.
    AuthPrincipalMismatch = "auth.principal_mismatch", "AUTH_PRINCIPAL_MISMATCH", PermissionDenied, 403, Never;
    /// The uniform denial: not there, not yours, or not a member.
    RuntimeNodePermissionDenied = "runtimenode.permission_denied", "RUNTIMENODE_PERMISSION_DENIED", PermissionDenied, 403, Never;
    /// The slot or the node was revoked.
    RuntimeNodeAttachRevoked = "runtimenode.attach_revoked", "RUNTIMENODE_ATTACH_REVOKED", FailedPrecondition, 409, Never;
    /// The node is active in another session.
    RuntimeNodeAttachConflict = "runtimenode.attach_conflict", "RUNTIMENODE_ATTACH_CONFLICT", FailedPrecondition, 409, SameRequest;
    /// The node has no active slot.
    RuntimeNodeNotAttached = "runtimenode.not_attached", "RUNTIMENODE_NOT_ATTACHED", FailedPrecondition, 409, AfterReattach;
    /// A newer attach of the same node holds the slot.
    RuntimeNodeGenerationSuperseded = "runtimenode.generation_superseded", "RUNTIMENODE_GENERATION_SUPERSEDED", Aborted, 409, Never;
    /// Online was reported, and nothing is declared.
    RuntimeNodeCapabilityUpdateConflict = "runtimenode.capabilityupdate_conflict", "RUNTIMENODE_CAPABILITYUPDATE_CONFLICT", FailedPrecondition, 409, Never;
    /// No node of that name was ever seen.
    RuntimeNodeNotFound = "runtimenode.not_found", "RUNTIMENODE_NOT_FOUND", NotFound, 404, Never;
    /// The client is below the session's floor.
    VersionFloorExceeded = "version.floor_exceeded", "VERSION_FLOOR_EXCEEDED", FailedPrecondition, 409, AfterUpgrade;
    /// The client's MAJOR is above the server's.
    VersionCeilingExceeded = "version.ceiling_exceeded", "VERSION_CEILING_EXCEEDED", FailedPrecondition, 409, Elsewhere;
    /// The new floor is below the present one.
    VersionFloorLowered = "version.floor_lowered", "VERSION_FLOOR_LOWERED", FailedPrecondition, 409, Never;
    /// No session of that id is visible to the caller.
    SessionNotFound = "session.not_found", "SESSION_NOT_FOUND", NotFound, 404, Never;
    /// The session is archived or closed.
    SessionNotActive = "session.not_active", "SESSION_NOT_ACTIVE", FailedPrecondition, 409, Never;
    /// A session of that id exists with another name or floor.
    SessionCreateConflict = "session.create_conflict", "SESSION_CREATE_CONFLICT", FailedPrecondition, 409, Never;
    /// A bound is reached.
    ResourceLimitExceeded = "resource.limit_exceeded", "RESOURCE_LIMIT_EXCEEDED", ResourceExhausted, 429, SameRequest;
    /// This server is a standby.
    ControllerStandby = "controller.standby", "CONTROLLER_STANDBY", Unavailable, 503, Elsewhere;
    /// This server leads, and is not done recovering.
    ControllerRecovering = "controller.recovering", "CONTROLLER_RECOVERING", Unavailable, 503, SameRequest;
    /// The server is stopping, or cannot reach its database.
    SystemUnavailable = "system.unavailable", "SYSTEM_UNAVAILABLE", Unavailable, 503, SameRequest;
    /// A fault of our own.
    SystemInternalError = "system.internal_error", "SYSTEM_INTERNAL_ERROR", Internal, 500, SameRequest;
    /// The token is over.
    AuthTokenExpired = "auth.token_expired", "AUTH_TOKEN_EXPIRED", Unauthenticated, 401, Never;
    /// The token was revoked.
    AuthTokenRevoked = "auth.token_revoked", "AUTH_TOKEN_REVOKED", Unauthenticated, 401, Never;
    /// The token lacks the scope that the call needs.
    AuthInsufficientScope = "auth.insufficient_scope", "AUTH_INSUFFICIENT_SCOPE", PermissionDenied, 403, Never;
    /// No token of that id is known, or it is somebody else's.
    AuthTokenNotFound = "auth.token_not_found", "AUTH_TOKEN_NOT_FOUND", NotFound, 404, Never;
    /// The session would be left without an active owner.
    MembershipLastOwner = "membership.last_owner", "MEMBERSHIP_LAST_OWNER", FailedPrecondition, 409, Never;
    /// The node is attached.
    RuntimeNodeStillAttached = "runtimenode.still_attached", "RUNTIMENODE_STILL_ATTACHED", FailedPrecondition, 409, Never;
    /// Maintenance is on: writes are held back, reads are served.
    SystemMaintenance = "system.maintenance", "SYSTEM_MAINTENANCE", Unavailable, 503, SameRequest;
    /// No standby waits to take over.
    ControllerNoStandby = "controller.no_standby", "CONTROLLER_NO_STANDBY", FailedPrecondition, 409, Never;
    /// The log does not end where the append expected.
    LogHeadMismatch = "log.head_mismatch", "LOG_HEAD_MISMATCH", Aborted, 409, Never;
    /// An event of that id is in the log, and says something else.
    LogEventIdConflict = "log.event_id_conflict", "LOG_EVENT_ID_CONFLICT", FailedPrecondition, 409, Never;
    /// The events are not retained any more.
    LogEventsPruned = "log.events_pruned", "LOG_EVENTS_PRUNED", FailedPrecondition, 409, Never;
    /// The replica follows another history than this log.
    ReplicationForeignHistory = "replication.foreign_history", "REPLICATION_FOREIGN_HISTORY", FailedPrecondition, 409, Never;
    /// A newer stream of the same replica took over.
    ReplicationStreamSuperseded = "replication.stream_superseded", "REPLICATION_STREAM_SUPERSEDED", Aborted, 409, Never;
    /// The message does not fit where the exchange stands.
    ReplicationOutOfStep = "replication.out_of_step", "REPLICATION_OUT_OF_STEP", FailedPrecondition, 409, SameRequest;
}

impl Code {
    /// Finds a code by its dotted name.
    pub fn parse(code: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|known| known.entry().code == code)
    }
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.entry().code)
    }
}

/// A field of a request that breaks a rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FieldViolation {
    /// Path of the field in the request, as the proto spells it.
    pub field: String,
    /// The rule, as the rest of a sentence that begins with the field.
    pub rule: String,
}

impl FieldViolation {
    /// A violation of `rule` by `field`.
    pub fn new(field: impl Into<String>, rule: impl Into<String>) -> Self {
        Self { field: field.into(), rule: rule.into() }
    }

    /// The same violation seen from the message that holds this one in `parent`.
    #[must_use]
    pub fn within(mut self, parent: &str) -> Self {
        self.field = format!("{parent}.{}", self.field);
        self
    }
}

impl fmt::Display for FieldViolation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.field, self.rule)
    }
}

impl std::error::Error for FieldViolation {}

/// A typed "no": what is wrong, and what to do about it. A refused request changed nothing.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Refusal {
    /// Which one.
    pub code: Code,
    /// For people. Never names what the caller may not see.
    pub message: String,
    /// Wait this long before a retry.
    pub retry_delay: Option<Duration>,
    /// The field at fault, for [`Code::ArgumentInvalid`].
    pub violation: Option<FieldViolation>,
    /// Facts for programs, such as `resource`, `limit` and `current`.
    pub facts: Vec<(&'static str, String)>,
}

impl Refusal {
    /// A refusal with nothing but its code and a message.
    pub fn new(code: Code, message: impl Into<String>) -> Self {
        Self { code, message: message.into(), retry_delay: None, violation: None, facts: Vec::new() }
    }

    /// The denial that is byte-identical whatever its cause.
    pub fn permission_denied() -> Self {
        Self::new(
            Code::RuntimeNodePermissionDenied,
            "not allowed: the session or node does not exist, or it is not yours to use. Check both ids, and that \
             your token belongs to the node's owner and to a member of the session",
        )
    }

    /// A bound of `limit` on `resource` is reached; `current` are there.
    pub fn limit_exceeded(resource: &'static str, limit: u64, current: u64, hint: &str) -> Self {
        Self::new(
            Code::ResourceLimitExceeded,
            format!("the limit of {limit} for {resource} is reached. {hint}"),
        )
        .with_fact("resource", resource)
        .with_fact("limit", limit.to_string())
        .with_fact("current", current.to_string())
    }

    /// Adds a fact for programs.
    #[must_use]
    pub fn with_fact(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.facts.push((name, value.into()));
        self
    }

    /// Adds how long to wait before a retry.
    #[must_use]
    pub fn with_retry_delay(mut self, delay: Duration) -> Self {
        self.retry_delay = Some(delay);
        self
    }

    /// The refusal as one item of a batch.
    pub fn to_wire(&self) -> v1::Refusal {
        v1::Refusal {
            code: self.code.entry().code.to_owned(),
            message: self.message.clone(),
            retry_advice: v1::RetryAdvice::from(self.code.entry().retry).into(),
            retry_delay: self.retry_delay.and_then(|delay| delay.try_into().ok()),
            field: self.violation.as_ref().map(|violation| violation.field.clone()).unwrap_or_default(),
            facts: self.facts.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect(),
        }
    }
}

impl From<FieldViolation> for Refusal {
    fn from(violation: FieldViolation) -> Self {
        Self { violation: Some(violation.clone()), ..Self::new(Code::ArgumentInvalid, violation.to_string()) }
    }
}

impl From<RetryAdvice> for v1::RetryAdvice {
    fn from(advice: RetryAdvice) -> Self {
        match advice {
            RetryAdvice::Never => Self::Never,
            RetryAdvice::SameRequest => Self::SameRequest,
            RetryAdvice::Elsewhere => Self::Elsewhere,
            RetryAdvice::AfterReattach => Self::AfterReattach,
            RetryAdvice::AfterUpgrade => Self::AfterUpgrade,
        }
    }
}

impl From<v1::RetryAdvice> for RetryAdvice {
    fn from(advice: v1::RetryAdvice) -> Self {
        match advice {
            v1::RetryAdvice::Unspecified | v1::RetryAdvice::Never => Self::Never,
            v1::RetryAdvice::SameRequest => Self::SameRequest,
            v1::RetryAdvice::Elsewhere => Self::Elsewhere,
            v1::RetryAdvice::AfterReattach => Self::AfterReattach,
            v1::RetryAdvice::AfterUpgrade => Self::AfterUpgrade,
        }
    }
}

/// `google.rpc.ErrorInfo` with its metadata in order. The generated type keeps it in a hash map, whose order on the
/// wire changes from one status to the next: the uniform denial would not be byte-identical.
#[derive(Clone, PartialEq, Message)]
struct OrderedErrorInfo {
    #[prost(string, tag = "1")]
    reason: String,
    #[prost(string, tag = "2")]
    domain: String,
    #[prost(btree_map = "string, string", tag = "3")]
    metadata: BTreeMap<String, String>,
}

fn detail(type_url: &str, message: &impl Message) -> Any {
    Any { type_url: type_url.to_owned(), value: message.encode_to_vec() }
}

impl From<Refusal> for Status {
    fn from(refusal: Refusal) -> Self {
        let entry = refusal.code.entry();
        let mut metadata: BTreeMap<String, String> =
            refusal.facts.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
        metadata.insert(METADATA_CODE.to_owned(), entry.code.to_owned());
        metadata.insert(METADATA_RETRY.to_owned(), entry.retry.as_str().to_owned());
        let info = OrderedErrorInfo { reason: entry.reason.to_owned(), domain: DOMAIN.to_owned(), metadata };
        let mut details = vec![detail(ErrorInfo::TYPE_URL, &info)];
        if let Some(violation) = refusal.violation {
            let request = BadRequest::with_violation(violation.field, violation.rule);
            details.push(detail(BadRequest::TYPE_URL, &pb::BadRequest::from(request)));
        }
        if let Some(delay) = refusal.retry_delay {
            let info = RetryInfo::new(Some(delay));
            details.push(detail(RetryInfo::TYPE_URL, &pb::RetryInfo::from(info)));
        }
        let status = pb::Status { code: entry.grpc.into(), message: refusal.message.clone(), details };
        Self::with_details(entry.grpc, refusal.message, status.encode_to_vec().into())
    }
}

/// A refusal as a client received it. The code is text, for a newer server may refuse with a code that this build
/// does not know; the advice is enough to act on.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message} [{code}]")]
pub struct ReceivedRefusal {
    /// Dotted code.
    pub code: String,
    /// For people.
    pub message: String,
    /// What to do.
    pub advice: RetryAdvice,
    /// Wait this long before a retry.
    pub retry_delay: Option<Duration>,
    /// Facts, such as `active_address`.
    pub facts: HashMap<String, String>,
    /// The field at fault.
    pub field: Option<String>,
}

impl ReceivedRefusal {
    /// Reads the refusal in a status; `None` when the status is not one of Rollcall's, such as those that the
    /// transport makes.
    pub fn from_status(status: &Status) -> Option<Self> {
        let details = status.get_error_details();
        let info = details.error_info().filter(|info| info.domain == DOMAIN)?;
        let mut facts = info.metadata.clone();
        let code = facts.remove(METADATA_CODE)?;
        let advice = facts.remove(METADATA_RETRY).and_then(|advice| RetryAdvice::parse(&advice));
        Some(Self {
            code,
            message: status.message().to_owned(),
            advice: advice.unwrap_or(RetryAdvice::Never),
            retry_delay: details.retry_info().and_then(|info| info.retry_delay),
            facts,
            field: details
                .bad_request()
                .and_then(|request| request.field_violations.first())
                .map(|violation| violation.field.clone()),
        })
    }

    /// The registered code, if this build knows it.
    pub fn known(&self) -> Option<Code> {
        Code::parse(&self.code)
    }
}

impl From<v1::Refusal> for ReceivedRefusal {
    fn from(refusal: v1::Refusal) -> Self {
        Self {
            advice: refusal.retry_advice().into(),
            code: refusal.code,
            message: refusal.message,
            retry_delay: refusal.retry_delay.and_then(received_delay),
            facts: refusal.facts,
            field: Some(refusal.field).filter(|field| !field.is_empty()),
        }
    }
}

/// By hand, because the conversion of `prost_types` overflows on the lowest numbers. A negative delay is none.
fn received_delay(wire: prost_types::Duration) -> Option<Duration> {
    let seconds = wire.seconds.try_into().ok()?;
    let nanos = wire.nanos.try_into().ok()?;
    Some(Duration::new(seconds, nanos))
}
