//! Who may call what: one table over every RPC. What is not in it is refused.
//!
//! The table says which scope a token needs. What its participant may do with the session or node at hand is decided
//! by the verb, inside its transaction; the table's second column says how, for readers and for the test that wants a
//! row for every RPC.

use super::tokens::Scope;

/// What a call needs besides a valid token with the scope.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Right {
    /// Nothing: it concerns the token itself, or makes something new that the caller owns.
    Any,
    /// Own the node, and be an active member that may run nodes.
    RunNode,
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
}

/// Every RPC of the package, `Service/Method`.
pub const ACCESS: &[(&str, Access)] = &[
    ("RuntimeNodeService/Attach", Access::Scope(Scope::Node, Right::RunNode)),
    ("RuntimeNodeService/Heartbeat", Access::Scope(Scope::Node, Right::RunNode)),
    ("RuntimeNodeService/StreamHeartbeats", Access::Scope(Scope::Node, Right::RunNode)),
    ("RuntimeNodeService/UpdateCapabilities", Access::Scope(Scope::Node, Right::RunNode)),
    ("RuntimeNodeService/Detach", Access::Scope(Scope::Node, Right::OwnNode)),
    ("RuntimeNodeService/GetRoster", Access::Scope(Scope::SessionRead, Right::See)),
    ("RuntimeNodeService/WatchRoster", Access::Scope(Scope::SessionRead, Right::See)),
    ("SessionService/CreateSession", Access::Scope(Scope::SessionWrite, Right::Any)),
    ("SessionService/GetSession", Access::Scope(Scope::SessionRead, Right::See)),
    ("SessionService/ListSessions", Access::Scope(Scope::SessionRead, Right::See)),
    ("SessionService/ArchiveSession", Access::Scope(Scope::SessionWrite, Right::Manage)),
    ("SessionService/CloseSession", Access::Scope(Scope::SessionWrite, Right::Manage)),
    ("SessionService/RaiseVersionFloor", Access::Scope(Scope::SessionWrite, Right::Manage)),
    ("MembershipService/SetMember", Access::Scope(Scope::SessionWrite, Right::Manage)),
    ("MembershipService/RemoveMember", Access::Scope(Scope::SessionWrite, Right::Manage)),
    ("MembershipService/ListMembers", Access::Scope(Scope::SessionRead, Right::See)),
    ("NodeAdminService/ListNodes", Access::Scope(Scope::SessionRead, Right::See)),
    ("NodeAdminService/GetNode", Access::Scope(Scope::SessionRead, Right::See)),
    ("NodeAdminService/ExplainNode", Access::Scope(Scope::SessionRead, Right::See)),
    ("NodeAdminService/DetachNode", Access::Scope(Scope::SessionWrite, Right::Manage)),
    ("NodeAdminService/RevokeNode", Access::Scope(Scope::SessionWrite, Right::Manage)),
    ("NodeAdminService/TransferNode", Access::Scope(Scope::Admin, Right::Admin)),
    ("NodeAdminService/ForgetNode", Access::Scope(Scope::Admin, Right::Admin)),
    ("TokenService/IssueToken", Access::Scope(Scope::Admin, Right::Admin)),
    ("TokenService/RenewToken", Access::Token(Right::Any)),
    ("TokenService/RevokeToken", Access::Token(Right::Any)),
    ("TokenService/CreateJoinToken", Access::Scope(Scope::Admin, Right::Admin)),
    ("TokenService/ExchangeJoinToken", Access::Open),
    ("LeadershipService/GetLeadership", Access::Token(Right::Any)),
    ("LeadershipService/StepDown", Access::Scope(Scope::Admin, Right::Admin)),
    ("AuditService/ListAuditEntries", Access::Scope(Scope::Admin, Right::Admin)),
];

/// How the RPC of a request path, `/rollcall.v1.Service/Method`, is let in; none for a path that is not in the table.
pub fn access(path: &str) -> Option<Access> {
    let name = path.strip_prefix("/rollcall.v1.")?;
    ACCESS.iter().find(|(known, _)| *known == name).map(|(_, access)| *access)
}
