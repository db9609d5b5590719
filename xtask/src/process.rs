//! Runs other programs: each command line is shown before it runs, and named in the error if it
//! fails.

use std::ffi::OsStr;
use std::io::{self, IsTerminal as _};
use std::os::unix::ffi::OsStrExt;
use std::process::{Command, Output, Stdio};

use anyhow::{Context as _, Result, bail};

/// The maximum number of characters of a command line in a log.
const LONGEST_IN_A_LOG: usize = 160;
/// The maximum number of lines of a failed program's output in an error.
const LINES_OF_A_FAILURE: usize = 60;

/// The command line, quoted for a shell.
pub(crate) fn line(command: &Command) -> String {
    let mut words = Vec::new();
    for (name, value) in command.get_envs() {
        if let Some(value) = value {
            let value = shown(value);
            words.push(format!("{}={value}", name.to_string_lossy()));
        }
    }
    words.push(shown(command.get_program()));
    words.extend(command.get_args().map(shown));
    words.join(" ")
}

/// Announces on stderr which command is about to run. In a log, long lines are cut; an error has
/// the complete one.
pub(crate) fn announce(command: &Command) {
    let line = line(command);
    match line.char_indices().nth(LONGEST_IN_A_LOG) {
        Some((end, _)) if !io::stderr().is_terminal() => {
            eprintln!("xtask: {} ...", line.get(..end).unwrap_or_default());
        }
        _ => eprintln!("xtask: {line}"),
    }
}

/// Prints a message on stderr.
pub(crate) fn say(text: &str) {
    eprintln!("xtask: {text}");
}

/// Shows the command and runs it. Anything but success is an error. On a terminal its output is
/// shown; otherwise only the last lines if it fails.
pub(crate) fn run(command: &mut Command) -> Result<()> {
    announce(command);
    if !io::stderr().is_terminal() {
        let output = output(command)?;
        if !output.status.success() {
            bail!("{}: {}\n{}", output.status, line(command), last_lines(&output));
        }
        return Ok(());
    }
    let status = command
        .stdin(Stdio::null())
        // Our own stdout may be data.
        .stdout(Stdio::from(io::stderr()))
        .status()
        .with_context(|| format!("cannot start: {}", line(command)))?;
    if !status.success() {
        bail!("{status}: {}", line(command));
    }
    Ok(())
}

/// The last lines of a program's output, stdout first.
fn last_lines(output: &Output) -> String {
    let texts = [&output.stdout, &output.stderr].map(|bytes| String::from_utf8_lossy(bytes));
    let lines: Vec<&str> = texts.iter().flat_map(|text| text.lines()).collect();
    let from = lines.len().saturating_sub(LINES_OF_A_FAILURE);
    lines.get(from..).unwrap_or_default().join("\n")
}

/// Runs the command silently and returns its output, whatever its exit status.
pub(crate) fn output(command: &mut Command) -> Result<Output> {
    command
        .stdin(Stdio::null())
        .output()
        .with_context(|| format!("cannot start: {}", line(command)))
}

/// Runs the command silently and returns its stdout. Anything but success is an error with its
/// stderr.
pub(crate) fn capture(command: &mut Command) -> Result<String> {
    let output = output(command)?;
    if !output.status.success() {
        let stderr = String::from_utf8_lossy(&output.stderr);
        bail!("{}: {}: {}", output.status, line(command), stderr.trim());
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// Does this command run successfully?
pub(crate) fn works(command: &mut Command) -> bool {
    output(command).is_ok_and(|output| output.status.success())
}

/// Quotes a word for a POSIX shell: nothing within single quotes is interpreted.
pub(crate) fn quote(word: &OsStr) -> Vec<u8> {
    let mut quoted = vec![b'\''];
    for &byte in word.as_bytes() {
        if byte == b'\'' {
            quoted.extend_from_slice(b"'\\''");
        } else {
            quoted.push(byte);
        }
    }
    quoted.push(b'\'');
    quoted
}

/// Like `quote`, but leaves plain words unchanged.
fn shown(word: &OsStr) -> String {
    let plain = |byte: &u8| byte.is_ascii_alphanumeric() || b"_-+=/.,:@%".contains(byte);
    let bytes = word.as_bytes();
    if !bytes.is_empty() && bytes.iter().all(plain) {
        word.to_string_lossy().into_owned()
    } else {
        String::from_utf8_lossy(&quote(word)).into_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn quoted(word: &str) -> String {
        String::from_utf8(quote(OsStr::new(word))).unwrap()
    }

    #[test]
    fn quoting_leaves_nothing_to_interpret() {
        assert_eq!(quoted(""), "''");
        assert_eq!(quoted("a b\n$c`d`\\"), "'a b\n$c`d`\\'");
        assert_eq!(quoted("it's"), r"'it'\''s'");
    }

    #[test]
    fn a_shell_gives_the_words_back() {
        let words = ["", "it's", "'", "$HOME\n", "\\", "a\tb", "*", "\u{fc}"];
        let script: Vec<String> = words.iter().map(|word| quoted(word)).collect();
        let output = Command::new("sh")
            .arg("-c")
            .arg(format!("printf '%s\\0' {}", script.join(" ")))
            .output()
            .unwrap();
        let expected = words.map(|word| format!("{word}\0")).concat();
        assert_eq!(String::from_utf8(output.stdout).unwrap(), expected);
    }

    #[test]
    fn the_shown_line_quotes_only_where_needed() {
        let mut command = Command::new("cargo");
        command.env("A", "b c").args(["test", "x y", "--flag=1"]);
        assert_eq!(line(&command), "A='b c' cargo test 'x y' --flag=1");
    }
}
