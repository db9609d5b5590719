//! Reads the kernel's counters of a network namespace from `/proc`.

use std::collections::HashMap;
use std::fs;
use std::path::Path;

use backlog_core::counter::{Counter, Values};

/// Reads the counters below a folder like `/proc/thread-self/net`; None if it does not have them.
pub(crate) fn read(folder: &Path) -> Option<Values> {
    parse(&fs::read_to_string(folder.join("netstat")).ok()?)
}

/// Parses a file with a line of names and a line of values for each group.
pub(crate) fn parse(text: &str) -> Option<Values> {
    let mut lines = text.lines().filter_map(|line| line.strip_prefix("TcpExt:"));
    let names = lines.next()?.split_whitespace();
    let values = lines.next()?.split_whitespace();
    let by_name: HashMap<&str, u64> =
        names.zip(values).filter_map(|(name, value)| Some((name, value.parse().ok()?))).collect();
    Some(Counter::ALL.map(|counter| by_name.get(counter.name()).copied()))
}

#[cfg(test)]
mod tests {
    use super::parse;
    use backlog_core::counter::Counter;

    #[test]
    fn names_and_values_are_paired() {
        let values =
            parse("TcpExt: ListenOverflows ListenDrops\nTcpExt: 3 4\nIpExt: A\nIpExt: 1\n");
        let values = values.unwrap();
        assert_eq!(values[Counter::ListenOverflows as usize], Some(3));
        assert_eq!(values[Counter::ListenDrops as usize], Some(4));
        assert_eq!(values[Counter::SyncookiesSent as usize], None);
        assert!(parse("").is_none());
    }
}
