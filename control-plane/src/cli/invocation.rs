//! How the programs are called here, for the lines that people paste: by cargo in a checkout, else by name.

/// The control plane and its command line.
pub(crate) fn rollcall() -> &'static str {
    if runs_in_checkout() { "cargo run --" } else { "rollcall" }
}

/// The reference daemon.
pub(crate) fn daemon() -> &'static str {
    if runs_in_checkout() { "cargo run -p daemon-client --" } else { "rollcall-daemon" }
}

/// Cargo tells the programs it runs where their manifest is.
fn runs_in_checkout() -> bool {
    std::env::var_os("CARGO_MANIFEST_DIR").is_some()
}
