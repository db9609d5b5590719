//! Readings of the counters of `/proc/net/netstat` about listeners: the reference for the programs'
//! counts.

pub use backlog_ebpf::counter::Counter;
use serde::{Deserialize, Serialize};

/// A kernel counter that may have moved while the tool read its own counts: it was at least `low`
/// before and at most `high` afterwards.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Range {
    /// Read before.
    pub low: u64,
    /// Read afterwards.
    pub high: u64,
}

impl Range {
    /// The value nearest to another one.
    #[must_use]
    pub fn nearest(self, to: u64) -> u64 {
        to.clamp(self.low, self.high.max(self.low))
    }
}

/// The change of each counter; none if the kernel does not show it.
pub type Reading = [Option<Range>; Counter::COUNT];

/// The value of each counter at one moment.
pub type Values = [Option<u64>; Counter::COUNT];
