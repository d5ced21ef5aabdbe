//! Ids and texts at their edges.

use contracts::{
    InstanceId, NodeId, ParticipantId, SessionId, limits,
    refusal::FieldViolation,
    text::{optional, required},
};
use proptest::prelude::*;

const TOO_LONG: &str = "must have at most 256 characters";
const CONTROL: &str = "must not contain control characters";
const ENDS: &str = "must not begin or end with white space";
const UUID: &str = "must be a hyphenated UUID";
const V7: &str = "0193e4a0-7c5b-7d11-8f3a-2b6c4d5e6f70";

#[track_caller]
fn check_node_id(value: &str, expect: Result<(), &str>) {
    let found = NodeId::parse("beat.node_id", value);
    match expect {
        Ok(()) => assert_eq!(found.map(|id| id.to_string()), Ok(value.to_owned())),
        Err(rule) => assert_eq!(found, Err(FieldViolation::new("beat.node_id", rule)), "{value:.20?}"),
    }
}

#[track_caller]
fn check_new_session(value: &str, expect: Result<(), &str>) {
    let found = SessionId::parse_new("session_id", value);
    match expect {
        Ok(()) => assert_eq!(found.map(|id| id.to_string()), Ok(value.to_lowercase())),
        Err(rule) => assert_eq!(found, Err(FieldViolation::new("session_id", rule)), "{value:?}"),
    }
}

#[track_caller]
fn check_session(value: &str, expect: Result<(), &str>) {
    let found = SessionId::parse("session_id", value);
    match expect {
        Ok(()) => assert_eq!(found.map(|id| id.to_string()), Ok(value.to_lowercase())),
        Err(rule) => assert_eq!(found, Err(FieldViolation::new("session_id", rule)), "{value:?}"),
    }
}

#[test]
fn a_node_id_has_1_to_256_characters_whatever_their_bytes() {
    check_node_id("", Err("is required"));
    check_node_id("a", Ok(()));
    for character in ["a", "é", "界", "🦀"] {
        check_node_id(&character.repeat(256), Ok(()));
        check_node_id(&character.repeat(257), Err(TOO_LONG));
    }
    check_node_id(&"a".repeat(4 * 256 + 1), Err(TOO_LONG));
    check_node_id(&"a".repeat(1_000_000), Err(TOO_LONG));
}

#[test]
fn a_node_id_has_no_control_characters() {
    for character in ['\0', '\u{1}', '\t', '\n', '\r', '\u{1b}', '\u{7f}', '\u{80}', '\u{85}', '\u{9f}'] {
        check_node_id(&format!("a{character}b"), Err(CONTROL));
    }
    // At an end, NUL and delete are control characters; a line feed is white space too, which is said first.
    check_node_id("\0", Err(CONTROL));
    check_node_id("a\0", Err(CONTROL));
    check_node_id("\u{7f}a", Err(CONTROL));
    check_node_id("a\n", Err(ENDS));
    for neighbour in ["a\u{20}b", "a\u{7e}b", "a\u{a1}b"] {
        check_node_id(neighbour, Ok(()));
    }
}

#[test]
fn a_node_id_has_white_space_only_inside() {
    for space in [" ", "\t", "\n", "\u{85}", "\u{a0}", "\u{2003}", "\u{2028}", "\u{3000}"] {
        check_node_id(space, Err(ENDS));
        check_node_id(&format!("{space}a"), Err(ENDS));
        check_node_id(&format!("a{space}"), Err(ENDS));
    }
    check_node_id("build box 7", Ok(()));
    check_node_id("build\u{3000}box", Ok(()));
}

#[test]
fn a_node_id_is_kept_as_it_was_written() {
    check_node_id("Host-A.example:7/β", Ok(()));
    assert_ne!("A".parse::<NodeId>().unwrap(), "a".parse::<NodeId>().unwrap());
    // Composed and decomposed é: two names, for the id is opaque.
    assert_ne!("\u{e9}".parse::<NodeId>(), "e\u{301}".parse::<NodeId>());
}

#[test]
fn an_optional_text_may_be_empty_and_may_have_white_space_at_its_ends() {
    let check = |value: &str, expect: Result<Option<&str>, &str>| {
        let expect = match expect {
            Ok(text) => Ok(text.map(str::to_owned)),
            Err(rule) => Err(FieldViolation::new("reason", rule)),
        };
        assert_eq!(optional("reason", value, 5), expect, "{value:?}");
    };
    check("", Ok(None));
    check(" ", Err("must not be white space alone"));
    check("\u{3000}\n", Err("must not be white space alone"));
    check(" a ", Ok(Some(" a ")));
    check("🦀🦀🦀🦀🦀", Ok(Some("🦀🦀🦀🦀🦀")));
    check("🦀🦀🦀🦀🦀🦀", Err("must have at most 5 characters"));
    check("a\0b", Err(CONTROL));
    check("a\nb", Err(CONTROL));
    check("ab\n", Err(CONTROL));
}

#[test]
fn a_uuid_has_one_form_on_the_wire() {
    check_session(V7, Ok(()));
    check_session(&V7.to_uppercase(), Ok(()));
    check_session("f47ac10b-58cc-4372-a567-0e02b2c3d479", Ok(()));
    check_session("", Err("is required"));
    check_session("00000000-0000-0000-0000-000000000000", Err("must not be the nil UUID"));
    for other in [
        "x",
        "0193e4a07c5b7d118f3a2b6c4d5e6f70",
        "{0193e4a0-7c5b-7d11-8f3a-2b6c4d5e6f70}",
        "urn:uuid:0193e4a0-7c5b-7d11-8f3a-2b6c4d5e6f70",
        " 0193e4a0-7c5b-7d11-8f3a-2b6c4d5e6f7",
        "0193e4a0-7c5b-7d11-8f3a-2b6c4d5e6f7",
        "0193e4a0-7c5b-7d11-8f3a-2b6c4d5e6f701",
        "0193e4a0-7c5b-7d11-8f3a-2b6c4d5e6f7g",
        "0193e4a07-c5b-7d11-8f3a-2b6c4d5e6f70",
        "0193e4a0-7c5b-7d11-8f3a-2b6c4d5e6é0",
        "0193e4a0-7c5b-7d11-8f3a_2b6c4d5e6f70",
    ] {
        check_session(other, Err(UUID));
    }
}

#[test]
fn a_session_that_a_client_names_is_a_uuid_of_version_7() {
    const WRONG: &str = "must be a UUID of version 7";
    check_new_session(V7, Ok(()));
    check_new_session(&V7.to_uppercase(), Ok(()));
    check_new_session("", Err("is required"));
    check_new_session("x", Err(UUID));
    check_new_session("00000000-0000-0000-0000-000000000000", Err("must not be the nil UUID"));
    check_new_session("ffffffff-ffff-ffff-ffff-ffffffffffff", Err(WRONG));
    for version in ['0', '1', '2', '3', '4', '5', '6', '8', '9', 'f'] {
        let mut text = V7.to_owned();
        text.replace_range(14..15, &version.to_string());
        check_new_session(&text, Err(WRONG));
    }
    // The digit after the third hyphen starts with the variant: 8 to b is RFC 9562.
    for (variant, expect) in [
        ('0', Err(WRONG)),
        ('7', Err(WRONG)),
        ('8', Ok(())),
        ('b', Ok(())),
        ('c', Err(WRONG)),
        ('f', Err(WRONG)),
    ] {
        let mut text = V7.to_owned();
        text.replace_range(19..20, &variant.to_string());
        check_new_session(&text, expect);
    }
}

#[test]
fn ids_of_new_sessions_sort_by_creation_as_text_and_as_id() {
    let earlier = "0193e4a0-7c5b-7fff-bfff-ffffffffffff";
    let later = "0193e4a0-7c5c-7000-8000-000000000000";
    let parse = |text| SessionId::parse_new("session_id", text).unwrap();
    assert!(parse(earlier) < parse(later));
    assert!(parse(earlier).to_string() < parse(later).to_string());
}

#[test]
fn each_id_names_its_own_field_when_none_is_given() {
    let field = |violation: FieldViolation| violation.field;
    assert_eq!(field("".parse::<NodeId>().unwrap_err()), "node_id");
    assert_eq!(field("".parse::<SessionId>().unwrap_err()), "session_id");
    assert_eq!(field("".parse::<ParticipantId>().unwrap_err()), "participant_id");
    assert_eq!(field("".parse::<InstanceId>().unwrap_err()), "instance_id");
}

#[test]
fn a_uuid_id_is_plain_text_in_json() {
    let id: SessionId = V7.parse().unwrap();
    let json = serde_json::to_string(&id).unwrap();
    assert_eq!(json, format!("\"{V7}\""));
    assert_eq!(serde_json::from_str::<SessionId>(&json).unwrap(), id);
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    /// The rules once more, character by character.
    #[test]
    fn a_required_text_is_accepted_exactly_when_the_rules_have_it(
        text in proptest::collection::vec(
            prop_oneof![any::<char>(), proptest::sample::select(vec![' ', '\0', '\n', 'a', '界'])],
            0..12,
        )
    ) {
        let expect = (1..=8).contains(&text.len())
            && !text[0].is_whitespace()
            && !text[text.len() - 1].is_whitespace()
            && text.iter().all(|character| !character.is_control());
        let value: String = text.into_iter().collect();
        prop_assert_eq!(required("name", &value, 8).is_ok(), expect);
    }

    #[test]
    fn parsing_never_panics(text in ".{0,300}") {
        let _ = (NodeId::parse("f", &text), SessionId::parse("f", &text), SessionId::parse_new("f", &text));
        let _ = optional("f", &text, limits::REASON_CHARS_MAX);
    }

    #[test]
    fn a_uuid_parses_back_from_its_text(bits in 1..=u128::MAX) {
        let text = uuid::Uuid::from_u128(bits).to_string();
        prop_assert_eq!(text.parse::<SessionId>().unwrap().to_string(), text);
    }
}
