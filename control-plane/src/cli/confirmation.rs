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

/// Lets pass what was agreed to by a flag or on the terminal. `consequence` is a clause that says what is at stake, such
/// as "this deletes it", and `verb` what is about to be done.
pub(crate) async fn confirm(
    confirmation: Confirmation,
    consequence: &str,
    verb: &str,
    output: &mut Output,
) -> Result<(), Failure> {
    match confirmation {
        Confirmation::Given => Ok(()),
        Confirmation::Impossible => Err(Failure::Usage {
            message: format!("{consequence}, and there is no terminal to ask on"),
            hint: format!("add --yes to {verb} it without being asked"),
        }),
        Confirmation::ToBeAsked => {
            output.note(consequence);
            if ask(&format!("{verb} it? [yes/no] "), output).await? {
                return Ok(());
            }
            Err(Failure::Declined("nothing was changed".to_owned()))
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
    use crate::cli::tests::Captured;

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

    #[tokio::test]
    async fn without_a_flag_or_a_terminal_nothing_passes() {
        let (mut output, captured) = Captured::output();
        let given = confirm(Confirmation::Given, "this is for ever", "revoke", &mut output).await;
        assert!(given.is_ok());
        let refused = confirm(Confirmation::Impossible, "this is for ever", "revoke", &mut output).await;
        let Err(Failure::Usage { message, hint }) = refused else {
            panic!("passed: {refused:?}");
        };
        assert_eq!(message, "this is for ever, and there is no terminal to ask on");
        assert_eq!(hint, "add --yes to revoke it without being asked");
        assert_eq!((captured.data(), captured.notes()), (String::new(), String::new()));
    }
}
