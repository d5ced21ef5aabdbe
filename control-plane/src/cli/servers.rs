//! Calls to the control plane, wherever it is active.
//!
//! A call is tried at each address in turn; a standby that names the active server is followed, but never from TLS into
//! the clear: whoever answers for one server must not be able to have the token sent to everybody. While a takeover is
//! under way, the round is repeated until the timeout. That is safe because every call made here may be repeated: reads,
//! writes that answer a repeat with the state that the first one made, and writes that carry the id of their request.
//! Only tokens have no such id: when the answer that carried one is lost, the next try makes another, and nobody holds
//! the first. An exchange spends a use of its join token at each such try.

use std::{collections::VecDeque, error::Error, time::Duration};

use client_tls::{Distrust, Trust};
use contracts::{Code, limits::DECLARATION_BYTES_MAX, refusal::ReceivedRefusal};
use tokio::time::{Instant, sleep, timeout_at};
use tonic::{
    Request, Response, Status,
    metadata::{Ascii, MetadataValue},
    transport::{Channel, Endpoint},
};

use crate::cli::{
    address::Address,
    credential::Credential,
    failure::{Failure, Unanswered},
    pages::PAGE_SIZE,
};

const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);
/// A dead connection is noticed within twice this, also by a watch on which nothing happens.
const KEEP_ALIVE: Duration = Duration::from_secs(4);
/// Between two rounds, when the servers name no delay of their own.
const ROUND_DELAY: Duration = Duration::from_millis(250);
/// Longest delay between two rounds, whatever the servers ask for: a person waits.
const ROUND_DELAY_MAX: Duration = Duration::from_secs(2);

/// Largest answer: a page of nodes with declarations as large as they may be, and as much again for the rest. The
/// client's own default of 4 MiB is less than that.
pub(crate) const ANSWER_BYTES_MAX: usize = 2 * PAGE_SIZE as usize * DECLARATION_BYTES_MAX;

/// The servers of one control plane.
pub(crate) struct Servers {
    addresses: Vec<Address>,
    credential: Credential,
    trust: Trust,
    timeout: Duration,
    /// The connection that answered last; the next call goes there first.
    kept: Option<Connection>,
}

#[derive(Clone)]
struct Connection {
    address: Address,
    channel: Channel,
}

/// What became of a call at one address.
enum Outcome<A> {
    Answered(A),
    Refused(Box<ReceivedRefusal>),
    Unanswered(Lost),
    Unusable(Failure),
}

impl Servers {
    pub(crate) fn new(
        addresses: Vec<Address>,
        credential: Credential,
        trust: Trust,
        timeout: Duration,
    ) -> Self {
        Self { addresses, credential, trust, timeout, kept: None }
    }

    /// The server that answered last.
    pub(crate) fn answering(&self) -> Option<&Address> {
        self.kept.as_ref().map(|kept| &kept.address)
    }

    /// Makes one call, which must be one that may be repeated. For an answer that is a stream, the timeout is about its
    /// beginning only.
    pub(crate) async fn call<Q: Clone, A>(
        &mut self,
        request: &Q,
        send: impl AsyncFn(Channel, Request<Q>) -> Result<Response<A>, Status>,
    ) -> Result<A, Failure> {
        let deadline = Instant::now() + self.timeout;
        loop {
            let mut unanswered: Vec<Unanswered> = Vec::new();
            let mut not_now: Option<Box<ReceivedRefusal>> = None;
            let mut in_clear: Option<Address> = None;
            let mut queue = self.route();
            let mut seen: Vec<Address> = queue.iter().cloned().collect();
            while let Some(address) = queue.pop_front() {
                let lost = match timeout_at(deadline, self.attempt(&address, request, &send)).await {
                    Ok(Outcome::Answered(answer)) => return Ok(answer),
                    Ok(Outcome::Unusable(failure)) => return Err(failure),
                    Ok(Outcome::Refused(refusal)) => {
                        if !is_for_now(&refusal) {
                            return Err(Failure::Refused(refusal));
                        }
                        let active = active_address(&refusal);
                        if let Some(active) = active.clone().filter(|active| !may_follow(&address, active)) {
                            in_clear = Some(active);
                        } else if let Some(active) = active {
                            // Next, be it configured, queued or neither; but once a round, for two servers may each
                            // believe the other to be active.
                            if queue.contains(&active) || !seen.contains(&active) {
                                queue.retain(|queued| *queued != active);
                                seen.push(active.clone());
                                queue.push_front(active);
                            }
                        }
                        not_now = Some(refusal);
                        continue;
                    }
                    Ok(Outcome::Unanswered(lost)) => lost,
                    Err(_) => {
                        self.kept = None;
                        queue.clear();
                        Lost::silent(format!("no answer within {}", humantime::format_duration(self.timeout)))
                    }
                };
                unanswered.push(Unanswered { address, lost });
            }
            let Some(refusal) = not_now else {
                return Err(Failure::Unreachable(unanswered));
            };
            let delay = refusal.retry_delay.unwrap_or(ROUND_DELAY).clamp(ROUND_DELAY, ROUND_DELAY_MAX);
            if Instant::now() + delay >= deadline {
                return Err(match in_clear {
                    Some(active) => Failure::InClear(active),
                    None => Failure::Refused(refusal),
                });
            }
            sleep(delay).await;
        }
    }

    /// The addresses in the order to try them.
    fn route(&self) -> VecDeque<Address> {
        let mut route: VecDeque<Address> = self.answering().cloned().into_iter().collect();
        for address in &self.addresses {
            if !route.contains(address) {
                route.push_back(address.clone());
            }
        }
        route
    }

    async fn attempt<Q: Clone, A>(
        &mut self,
        address: &Address,
        request: &Q,
        send: &impl AsyncFn(Channel, Request<Q>) -> Result<Response<A>, Status>,
    ) -> Outcome<A> {
        let token = match self.credential.to_metadata() {
            Ok(token) => token,
            Err(failure) => return Outcome::Unusable(failure),
        };
        if let Some(kept) = self.kept.clone().filter(|kept| kept.address == *address) {
            let outcome = ask(send(kept.channel, authorized(request, token.as_ref())).await);
            // A kept connection may have died since; only a fresh one tells whether the server is gone.
            if !matches!(outcome, Outcome::Unanswered(_)) {
                return outcome;
            }
            self.kept = None;
        }
        let endpoint = match self.trust.secure(endpoint(address)) {
            Ok(endpoint) => endpoint,
            Err(error) => return Outcome::Unusable(Failure::untrusting(&error)),
        };
        let channel = match endpoint.connect().await {
            Ok(channel) => channel,
            Err(error) => return Outcome::Unanswered(Lost::of(&error)),
        };
        let outcome = ask(send(channel.clone(), authorized(request, token.as_ref())).await);
        if matches!(outcome, Outcome::Answered(_)) {
            self.kept = Some(Connection { address: address.clone(), channel });
        }
        outcome
    }
}

fn authorized<Q: Clone>(request: &Q, token: Option<&MetadataValue<Ascii>>) -> Request<Q> {
    let mut request = Request::new(request.clone());
    if let Some(token) = token {
        request.metadata_mut().insert("authorization", token.clone());
    }
    request
}

fn endpoint(address: &Address) -> Endpoint {
    Endpoint::from(address.uri())
        .connect_timeout(CONNECT_TIMEOUT)
        .http2_keep_alive_interval(KEEP_ALIVE)
        .keep_alive_timeout(KEEP_ALIVE)
        .keep_alive_while_idle(true)
}

fn ask<A>(answer: Result<Response<A>, Status>) -> Outcome<A> {
    match answer {
        Ok(answer) => Outcome::Answered(answer.into_inner()),
        Err(status) => match read_status(&status) {
            Ended::Refused(refusal) => Outcome::Refused(refusal),
            Ended::Lost(lost) => Outcome::Unanswered(lost),
            Ended::Unusable(failure) => Outcome::Unusable(failure),
        },
    }
}

/// What a status says about a call or stream that it ended.
pub(crate) enum Ended {
    /// The server said no.
    Refused(Box<ReceivedRefusal>),
    /// The connection or the server is gone.
    Lost(Lost),
    /// Something that no Rollcall server says.
    Unusable(Failure),
}

/// Why nothing was heard of a server.
#[derive(Clone, Debug)]
pub(crate) struct Lost {
    /// For people.
    pub(crate) cause: String,
    /// What its certificate lacks, if that was the cause.
    pub(crate) distrust: Option<Distrust>,
}

impl Lost {
    pub(crate) fn silent(cause: String) -> Self {
        Self { cause, distrust: None }
    }

    fn of(error: &(dyn Error + 'static)) -> Self {
        match Distrust::of(error) {
            Some(distrust) => Self { cause: distrust.to_string(), distrust: Some(distrust) },
            None => Self::silent(root_cause(error)),
        }
    }
}

/// Reads the status that ended a call or a stream.
pub(crate) fn read_status(status: &Status) -> Ended {
    if let Some(refusal) = ReceivedRefusal::from_status(status) {
        return Ended::Refused(Box::new(refusal));
    }
    // Only a status that was made on this side has a source: the transport's error.
    if let Some(source) = status.source() {
        return Ended::Lost(Lost::of(source));
    }
    let is_lost = matches!(
        status.code(),
        tonic::Code::Unavailable | tonic::Code::Cancelled | tonic::Code::DeadlineExceeded
    );
    if is_lost {
        return Ended::Lost(Lost::silent(status.message().to_owned()));
    }
    Ended::Unusable(Failure::Answer(format!(
        "the server ended the call with {:?}: {}",
        status.code(),
        status.message()
    )))
}

/// Whether the same call may succeed within seconds, here or elsewhere: a takeover is under way, or a server is ending.
pub(crate) fn is_for_now(refusal: &ReceivedRefusal) -> bool {
    matches!(
        refusal.known(),
        Some(Code::ControllerStandby | Code::ControllerRecovering | Code::SystemUnavailable)
    )
}

/// Whether an address may be called because the server at `from` named it.
fn may_follow(from: &Address, named: &Address) -> bool {
    named.is_secure() || !from.is_secure()
}

fn active_address(refusal: &ReceivedRefusal) -> Option<Address> {
    refusal.facts.get("active_address")?.parse().ok()
}

/// The innermost error: the outer ones of the transport only say "transport error".
fn root_cause(error: &(dyn Error + 'static)) -> String {
    let mut innermost = error;
    while let Some(source) = innermost.source() {
        innermost = source;
    }
    innermost.to_string()
}
