//! Running other programs: each command line is shown before it runs and named
//! in the error when it fails. Knows nothing of what the programs do.

use std::ffi::OsStr;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::process::{Command, Output, Stdio};

use anyhow::{Context as _, Result, bail};

/// The command line as one could type it.
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

/// Says on stderr what is about to run.
pub(crate) fn announce(command: &Command) {
    eprintln!("xtask: {}", line(command));
}

/// Says on stderr what is going on.
pub(crate) fn say(text: &str) {
    eprintln!("xtask: {text}");
}

/// Shows the command and runs it; its stdout goes to our stderr, since ours
/// may be data. Anything but success is an error.
pub(crate) fn run(command: &mut Command) -> Result<()> {
    announce(command);
    let status = command
        .stdin(Stdio::null())
        .stdout(Stdio::from(io::stderr()))
        .status()
        .with_context(|| format!("cannot start: {}", line(command)))?;
    if !status.success() {
        bail!("{status}: {}", line(command));
    }
    Ok(())
}

/// Runs the command without a word and returns what it printed, whatever its
/// exit status.
pub(crate) fn output(command: &mut Command) -> Result<Output> {
    command
        .stdin(Stdio::null())
        .output()
        .with_context(|| format!("cannot start: {}", line(command)))
}

/// Runs the command without a word and returns its stdout. Anything but
/// success is an error that holds its stderr.
pub(crate) fn capture(command: &mut Command) -> Result<String> {
    let output = output(command)?;
    if !output.status.success() {
        let stderr = String::from_utf8_lossy(&output.stderr);
        bail!("{}: {}: {}", output.status, line(command), stderr.trim());
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// Does this program start and succeed?
pub(crate) fn works(command: &mut Command) -> bool {
    output(command).is_ok_and(|output| output.status.success())
}

/// One word for a POSIX shell: single quotes leave nothing to interpret.
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

/// As `quote`, but plain words stay as they are.
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
