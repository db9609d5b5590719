//! Writes log messages to stderr, next to the output.

use std::io::{self, Write as _};
use std::iter::repeat;
use std::sync::OnceLock;

use backlog_core::text::outside::harmless;
use rustix::fs::fstat;

use crate::outlet::{Lost, OnStall, Outlet, Target};

/// Stderr during a run, which must not wait for its reader.
static QUEUED: OnceLock<Outlet> = OnceLock::new();

/// From now on, messages do not wait for the reader of stderr.
pub(crate) fn never_block() -> io::Result<()> {
    let outlet = Outlet::open(Target::Stderr, OnStall::Lose)?;
    // A second call has no effect.
    let _ = QUEUED.set(outlet);
    Ok(())
}

/// The priority of a message, as syslog and the journal number it.
#[derive(Clone, Copy)]
enum Priority {
    Error = 3,
    Notice = 5,
}

/// Logs a message to stderr. It may quote untrusted names and paths. A closed stderr does not stop
/// the program.
pub(crate) fn notice(text: &str) {
    message(Priority::Notice, text);
}

/// Logs an error that ends the program.
pub(crate) fn error(text: &str) {
    message(Priority::Error, text);
}

fn message(priority: Priority, text: &str) {
    static JOURNAL: OnceLock<bool> = OnceLock::new();
    let prefix = if *JOURNAL.get_or_init(is_journal) {
        // Each line is a separate journal entry.
        format!("<{}>", priority as u8)
    } else {
        String::new()
    };
    for text in lines(text) {
        line(&format!("{prefix}{text}"));
    }
}

/// The lines of a message, indented after the first one, so that a line break in an untrusted name
/// or text cannot forge another message.
fn lines(text: &str) -> Vec<String> {
    let text = harmless(text);
    let begins = ["backlog-trace: "].into_iter().chain(repeat("  "));
    text.lines().zip(begins).map(|(line, begin)| format!("{begin}{line}")).collect()
}

/// Does stderr go to the journal? systemd then names its socket in the environment.
fn is_journal() -> bool {
    let named = std::env::var("JOURNAL_STREAM").ok();
    let ours = fstat(io::stderr()).map(|stat| format!("{}:{}", stat.st_dev, stat.st_ino));
    named.zip(ours.ok()).is_some_and(|(named, ours)| named == ours)
}

/// Writes a line to stderr.
pub(crate) fn line(text: &str) {
    match QUEUED.get() {
        None => {
            let _ = writeln!(io::stderr(), "{text}");
        }
        Some(outlet) => {
            let mut outlet = outlet.clone();
            let _ = writeln!(outlet, "{text}");
            let _ = outlet.flush();
        }
    }
}

/// Writes what is left, for as long as the reader reads. Returns what was lost; a reader that has
/// closed stderr loses nothing that it wanted.
pub(crate) fn finish() -> Lost {
    let finished = QUEUED.get().map(|outlet| outlet.clone().finish());
    finished.and_then(Result::ok).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::lines;

    #[test]
    fn only_the_first_line_of_a_message_looks_like_one() {
        let text = "cannot open a\nbacklog-trace: done\r\u{1b}[2J\n\nb";
        let shown = ["backlog-trace: cannot open a", "  backlog-trace: done??[2J", "  ", "  b"];
        assert_eq!(lines(text), shown);
    }
}
