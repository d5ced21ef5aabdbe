//! Floors are measured in this order, so it is checked against a second implementation and against its laws.

use std::cmp::Ordering;

use contracts::{
    EventEnvelopeVersion,
    version::ParseError::{self, LeadingZero, NotMajorMinor, TooLong},
};
use proptest::prelude::*;

fn version(text: &str) -> EventEnvelopeVersion {
    text.parse().unwrap_or_else(|error| panic!("{text:?} is a version, not: {error}"))
}

/// A number as its digits in base 10^9, the lowest first and no zeros above: not the way of the code under test, which
/// compares lengths and texts.
#[derive(PartialEq, Eq)]
struct Big(Vec<u32>);

impl Big {
    fn new(digits: &str) -> Self {
        let mut limbs = Vec::new();
        for digit in digits.chars() {
            let mut carry = u64::from(digit.to_digit(10).expect("a digit"));
            for limb in &mut limbs {
                let value = u64::from(*limb) * 10 + carry;
                *limb = (value % 1_000_000_000) as u32;
                carry = value / 1_000_000_000;
            }
            if carry > 0 {
                limbs.push(carry as u32);
            }
        }
        Self(limbs)
    }

    fn compare(&self, other: &Self) -> Ordering {
        let limbs = self.0.len().max(other.0.len());
        for index in (0..limbs).rev() {
            let left = self.0.get(index).copied().unwrap_or(0);
            let right = other.0.get(index).copied().unwrap_or(0);
            if left != right {
                return if left < right { Ordering::Less } else { Ordering::Greater };
            }
        }
        Ordering::Equal
    }
}

fn expected_order(left: &str, right: &str) -> Ordering {
    let split = |text: &str| {
        let dot = text.find('.').expect("a dot");
        (Big::new(&text[..dot]), Big::new(&text[dot + 1..]))
    };
    let (left, right) = (split(left), split(right));
    match left.0.compare(&right.0) {
        Ordering::Equal => left.1.compare(&right.1),
        unequal @ (Ordering::Less | Ordering::Greater) => unequal,
    }
}

#[track_caller]
fn check_refused(text: &str, expect: ParseError) {
    assert_eq!(text.parse::<EventEnvelopeVersion>(), Err(expect), "{text:?}");
}

#[track_caller]
fn check_order(left: &str, right: &str, expect: Ordering) {
    assert_eq!(version(left).cmp(&version(right)), expect, "{left} against {right}");
    assert_eq!(version(right).cmp(&version(left)), expect.reverse(), "{right} against {left}");
    assert_eq!(expected_order(left, right), expect, "the test's own order of {left} and {right}");
}

#[test]
fn what_is_not_two_numbers_and_a_dot_is_refused() {
    for text in [
        "",
        ".",
        "1",
        "1.",
        ".1",
        "..",
        "1..0",
        "1.0.0",
        "1.0.",
        ".1.0",
        "1,0",
        "v1.0",
        "1.0-rc",
        "1.0+build",
        "1.x",
        "a.b",
        "+1.0",
        "-1.0",
        "1.+0",
        "1.-0",
        " 1.0",
        "1.0 ",
        "1 .0",
        "1. 0",
        "\t1.0",
        "1.0\n",
        "1.0\r\n",
        "1.0\0",
        "\u{feff}1.0",
        "１.０",
        "١.٠",
        "1٫0",
        "1。0",
        "1e3.0",
        "0x1.0",
        "1_0.0",
    ] {
        check_refused(text, NotMajorMinor);
    }
}

#[test]
fn leading_zeros_are_refused() {
    for text in ["01.0", "1.00", "00.0", "0.00", "1.01", "007.7"] {
        check_refused(text, LeadingZero);
    }
}

#[test]
fn sixty_four_characters_are_accepted_and_sixty_five_refused() {
    for (major, minor) in [(62, 1), (1, 62), (31, 32)] {
        let text = format!("{}.{}", "9".repeat(major), "9".repeat(minor));
        assert_eq!(text.len(), 64);
        assert_eq!(version(&text).as_str(), text);
        check_refused(&format!("{text}9"), TooLong);
        check_refused(&format!("9{text}"), TooLong);
    }
    check_refused(&"1".repeat(1_000_000), TooLong);
}

#[test]
fn a_version_shows_as_it_was_written() {
    for text in ["0.0", "0.1", "1.0", "10.20", "18446744073709551616.0"] {
        assert_eq!(version(text).as_str(), text);
        assert_eq!(version(text).to_string(), text);
        assert_eq!(format!("{:?}", version(text)), text);
    }
}

#[test]
fn this_build_speaks_a_version_that_parses() {
    let current = EventEnvelopeVersion::current();
    assert_eq!(version(current.as_str()), current);
    assert!(current.is_same_major(&version("1.0")));
}

#[test]
fn numbers_are_compared_and_not_texts() {
    check_order("2.9", "2.10", Ordering::Less);
    check_order("9.0", "10.0", Ordering::Less);
    check_order("1.9", "2.0", Ordering::Less);
    check_order("2.0", "1.99", Ordering::Greater);
    check_order("0.0", "0.1", Ordering::Less);
    check_order("1.0", "1.0", Ordering::Equal);
}

#[test]
fn segments_beyond_any_integer_type_are_exact() {
    let low = "123456789012345678901234567890";
    let high = "123456789012345678901234567891";
    check_order(&format!("{low}.0"), &format!("{high}.0"), Ordering::Less);
    check_order(&format!("1.{low}"), &format!("1.{high}"), Ordering::Less);
    check_order(&format!("{high}.0"), &format!("{low}.{high}"), Ordering::Greater);
    // Where doubles and 64-bit and 128-bit integers end.
    check_order("1.9007199254740992", "1.9007199254740993", Ordering::Less);
    check_order("1.18446744073709551615", "1.18446744073709551616", Ordering::Less);
    check_order(
        "1.340282366920938463463374607431768211455",
        "1.340282366920938463463374607431768211456",
        Ordering::Less,
    );
}

#[test]
fn only_the_major_decides_about_the_ceiling() {
    let check = |left: &str, right: &str, above: bool, same: bool| {
        let (left, right) = (version(left), version(right));
        assert_eq!(left.is_major_above(&right), above, "{left} above {right}");
        assert_eq!(left.is_same_major(&right), same, "{left} same as {right}");
    };
    check("2.0", "1.99", true, false);
    check("10.0", "9.9", true, false);
    check("1.99", "1.0", false, true);
    check("1.0", "1.99", false, true);
    check("1.5", "2.0", false, false);
    check("9.0", "10.0", false, false);
    check("1.0", "11.0", false, false);
    check("100000000000000000000000000000.0", "99999999999999999999999999999.0", true, false);
}

/// All pairs and triples over a grid that has each number of digits next to another.
#[test]
fn the_order_is_total_on_a_grid() {
    let numbers = [0, 1, 2, 9, 10, 11, 99, 100];
    let grid: Vec<((u32, u32), EventEnvelopeVersion)> = numbers
        .iter()
        .flat_map(|major| numbers.iter().map(|minor| (*major, *minor)))
        .map(|(major, minor)| ((major, minor), version(&format!("{major}.{minor}"))))
        .collect();
    for (a_pair, a) in &grid {
        for (b_pair, b) in &grid {
            assert_eq!(a.cmp(b), a_pair.cmp(b_pair), "{a} against {b}");
            assert_eq!(a.cmp(b), b.cmp(a).reverse(), "antisymmetry of {a} and {b}");
            assert_eq!(a.cmp(b) == Ordering::Equal, a == b, "{a} and {b} are equal and compare equal");
            assert_eq!(a.partial_cmp(b), Some(a.cmp(b)));
            assert_eq!(a.is_major_above(b), a_pair.0 > b_pair.0);
            assert_eq!(a.is_same_major(b), a_pair.0 == b_pair.0);
            for (_, c) in &grid {
                assert!(!(a <= b && b <= c) || a <= c, "transitivity of {a}, {b}, {c}");
            }
        }
    }
}

/// Every text of up to five characters over an alphabet of what matters: parsed exactly when the grammar has it.
#[test]
fn short_texts_parse_exactly_when_the_grammar_has_them() {
    fn is_number(text: &str) -> bool {
        matches!(text, "0" | "1" | "10" | "11" | "100" | "101" | "110" | "111")
    }
    let alphabet = ['0', '1', '.', ' ', '-', '１'];
    let mut texts = vec![String::new()];
    let mut accepted = 0;
    for _ in 0..=5 {
        for text in &texts {
            let expect =
                text.split_once('.').is_some_and(|(major, minor)| is_number(major) && is_number(minor));
            assert_eq!(text.parse::<EventEnvelopeVersion>().is_ok(), expect, "{text:?}");
            accepted += u32::from(expect);
        }
        texts =
            texts.iter().flat_map(|text| alphabet.iter().map(move |next| format!("{text}{next}"))).collect();
    }
    // Two numbers of 1 to 3 digits (2, 2 and 4 of them) with at most 4 digits together.
    assert_eq!(accepted, 2 * 2 + 2 * (2 * 2) + 2 * 2 + 2 * (2 * 4));
}

/// A number without leading zeros, of up to 31 digits: two of them and a dot are within the limit.
fn number() -> impl Strategy<Value = String> {
    prop_oneof![Just("0".to_owned()), "[1-9][0-9]{0,30}", "[1-9]0{0,3}"]
}

/// A version, and often one that differs from `base` by one digit only.
fn near(base: String) -> impl Strategy<Value = String> {
    let digits: Vec<usize> =
        base.char_indices().filter(|(_, character)| *character != '.').map(|(index, _)| index).collect();
    let changed = (proptest::sample::select(digits), 1..=9_u32).prop_map({
        let base = base.clone();
        move |(index, digit)| {
            let mut text = base.clone();
            text.replace_range(index..=index, &digit.to_string());
            text
        }
    });
    prop_oneof![Just(base), changed, text()]
}

fn text() -> impl Strategy<Value = String> {
    (number(), number()).prop_map(|(major, minor)| format!("{major}.{minor}"))
}

fn three() -> impl Strategy<Value = (String, String, String)> {
    text().prop_flat_map(|base| (Just(base.clone()), near(base.clone()), near(base)))
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_order_obeys_its_laws_and_agrees_with_big_integers((a, b, c) in three()) {
        let expect = expected_order(&a, &b);
        let (a, b, c) = (version(&a), version(&b), version(&c));
        prop_assert_eq!(a.cmp(&b), expect);
        prop_assert_eq!(b.cmp(&a), expect.reverse());
        prop_assert_eq!(a == b, expect == Ordering::Equal);
        prop_assert_eq!(a.cmp(&a), Ordering::Equal);
        let mut sorted = [a, b, c];
        sorted.sort();
        let [low, middle, high] = &sorted;
        prop_assert!(low <= middle && middle <= high && low <= high);
    }

    #[test]
    fn a_version_parses_back_from_its_text(text in text()) {
        prop_assert_eq!(version(&text).to_string(), text);
    }

    #[test]
    fn parsing_never_panics(text in ".*") {
        if let Ok(version) = text.parse::<EventEnvelopeVersion>() {
            prop_assert_eq!(version.as_str(), text);
        }
    }
}
