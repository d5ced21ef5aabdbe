//! Declarations at their limits, and the two ways in which they travel: the wire and stored JSON.

use std::collections::BTreeMap;

use contracts::{
    capabilities::{Declaration, FEATURES, Unsupported, UnsupportedKind},
    limits,
    refusal::FieldViolation,
    wire::v1::{self, IdempotencyClass},
};
use proptest::{
    collection::{btree_map, vec},
    prelude::*,
};
use prost::Message;
use prost_types::{ListValue, Struct, Value, value::Kind};

const CONTROL: &str = "must not contain control characters";
const ENDS: &str = "must not begin or end with white space";
const NUL: &str = "must not contain NUL characters";

fn tool(name: &str) -> v1::Tool {
    v1::Tool {
        name: name.to_owned(),
        idempotency_class: IdempotencyClass::Idempotent.into(),
        description: String::new(),
    }
}

fn capability(key: &str) -> v1::Capability {
    v1::Capability { key: key.to_owned(), contract_version: "1.0".to_owned(), ..v1::Capability::default() }
}

fn one(change: impl FnOnce(&mut v1::Capability)) -> v1::Declaration {
    let mut capability = capability("agent");
    change(&mut capability);
    v1::Declaration { capabilities: vec![capability] }
}

fn one_tool(change: impl FnOnce(&mut v1::Tool)) -> v1::Declaration {
    let mut changed = tool("second");
    change(&mut changed);
    one(|capability| capability.tools = vec![tool("first"), changed])
}

fn value(kind: Kind) -> Value {
    Value { kind: Some(kind) }
}

fn details(kind: Kind) -> v1::Declaration {
    let fields = BTreeMap::from([("detail".to_owned(), value(kind))]);
    one(|capability| capability.details = Some(Struct { fields }))
}

fn names(count: usize) -> Vec<String> {
    (0..count).map(|index| format!("name-{index}")).collect()
}

#[track_caller]
fn check(declaration: v1::Declaration, expect: Result<(), (&str, &str)>) {
    let found = Declaration::parse(declaration).map(drop);
    let expect = expect.map_err(|(field, rule)| FieldViolation::new(field, rule));
    assert_eq!(found, expect);
}

#[track_caller]
fn valid_declaration(wire: v1::Declaration) -> Declaration {
    Declaration::parse(wire).unwrap_or_else(|violation| panic!("a valid declaration, but {violation}"))
}

#[track_caller]
fn check_unsupported(declaration: v1::Declaration, expect: &[(UnsupportedKind, &str)]) {
    let expect: Vec<_> = expect
        .iter()
        .map(|(kind, value)| Unsupported {
            kind: *kind,
            capability_key: "agent".to_owned(),
            value: (*value).to_owned(),
        })
        .collect();
    assert_eq!(valid_declaration(declaration).unsupported(), expect);
}

#[track_caller]
fn check_round_trips(declaration: &Declaration) {
    let json = serde_json::to_string(declaration).expect("JSON");
    let stored: Declaration = serde_json::from_str(&json).expect("what was stored");
    assert_eq!(&stored, declaration);
    let bytes = declaration.to_wire().encode_to_vec();
    let wire = v1::Declaration::decode(bytes.as_slice()).expect("a message");
    assert_eq!(&valid_declaration(wire), declaration);
}

#[test]
fn nothing_declared_is_a_declaration() {
    let nothing = Declaration::parse(v1::Declaration::default()).unwrap();
    assert!(nothing.is_empty());
    assert_eq!(nothing.unsupported(), []);
    assert_eq!(nothing.to_wire(), v1::Declaration::default());
    assert_eq!(serde_json::to_string(&nothing).unwrap(), "{}");
}

#[test]
fn the_stored_form_is_pinned_because_databases_hold_it() {
    let declaration = one(|capability| {
        capability.features = vec!["resume".to_owned()];
        capability.tools = vec![v1::Tool { description: "Runs a shell command".to_owned(), ..tool("shell") }];
        capability.details =
            Some(Struct { fields: BTreeMap::from([("cpus".to_owned(), value(Kind::NumberValue(8.0)))]) });
    });
    let declaration = Declaration::parse(declaration).unwrap();
    assert_eq!(
        serde_json::to_value(&declaration).unwrap(),
        serde_json::json!({"agent": {
            "contract_version": "1.0",
            "features": ["resume"],
            "tools": {"shell": {"idempotency_class": 1, "description": "Runs a shell command"}},
            "details": {"cpus": 8.0},
        }})
    );
    let bare = Declaration::parse(one(|_| {})).unwrap();
    assert_eq!(serde_json::to_string(&bare).unwrap(), r#"{"agent":{"contract_version":"1.0"}}"#);
}

#[test]
fn a_declaration_has_at_most_64_capabilities() {
    let declaration =
        |count| v1::Declaration { capabilities: names(count).iter().map(|name| capability(name)).collect() };
    check(declaration(64), Ok(()));
    check(declaration(65), Err(("declaration.capabilities", "must have at most 64 entries")));
}

#[test]
fn a_key_has_1_to_128_characters_without_control_characters() {
    let field = "declaration.capabilities[0].key";
    let check_key = |key: &str, expect: Result<(), &str>| {
        check(one(|capability| capability.key = key.to_owned()), expect.map_err(|rule| (field, rule)));
    };
    check_key("", Err("is required"));
    check_key("a", Ok(()));
    check_key(&"🦀".repeat(128), Ok(()));
    check_key(&"🦀".repeat(129), Err("must have at most 128 characters"));
    check_key("a\0b", Err(CONTROL));
    check_key("a\u{7}b", Err(CONTROL));
    check_key(" a", Err(ENDS));
    check_key("a\n", Err(ENDS));
}

#[test]
fn a_key_is_there_once_and_the_second_one_is_at_fault() {
    let declaration =
        v1::Declaration { capabilities: vec![capability("a"), capability("b"), capability("a")] };
    check(declaration, Err(("declaration.capabilities[2].key", "must be unique in the declaration")));
    let declaration = v1::Declaration { capabilities: vec![capability("a"), capability("A")] };
    check(declaration, Ok(()));
}

#[test]
fn a_violation_names_the_capability_by_position() {
    let declaration =
        v1::Declaration { capabilities: vec![capability("a"), capability("b"), capability("")] };
    check(declaration, Err(("declaration.capabilities[2].key", "is required")));
}

#[test]
fn a_contract_version_is_major_minor() {
    let field = "declaration.capabilities[0].contract_version";
    let check_version = |version: &str, expect: Result<(), &str>| {
        check(
            one(|capability| capability.contract_version = version.to_owned()),
            expect.map_err(|rule| (field, rule)),
        );
    };
    let shape = "must be MAJOR.MINOR, two whole numbers with a dot between them";
    check_version("", Err(shape));
    check_version("1", Err(shape));
    check_version("1.0.0", Err(shape));
    check_version("01.0", Err("must not have leading zeros"));
    check_version(&format!("1.{}", "9".repeat(62)), Ok(()));
    check_version(&format!("1.{}", "9".repeat(63)), Err("must have at most 64 characters"));
}

#[test]
fn a_capability_has_at_most_64_features_of_64_characters() {
    let field = "declaration.capabilities[0].features";
    let check_features = |features: Vec<String>, expect: Result<(), &str>| {
        check(one(|capability| capability.features = features), expect.map_err(|rule| (field, rule)));
    };
    check_features(names(64), Ok(()));
    check_features(names(65), Err("must have at most 64 entries"));
    check_features(vec!["🦀".repeat(64)], Ok(()));
    check_features(vec!["🦀".repeat(65)], Err("must have at most 64 characters"));
    check_features(vec![String::new()], Err("is required"));
    check_features(vec!["a\0b".to_owned()], Err(CONTROL));
    check_features(vec![" a".to_owned()], Err(ENDS));
}

#[test]
fn a_feature_named_twice_counts_once() {
    let declaration = one(|capability| {
        capability.features = ["steer", "mcp", "steer"].map(str::to_owned).to_vec();
    });
    let wire = Declaration::parse(declaration).unwrap().to_wire();
    assert_eq!(wire.capabilities[0].features, ["mcp", "steer"]);
    // The limit counts what was sent.
    check(
        one(|capability| capability.features = vec!["steer".to_owned(); 65]),
        Err(("declaration.capabilities[0].features", "must have at most 64 entries")),
    );
}

#[test]
fn a_capability_has_at_most_128_tools() {
    let tools =
        |count| one(|capability| capability.tools = names(count).iter().map(|name| tool(name)).collect());
    check(tools(128), Ok(()));
    check(tools(129), Err(("declaration.capabilities[0].tools", "must have at most 128 entries")));
}

#[test]
fn a_tool_has_a_name_of_1_to_128_characters_that_is_there_once() {
    let field = "declaration.capabilities[0].tools[1].name";
    let check_name = |name: &str, expect: Result<(), &str>| {
        check(one_tool(|tool| tool.name = name.to_owned()), expect.map_err(|rule| (field, rule)));
    };
    check_name("", Err("is required"));
    check_name(&"🦀".repeat(128), Ok(()));
    check_name(&"🦀".repeat(129), Err("must have at most 128 characters"));
    check_name("a\0b", Err(CONTROL));
    check_name("a ", Err(ENDS));
    check_name("first", Err("must be unique in the capability"));
    check_name("First", Ok(()));
}

#[test]
fn two_capabilities_may_have_a_tool_of_the_same_name() {
    let declaration = v1::Declaration {
        capabilities: ["a", "b"]
            .map(|key| v1::Capability { tools: vec![tool("shell")], ..capability(key) })
            .to_vec(),
    };
    check(declaration, Ok(()));
}

#[test]
fn a_tool_has_a_description_of_at_most_512_characters() {
    let field = "declaration.capabilities[0].tools[1].description";
    let check_description = |description: &str, expect: Result<(), &str>| {
        check(
            one_tool(|tool| tool.description = description.to_owned()),
            expect.map_err(|rule| (field, rule)),
        );
    };
    check_description("", Ok(()));
    check_description(&"🦀".repeat(512), Ok(()));
    check_description(&"🦀".repeat(513), Err("must have at most 512 characters"));
    check_description("a\0b", Err(CONTROL));
    check_description("two\nlines", Err(CONTROL));
    check_description(" \t", Err("must not be white space alone"));
}

#[test]
fn an_unspecified_idempotency_class_is_refused_and_an_unknown_one_is_kept_and_reported() {
    let class = |number| one_tool(|tool| tool.idempotency_class = number);
    check(class(0), Err(("declaration.capabilities[0].tools[1].idempotency_class", "is required")));
    for number in 1..=3 {
        check_unsupported(class(number), &[]);
    }
    for number in [4, 99, -1, i32::MAX, i32::MIN] {
        let expect = format!("{number} of tool second");
        check_unsupported(class(number), &[(UnsupportedKind::IdempotencyClass, expect.as_str())]);
        let declaration = Declaration::parse(class(number)).unwrap();
        assert_eq!(declaration.to_wire().capabilities[0].tools[1].idempotency_class, number);
        check_round_trips(&declaration);
    }
}

#[test]
fn the_known_features_are_those_that_the_proto_names() {
    let known =
        one(|capability| capability.features = FEATURES.iter().map(|known| (*known).to_owned()).collect());
    check_unsupported(known, &[]);
    let proto = include_str!("../../proto/rollcall/v1/capabilities.proto");
    let comment = proto.replace("\n  //", "");
    assert!(comment.contains(&format!("that the node offers: {}.", FEATURES.join(", "))));
}

#[test]
fn an_unknown_feature_is_kept_and_reported() {
    for unknown in ["teleport", "Resume", "resume2"] {
        let declaration =
            one(|capability| capability.features = vec!["resume".to_owned(), unknown.to_owned()]);
        check_unsupported(declaration, &[(UnsupportedKind::Feature, unknown)]);
    }
}

#[test]
fn an_unknown_major_is_kept_and_reported_and_any_minor_is_known() {
    let version = |text: &str| one(|capability| capability.contract_version = text.to_owned());
    check_unsupported(version("1.0"), &[]);
    check_unsupported(version("1.99999999999999999999999999"), &[]);
    for unknown in ["0.1", "2.0", "10.0", "11.1", "99999999999999999999999999.0"] {
        check_unsupported(version(unknown), &[(UnsupportedKind::ContractVersion, unknown)]);
    }
}

#[test]
fn all_that_is_not_known_is_reported_at_once() {
    let mut declaration = one(|capability| {
        capability.contract_version = "2.0".to_owned();
        capability.features = vec!["teleport".to_owned()];
        capability.tools = vec![v1::Tool { idempotency_class: 7, ..tool("shell") }];
    });
    let expect = [
        (UnsupportedKind::ContractVersion, "2.0"),
        (UnsupportedKind::Feature, "teleport"),
        (UnsupportedKind::IdempotencyClass, "7 of tool shell"),
    ];
    check_unsupported(declaration.clone(), &expect);
    // A supported neighbour changes nothing.
    declaration.capabilities.insert(0, capability("zebra"));
    check_unsupported(declaration.clone(), &expect);
    check_round_trips(&Declaration::parse(declaration).unwrap());
}

#[test]
fn details_nest_at_most_16_levels_deep() {
    fn lists(levels: usize) -> Kind {
        (0..levels).fold(Kind::NullValue(0), |inner, _| {
            let values = vec![value(inner)];
            Kind::ListValue(ListValue { values })
        })
    }
    fn structs(levels: usize) -> Kind {
        (0..levels).fold(Kind::NullValue(0), |inner, _| {
            let fields = BTreeMap::from([("a".to_owned(), value(inner))]);
            Kind::StructValue(Struct { fields })
        })
    }
    let refused = Err(("declaration.capabilities[0].details", "must nest at most 16 levels deep"));
    // The details themselves are the first level.
    for nested in [lists, structs] {
        check(details(nested(15)), Ok(()));
        check(details(nested(16)), refused);
        check(details(nested(60)), refused);
        check_round_trips(&Declaration::parse(details(nested(15))).unwrap());
    }
}

#[test]
fn details_have_finite_numbers() {
    let refused = Err(("declaration.capabilities[0].details", "must have finite numbers"));
    for number in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
        check(details(Kind::NumberValue(number)), refused);
        let values = vec![value(Kind::NumberValue(number))];
        check(details(Kind::ListValue(ListValue { values })), refused);
    }
    for number in [0.0, -0.0, 1.5, -1e15, f64::MAX, f64::MIN, f64::MIN_POSITIVE] {
        check(details(Kind::NumberValue(number)), Ok(()));
    }
}

#[test]
fn details_have_no_nul_because_postgres_cannot_store_it() {
    let refused = Err(("declaration.capabilities[0].details", NUL));
    check(details(Kind::StringValue("a\0b".to_owned())), refused);
    let name = |name: &str| Struct { fields: BTreeMap::from([(name.to_owned(), Value::default())]) };
    check(one(|capability| capability.details = Some(name("a\0"))), refused);
    check(details(Kind::StructValue(name("\0"))), refused);
    let values = vec![value(Kind::StringValue("\0".to_owned()))];
    check(details(Kind::ListValue(ListValue { values })), refused);
    // Other control characters are the node's own business: details are free-form.
    check(details(Kind::StringValue("two\nlines\t\u{1b}".to_owned())), Ok(()));
}

#[test]
fn a_value_without_a_kind_is_null() {
    let fields = BTreeMap::from([("detail".to_owned(), Value { kind: None })]);
    let absent = Declaration::parse(one(|capability| capability.details = Some(Struct { fields }))).unwrap();
    let null = Declaration::parse(details(Kind::NullValue(0))).unwrap();
    assert_eq!(absent, null);
    check_round_trips(&null);
}

#[test]
fn empty_details_are_as_good_as_none() {
    let empty = Declaration::parse(one(|capability| capability.details = Some(Struct::default()))).unwrap();
    assert_eq!(empty, Declaration::parse(one(|_| {})).unwrap());
    assert_eq!(empty.to_wire().capabilities[0].details, None);
}

#[test]
fn a_declaration_has_at_most_64_kib_as_stored() {
    let text = |length| details(Kind::StringValue("x".repeat(length)));
    let stored = |length| {
        let declaration = Declaration::parse(text(length)).unwrap();
        serde_json::to_vec(&declaration).unwrap().len()
    };
    let rest = limits::DECLARATION_BYTES_MAX - stored(0);
    assert_eq!(stored(rest), 65_536);
    check(text(rest), Ok(()));
    check(text(rest + 1), Err(("declaration", "must have at most 65536 bytes as JSON, this has 65537")));
}

#[test]
fn a_number_that_postgres_writes_out_shows_the_same_on_the_wire() {
    // `jsonb` turns the 1e16 that was stored into an integer.
    let stored = r#"{"agent":{"contract_version":"1.0","details":{"detail":10000000000000000}}}"#;
    let read: Declaration = serde_json::from_str(stored).unwrap();
    let sent = Declaration::parse(details(Kind::NumberValue(1e16))).unwrap();
    assert_eq!(read.to_wire(), sent.to_wire());
}

#[test]
fn a_number_that_needs_all_digits_of_a_double_is_stored_exactly() {
    for number in [-5.655567025687976e202, 0.1 + 0.2, 5e-324, f64::MAX] {
        check_round_trips(&Declaration::parse(details(Kind::NumberValue(number))).unwrap());
    }
}

/// Finite numbers of every kind, the awkward ones too.
fn number() -> impl Strategy<Value = f64> {
    any::<f64>().prop_filter("JSON has no NaN and no infinity", |number| number.is_finite())
}

/// Text that the rules accept: no control character, no white space at either end.
fn name(chars_max: usize) -> impl Strategy<Value = String> {
    let inner = format!(r"[!-~é界🦀]([ -~é界🦀]{{0,{}}}[!-~é界🦀])?", chars_max.min(12) - 2);
    proptest::string::string_regex(&inner).expect("a regular expression")
}

fn detail(depth: u32, number: BoxedStrategy<f64>, text: BoxedStrategy<String>) -> BoxedStrategy<Value> {
    let leaf = prop_oneof![
        Just(Kind::NullValue(0)),
        any::<bool>().prop_map(Kind::BoolValue),
        number.prop_map(Kind::NumberValue),
        text.clone().prop_map(Kind::StringValue),
    ]
    .prop_map(value);
    leaf.prop_recursive(depth, 12, 4, move |inner| {
        prop_oneof![
            vec(inner.clone(), 0..4).prop_map(|values| value(Kind::ListValue(ListValue { values }))),
            btree_map(text.clone(), inner, 0..4)
                .prop_map(|fields| value(Kind::StructValue(Struct { fields }))),
        ]
    })
    .boxed()
}

fn valid_tool() -> impl Strategy<Value = (i32, String)> {
    (prop_oneof![1..=3, any::<i32>()], prop_oneof![Just(String::new()), name(512)])
        .prop_map(|(class, description)| (if class == 0 { 1 } else { class }, description))
}

fn valid_capability() -> impl Strategy<Value = v1::Capability> {
    let text = proptest::string::string_regex("[^\0]{0,8}").expect("a regular expression").boxed();
    let feature = prop_oneof![
        proptest::sample::select(FEATURES).prop_map(str::to_owned),
        name(limits::FEATURE_CHARS_MAX)
    ];
    (
        "(0|[1-9][0-9]{0,30})[.](0|[1-9][0-9]{0,30})",
        vec(feature, 0..6),
        btree_map(name(limits::TOOL_NAME_CHARS_MAX), valid_tool(), 0..6),
        proptest::option::of(btree_map(text.clone(), detail(14, number().boxed(), text), 0..4)),
    )
        .prop_map(|(contract_version, features, tools, details)| v1::Capability {
            key: String::new(),
            contract_version,
            features,
            tools: tools
                .into_iter()
                .map(|(name, (idempotency_class, description))| v1::Tool {
                    name,
                    idempotency_class,
                    description,
                })
                .collect(),
            details: details.map(|fields| Struct { fields }),
        })
}

fn valid() -> impl Strategy<Value = v1::Declaration> {
    btree_map(name(limits::CAPABILITY_KEY_CHARS_MAX), valid_capability(), 0..5).prop_map(|capabilities| {
        v1::Declaration {
            capabilities: capabilities
                .into_iter()
                .map(|(key, capability)| v1::Capability { key, ..capability })
                .collect(),
        }
    })
}

/// Any message that the wire can carry, near enough to the rules to get past the first of them now and then.
fn arbitrary() -> impl Strategy<Value = v1::Declaration> {
    let text = prop_oneof![3 => name(64), 1 => any::<String>()].boxed();
    let version = prop_oneof![3 => Just("1.0".to_owned()), 1 => any::<String>()];
    let class = prop_oneof![3 => 1..=3, 1 => any::<i32>()];
    let tool = (text.clone(), class, text.clone())
        .prop_map(|(name, idempotency_class, description)| v1::Tool { name, idempotency_class, description });
    let infinite = proptest::sample::select(vec![f64::NAN, f64::INFINITY, f64::NEG_INFINITY]);
    let number = prop_oneof![3 => number(), 1 => infinite].boxed();
    let details = btree_map(text.clone(), detail(24, number, text.clone()), 0..3);
    let capability = (text.clone(), version, vec(text, 0..4), vec(tool, 0..4), proptest::option::of(details))
        .prop_map(|(key, contract_version, features, tools, details)| v1::Capability {
            key,
            contract_version,
            features,
            tools,
            details: details.map(|fields| Struct { fields }),
        });
    vec(capability, 0..4).prop_map(|capabilities| v1::Declaration { capabilities })
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_valid_declaration_is_accepted_and_round_trips(wire in valid()) {
        let declaration = Declaration::parse(wire.clone()).unwrap();
        prop_assert_eq!(declaration.keys().count(), wire.capabilities.len());
        prop_assert!(declaration.keys().is_sorted());
        check_round_trips(&declaration);
    }

    #[test]
    fn parsing_never_panics_and_what_it_accepts_can_be_stored(wire in arbitrary()) {
        match Declaration::parse(wire) {
            Ok(declaration) => {
                check_round_trips(&declaration);
                prop_assert!(!serde_json::to_string(&declaration).unwrap().contains("\\u0000"));
            }
            Err(violation) => {
                prop_assert!(violation.field.starts_with("declaration"));
                prop_assert!(!violation.rule.is_empty());
            }
        }
    }

    #[test]
    fn bytes_that_decode_at_all_do_not_make_parsing_panic(bytes in vec(any::<u8>(), 0..256)) {
        if let Ok(wire) = v1::Declaration::decode(bytes.as_slice()) {
            let _ = Declaration::parse(wire);
        }
    }
}
