//! Migrations are embedded by a macro that reads their folder; an added one must cause a new build.

fn main() {
    println!("cargo:rerun-if-changed=../migrations");
}
