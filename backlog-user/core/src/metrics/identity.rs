//! The identity of a series: labels that do not change when the server restarts, of bounded length,
//! and none of them from a client.

use std::fmt::Write as _;

use crate::event::Listener;
use crate::text::outside::safe;

/// The longest value of a label, in characters.
const LONGEST: usize = 64;
/// The longest path, in characters.
const LONGEST_PATH: usize = 256;

/// The labels of a series.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Identity {
    pub(super) netns: String,
    address: String,
    port: String,
    process: String,
}

impl Identity {
    /// The identity of a listener with its own series.
    pub(super) fn own(listener: &Listener) -> Self {
        Self {
            netns: netns(listener).0,
            address: listener.local.ip().to_string(),
            port: listener.local.port().to_string(),
            process: process(listener),
        }
    }

    /// The identity of all listeners of a process whose ports do not last; a common one for all
    /// namespaces without a name, since these do not last either.
    pub(super) fn ephemeral(listener: &Listener) -> Self {
        let (netns, is_named) = netns(listener);
        let (netns, process) =
            if is_named { (netns, process(listener)) } else { (other(), other()) };
        Self { netns, address: String::new(), port: "ephemeral".to_owned(), process }
    }

    /// The identity of all listeners that have no series.
    pub(super) fn other() -> Self {
        Self { netns: other(), address: other(), port: other(), process: other() }
    }

    /// `netns="host",address="0.0.0.0",port="80",process="nginx"`
    pub(super) fn labels(&self) -> String {
        let Self { netns, address, port, process } = self;
        let pairs = [("netns", netns), ("address", address), ("port", port), ("process", process)];
        labels(pairs.map(|(name, value)| (name, value.as_str())))
    }
}

fn other() -> String {
    "other".to_owned()
}

fn process(listener: &Listener) -> String {
    listener.process().map(|process| clipped(&process.comm)).unwrap_or_default()
}

/// The name of a listener's network namespace, and whether it lasts: a name after a process in the
/// namespace depends on which process is found.
pub(super) fn netns(listener: &Listener) -> (String, bool) {
    match listener.identity.netns.as_deref() {
        Some(name) if !is_of_process(name) => (clipped(name), true),
        _ => (format!("ns-{}", listener.netns.inode()), false),
    }
}

/// `pid 812 (nginx)`
fn is_of_process(name: &str) -> bool {
    let pid = name.strip_prefix("pid ").and_then(|rest| rest.split_once(" ("));
    pid.is_some_and(|(pid, rest)| pid.parse::<u32>().is_ok() && rest.ends_with(')'))
}

/// The text, cut to the length of a label and without control characters.
pub(super) fn clipped(text: &str) -> String {
    clipped_to(text, LONGEST)
}

/// Like [`clipped`], for a path: its end says most, and the path of a container is often longer.
pub(super) fn clipped_path(path: &str) -> String {
    clipped_to(path, LONGEST_PATH)
}

fn clipped_to(text: &str, longest: usize) -> String {
    safe(text).chars().take(longest).collect()
}

/// Labels in the form of the exposition. Their values must be clipped.
pub(super) fn labels<'a>(pairs: impl IntoIterator<Item = (&'a str, &'a str)>) -> String {
    let mut text = String::new();
    for (name, value) in pairs {
        let comma = if text.is_empty() { "" } else { "," };
        let _ = write!(text, "{comma}{name}=\"");
        for character in value.chars() {
            match character {
                '\\' => text.push_str("\\\\"),
                '"' => text.push_str("\\\""),
                _ => text.push(character),
            }
        }
        text.push('"');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::{clipped, is_of_process, labels};

    #[test]
    fn a_name_by_a_process_does_not_last() {
        assert!(is_of_process("pid 812 (nginx)"));
        for name in ["host", "blue", "pid", "pid x (y)"] {
            assert!(!is_of_process(name), "{name}");
        }
    }

    #[test]
    fn labels_are_escaped_and_short() {
        let text = labels([("a", "x\"y\\z"), ("b", "")]);
        assert_eq!(text, r#"a="x\"y\\z",b="""#);
        assert_eq!(clipped(&"ä".repeat(100)).chars().count(), 64);
        assert!(!clipped("a\u{1b}[31m\nb").contains(['\u{1b}', '\n']));
    }
}
