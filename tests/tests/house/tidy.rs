//! No file is orphaned, none is a drawer, and none has grown beyond one idea.

use std::path::Path;

use crate::{read, rust_files};

/// Lines of a file at most, tests in it included.
const LINES_MAX: usize = 800;

fn stem(file: &Path) -> &str {
    file.file_stem().and_then(|stem| stem.to_str()).expect("names are UTF-8")
}

/// Files that cargo finds by itself: crate roots, build scripts, and test binaries.
fn is_root(file: &Path) -> bool {
    let parent = file.parent().and_then(Path::file_name).and_then(|name| name.to_str()).unwrap_or_default();
    let is_in_main = matches!(stem(file), "main" | "lib" | "build");
    is_in_main || parent == "tests" || parent == "benches" || parent == "examples"
}

#[test]
fn every_file_is_compiled() {
    for file in rust_files().iter().filter(|file| !is_root(file)) {
        let (folder, name) = if stem(file) == "mod" {
            let folder = file.parent().expect("a file lies in a folder");
            (folder.parent().expect("a module lies in a crate"), stem(folder))
        } else {
            (file.parent().expect("a file lies in a folder"), stem(file))
        };
        let beside = folder.with_extension("rs");
        let parents = ["mod.rs", "main.rs", "lib.rs"].map(|parent| folder.join(parent));
        let declared = parents.iter().chain([&beside]).any(|parent| {
            let path = crate::root().join(parent);
            path.exists() && read(parent).lines().any(|line| line.trim().ends_with(&format!("mod {name};")))
        });
        assert!(declared, "{} is in no module: declare or delete it", file.display());
    }
}

#[test]
fn no_file_is_a_drawer() {
    for file in rust_files() {
        for part in file.iter().filter_map(|part| part.to_str()) {
            let name = part.trim_end_matches(".rs");
            let is_drawer =
                matches!(name, "util" | "utils" | "common" | "helper" | "helpers" | "misc" | "shared");
            assert!(!is_drawer, "{}: name it after what it holds", file.display());
        }
    }
}

#[test]
fn no_file_has_grown_beyond_one_idea() {
    for file in rust_files() {
        let lines = read(&file).lines().count();
        assert!(lines <= LINES_MAX, "{} has {lines} lines, {LINES_MAX} at most", file.display());
    }
}

#[test]
fn only_stores_hold_sql() {
    let queries = ["query", "query_as", "query_scalar"].map(|name| format!("sqlx::{name}!("));
    let mut stores = 0;
    for file in rust_files() {
        let source = read(&file);
        if !queries.iter().any(|query| source.contains(query.as_str())) {
            continue;
        }
        let folder = file.parent().map(stem).unwrap_or_default();
        assert!(stem(&file) == "store" || folder == "store", "{} queries tables", file.display());
        stores += 1;
    }
    assert!(stores >= 8, "{stores} stores are too few to be all");
}
