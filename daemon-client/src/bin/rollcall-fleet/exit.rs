//! Exit codes: a contract with the scripts of drills.

use std::process::ExitCode;

use contracts::Code;
use daemon_client::Setback;

use crate::drill::is_about_token;

/// How the program ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Exit {
    /// Nothing wrong was seen.
    Fine,
    /// Something wrong was seen; the report tells what.
    Wrong,
    /// It could not run.
    CouldNotRun,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        match exit {
            Exit::Fine => 0,
            Exit::Wrong => 1,
            Exit::CouldNotRun => 2,
        }
        .into()
    }
}

/// What to do about a setback that let nothing begin.
pub(crate) fn hint(setback: &Setback) -> &'static str {
    match setback {
        Setback::Refused(refusal) if is_about_token(refusal) => {
            "set ROLLCALL_TOKEN to a token with the scopes node, session:read and session:write, as `rollcall dev` \
             prints one and `rollcall token issue` makes one"
        }
        Setback::Refused(refusal) => match refusal.known() {
            Some(Code::RuntimeNodePermissionDenied | Code::SessionNotFound) => {
                "without --session the fleet makes sessions of its own; a prefix that others use already needs --prefix"
            }
            Some(_) | None => "docs/errors has a page for each code",
        },
        Setback::NoToken { .. } => "set ROLLCALL_TOKEN, or pass a --token-file that holds a token",
        Setback::Distrusted { .. } => "pass --ca-cert with the certificates of your installation",
        Setback::Unreachable { .. } => {
            "is a server running there? `rollcall dev` starts one on http://127.0.0.1:7420; --addr says where else"
        }
    }
}
