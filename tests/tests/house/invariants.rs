//! Every invariant that a module names stands in `docs/invariants.md` with tests that exist, and no other does.

use std::collections::{BTreeMap, BTreeSet};

use crate::{read, rust_files};

/// A row of the page: the tests of an invariant, each as file and function.
type Shown = BTreeMap<String, Vec<(String, String)>>;

fn named_by_modules() -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    for file in rust_files() {
        let text = read(&file);
        for line in text.lines().filter_map(|line| line.strip_prefix("//! - **")) {
            if let Some((name, _)) = line.split_once("**: ") {
                assert!(names.insert(name.to_owned()), "{name} is named twice, again in {}", file.display());
            }
        }
    }
    names
}

/// Reads rows such as "| `name` | sentence | `folder/file.rs` a_test, another_test; `other.rs` a_third |".
fn shown_by(page: &str) -> Shown {
    let rows = page.lines().filter_map(|line| line.strip_prefix("| `"));
    rows.map(|row| {
        let (name, rest) = row.split_once("` | ").unwrap_or_else(|| panic!("no name in {row}"));
        let cells = rest.trim_end().trim_end_matches('|');
        let (_, tests) = cells.rsplit_once('|').unwrap_or_else(|| panic!("no tests in {row}"));
        let tests = tests.split("; ").map(str::trim).filter(|group| !group.is_empty()).flat_map(|group| {
            let (file, functions) = group.split_once("` ").unwrap_or_else(|| panic!("no file in {group}"));
            let file = file.trim_start_matches('`').to_owned();
            let functions: Vec<_> = functions.split(", ").map(|name| name.trim().to_owned()).collect();
            functions.into_iter().map(move |function| (file.clone(), function))
        });
        (name.to_owned(), tests.collect())
    })
    .collect()
}

fn is_test(source: &str, function: &str) -> bool {
    let mut is_marked = false;
    for line in source.lines().map(str::trim) {
        if line.starts_with("#[test]") || line.starts_with("#[tokio::test") {
            is_marked = true;
        } else if line.contains("fn ") {
            if is_marked && line.contains(&format!("fn {function}(")) {
                return true;
            }
            is_marked = false;
        }
    }
    false
}

#[test]
fn every_invariant_is_shown_by_tests_that_exist() {
    let shown = shown_by(&read("docs/invariants.md"));
    let named = named_by_modules();
    assert!(named.len() > 15, "{} invariants are too few to be all", named.len());
    let on_page: BTreeSet<_> = shown.keys().cloned().collect();
    assert_eq!(named, on_page, "left: named by modules; right: in docs/invariants.md");
    for (invariant, tests) in shown {
        assert!(!tests.is_empty(), "{invariant} is shown by no test");
        for (file, function) in tests {
            assert!(is_test(&read(&file), &function), "{invariant}: {file} has no test {function}");
        }
    }
}

/// The rows of docs/replication.md, whose names stand plain, and whose files are those of the engine or said in full.
#[test]
fn every_rule_of_replication_is_shown_by_tests_that_exist() {
    // A8 and A9 are Postgres' part, which an ADR tells.
    let is_rule = |line: &&str| {
        (line.starts_with("| A") || line.starts_with("| FC")) && !line.starts_with("| A8, A9 |")
    };
    let page = read("docs/replication.md");
    let rows = page.lines().filter(is_rule).filter_map(|line| line.strip_prefix("| ")?.split_once(" | "));
    let rows: String = rows.map(|(name, rest)| format!("| `{name}` | {rest}\n")).collect();
    let shown = shown_by(&rows);
    let rules = (1..=7).chain(10..=12).map(|number| format!("A{number}"));
    let rules = rules.chain((1..=8).map(|number| format!("FC{number}")));
    assert_eq!(shown.keys().cloned().collect::<BTreeSet<_>>(), rules.collect());
    for (rule, tests) in shown {
        assert!(!tests.is_empty(), "{rule} is shown by no test");
        for (file, function) in tests {
            let in_full = crate::root().join(&file).exists();
            let file = if in_full { file } else { format!("control-plane/src/replication/engine/{file}") };
            assert!(is_test(&read(&file), &function), "{rule}: {file} has no test {function}");
        }
    }
}

#[test]
fn a_row_without_a_test_or_with_one_that_does_not_exist_is_noticed() {
    let page = "| `a-b` | It holds. | `x/y.rs` one, two; `z.rs` three |\n| `c` | It too. | |\n";
    let shown = shown_by(page);
    let of = |file: &str, function: &str| (file.to_owned(), function.to_owned());
    assert_eq!(shown["a-b"], [of("x/y.rs", "one"), of("x/y.rs", "two"), of("z.rs", "three")]);
    assert!(shown["c"].is_empty());

    let source = "#[test]\nfn one() {}\n\nfn two() {}\n";
    assert!(is_test(source, "one"));
    assert!(!is_test(source, "two"), "no test");
    assert!(!is_test(source, "three"), "not there");
}
