//! Why a call did not succeed.

use std::{error::Error, fmt, time::Duration};

use client_tls::Distrust;
use contracts::refusal::ReceivedRefusal;
use tonic::Status;

use crate::{Address, TokenError};

/// Characters of a reason that is shown. A proxy may answer with a whole page.
const REASON_CHARS_MAX: usize = 200;

/// A call that did not succeed, and that the client goes on after.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Setback {
    /// Rollcall said no.
    Refused(ReceivedRefusal),
    /// There is no token to call with, so nothing was sent.
    NoToken {
        /// Why, for people.
        reason: String,
    },
    /// The server could not show that it is the right one, so nothing was sent to it.
    Distrusted {
        /// Where the call was to go.
        address: Address,
        /// What is wrong with it.
        distrust: Distrust,
    },
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
            // One with a source was made on this side, of the transport's error, whose own words are shorter.
            None => Self::from_error(address, status.source().unwrap_or(status)),
        }
    }

    pub(crate) fn from_transport(address: &Address, error: &tonic::transport::Error) -> Self {
        Self::from_error(address, error)
    }

    /// The client itself could not be set up for TLS.
    pub(crate) fn from_tls(address: &Address, error: &client_tls::Error) -> Self {
        Self::unreachable(address, chain(error))
    }

    /// An answer that should have brought a token.
    pub(crate) fn no_token(address: &Address, error: TokenError) -> Self {
        Self::unreachable(address, format!("the answer brought no token: {error}"))
    }

    fn from_error(address: &Address, error: &(dyn Error + 'static)) -> Self {
        match Distrust::of(error) {
            Some(distrust) => Self::Distrusted { address: address.clone(), distrust },
            None => Self::unreachable(address, chain(error)),
        }
    }

    /// The wait that the server asked for.
    pub(crate) fn advised(&self) -> Option<Duration> {
        match self {
            Self::Refused(refusal) => refusal.retry_delay,
            Self::NoToken { .. } | Self::Distrusted { .. } | Self::Unreachable { .. } => None,
        }
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
            (Self::Distrusted { distrust: one, .. }, Self::Distrusted { distrust: other, .. }) => {
                one == other
            }
            (Self::NoToken { reason: one }, Self::NoToken { reason: other }) => one == other,
            (
                Self::Refused(_) | Self::NoToken { .. } | Self::Distrusted { .. } | Self::Unreachable { .. },
                _,
            ) => false,
        }
    }
}

impl fmt::Display for Setback {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Refused(refusal) => refusal.fmt(f),
            Self::NoToken { reason } => f.write_str(reason),
            Self::Distrusted { address, distrust } => write!(f, "{address} is not trusted: {distrust}"),
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
