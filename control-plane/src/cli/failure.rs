//! What can go wrong, how it is told, and with which exit code.

use std::{
    io::{self, ErrorKind},
    process::ExitCode,
};

use client_tls::Distrust;
use contracts::refusal::ReceivedRefusal;

use crate::{
    cli::{address::Address, exit, output::Output, refusal_hint, servers::Lost},
    failure::chain,
    server::tls::SPEAKS_TLS,
};

/// Why a verb did not do what it was asked.
#[derive(Debug)]
pub(crate) enum Failure {
    /// The server said no. Nothing was changed.
    Refused(Box<ReceivedRefusal>),
    /// The server said no to a join token, for which another one helps and no access token does.
    JoinRefused(Box<ReceivedRefusal>),
    /// No server answered.
    Unreachable(Vec<Unanswered>),
    /// A server behind TLS named this one as the active server, which is not.
    InClear(Address),
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
    pub(crate) lost: Lost,
}

impl Failure {
    /// Nobody is known who could vouch for a server.
    pub(crate) fn untrusting(error: &client_tls::Error) -> Self {
        Self::Usage {
            message: chain(error),
            hint: "name a PEM file of the authority that issued the server's certificate, with --ca-cert or \
                   ROLLCALL_CA_CERT"
                .to_owned(),
        }
    }

    /// An answer without a part that the contract promises.
    pub(crate) fn missing(part: &str) -> Self {
        Self::Answer(format!("the server's answer has no {part}; is it a Rollcall server of this release?"))
    }

    fn exit_code(&self) -> u8 {
        match self {
            Self::Refused(_) | Self::JoinRefused(_) | Self::Answer(_) | Self::Declined(_) => exit::REFUSED,
            Self::Unreachable(_) | Self::InClear(_) => exit::UNREACHABLE,
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
                output.hint(unreachable_hint(servers));
            }
            Self::InClear(active) => {
                output.note(&format!(
                    "error: the active server is said to be at {active}, where the token would travel in clear"
                ));
                output.hint("its operator gives it a certificate with --tls-cert and --tls-key, or says its address by TLS with --advertise");
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
        output.note(&format!("error: no server answers at {}: {}", server.address, server.lost.cause));
        return;
    }
    output.note("error: no server answers");
    for server in servers {
        output.note(&format!("  {}: {}", server.address, server.lost.cause));
    }
}

/// What helps with the first that has more wrong with it than that nobody is there.
fn unreachable_hint(servers: &[Unanswered]) -> &'static str {
    if servers.iter().any(|server| server.lost.cause.contains(SPEAKS_TLS)) {
        return "write https:// in --addr or ROLLCALL_ADDR";
    }
    let Some(distrust) = servers.iter().find_map(|server| server.lost.distrust) else {
        return "start a server with `rollcall dev`, or name one with --addr or ROLLCALL_ADDR";
    };
    match distrust {
        Distrust::UnknownIssuer => {
            "name the PEM file of the authority that issued it with --ca-cert or ROLLCALL_CA_CERT"
        }
        Distrust::OtherName => {
            "call the server by a name that its certificate has, or say that name with --tls-server-name"
        }
        Distrust::Expired => {
            "its operator puts a new one into the files of --tls-cert and --tls-key; the server takes it without a restart"
        }
        Distrust::NotYetValid => "compare this machine's clock with another one",
        Distrust::BadCertificate => "its operator needs a certificate that is issued for a server",
        Distrust::NoTls => "call it by http://, if nobody on the way there must be kept from the token",
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
        Unanswered { address: address.parse().unwrap(), lost: Lost::silent("connection refused".to_owned()) }
    }

    #[test]
    fn what_is_wrong_with_the_way_there_comes_before_whether_anybody_is() {
        let hint = |distrust, cause: &str| {
            let lost = Lost { cause: cause.to_owned(), distrust };
            let server = Unanswered { address: "https://b".parse().unwrap(), lost };
            told(Failure::Unreachable(vec![unanswered("https://a"), server])).0
        };
        assert!(hint(Some(Distrust::UnknownIssuer), "-").contains("hint: name the PEM file"), "--ca-cert");
        assert!(hint(Some(Distrust::OtherName), "-").contains("--tls-server-name"));
        assert!(hint(None, SPEAKS_TLS).contains("hint: write https://"));
        let (told, code) = told(Failure::InClear(unanswered("a").address));
        assert!(told.contains("http://a:7420, where the token would travel in clear"), "{told}");
        assert_eq!(code, 3);
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
