//! Reads the kernel's own counters of a network namespace from /proc: the reference of every test.
//! Knows the file format and which counters concern accept queues; the caller knows the expected
//! values.

use std::collections::BTreeMap;
use std::fs;

use anyhow::{Context, Result};

/// The counters that change when a handshake succeeds or fails.
pub const WATCHED: [&str; 17] = [
    "ListenOverflows",
    "ListenDrops",
    "PassiveOpens",
    "TCPReqQFullDrop",
    "TCPReqQFullDoCookies",
    "SyncookiesSent",
    "SyncookiesRecv",
    "SyncookiesFailed",
    "TCPFastOpenPassive",
    "TCPFastOpenListenOverflow",
    "EmbryonicRsts",
    "EstabResets",
    "OutRsts",
    "TCPDeferAcceptDrop",
    "TCPMigrateReqSuccess",
    "TCPMigrateReqFailure",
    "TCPTimeouts",
];

/// Counters by name, or their changes: the field `kernel` of the truths.
pub type Changes = BTreeMap<String, u64>;

/// All counters of a namespace at one time.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counters(Changes);

impl Counters {
    /// Reads the calling thread's namespace; `/proc/net` would be that of the process's first
    /// thread.
    ///
    /// # Errors
    /// When /proc is not mounted.
    pub fn read() -> Result<Self> {
        let mut all = BTreeMap::new();
        for file in ["netstat", "snmp"] {
            let path = format!("/proc/thread-self/net/{file}");
            let text = fs::read_to_string(&path).with_context(|| format!("cannot read {path}"))?;
            all.extend(parse(&text));
        }
        Ok(Self(all))
    }

    /// One counter; 0 where this kernel does not have it.
    #[must_use]
    pub fn get(&self, name: &str) -> u64 {
        self.0.get(name).copied().unwrap_or(0)
    }

    /// Does this kernel have the counter?
    #[must_use]
    pub fn has(&self, name: &str) -> bool {
        self.0.contains_key(name)
    }

    /// The changes of the watched counters since `earlier`. A counter that this kernel lacks is
    /// left out.
    #[must_use]
    pub fn change_since(&self, earlier: &Self) -> Changes {
        WATCHED
            .iter()
            .filter_map(|&name| {
                let now = self.0.get(name)?;
                Some((name.to_owned(), now.wrapping_sub(earlier.get(name))))
            })
            .collect()
    }
}

/// Parses pairs of lines with the same prefix: names, then numbers. The prefix is dropped, since
/// the watched names are unique without it.
fn parse(text: &str) -> Changes {
    let lines: Vec<&str> = text.lines().collect();
    lines
        .chunks_exact(2)
        .flat_map(|pair| {
            let names = pair[0].split_whitespace().skip(1);
            let values = pair[1].split_whitespace().skip(1);
            // Skip values that are not counts (snmp's MaxConn is -1).
            names
                .zip(values)
                .filter_map(|(name, value)| Some((name.to_owned(), value.parse().ok()?)))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pairs_of_lines_are_read_and_signed_values_left_out() {
        let text = "Tcp: MaxConn PassiveOpens\nTcp: -1 7\nTcpExt: ListenDrops\nTcpExt: 3\n";
        let counters = Counters(parse(text));
        assert_eq!(counters.get("PassiveOpens"), 7);
        assert_eq!(counters.get("ListenDrops"), 3);
        assert_eq!(counters.0.get("MaxConn"), None);
    }

    #[test]
    fn this_kernel_has_the_ones_that_matter() {
        let now = Counters::read().unwrap();
        let change = now.change_since(&now);
        for name in ["ListenOverflows", "ListenDrops", "PassiveOpens"] {
            assert_eq!(change.get(name), Some(&0), "{name}");
        }
    }
}
