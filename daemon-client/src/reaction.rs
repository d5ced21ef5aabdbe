//! What to do after a setback: one total table a verb. Pure.
//!
//! Only a refusal by Rollcall can end a client. Anything else, from a refused connection to a page of a proxy, says
//! nothing about the node, and the call is repeated elsewhere.

use std::time::Duration;

use contracts::{
    Code,
    refusal::{ReceivedRefusal, RetryAdvice},
};

use crate::{Address, Outcome, Setback};

/// Name of the fact in which a server that is not the active one names it.
const ACTIVE_ADDRESS: &str = "active_address";

/// Whether a call may yet succeed whose token was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Hope {
    /// There is no other token, and none will come.
    None,
    /// There is another one already, or somebody may bring one.
    AnotherToken,
}

/// How to repeat a call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Retry {
    /// At the same address.
    Here { advised: Option<Duration> },
    /// At another address: the one that was named, or the next.
    Elsewhere { named: Option<Address>, advised: Option<Duration> },
}

/// After an attach that did not succeed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum AfterAttach {
    Retry(Retry),
    End(Outcome),
}

/// After a beat that was not acknowledged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum AfterBeat {
    Retry(Retry),
    Reattach { advised: Option<Duration> },
    End(Outcome),
}

/// After an update that was not accepted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum AfterUpdate {
    Retry(Retry),
    /// Attach again, then repeat it.
    Reattach {
        advised: Option<Duration>,
    },
    /// It concerns this update only: tell who asked for it.
    Report(ReceivedRefusal),
    /// The session's floor is above the client: tell who asked, and stay attached, read-only.
    ReportFloor(ReceivedRefusal),
    End(Outcome),
}

/// After a replication stream that ended, or could not be opened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum AfterReplicate {
    Retry(Retry),
    /// Nothing will change soon by itself: beats tell of what concerns the attachment.
    Pause,
    /// The server follows another history.
    Foreign,
}

/// After an append that was not accepted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum AfterAppend {
    Retry(Retry),
    /// Repeat it once the node is attached anew.
    Reattached,
    /// It concerns this append only: tell who asked for it.
    Report(ReceivedRefusal),
    /// The session's floor is above the client: tell who asked.
    ReportFloor(ReceivedRefusal),
}

/// After a detach that was not acknowledged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum AfterDetach {
    Retry(Retry),
    GiveUp,
}

pub(crate) fn after_attach(setback: &Setback, hope: Hope) -> AfterAttach {
    let refusal = match setback {
        Setback::Distrusted { .. } | Setback::Unreachable { .. } => return AfterAttach::Retry(NEXT),
        Setback::NoToken { .. } => return AfterAttach::Retry(AGAIN),
        Setback::Refused(refusal) => refusal,
    };
    match refusal.advice {
        // No attach can come before an attach, so this one is simply repeated.
        RetryAdvice::SameRequest | RetryAdvice::AfterReattach => AfterAttach::Retry(here(refusal)),
        RetryAdvice::Elsewhere => AfterAttach::Retry(elsewhere(refusal)),
        RetryAdvice::AfterUpgrade => AfterAttach::End(Outcome::UpgradeRequired(refusal.clone())),
        RetryAdvice::Never => match (Outcome::of_final_refusal(refusal.clone()), hope) {
            (Outcome::TokenInvalid(_), Hope::AnotherToken) => AfterAttach::Retry(here(refusal)),
            (outcome, _) => AfterAttach::End(outcome),
        },
    }
}

pub(crate) fn after_beat(setback: &Setback, hope: Hope) -> AfterBeat {
    let refusal = match setback {
        Setback::Distrusted { .. } | Setback::Unreachable { .. } => return AfterBeat::Retry(NEXT),
        Setback::NoToken { .. } => return AfterBeat::Retry(AGAIN),
        Setback::Refused(refusal) => refusal,
    };
    match refusal.advice {
        // A node below the floor stays attached, so it goes on beating.
        RetryAdvice::SameRequest | RetryAdvice::AfterUpgrade => AfterBeat::Retry(here(refusal)),
        RetryAdvice::Elsewhere => AfterBeat::Retry(elsewhere(refusal)),
        RetryAdvice::AfterReattach => AfterBeat::Reattach { advised: refusal.retry_delay },
        RetryAdvice::Never => match (Outcome::of_final_refusal(refusal.clone()), hope) {
            (Outcome::TokenInvalid(_), Hope::AnotherToken) => AfterBeat::Retry(here(refusal)),
            // A node that the control plane has forgotten looks like this too, and may attach anew: the attach tells.
            (Outcome::PermissionDenied(_), _) => AfterBeat::Reattach { advised: refusal.retry_delay },
            (outcome, _) => AfterBeat::End(outcome),
        },
    }
}

pub(crate) fn after_update(setback: &Setback, hope: Hope) -> AfterUpdate {
    let refusal = match setback {
        Setback::Distrusted { .. } | Setback::Unreachable { .. } => return AfterUpdate::Retry(NEXT),
        Setback::NoToken { .. } => return AfterUpdate::Retry(AGAIN),
        Setback::Refused(refusal) => refusal,
    };
    match refusal.advice {
        RetryAdvice::SameRequest => AfterUpdate::Retry(here(refusal)),
        RetryAdvice::Elsewhere => AfterUpdate::Retry(elsewhere(refusal)),
        RetryAdvice::AfterReattach => AfterUpdate::Reattach { advised: refusal.retry_delay },
        RetryAdvice::AfterUpgrade => AfterUpdate::ReportFloor(refusal.clone()),
        RetryAdvice::Never => match Outcome::of_final_refusal(refusal.clone()) {
            Outcome::TokenInvalid(_) if hope == Hope::AnotherToken => AfterUpdate::Retry(here(refusal)),
            // These are about the node whatever it asks for.
            outcome @ (Outcome::Superseded(_) | Outcome::Revoked(_) | Outcome::TokenInvalid(_)) => {
                AfterUpdate::End(outcome)
            }
            // These may be about this update. Where they are not, the next beat hears so too.
            Outcome::SessionNotActive(_)
            | Outcome::PermissionDenied(_)
            | Outcome::UpgradeRequired(_)
            | Outcome::Refused(_)
            | Outcome::Detached(_)
            | Outcome::TaskDied => AfterUpdate::Report(refusal.clone()),
        },
    }
}

pub(crate) fn after_replicate(setback: &Setback, hope: Hope) -> AfterReplicate {
    let refusal = match setback {
        Setback::Distrusted { .. } | Setback::Unreachable { .. } => return AfterReplicate::Retry(NEXT),
        Setback::NoToken { .. } => return AfterReplicate::Retry(AGAIN),
        Setback::Refused(refusal) => refusal,
    };
    match refusal.advice {
        // The beats find out that the attachment is lost, and a new one ends the wait.
        RetryAdvice::SameRequest | RetryAdvice::AfterReattach => AfterReplicate::Retry(here(refusal)),
        RetryAdvice::Elsewhere => AfterReplicate::Retry(elsewhere(refusal)),
        RetryAdvice::AfterUpgrade => AfterReplicate::Pause,
        RetryAdvice::Never => match refusal.known() {
            Some(Code::ReplicationForeignHistory) => AfterReplicate::Foreign,
            Some(Code::AuthTokenInvalid | Code::AuthTokenExpired | Code::AuthTokenRevoked)
                if hope == Hope::AnotherToken =>
            {
                AfterReplicate::Retry(here(refusal))
            }
            // A stream that was superseded by another of this node among them: two programs must not take the replica
            // from each other in turns. What is final for the attachment ends it by the next beat.
            Some(_) | None => AfterReplicate::Pause,
        },
    }
}

/// `is_current` says whether the attachment is still the one that the append was sent under.
pub(crate) fn after_append(setback: &Setback, hope: Hope, is_current: bool) -> AfterAppend {
    let refusal = match setback {
        Setback::Distrusted { .. } | Setback::Unreachable { .. } => return AfterAppend::Retry(NEXT),
        Setback::NoToken { .. } => return AfterAppend::Retry(AGAIN),
        Setback::Refused(refusal) => refusal,
    };
    match refusal.advice {
        RetryAdvice::SameRequest => AfterAppend::Retry(here(refusal)),
        RetryAdvice::Elsewhere => AfterAppend::Retry(elsewhere(refusal)),
        RetryAdvice::AfterReattach => AfterAppend::Reattached,
        RetryAdvice::AfterUpgrade => AfterAppend::ReportFloor(refusal.clone()),
        RetryAdvice::Never => match Outcome::of_final_refusal(refusal.clone()) {
            Outcome::TokenInvalid(_) if hope == Hope::AnotherToken => AfterAppend::Retry(here(refusal)),
            // The node attached anew while the append was under way.
            Outcome::Superseded(_) if !is_current => AfterAppend::Reattached,
            // Those that are about the node whatever it asks for, the next beat hears too, and ends by them.
            Outcome::Superseded(_)
            | Outcome::Revoked(_)
            | Outcome::TokenInvalid(_)
            | Outcome::SessionNotActive(_)
            | Outcome::PermissionDenied(_)
            | Outcome::UpgradeRequired(_)
            | Outcome::Refused(_)
            | Outcome::Detached(_)
            | Outcome::TaskDied => AfterAppend::Report(refusal.clone()),
        },
    }
}

pub(crate) fn after_detach(setback: &Setback, hope: Hope) -> AfterDetach {
    let refusal = match setback {
        Setback::Distrusted { .. } | Setback::Unreachable { .. } => return AfterDetach::Retry(NEXT),
        Setback::NoToken { .. } => return AfterDetach::Retry(AGAIN),
        Setback::Refused(refusal) => refusal,
    };
    match refusal.advice {
        RetryAdvice::SameRequest => AfterDetach::Retry(here(refusal)),
        RetryAdvice::Elsewhere => AfterDetach::Retry(elsewhere(refusal)),
        RetryAdvice::Never => match (Outcome::of_final_refusal(refusal.clone()), hope) {
            (Outcome::TokenInvalid(_), Hope::AnotherToken) => AfterDetach::Retry(here(refusal)),
            _ => AfterDetach::GiveUp,
        },
        RetryAdvice::AfterReattach | RetryAdvice::AfterUpgrade => AfterDetach::GiveUp,
    }
}

const AGAIN: Retry = Retry::Here { advised: None };
const NEXT: Retry = Retry::Elsewhere { named: None, advised: None };

fn here(refusal: &ReceivedRefusal) -> Retry {
    Retry::Here { advised: refusal.retry_delay }
}

fn elsewhere(refusal: &ReceivedRefusal) -> Retry {
    Retry::Elsewhere {
        // An address that cannot be read is as good as none.
        named: refusal.facts.get(ACTIVE_ADDRESS).and_then(|address| address.parse().ok()),
        advised: refusal.retry_delay,
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::*;

    const ADVISED: Option<Duration> = Some(Duration::from_secs(3));

    fn refusal(code: &str, advice: RetryAdvice) -> ReceivedRefusal {
        ReceivedRefusal {
            code: code.to_owned(),
            message: "no".to_owned(),
            advice,
            retry_delay: ADVISED,
            facts: HashMap::new(),
            field: None,
        }
    }

    fn refused(code: &str, advice: RetryAdvice) -> Setback {
        Setback::Refused(refusal(code, advice))
    }

    fn registered(code: Code) -> Setback {
        refused(code.entry().code, code.entry().retry)
    }

    #[test]
    fn what_is_not_a_refusal_is_repeated_elsewhere_by_every_verb() {
        let setback = Setback::Unreachable { address: "a".parse().unwrap(), reason: "gone".to_owned() };
        assert_eq!(after_attach(&setback, Hope::None), AfterAttach::Retry(NEXT));
        assert_eq!(after_beat(&setback, Hope::None), AfterBeat::Retry(NEXT));
        assert_eq!(after_update(&setback, Hope::None), AfterUpdate::Retry(NEXT));
        assert_eq!(after_detach(&setback, Hope::None), AfterDetach::Retry(NEXT));
    }

    #[test]
    fn a_server_that_is_not_trusted_is_left_for_the_next() {
        let setback = Setback::Distrusted {
            address: "https://a".parse().unwrap(),
            distrust: client_tls::Distrust::UnknownIssuer,
        };
        assert_eq!(after_attach(&setback, Hope::None), AfterAttach::Retry(NEXT));
        assert_eq!(after_beat(&setback, Hope::None), AfterBeat::Retry(NEXT));
    }

    #[test]
    fn a_refused_token_is_waited_for_while_another_may_come() {
        let hope = Hope::AnotherToken;
        for code in [Code::AuthTokenInvalid, Code::AuthTokenExpired, Code::AuthTokenRevoked] {
            let setback = registered(code);
            let again = Retry::Here { advised: ADVISED };
            assert_eq!(after_attach(&setback, hope), AfterAttach::Retry(again.clone()));
            assert_eq!(after_beat(&setback, hope), AfterBeat::Retry(again.clone()));
            assert_eq!(after_update(&setback, hope), AfterUpdate::Retry(again.clone()));
            assert_eq!(after_detach(&setback, hope), AfterDetach::Retry(again));
        }
        let setback = registered(Code::RuntimeNodeAttachRevoked);
        assert!(matches!(after_beat(&setback, hope), AfterBeat::End(Outcome::Revoked(_))));
        let setback = Setback::NoToken { reason: "none".to_owned() };
        assert_eq!(after_attach(&setback, hope), AfterAttach::Retry(AGAIN));
        assert_eq!(after_detach(&setback, hope), AfterDetach::Retry(AGAIN));
    }

    #[test]
    fn an_unknown_code_is_acted_on_by_its_advice() {
        let code = "future.code";
        let here = Retry::Here { advised: ADVISED };
        let elsewhere = Retry::Elsewhere { named: None, advised: ADVISED };
        let ended = |advice| Outcome::Refused(refusal(code, advice));

        let setback = refused(code, RetryAdvice::SameRequest);
        assert_eq!(after_attach(&setback, Hope::None), AfterAttach::Retry(here.clone()));
        assert_eq!(after_beat(&setback, Hope::None), AfterBeat::Retry(here.clone()));
        assert_eq!(after_update(&setback, Hope::None), AfterUpdate::Retry(here.clone()));
        assert_eq!(after_detach(&setback, Hope::None), AfterDetach::Retry(here.clone()));

        let setback = refused(code, RetryAdvice::Elsewhere);
        assert_eq!(after_attach(&setback, Hope::None), AfterAttach::Retry(elsewhere.clone()));
        assert_eq!(after_beat(&setback, Hope::None), AfterBeat::Retry(elsewhere.clone()));
        assert_eq!(after_update(&setback, Hope::None), AfterUpdate::Retry(elsewhere.clone()));
        assert_eq!(after_detach(&setback, Hope::None), AfterDetach::Retry(elsewhere));

        let setback = refused(code, RetryAdvice::AfterReattach);
        assert_eq!(after_attach(&setback, Hope::None), AfterAttach::Retry(here.clone()));
        assert_eq!(after_beat(&setback, Hope::None), AfterBeat::Reattach { advised: ADVISED });
        assert_eq!(after_update(&setback, Hope::None), AfterUpdate::Reattach { advised: ADVISED });
        assert_eq!(after_detach(&setback, Hope::None), AfterDetach::GiveUp);

        let advice = RetryAdvice::AfterUpgrade;
        let setback = refused(code, advice);
        assert_eq!(
            after_attach(&setback, Hope::None),
            AfterAttach::End(Outcome::UpgradeRequired(refusal(code, advice)))
        );
        assert_eq!(after_beat(&setback, Hope::None), AfterBeat::Retry(here));
        assert_eq!(after_update(&setback, Hope::None), AfterUpdate::ReportFloor(refusal(code, advice)));
        assert_eq!(after_detach(&setback, Hope::None), AfterDetach::GiveUp);

        let advice = RetryAdvice::Never;
        let setback = refused(code, advice);
        assert_eq!(after_attach(&setback, Hope::None), AfterAttach::End(ended(advice)));
        assert_eq!(after_beat(&setback, Hope::None), AfterBeat::End(ended(advice)));
        assert_eq!(after_update(&setback, Hope::None), AfterUpdate::Report(refusal(code, advice)));
        assert_eq!(after_detach(&setback, Hope::None), AfterDetach::GiveUp);
    }

    #[test]
    fn final_refusals_with_an_outcome_of_their_own_end_with_it() {
        type Variant = fn(ReceivedRefusal) -> Outcome;
        let own: [(Code, Variant, bool); 7] = [
            (Code::RuntimeNodeGenerationSuperseded, Outcome::Superseded, true),
            (Code::RuntimeNodeAttachRevoked, Outcome::Revoked, true),
            (Code::AuthTokenInvalid, Outcome::TokenInvalid, true),
            (Code::AuthTokenExpired, Outcome::TokenInvalid, true),
            (Code::AuthTokenRevoked, Outcome::TokenInvalid, true),
            (Code::SessionNotActive, Outcome::SessionNotActive, false),
            (Code::RuntimeNodePermissionDenied, Outcome::PermissionDenied, false),
        ];
        for (code, outcome, ends_by_update) in own {
            let setback = registered(code);
            let refusal = refusal(code.entry().code, code.entry().retry);
            assert_eq!(after_attach(&setback, Hope::None), AfterAttach::End(outcome(refusal.clone())));
            let after_beat = after_beat(&setback, Hope::None);
            if code == Code::RuntimeNodePermissionDenied {
                assert_eq!(
                    after_beat,
                    AfterBeat::Reattach { advised: ADVISED },
                    "it may have been forgotten"
                );
            } else {
                assert_eq!(after_beat, AfterBeat::End(outcome(refusal.clone())));
            }
            let expected = if ends_by_update {
                AfterUpdate::End(outcome(refusal.clone()))
            } else {
                AfterUpdate::Report(refusal)
            };
            assert_eq!(after_update(&setback, Hope::None), expected);
        }
    }

    #[test]
    fn a_conflict_and_our_own_fault_are_waited_out() {
        for code in [Code::RuntimeNodeAttachConflict, Code::SystemInternalError, Code::ControllerRecovering] {
            let retry = AfterAttach::Retry(Retry::Here { advised: ADVISED });
            assert_eq!(after_attach(&registered(code), Hope::None), retry, "{code}");
        }
    }

    #[test]
    fn a_stream_waits_where_another_try_would_change_nothing() {
        let here = || AfterReplicate::Retry(Retry::Here { advised: ADVISED });
        let elsewhere = || AfterReplicate::Retry(Retry::Elsewhere { named: None, advised: ADVISED });
        for (code, expected) in [
            (Code::ControllerStandby, elsewhere()),
            (Code::ControllerRecovering, here()),
            (Code::ReplicationOutOfStep, here()),
            (Code::ResourceLimitExceeded, here()),
            (Code::RuntimeNodeNotAttached, here()),
            (Code::ReplicationForeignHistory, AfterReplicate::Foreign),
            (Code::ReplicationStreamSuperseded, AfterReplicate::Pause),
            (Code::RuntimeNodeGenerationSuperseded, AfterReplicate::Pause),
            (Code::RuntimeNodePermissionDenied, AfterReplicate::Pause),
            (Code::AuthTokenExpired, AfterReplicate::Pause),
        ] {
            assert_eq!(after_replicate(&registered(code), Hope::None), expected, "{code}");
        }
        let expired = registered(Code::AuthTokenExpired);
        assert_eq!(after_replicate(&expired, Hope::AnotherToken), here());
        let setback = Setback::Unreachable { address: "a".parse().unwrap(), reason: "gone".to_owned() };
        assert_eq!(after_replicate(&setback, Hope::None), AfterReplicate::Retry(NEXT));
    }

    #[test]
    fn an_append_is_repeated_unless_its_refusal_is_about_it() {
        let here = || AfterAppend::Retry(Retry::Here { advised: ADVISED });
        let report = |code: Code| AfterAppend::Report(refusal(code.entry().code, code.entry().retry));
        for (code, expected) in [
            (Code::ControllerRecovering, here()),
            (Code::ResourceLimitExceeded, here()),
            (Code::SystemMaintenance, here()),
            (Code::RuntimeNodeNotAttached, AfterAppend::Reattached),
            (Code::LogHeadMismatch, report(Code::LogHeadMismatch)),
            (Code::LogEventIdConflict, report(Code::LogEventIdConflict)),
            (Code::ArgumentInvalid, report(Code::ArgumentInvalid)),
            (Code::RuntimeNodeGenerationSuperseded, report(Code::RuntimeNodeGenerationSuperseded)),
            (Code::AuthTokenExpired, report(Code::AuthTokenExpired)),
        ] {
            assert_eq!(after_append(&registered(code), Hope::None, true), expected, "{code}");
        }
        let floor = after_append(&registered(Code::VersionFloorExceeded), Hope::None, true);
        assert!(matches!(floor, AfterAppend::ReportFloor(_)));
        let superseded = registered(Code::RuntimeNodeGenerationSuperseded);
        assert_eq!(
            after_append(&superseded, Hope::None, false),
            AfterAppend::Reattached,
            "by this client itself"
        );
        let expired = registered(Code::AuthTokenExpired);
        assert_eq!(after_append(&expired, Hope::AnotherToken, true), here());
    }

    #[test]
    fn the_floor_is_reported_and_ends_nothing() {
        let setback = registered(Code::VersionFloorExceeded);
        assert!(matches!(after_update(&setback, Hope::None), AfterUpdate::ReportFloor(_)));
    }

    #[test]
    fn the_active_address_is_followed_when_it_can_be_read() {
        for (fact, named) in [("http://b:1", Some("b:1")), ("b:1", Some("b:1")), ("://", None)] {
            let mut refusal = refusal("controller.standby", RetryAdvice::Elsewhere);
            refusal.facts.insert(ACTIVE_ADDRESS.to_owned(), fact.to_owned());
            let retry =
                Retry::Elsewhere { named: named.map(|address| address.parse().unwrap()), advised: ADVISED };
            assert_eq!(after_beat(&Setback::Refused(refusal), Hope::None), AfterBeat::Retry(retry), "{fact}");
        }
    }
}
