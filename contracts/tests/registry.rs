//! The registry of refusals is a promise: this table is written out a second time, so that a change to the first
//! cannot pass unseen.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use contracts::{
    Code, Refusal,
    refusal::{DOMAIN, FieldViolation, ReceivedRefusal, RetryAdvice},
    wire::v1,
};
use prost::Message;
use tonic::{Status, codegen::http::HeaderMap};
use tonic_types::{ErrorDetails, StatusExt};

/// Code, reason, number of the gRPC status, HTTP status, retry advice. Only ever add rows, at the end.
#[rustfmt::skip]
const REGISTRY: &[(&str, &str, i32, u16, &str)] = &[
    ("argument.invalid", "ARGUMENT_INVALID", 3, 400, "never"),
    ("auth.token_invalid", "AUTH_TOKEN_INVALID", 16, 401, "never"),
    ("auth.principal_mismatch", "AUTH_PRINCIPAL_MISMATCH", 7, 403, "never"),
    ("runtimenode.permission_denied", "RUNTIMENODE_PERMISSION_DENIED", 7, 403, "never"),
    ("runtimenode.attach_revoked", "RUNTIMENODE_ATTACH_REVOKED", 9, 409, "never"),
    ("runtimenode.attach_conflict", "RUNTIMENODE_ATTACH_CONFLICT", 9, 409, "same_request"),
    ("runtimenode.not_attached", "RUNTIMENODE_NOT_ATTACHED", 9, 409, "after_reattach"),
    ("runtimenode.generation_superseded", "RUNTIMENODE_GENERATION_SUPERSEDED", 10, 409, "never"),
    ("runtimenode.capabilityupdate_conflict", "RUNTIMENODE_CAPABILITYUPDATE_CONFLICT", 9, 409, "never"),
    ("runtimenode.not_found", "RUNTIMENODE_NOT_FOUND", 5, 404, "never"),
    ("version.floor_exceeded", "VERSION_FLOOR_EXCEEDED", 9, 409, "after_upgrade"),
    ("version.ceiling_exceeded", "VERSION_CEILING_EXCEEDED", 9, 409, "elsewhere"),
    ("version.floor_lowered", "VERSION_FLOOR_LOWERED", 9, 409, "never"),
    ("session.not_found", "SESSION_NOT_FOUND", 5, 404, "never"),
    ("session.not_active", "SESSION_NOT_ACTIVE", 9, 409, "never"),
    ("session.create_conflict", "SESSION_CREATE_CONFLICT", 9, 409, "never"),
    ("resource.limit_exceeded", "RESOURCE_LIMIT_EXCEEDED", 8, 429, "same_request"),
    ("controller.standby", "CONTROLLER_STANDBY", 14, 503, "elsewhere"),
    ("controller.recovering", "CONTROLLER_RECOVERING", 14, 503, "same_request"),
    ("system.unavailable", "SYSTEM_UNAVAILABLE", 14, 503, "same_request"),
    ("system.internal_error", "SYSTEM_INTERNAL_ERROR", 13, 500, "same_request"),
    ("auth.token_expired", "AUTH_TOKEN_EXPIRED", 16, 401, "never"),
    ("auth.token_revoked", "AUTH_TOKEN_REVOKED", 16, 401, "never"),
    ("auth.insufficient_scope", "AUTH_INSUFFICIENT_SCOPE", 7, 403, "never"),
    ("auth.token_not_found", "AUTH_TOKEN_NOT_FOUND", 5, 404, "never"),
    ("membership.last_owner", "MEMBERSHIP_LAST_OWNER", 9, 409, "never"),
    ("runtimenode.still_attached", "RUNTIMENODE_STILL_ATTACHED", 9, 409, "never"),
    ("system.maintenance", "SYSTEM_MAINTENANCE", 14, 503, "same_request"),
    ("controller.no_standby", "CONTROLLER_NO_STANDBY", 9, 409, "never"),
    ("log.head_mismatch", "LOG_HEAD_MISMATCH", 10, 409, "never"),
    ("log.event_id_conflict", "LOG_EVENT_ID_CONFLICT", 9, 409, "never"),
    ("log.events_pruned", "LOG_EVENTS_PRUNED", 9, 409, "never"),
    ("replication.foreign_history", "REPLICATION_FOREIGN_HISTORY", 9, 409, "never"),
    ("replication.stream_superseded", "REPLICATION_STREAM_SUPERSEDED", 10, 409, "never"),
    ("replication.out_of_step", "REPLICATION_OUT_OF_STEP", 9, 409, "same_request"),
];

/// The names that gRPC gives its status codes, by number.
const GRPC_NAMES: [&str; 17] = [
    "OK",
    "CANCELLED",
    "UNKNOWN",
    "INVALID_ARGUMENT",
    "DEADLINE_EXCEEDED",
    "NOT_FOUND",
    "ALREADY_EXISTS",
    "PERMISSION_DENIED",
    "RESOURCE_EXHAUSTED",
    "FAILED_PRECONDITION",
    "ABORTED",
    "OUT_OF_RANGE",
    "UNIMPLEMENTED",
    "INTERNAL",
    "UNAVAILABLE",
    "DATA_LOSS",
    "UNAUTHENTICATED",
];

const ADVICE: [(RetryAdvice, v1::RetryAdvice, &str); 5] = [
    (RetryAdvice::Never, v1::RetryAdvice::Never, "never"),
    (RetryAdvice::SameRequest, v1::RetryAdvice::SameRequest, "same_request"),
    (RetryAdvice::Elsewhere, v1::RetryAdvice::Elsewhere, "elsewhere"),
    (RetryAdvice::AfterReattach, v1::RetryAdvice::AfterReattach, "after_reattach"),
    (RetryAdvice::AfterUpgrade, v1::RetryAdvice::AfterUpgrade, "after_upgrade"),
];

fn pages() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/errors")
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Sends a status through the headers that carry it, and back.
fn over_the_wire(status: &Status) -> Status {
    let mut headers = HeaderMap::new();
    status.add_header(&mut headers).expect("a refusal fits into headers");
    Status::from_header_map(&headers).expect("the headers hold a status")
}

fn received(refusal: Refusal) -> ReceivedRefusal {
    ReceivedRefusal::from_status(&over_the_wire(&refusal.into())).expect("a refusal of Rollcall")
}

/// The cells of each row of the first table of a page, without its header and code quotes.
fn table(page: &str) -> Vec<Vec<String>> {
    page.lines()
        .skip_while(|line| !line.starts_with('|'))
        .take_while(|line| line.starts_with('|'))
        .skip(2)
        .map(|line| line.trim_matches('|').split('|').map(|cell| cell.trim().replace('`', "")).collect())
        .collect()
}

#[test]
fn the_registry_is_as_promised_and_only_ever_grows() {
    for (index, row) in REGISTRY.iter().enumerate() {
        let entry = Code::ALL.get(index).map(|code| code.entry());
        let found = entry.map(|entry| {
            let advice = entry.retry.as_str();
            (entry.code, entry.reason, i32::from(entry.grpc), entry.http, advice)
        });
        assert_eq!(
            found.as_ref(),
            Some(row),
            "the registry is append-only: row {index} was promised to clients (right) and must not be removed, \
             changed or moved (left is what the code says). Add a new code at the end instead",
        );
    }
    let new: Vec<_> = Code::ALL[REGISTRY.len()..].iter().map(|code| code.entry()).collect();
    assert!(new.is_empty(), "add the new rows to the end of this test's table: {new:?}");
}

#[test]
fn codes_and_reasons_are_unique_and_a_reason_is_its_code_in_upper_snake() {
    let codes: BTreeSet<_> = Code::ALL.iter().map(|code| code.entry().code).collect();
    let reasons: BTreeSet<_> = Code::ALL.iter().map(|code| code.entry().reason).collect();
    assert_eq!(codes.len(), Code::ALL.len());
    assert_eq!(reasons.len(), Code::ALL.len());
    for code in Code::ALL {
        let entry = code.entry();
        assert_eq!(entry.reason, entry.code.replace('.', "_").to_uppercase());
        assert_eq!(Code::parse(entry.code), Some(*code));
        assert_eq!(code.to_string(), entry.code);
    }
}

#[test]
fn each_code_has_a_page_that_states_the_same_facts() {
    for (code, reason, grpc, http, retry) in REGISTRY {
        let page = read(&pages().join(format!("{code}.md")));
        assert!(page.starts_with(&format!("# {code}\n")), "the title of {code}.md");
        let grpc_name = GRPC_NAMES[*grpc as usize];
        let expect = [
            ["Reason".to_owned(), (*reason).to_owned()],
            ["gRPC status".to_owned(), format!("{grpc_name} ({grpc})")],
            ["HTTP status".to_owned(), http.to_string()],
            ["Retry advice".to_owned(), (*retry).to_owned()],
        ];
        assert_eq!(table(&page), expect, "the table of {code}.md");
        let sections: Vec<_> = page.lines().filter(|line| line.starts_with("## ")).collect();
        assert_eq!(
            sections,
            ["## What it means", "## When it happens", "## What to do"],
            "the sections of {code}.md"
        );
    }
}

#[test]
fn no_page_exists_without_a_code() {
    let found: BTreeSet<String> = fs::read_dir(pages())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    let expect: BTreeSet<String> =
        REGISTRY.iter().map(|(code, ..)| format!("{code}.md")).chain(["README.md".to_owned()]).collect();
    assert_eq!(found, expect);
}

#[test]
fn the_index_of_the_pages_is_the_registry_in_order() {
    let expect: Vec<Vec<String>> = REGISTRY
        .iter()
        .map(|(code, _, grpc, http, retry)| {
            vec![
                format!("[{code}]({code}.md)"),
                GRPC_NAMES[*grpc as usize].to_owned(),
                http.to_string(),
                (*retry).to_owned(),
            ]
        })
        .collect();
    assert_eq!(table(&read(&pages().join("README.md"))), expect);
}

#[test]
fn every_code_survives_the_way_to_a_client() {
    for (code, (_, reason, grpc, _, advice)) in Code::ALL.iter().zip(REGISTRY) {
        let refusal = Refusal::new(*code, "nein, größer als 10 %\nund mehr")
            .with_fact("active_address", "http://10.0.0.7:7400")
            .with_fact("limit", "1000")
            .with_retry_delay(Duration::from_millis(1_250));
        let status = over_the_wire(&refusal.clone().into());
        assert_eq!(i32::from(status.code()), *grpc, "{code}");
        let info = status.get_details_error_info().unwrap();
        assert_eq!((info.domain.as_str(), info.reason.as_str()), (DOMAIN, *reason));

        let received = ReceivedRefusal::from_status(&status).unwrap();
        let facts = [("active_address", "http://10.0.0.7:7400"), ("limit", "1000")];
        assert_eq!(
            received,
            ReceivedRefusal {
                code: code.entry().code.to_owned(),
                message: refusal.message,
                advice: code.entry().retry,
                retry_delay: refusal.retry_delay,
                facts: facts.map(|(name, value)| (name.to_owned(), value.to_owned())).into(),
                field: None,
            }
        );
        assert_eq!(received.known(), Some(*code));
        assert_eq!(received.advice.as_str(), *advice);
    }
}

#[test]
fn every_code_survives_as_one_item_of_a_batch() {
    for code in Code::ALL {
        let refusal = Refusal::new(*code, "no").with_retry_delay(Duration::from_millis(1_250));
        let bytes = refusal.to_wire().encode_to_vec();
        let batched = ReceivedRefusal::from(v1::Refusal::decode(bytes.as_slice()).unwrap());
        assert_eq!(batched, received(refusal), "{code}");
    }
}

#[test]
fn a_violation_names_its_field_and_rule() {
    let violation = FieldViolation::new("key", "is required").within("declaration.capabilities[3]");
    let refusal = Refusal::from(violation);
    assert_eq!(refusal.code, Code::ArgumentInvalid);
    assert_eq!(refusal.message, "declaration.capabilities[3].key is required");

    let status = over_the_wire(&refusal.clone().into());
    let request = status.get_details_bad_request().unwrap();
    let [seen] = request.field_violations.as_slice() else { panic!("one violation, not {request:?}") };
    assert_eq!(seen.field, "declaration.capabilities[3].key");
    assert_eq!(seen.description, "is required");
    let whole = ReceivedRefusal::from_status(&status).unwrap();
    assert_eq!(whole.field.as_deref(), Some("declaration.capabilities[3].key"));
    assert_eq!(whole, ReceivedRefusal::from(refusal.to_wire()));
}

#[test]
fn a_refusal_without_a_delay_or_field_carries_neither() {
    let status: Status = Refusal::new(Code::SessionNotFound, "no").into();
    assert!(status.get_details_retry_info().is_none());
    assert!(status.get_details_bad_request().is_none());
}

#[test]
fn a_limit_tells_programs_what_is_full() {
    let refusal = Refusal::limit_exceeded("active_nodes", 1_000, 1_000, "Close what you do not need");
    assert_eq!(refusal.code, Code::ResourceLimitExceeded);
    let facts: BTreeMap<_, _> = received(refusal).facts.into_iter().collect();
    let expect = [("current", "1000"), ("limit", "1000"), ("resource", "active_nodes")];
    assert_eq!(facts, expect.map(|(name, value)| (name.to_owned(), value.to_owned())).into());
}

#[test]
fn no_fact_can_pose_as_the_code_or_the_advice() {
    let refusal = Refusal::new(Code::SystemInternalError, "no")
        .with_fact("code", "auth.token_invalid")
        .with_fact("retry", "never");
    let received = received(refusal);
    assert_eq!(received.known(), Some(Code::SystemInternalError));
    assert_eq!(received.advice, RetryAdvice::SameRequest);
    assert_eq!(received.facts, HashMap::new());
}

/// Repeated, because a hash map in the encoding shows only as an order that differs now and then.
#[test]
fn the_uniform_denial_is_byte_identical() {
    let first: Status = Refusal::permission_denied().into();
    assert_eq!(first.code(), tonic::Code::PermissionDenied);
    for _ in 0..64 {
        let again: Status = Refusal::permission_denied().into();
        assert_eq!(again.message(), first.message());
        assert_eq!(again.details(), first.details());
        assert_eq!(again.metadata().len(), 0);
        assert_eq!(
            Refusal::permission_denied().to_wire().encode_to_vec(),
            Refusal::permission_denied().to_wire().encode_to_vec()
        );
    }
    assert_eq!(received(Refusal::permission_denied()).facts, HashMap::new());
}

#[test]
fn the_same_facts_make_the_same_bytes() {
    let status = || -> Status {
        Refusal::limit_exceeded("beats", 4_096, 5_000, "Send less")
            .with_fact("a", "1")
            .with_fact("z", "2")
            .into()
    };
    let first = status();
    for _ in 0..64 {
        assert_eq!(status().details(), first.details());
    }
}

fn foreign_status(domain: &str, metadata: &[(&str, &str)]) -> Status {
    let metadata: HashMap<String, String> =
        metadata.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    let details = ErrorDetails::with_error_info("WHATEVER", domain, metadata);
    over_the_wire(&Status::with_error_details(tonic::Code::FailedPrecondition, "from the future", details))
}

#[test]
fn a_code_from_the_future_keeps_its_name_and_advice() {
    let metadata = [("code", "future.thing"), ("retry", "after_upgrade"), ("limit", "3")];
    let refusal = ReceivedRefusal::from_status(&foreign_status(DOMAIN, &metadata)).unwrap();
    assert_eq!(refusal.code, "future.thing");
    assert_eq!(refusal.known(), None);
    assert_eq!(refusal.advice, RetryAdvice::AfterUpgrade);
    assert_eq!(refusal.message, "from the future");
    assert_eq!(refusal.facts, [("limit".to_owned(), "3".to_owned())].into());
    assert_eq!(refusal.to_string(), "from the future [future.thing]");
}

#[test]
fn an_advice_that_is_not_known_means_never() {
    let check = |metadata: &[(&str, &str)]| {
        let refusal = ReceivedRefusal::from_status(&foreign_status(DOMAIN, metadata)).unwrap();
        assert_eq!(refusal.advice, RetryAdvice::Never, "{metadata:?}");
        assert_eq!(refusal.facts, HashMap::new(), "{metadata:?}");
    };
    check(&[("code", "session.not_found"), ("retry", "on_tuesdays")]);
    check(&[("code", "session.not_found"), ("retry", "")]);
    check(&[("code", "session.not_found")]);

    for number in [-1, 0, 6, i32::MAX] {
        let refusal = ReceivedRefusal::from(v1::Refusal {
            code: "future.thing".to_owned(),
            retry_advice: number,
            ..v1::Refusal::default()
        });
        assert_eq!(refusal.advice, RetryAdvice::Never, "{number}");
        assert_eq!(refusal.field, None);
    }
}

#[test]
fn a_status_that_is_not_ours_is_no_refusal() {
    let check = |status: &Status| assert_eq!(ReceivedRefusal::from_status(status), None, "{status:?}");
    check(&Status::unavailable("transport error"));
    check(&Status::with_details(tonic::Code::Internal, "torn", vec![0xff; 7].into()));
    check(&foreign_status("example.com", &[("code", "session.not_found")]));
    check(&foreign_status(DOMAIN, &[("retry", "never")]));
}

#[test]
fn a_delay_of_any_length_is_survivable() {
    let too_long = Refusal::new(Code::SystemUnavailable, "no").with_retry_delay(Duration::MAX);
    assert_eq!(too_long.to_wire().retry_delay, None);
    assert!(received(too_long).retry_delay.is_some());

    let check = |seconds, nanos, expect| {
        let refusal = v1::Refusal {
            retry_delay: Some(prost_types::Duration { seconds, nanos }),
            ..v1::Refusal::default()
        };
        let found = ReceivedRefusal::from(refusal).retry_delay;
        assert_eq!(found, expect, "{seconds} s and {nanos} ns");
    };
    check(0, 0, Some(Duration::ZERO));
    check(1, 250_000_000, Some(Duration::from_millis(1_250)));
    check(1, i32::MAX, Some(Duration::new(3, 147_483_647)));
    check(i64::MAX, i32::MAX, Some(Duration::new(i64::MAX as u64 + 2, 147_483_647)));
    for (seconds, nanos) in [(-1, 0), (0, -1), (1, -1), (i64::MIN, 0), (i64::MIN, i32::MIN)] {
        check(seconds, nanos, None);
    }
}

#[test]
fn advice_has_one_meaning_in_a_status_and_in_a_batch() {
    for (advice, wire, text) in ADVICE {
        assert_eq!(v1::RetryAdvice::from(advice), wire);
        assert_eq!(RetryAdvice::from(wire), advice);
        assert_eq!(advice.as_str(), text);
        assert_eq!(wire.as_str_name(), format!("RETRY_ADVICE_{}", text.to_uppercase()));
    }
    assert_eq!(RetryAdvice::from(v1::RetryAdvice::Unspecified), RetryAdvice::Never);
}
