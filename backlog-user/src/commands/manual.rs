//! Generates the files that a package ships with the program: shell completions and manual pages,
//! from the definition of the command line.

use std::io::{self, Write};

use anyhow::{Context as _, Result};
use clap::{Command, CommandFactory as _};
use clap_complete::Shell;
use clap_mangen::Man;

use crate::cli::{self, Args};
use crate::exit::Outcome;

/// Prints completions.
pub(crate) fn completions(shell: cli::Shell) -> Result<Outcome> {
    io::stdout().lock().write_all(&completions_of(shell))?;
    Ok(Outcome::Done)
}

fn completions_of(shell: cli::Shell) -> Vec<u8> {
    let shell = match shell {
        cli::Shell::Bash => Shell::Bash,
        cli::Shell::Zsh => Shell::Zsh,
        cli::Shell::Fish => Shell::Fish,
    };
    let mut text = Vec::new();
    clap_complete::generate(shell, &mut Args::command(), "backlog-trace", &mut text);
    text
}

/// Prints the manual page of the program or of a subcommand.
pub(crate) fn page(of: Option<&str>) -> Result<Outcome> {
    io::stdout().lock().write_all(&page_of(of)?)?;
    Ok(Outcome::Done)
}

fn page_of(of: Option<&str>) -> Result<Vec<u8>> {
    let mut whole = Args::command();
    // Fills in the usage line of each subcommand.
    whole.build();
    let command: Command = match of {
        None => whole,
        Some(name) => {
            let found = whole.find_subcommand(name);
            let found = found.with_context(|| {
                let all: Vec<&str> = whole.get_subcommands().map(Command::get_name).collect();
                format!("unknown command `{name}`: expected one of {}", all.join(", "))
            })?;
            found.clone()
        }
    };
    let mut text = Vec::new();
    Man::new(command).render(&mut text)?;
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::{completions_of, page_of};
    use crate::cli::Shell;
    use std::fs;
    use std::process::Command;

    #[test]
    fn each_shell_is_offered_options_and_commands() {
        for shell in [Shell::Bash, Shell::Zsh, Shell::Fish] {
            let text = String::from_utf8(completions_of(shell)).unwrap();
            for word in ["until-drop", "record-rotate", "listeners", "tracepoint"] {
                assert!(text.contains(word), "{shell:?}: {word}");
            }
        }
    }

    #[test]
    fn each_shell_can_read_them() {
        for (program, shell) in [("bash", Shell::Bash), ("zsh", Shell::Zsh), ("fish", Shell::Fish)]
        {
            let folder = tempfile::tempdir().unwrap();
            let file = folder.path().join(program);
            fs::write(&file, completions_of(shell)).unwrap();
            let Ok(output) = Command::new(program).arg("-n").arg(&file).output() else {
                println!("not tested: {program} is not here");
                continue;
            };
            assert!(output.status.success() && output.stderr.is_empty(), "{program}: {output:?}");
        }
    }

    /// Asks a real shell for its completions.
    #[test]
    fn fish_offers_them() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("x.fish");
        fs::write(&file, completions_of(Shell::Fish)).unwrap();
        for (typed, offered) in [
            ("backlog-trace --until-d", "--until-drop"),
            ("backlog-trace --backend=tr", "tracepoint"),
            ("backlog-trace listeners --ch", "--check"),
            ("backlog-trace rep", "replay"),
        ] {
            let script = format!("source {}; complete -C '{typed}'", file.display());
            let Ok(output) = Command::new("fish").args(["-c", &script]).output() else {
                println!("not tested: fish is not here");
                return;
            };
            let text = String::from_utf8_lossy(&output.stdout);
            assert!(text.contains(offered), "{typed}: {output:?}");
        }
    }

    #[test]
    fn there_is_a_page_of_each_command() {
        let text = |of| String::from_utf8(page_of(of).unwrap()).unwrap();
        let whole = text(None);
        assert!(whole.contains(".TH backlog-trace 1"), "{whole}");
        assert!(whole.contains("accept queue") && whole.contains("Exit status"), "{whole}");
        let replay = text(Some("replay"));
        assert!(replay.contains(".TH backlog-trace-replay 1"), "{replay}");
        let error = page_of(Some("fly")).unwrap_err().to_string();
        assert!(error.contains("listeners"), "{error}");
    }
}
