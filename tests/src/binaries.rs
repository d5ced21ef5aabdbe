//! The binaries under test, as cargo builds them in this profile.

use std::{
    path::{Path, PathBuf},
    process::Command,
    sync::LazyLock,
};

static FOLDER: LazyLock<PathBuf> = LazyLock::new(|| {
    // .../target/<profile>/deps/<this test>
    let this = std::env::current_exe().expect("a test knows its own path");
    let folder = this.ancestors().nth(2).expect("a test lies two folders deep").to_owned();
    let profile = folder.file_name().and_then(|name| name.to_str()).expect("the profile's folder has a name");
    let target = folder.parent().expect("the profile's folder lies in the target folder");
    // The whole workspace, so that features are the same and nothing is built twice.
    let mut build = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    // What cargo tells a test about its package is not meant for another build: build scripts that look at it (ring's
    // does) would run again, and half the workspace be built again, back and forth with each run of the tests.
    for (name, _) in std::env::vars_os() {
        let of_package = name
            .to_str()
            .is_some_and(|name| name.starts_with("CARGO_PKG_") || name.starts_with("CARGO_MANIFEST_"));
        if of_package {
            build.env_remove(name);
        }
    }
    let built = build
        .args(["build", "--quiet", "--workspace", "--bins", "--profile"])
        .arg(if profile == "debug" { "dev" } else { profile })
        .arg("--target-dir")
        .arg(target)
        .current_dir(Path::new(env!("CARGO_MANIFEST_DIR")))
        .status()
        .expect("cargo runs");
    assert!(built.success(), "the binaries under test do not build");
    folder
});

/// Path of a binary of this workspace.
pub fn binary(name: &str) -> PathBuf {
    FOLDER.join(name)
}
