//! Asks a person before something that cannot be undone.

use std::io::{self, BufRead, IsTerminal};

use crate::cli::{failure::Failure, output::Output};

/// Whether a person agreed, or can be asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Confirmation {
    /// By a flag.
    Given,
    /// Not yet, and there is a terminal to ask on.
    ToBeAsked,
    /// Nobody is there to ask.
    Impossible,
}

impl Confirmation {
    /// What holds for this process.
    pub(crate) fn of_process(is_given: bool) -> Self {
        match (is_given, io::stdin().is_terminal()) {
            (true, true | false) => Self::Given,
            (false, true) => Self::ToBeAsked,
            (false, false) => Self::Impossible,
        }
    }
}

/// Asks on the terminal.
pub(crate) async fn ask(question: &str, output: &mut Output) -> Result<bool, Failure> {
    output.prompt(question);
    // On a thread of its own: the connection must be kept alive while the person thinks.
    tokio::task::spawn_blocking(|| is_yes(&mut io::stdin().lock()))
        .await
        .map_err(io::Error::from)
        .flatten()
        .map_err(|error| Failure::Answer(format!("cannot read from the terminal: {error}")))
}

/// Only a clear yes is one; the end of the input is a no.
fn is_yes(reader: &mut impl BufRead) -> io::Result<bool> {
    let mut line = String::new();
    reader.read_line(&mut line)?;
    let answer = line.trim();
    Ok(answer.eq_ignore_ascii_case("yes") || answer.eq_ignore_ascii_case("y"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_clear_yes_is_one() {
        for (typed, expected) in [
            ("yes\n", true),
            ("Y\n", true),
            ("no\n", false),
            ("\n", false),
            ("", false),
            ("yes please\n", false),
        ] {
            assert_eq!(is_yes(&mut typed.as_bytes()).unwrap(), expected, "{typed:?}");
        }
    }

    #[test]
    fn a_flag_needs_no_terminal() {
        assert_eq!(Confirmation::of_process(true), Confirmation::Given);
    }
}
