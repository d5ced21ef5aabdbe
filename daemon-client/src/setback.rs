//! Why a call did not succeed.

use std::{error::Error, fmt, time::Duration};

use contracts::refusal::ReceivedRefusal;
use tonic::Status;

use crate::Address;

/// Characters of a reason that is shown. A proxy may answer with a whole page.
const REASON_CHARS_MAX: usize = 200;

/// A call that did not succeed, and that the client goes on after.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Setback {
    /// Rollcall said no.
    Refused(ReceivedRefusal),
    /// Nobody said anything that Rollcall means: no connection, no answer in time, or an answer of something between.
    /// It says nothing about the node.
    Unreachable {
        /// Where the call went.
        address: Address,
        /// What happened, for people.
        reason: String,
    },
}

impl Setback {
    pub(crate) fn from_status(address: &Address, status: &Status) -> Self {
        match ReceivedRefusal::from_status(status) {
            Some(refusal) => Self::Refused(refusal),
            None => Self::unreachable(address, chain(status)),
        }
    }

    pub(crate) fn from_transport(address: &Address, error: &tonic::transport::Error) -> Self {
        Self::unreachable(address, chain(error))
    }

    pub(crate) fn no_answer(address: &Address, deadline: Duration) -> Self {
        Self::unreachable(address, format!("no answer within {deadline:?}"))
    }

    fn unreachable(address: &Address, reason: String) -> Self {
        Self::Unreachable {
            address: address.clone(),
            reason: reason.chars().take(REASON_CHARS_MAX).collect(),
        }
    }

    /// Whether both are of one kind, so that the second is no news.
    pub(crate) fn is_like(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Refused(one), Self::Refused(other)) => one.code == other.code,
            (Self::Unreachable { .. }, Self::Unreachable { .. }) => true,
            (Self::Refused(_), Self::Unreachable { .. }) | (Self::Unreachable { .. }, Self::Refused(_)) => {
                false
            }
        }
    }
}

impl fmt::Display for Setback {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Refused(refusal) => refusal.fmt(f),
            Self::Unreachable { address, reason } => write!(f, "{address}: {reason}"),
        }
    }
}

/// An error with its causes: the outermost of a transport only says "transport error".
fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let words = error.to_string();
        // Many layers repeat the words of the one below.
        if !text.ends_with(&words) {
            text = format!("{text}: {words}");
        }
        cause = error.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use contracts::{Code, Refusal};

    use super::*;

    fn address() -> Address {
        "a".parse().unwrap()
    }

    #[test]
    fn a_refusal_is_told_from_a_status_of_something_between() {
        let refusal =
            Refusal::new(Code::ControllerStandby, "ask the other").with_fact("active_address", "b:1");
        let refused = Setback::from_status(&address(), &refusal.into());
        assert!(matches!(&refused, Setback::Refused(refusal)
            if refusal.known() == Some(Code::ControllerStandby) && refusal.facts["active_address"] == "b:1"));
        for code in [tonic::Code::Unavailable, tonic::Code::PermissionDenied, tonic::Code::Unimplemented] {
            let between = Setback::from_status(&address(), &Status::new(code, "proxy"));
            assert!(matches!(&between, Setback::Unreachable { .. }), "{code:?}");
            assert!(!between.is_like(&refused) && !refused.is_like(&between));
            assert!(between.is_like(&Setback::no_answer(&address(), Duration::from_secs(5))));
        }
    }

    #[test]
    fn a_reason_is_bounded() {
        let page = Status::unknown("x".repeat(10_000));
        assert!(Setback::from_status(&address(), &page).to_string().len() < 300);
    }
}
