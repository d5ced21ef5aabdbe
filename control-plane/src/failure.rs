//! Why an operation did not do what was asked: a refusal, which is an answer, or a fault of our own, which is not.
//!
//! This is the one place where a fault becomes a status. A refusal tells the caller everything; a fault tells the
//! caller a correlation id, and the log the rest, with whether the transaction did not or may have happened.

use std::time::Duration;

use contracts::{Code, Refusal, SessionId};
use tonic::Status;
use uuid::Uuid;

use crate::leadership;

/// Why an operation did not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// The request was refused and changed nothing.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// Our own fault.
    #[error(transparent)]
    Fault(#[from] Fault),
}

/// A fault of our own.
#[derive(Debug, thiserror::Error)]
pub enum Fault {
    /// A statement failed; the transaction it belonged to did not happen.
    #[error("a statement failed, its transaction did not happen")]
    Statement(#[source] sqlx::Error),
    /// A commit was not answered; the transaction may have happened.
    #[error("a commit was not answered, its transaction may have happened")]
    Commit(#[source] sqlx::Error),
    /// The database holds what this build cannot read.
    #[error("{table}.{column} holds {value:?}, which this build cannot read")]
    Unreadable {
        /// Table of the value.
        table: &'static str,
        /// Column of the value.
        column: &'static str,
        /// The value.
        value: String,
    },
    /// A token could not be made.
    #[error("a token could not be made")]
    Token(#[source] crate::auth::tokens::MintError),
    /// A task of ours ended before it answered.
    #[error("a task ended before it answered")]
    TaskEnded,
    /// The installation's servers use another number for the leader's lock.
    #[error("the servers of this installation use another --lock-namespace")]
    OtherLockNamespace,
    /// The log of a session does not end where it says.
    #[error("the log of session {0} disagrees with itself, and nothing is appended to it until it is mended")]
    LogBroken(SessionId),
}

/// What `refuse_former_leaders` in the migrations says of a write whose term is over.
const FENCED: &str = "RC001";
/// How long a caller waits before it asks a server again that cannot reach its database.
const UNAVAILABLE_RETRY_DELAY: Duration = Duration::from_secs(1);

impl Fault {
    /// Whether what was asked may have happened all the same. An error that the database reported rolled it back,
    /// unless the session was being ended, which may meet a commit half-way.
    pub fn may_have_happened(&self) -> bool {
        match self {
            Self::Commit(sqlx::Error::Database(error)) => {
                error.code().is_some_and(|code| code.starts_with("57P0"))
            }
            Self::Commit(_) | Self::TaskEnded => true,
            Self::Statement(_)
            | Self::Unreadable { .. }
            | Self::Token(_)
            | Self::OtherLockNamespace
            | Self::LogBroken(_) => false,
        }
    }

    /// Whether the fence refused it: the term it was sent in is over.
    pub fn is_fenced(&self) -> bool {
        match self {
            Self::Statement(sqlx::Error::Database(error)) | Self::Commit(sqlx::Error::Database(error)) => {
                error.code().as_deref() == Some(FENCED)
            }
            Self::Statement(_)
            | Self::Commit(_)
            | Self::Unreadable { .. }
            | Self::Token(_)
            | Self::TaskEnded
            | Self::OtherLockNamespace
            | Self::LogBroken(_) => false,
        }
    }

    /// Whether it may be the fault of one request of those that are written together: nothing happened, and neither the
    /// database nor the term is over.
    pub(crate) fn may_be_of_one_request(&self) -> bool {
        !self.may_have_happened() && !self.is_fenced() && !self.is_outage()
    }

    /// Whether the database did not answer in time: neither done nor failed, as far as is known.
    pub fn is_unanswered(&self) -> bool {
        match self {
            Self::Statement(error) | Self::Commit(error) => is_unanswered(error),
            Self::Unreadable { .. }
            | Self::Token(_)
            | Self::TaskEnded
            | Self::OtherLockNamespace
            | Self::LogBroken(_) => false,
        }
    }

    /// Whether the database could not be reached or was going away: nothing is wrong with the request, nor with us.
    fn is_outage(&self) -> bool {
        match self {
            Self::Statement(error) | Self::Commit(error) => is_outage(error),
            Self::Unreadable { .. }
            | Self::Token(_)
            | Self::TaskEnded
            | Self::OtherLockNamespace
            | Self::LogBroken(_) => false,
        }
    }
}

/// Whether the error says that an answer was waited for in vain, or a connection on which to ask.
pub fn is_unanswered(error: &sqlx::Error) -> bool {
    matches!(error, sqlx::Error::Io(_) | sqlx::Error::PoolTimedOut)
}

/// Whether the error says that the database cannot be reached, is starting or shutting down, or does not answer in time.
#[expect(clippy::wildcard_enum_match_arm, reason = "the driver's errors, which may grow")]
pub fn is_outage(error: &sqlx::Error) -> bool {
    match error {
        sqlx::Error::Io(_)
        | sqlx::Error::PoolTimedOut
        | sqlx::Error::PoolClosed
        | sqlx::Error::WorkerCrashed => true,
        // 57P01 to 57P03: shutting down, crashed, cannot connect now. 53300: no connection left. 57014: a statement
        // took too long, mostly for a lock. 40P01: it was chosen to end a deadlock.
        sqlx::Error::Database(error) => error.code().is_some_and(|code| {
            code.starts_with("57P0") || ["53300", "57014", "40P01"].contains(&code.as_ref())
        }),
        _ => false,
    }
}

impl From<sqlx::Error> for Fault {
    fn from(error: sqlx::Error) -> Self {
        Self::Statement(error)
    }
}

impl From<sqlx::Error> for Failure {
    fn from(error: sqlx::Error) -> Self {
        Self::Fault(error.into())
    }
}

impl From<Fault> for Refusal {
    fn from(fault: Fault) -> Self {
        if fault.is_fenced() {
            return leadership::ended();
        }
        let correlation_id = Uuid::new_v4();
        if fault.is_outage() {
            tracing::warn!(%correlation_id, error = chain(&fault), "the database did not answer in time");
            return Self::new(
                Code::SystemUnavailable,
                "the database did not answer in time. Try again in a moment",
            )
            .with_retry_delay(UNAVAILABLE_RETRY_DELAY);
        }
        tracing::error!(%correlation_id, error = chain(&fault), "a request failed by a fault of our own");
        Self::new(
            Code::SystemInternalError,
            format!("the server failed. Its log tells more under the correlation id {correlation_id}"),
        )
        .with_fact("correlation_id", correlation_id.to_string())
    }
}

impl From<Failure> for Refusal {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Refused(refusal) => refusal,
            Failure::Fault(fault) => fault.into(),
        }
    }
}

impl From<Failure> for Status {
    fn from(failure: Failure) -> Self {
        Refusal::from(failure).into()
    }
}

/// An error with its causes, in one line.
pub fn chain(error: &dyn std::error::Error) -> String {
    let mut line = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let words = error.to_string();
        // Many errors repeat the words of the one below.
        if !line.ends_with(&words) {
            line.push_str(": ");
            line.push_str(&words);
        }
        cause = error.source();
    }
    line
}
