//! `rollcall completions`: the script by which a shell completes verbs, flags and words.

use std::process::ExitCode;

use crate::cli::{failure, output::Output};

/// `rollcall completions`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
The script goes to stdout.

Examples:
  bash:  rollcall completions bash > ~/.local/share/bash-completion/completions/rollcall
  zsh:   rollcall completions zsh > \"${fpath[1]}/_rollcall\"
  fish:  rollcall completions fish > ~/.config/fish/completions/rollcall.fish")]
pub struct Completions {
    /// The shell
    #[arg(value_name = "SHELL")]
    shell: Shell,
}

#[derive(Clone, Copy, Debug, clap::ValueEnum)]
enum Shell {
    Bash,
    Zsh,
    Fish,
}

impl Completions {
    /// Prints the script for `program`, the whole command line.
    pub fn run(self, program: &mut clap::Command) -> ExitCode {
        let mut output = Output::of_process();
        let done = output.text(&self.script(program));
        failure::end(done, &mut output)
    }

    fn script(&self, program: &mut clap::Command) -> Vec<u8> {
        let shell = match self.shell {
            Shell::Bash => clap_complete::Shell::Bash,
            Shell::Zsh => clap_complete::Shell::Zsh,
            Shell::Fish => clap_complete::Shell::Fish,
        };
        let name = program.get_name().to_owned();
        // To memory first: the generator panics where it cannot write, as on a closed pipe.
        let mut script = Vec::new();
        clap_complete::generate(shell, program, name, &mut script);
        script
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;
    use crate::cli::tests::Arguments;

    #[test]
    fn each_shell_learns_the_verbs_and_their_words() {
        for shell in [Shell::Bash, Shell::Zsh, Shell::Fish] {
            let script = Completions { shell }.script(&mut Arguments::command());
            let script = String::from_utf8(script).unwrap();
            for word in ["raise-floor", "everywhere", "token-file"] {
                assert!(script.contains(word), "{shell:?} does not know {word}");
            }
        }
    }
}
