//! The house rules that a compiler does not keep.

mod invariants;
mod metrics;
mod tidy;

use std::{
    fs,
    path::{Path, PathBuf},
};

/// The checkout.
fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the member lies in the workspace").to_owned()
}

/// Every Rust file of the workspace, relative to the checkout.
fn rust_files() -> Vec<PathBuf> {
    let mut files = Vec::new();
    for member in ["client-tls", "contracts", "control-plane", "daemon-client", "tests"] {
        collect(&root().join(member), &mut files);
    }
    assert!(files.len() > 100, "{} files are too few to be all", files.len());
    let mut files: Vec<_> = files
        .into_iter()
        .map(|file| file.strip_prefix(root()).expect("it lies in the checkout").to_owned())
        .collect();
    files.sort();
    files
}

fn collect(folder: &Path, files: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).expect("a folder of the checkout can be read") {
        let path = entry.expect("an entry can be read").path();
        if path.is_dir() && path.file_name().is_some_and(|name| name != "target") {
            collect(&path, files);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
}

/// A file of the checkout as text.
fn read(path: impl AsRef<Path>) -> String {
    let path = root().join(path);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}
