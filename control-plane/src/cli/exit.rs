//! Exit codes, and how they are told to people.

/// Done.
pub(crate) const DONE: u8 = 0;
/// Refused by the server, or by the person who was asked.
pub(crate) const REFUSED: u8 = 1;
/// Called in a way that cannot work; clap ends with the same code.
pub(crate) const USAGE: u8 = 2;
/// No server answered.
pub(crate) const UNREACHABLE: u8 = 3;

/// The section of `--help` about exit codes; the constants above in words.
macro_rules! exit_codes {
    () => {
        "\
Exit codes:
  0  done
  1  refused; the error names the code, and docs/errors/ has a page for it
  2  wrong usage
  3  no server answered"
    };
}
pub(crate) use exit_codes;

/// `--help` of a verb or noun: its own text, then the exit codes.
macro_rules! after_help {
    ($text:literal) => {
        concat!($text, "\n\n", $crate::cli::exit::exit_codes!())
    };
}
pub(crate) use after_help;
