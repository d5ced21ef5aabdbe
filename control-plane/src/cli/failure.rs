//! What can go wrong, how it is told, and with which exit code.

use std::{
    io::{self, ErrorKind},
    process::ExitCode,
};

use contracts::refusal::ReceivedRefusal;

use crate::cli::{address::Address, exit, output::Output, refusal_hint};

/// Why a verb did not do what it was asked.
#[derive(Debug)]
pub(crate) enum Failure {
    /// The server said no. Nothing was changed.
    Refused(Box<ReceivedRefusal>),
    /// The server said no to a join token, for which another one helps and no access token does.
    JoinRefused(Box<ReceivedRefusal>),
    /// No server answered.
    Unreachable(Vec<Unanswered>),
    /// A server answered with something that cannot be used.
    Answer(String),
    /// The call cannot work as it was given.
    Usage { message: String, hint: String },
    /// The person who was asked said no.
    Declined(String),
    /// The answer could not be written.
    Output(io::Error),
}

/// One server that did not answer.
#[derive(Debug)]
pub(crate) struct Unanswered {
    pub(crate) address: Address,
    pub(crate) cause: String,
}

impl Failure {
    /// An answer without a part that the contract promises.
    pub(crate) fn missing(part: &str) -> Self {
        Self::Answer(format!("the server's answer has no {part}; is it a Rollcall server of this release?"))
    }

    fn exit_code(&self) -> u8 {
        match self {
            Self::Refused(_) | Self::JoinRefused(_) | Self::Answer(_) | Self::Declined(_) => exit::REFUSED,
            Self::Unreachable(_) => exit::UNREACHABLE,
            Self::Usage { .. } => exit::USAGE,
            // The reader of a pipe has read enough, as `head` does: that is no failure.
            Self::Output(error) if error.kind() == ErrorKind::BrokenPipe => exit::DONE,
            Self::Output(_) => exit::REFUSED,
        }
    }

    fn tell(&self, output: &mut Output) {
        match self {
            Self::Refused(refusal) => {
                tell_refusal(refusal, output);
                if let Some(hint) = refusal_hint::hint(refusal) {
                    output.hint(&hint);
                }
            }
            Self::JoinRefused(refusal) => {
                tell_refusal(refusal, output);
                output.hint("an admin makes a new join token with `rollcall token join create`");
            }
            Self::Unreachable(servers) => {
                tell_unreachable(servers, output);
                output.hint("start a server with `rollcall dev`, or name one with --addr or ROLLCALL_ADDR");
            }
            Self::Answer(message) | Self::Declined(message) => output.note(&format!("error: {message}")),
            Self::Usage { message, hint } => {
                output.note(&format!("error: {message}"));
                output.hint(hint);
            }
            Self::Output(error) if error.kind() == ErrorKind::BrokenPipe => {}
            Self::Output(error) => output.note(&format!("error: cannot write the answer: {error}")),
        }
    }
}

fn tell_refusal(refusal: &ReceivedRefusal, output: &mut Output) {
    output.note(&format!("error: {}", refusal.message));
    output.note(&format!("code: {0} (docs/errors/{0}.md)", refusal.code));
}

fn tell_unreachable(servers: &[Unanswered], output: &mut Output) {
    if let [server] = servers {
        output.note(&format!("error: no server answers at {}: {}", server.address, server.cause));
        return;
    }
    output.note("error: no server answers");
    for server in servers {
        output.note(&format!("  {}: {}", server.address, server.cause));
    }
}

/// Tells what went wrong, if anything did, and gives the code to end with.
pub(crate) fn end(done: Result<(), Failure>, output: &mut Output) -> ExitCode {
    ExitCode::from(end_code(done, output))
}

/// [`end`] as a number.
pub(crate) fn end_code(done: Result<(), Failure>, output: &mut Output) -> u8 {
    let Err(failure) = done else {
        return exit::DONE;
    };
    failure.tell(output);
    failure.exit_code()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::tests::Captured;

    fn told(failure: Failure) -> (String, u8) {
        let (mut output, captured) = Captured::output();
        let code = end_code(Err(failure), &mut output);
        assert_eq!(captured.data(), "", "an error is no data");
        (captured.notes(), code)
    }

    fn unanswered(address: &str) -> Unanswered {
        Unanswered { address: address.parse().unwrap(), cause: "connection refused".to_owned() }
    }

    #[test]
    fn a_missing_server_is_named_with_a_way_out() {
        assert_eq!(
            told(Failure::Unreachable(vec![unanswered("127.0.0.1:7420")])),
            (
                "error: no server answers at http://127.0.0.1:7420: connection refused\n\
                 hint: start a server with `rollcall dev`, or name one with --addr or ROLLCALL_ADDR\n"
                    .to_owned(),
                3
            )
        );
        assert_eq!(
            told(Failure::Unreachable(vec![unanswered("a"), unanswered("b:1")])).0,
            "error: no server answers\n  \
             http://a:7420: connection refused\n  \
             http://b:1: connection refused\n\
             hint: start a server with `rollcall dev`, or name one with --addr or ROLLCALL_ADDR\n"
        );
    }

    #[test]
    fn a_reader_that_has_read_enough_is_no_failure() {
        assert_eq!(told(Failure::Output(ErrorKind::BrokenPipe.into())), (String::new(), 0));
        assert_eq!(told(Failure::Output(ErrorKind::StorageFull.into())).1, 1);
    }
}
