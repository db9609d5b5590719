//! The kernel's own counters of a network namespace: the judge.

use std::collections::HashMap;
use std::fs;
use std::path::Path;

/// `TcpExt` of `/proc/net/netstat`, by name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Netstat(HashMap<String, u64>);

impl Netstat {
    /// Those of the calling thread's namespace; none where /proc does not show them.
    pub(crate) fn read(root: &Path) -> Option<Self> {
        let text = fs::read_to_string(root.join("proc/thread-self/net/netstat")).ok()?;
        parse(&text)
    }

    /// How much a counter has grown since `before`.
    pub(crate) fn since(&self, before: &Self, name: &str) -> Option<u64> {
        Some(self.0.get(name)?.wrapping_sub(*before.0.get(name)?))
    }
}

/// The file has a line of names and a line of values for each group.
fn parse(text: &str) -> Option<Netstat> {
    let mut lines = text.lines().filter_map(|line| line.strip_prefix("TcpExt:"));
    let names = lines.next()?.split_whitespace();
    let values = lines.next()?.split_whitespace();
    Some(Netstat(
        names
            .zip(values)
            .filter_map(|(name, value)| Some((name.to_owned(), value.parse().ok()?)))
            .collect(),
    ))
}

#[cfg(test)]
mod tests {
    use super::parse;

    #[test]
    fn names_and_values_are_paired() {
        let before =
            parse("TcpExt: ListenOverflows ListenDrops\nTcpExt: 3 4\nIpExt: A\nIpExt: 1\n")
                .unwrap();
        let after = parse("TcpExt: ListenOverflows ListenDrops\nTcpExt: 10 4\n").unwrap();
        assert_eq!(after.since(&before, "ListenOverflows"), Some(7));
        assert_eq!(after.since(&before, "ListenDrops"), Some(0));
        assert_eq!(after.since(&before, "Nothing"), None);
        assert!(parse("").is_none());
    }
}
