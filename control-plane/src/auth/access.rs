//! Who may call what, and what the call does: one table over every RPC. What is not in it is refused.
//!
//! The table says which scope a token needs. What its participant may do with the session or node at hand is decided
//! by the verb, inside its transaction; the table's second column says how, for readers and for the test that wants a
//! row for every RPC. The third column says what a call does, and so where and when it is served.

use std::collections::BTreeMap;

use super::tokens::Scope;

/// What a call needs besides a valid token with the scope.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Right {
    /// Nothing: it concerns the token itself, or makes something new that the caller owns.
    Any,
    /// Own the node, and be an active member that may run nodes.
    RunNode,
    /// In person, be an owner or collaborator of the session; for a node, what it takes to run it.
    Append,
    /// Own the node.
    OwnNode,
    /// Be an active member of the session, or an admin.
    See,
    /// Be an owner of the session, or an admin.
    Manage,
    /// Be an admin.
    Admin,
}

/// How a call is let in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Without a token.
    Open,
    /// With any valid token.
    Token(Right),
    /// With a token of this scope.
    Scope(Scope, Right),
    /// With a token of one of these scopes; which one is needed depends on the request.
    Either(Scope, Scope, Right),
}

/// What a call does to what is stored: where and when it is served follows from it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Nothing. Every server serves it, also during maintenance; only a watch of a roster asks for the leader, from whose
    /// view it is told.
    Read,
    /// It writes. Only the leader serves it, and not during maintenance.
    Write,
    /// It writes, also during maintenance: it is what ends it.
    WriteAlways,
}

/// Every RPC of the package, `Service/Method`.
pub const ACCESS: &[(&str, Access, Effect)] = &[
    ("RuntimeNodeService/Attach", Access::Scope(Scope::Node, Right::RunNode), Effect::Write),
    ("RuntimeNodeService/Heartbeat", Access::Scope(Scope::Node, Right::RunNode), Effect::Write),
    ("RuntimeNodeService/StreamHeartbeats", Access::Scope(Scope::Node, Right::RunNode), Effect::Write),
    ("RuntimeNodeService/UpdateCapabilities", Access::Scope(Scope::Node, Right::RunNode), Effect::Write),
    ("RuntimeNodeService/Detach", Access::Scope(Scope::Node, Right::OwnNode), Effect::Write),
    ("RuntimeNodeService/GetRoster", Access::Scope(Scope::SessionRead, Right::See), Effect::Read),
    ("RuntimeNodeService/WatchRoster", Access::Scope(Scope::SessionRead, Right::See), Effect::Read),
    ("SessionService/CreateSession", Access::Scope(Scope::SessionWrite, Right::Any), Effect::Write),
    ("SessionService/GetSession", Access::Scope(Scope::SessionRead, Right::See), Effect::Read),
    ("SessionService/ListSessions", Access::Scope(Scope::SessionRead, Right::See), Effect::Read),
    ("SessionService/ArchiveSession", Access::Scope(Scope::SessionWrite, Right::Manage), Effect::Write),
    ("SessionService/CloseSession", Access::Scope(Scope::SessionWrite, Right::Manage), Effect::Write),
    ("SessionService/RaiseVersionFloor", Access::Scope(Scope::SessionWrite, Right::Manage), Effect::Write),
    ("MembershipService/SetMember", Access::Scope(Scope::SessionWrite, Right::Manage), Effect::Write),
    ("MembershipService/RemoveMember", Access::Scope(Scope::SessionWrite, Right::Manage), Effect::Write),
    ("MembershipService/ListMembers", Access::Scope(Scope::SessionRead, Right::See), Effect::Read),
    ("NodeAdminService/ListNodes", Access::Scope(Scope::SessionRead, Right::See), Effect::Read),
    ("NodeAdminService/GetNode", Access::Scope(Scope::SessionRead, Right::See), Effect::Read),
    ("NodeAdminService/ExplainNode", Access::Scope(Scope::SessionRead, Right::See), Effect::Read),
    ("NodeAdminService/DetachNode", Access::Scope(Scope::SessionWrite, Right::Manage), Effect::Write),
    ("NodeAdminService/RevokeNode", Access::Scope(Scope::SessionWrite, Right::Manage), Effect::Write),
    ("NodeAdminService/TransferNode", Access::Scope(Scope::Admin, Right::Admin), Effect::Write),
    ("NodeAdminService/ForgetNode", Access::Scope(Scope::Admin, Right::Admin), Effect::Write),
    (
        "EventLogService/AppendEvents",
        Access::Either(Scope::Node, Scope::SessionWrite, Right::Append),
        Effect::Write,
    ),
    ("EventLogService/ReadEvents", Access::Scope(Scope::SessionRead, Right::See), Effect::Read),
    ("EventLogService/Replicate", Access::Scope(Scope::Node, Right::RunNode), Effect::Write),
    ("EventLogService/GetReplicationStatus", Access::Scope(Scope::SessionRead, Right::See), Effect::Read),
    ("TokenService/IssueToken", Access::Scope(Scope::Admin, Right::Admin), Effect::Write),
    ("TokenService/RenewToken", Access::Token(Right::Any), Effect::Write),
    ("TokenService/RevokeToken", Access::Token(Right::Any), Effect::Write),
    ("TokenService/CreateJoinToken", Access::Scope(Scope::Admin, Right::Admin), Effect::Write),
    ("TokenService/ExchangeJoinToken", Access::Open, Effect::Write),
    ("AuditService/ListAuditEntries", Access::Scope(Scope::Admin, Right::Admin), Effect::Read),
    ("MaintenanceService/SetMaintenance", Access::Scope(Scope::Admin, Right::Admin), Effect::WriteAlways),
    ("MaintenanceService/GetMaintenance", Access::Scope(Scope::Admin, Right::Admin), Effect::Read),
    ("LeadershipService/GetLeadership", Access::Token(Right::Any), Effect::Read),
    ("LeadershipService/StepDown", Access::Scope(Scope::Admin, Right::Admin), Effect::WriteAlways),
];

/// How the RPC of a request path, `/rollcall.v1.Service/Method`, is let in; none for a path that is not in the table.
pub fn access(path: &str) -> Option<Access> {
    row(path).map(|(_, access, _)| *access)
}

/// What the RPC of a request path does; none for a path that is not in the table.
pub fn effect(path: &str) -> Option<Effect> {
    row(path).map(|(_, _, effect)| *effect)
}

/// Every service, by its name, with whether it has a call that writes and that maintenance holds back. One that has can
/// be of use to clients at the leader alone.
pub fn services() -> BTreeMap<&'static str, bool> {
    let mut services = BTreeMap::new();
    for (name, _, effect) in ACCESS {
        let (service, _) = name.split_once('/').unwrap_or((name, ""));
        *services.entry(service).or_default() |= *effect == Effect::Write;
    }
    services
}

fn row(path: &str) -> Option<&'static (&'static str, Access, Effect)> {
    let name = path.strip_prefix("/rollcall.v1.")?;
    ACCESS.iter().find(|(known, _, _)| *known == name)
}
