//! What a person may do about a refusal, where a command helps.

use contracts::{Code, refusal::ReceivedRefusal};

/// The hint for `refusal`; `None` where its message says it all, or its code is newer than this build.
pub(crate) fn hint(refusal: &ReceivedRefusal) -> Option<String> {
    let hint = match refusal.known()? {
        Code::AuthTokenInvalid => {
            "export ROLLCALL_TOKEN as printed by `rollcall dev`, or give --token or --token-file"
        }
        Code::AuthTokenExpired | Code::AuthTokenRevoked => {
            "obtain a new token: `rollcall token renew` before it ends, or from an admin after"
        }
        Code::AuthInsufficientScope => "an admin makes tokens with other scopes: `rollcall token issue`",
        Code::MembershipLastOwner => "see who owns it with `rollcall session member list ID`",
        Code::RuntimeNodeStillAttached => "detach it first with `rollcall node detach NODE`",
        Code::RuntimeNodeNotFound => "see the names of all nodes with `rollcall node list`",
        Code::SessionNotFound => "see the sessions that you are a member of with `rollcall session list`",
        Code::SessionNotActive => "make a new one with `rollcall session create --name NAME`",
        Code::SessionCreateConflict => {
            "see the session that has this id with `rollcall session get ID`, or leave out --id"
        }
        Code::VersionFloorLowered => "see the present floor with `rollcall session get ID`",
        Code::ControllerStandby => return Some(standby(refusal)),
        Code::ControllerNoStandby => "start another server on the same database, or say --without-standby",
        Code::ControllerRecovering => "the server is taking over; try again in a moment",
        Code::SystemUnavailable => "try again in a moment; the server's log says why",
        Code::SystemMaintenance => {
            "an admin sees it with `rollcall maintenance status`; reads work all the while"
        }
        Code::SystemInternalError => "the server's log has the cause, under the id in the message",
        Code::ArgumentInvalid
        | Code::AuthPrincipalMismatch
        | Code::AuthTokenNotFound
        | Code::RuntimeNodePermissionDenied
        | Code::RuntimeNodeAttachRevoked
        | Code::RuntimeNodeAttachConflict
        | Code::RuntimeNodeNotAttached
        | Code::RuntimeNodeGenerationSuperseded
        | Code::RuntimeNodeCapabilityUpdateConflict
        | Code::VersionFloorExceeded
        | Code::VersionCeilingExceeded
        | Code::LogHeadMismatch
        | Code::LogEventIdConflict
        | Code::LogEventsPruned
        | Code::ReplicationForeignHistory
        | Code::ReplicationStreamSuperseded
        | Code::ReplicationOutOfStep
        | Code::ResourceLimitExceeded => return None,
    };
    Some(hint.to_owned())
}

fn standby(refusal: &ReceivedRefusal) -> String {
    match refusal.facts.get("active_address") {
        Some(active) => format!("the active server is said to be at {active}, and did not answer from here"),
        None => {
            "no server is known to be active; name all of them with --addr, separated by commas".to_owned()
        }
    }
}
