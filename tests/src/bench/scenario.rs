//! The scenarios by name, and how often each is run per round.

use clap::ValueEnum;
use serde::Serialize;

/// A scenario.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Scenario {
    /// A connection over IPv4: connect, accept, close
    Ipv4,
    /// The same over IPv6
    Ipv6,
    /// An IPv4 connection to a port that the tracer leaves out, if it can
    Filtered,
    /// A SYN that a full accept queue refuses
    Refused,
    /// A system call other than accept
    Other,
}

impl Scenario {
    /// All scenarios, in order.
    pub const ALL: [Self; 5] = [Self::Ipv4, Self::Ipv6, Self::Filtered, Self::Refused, Self::Other];

    /// The number of timed groups in a round with this many connections, and the number of turns in
    /// each group.
    pub(super) fn groups(self, connections: u32) -> (u32, u32) {
        match self {
            Self::Ipv4 | Self::Ipv6 | Self::Filtered | Self::Refused => (connections, 1),
            // A turn is too short to be timed by itself.
            Self::Other => (connections.div_ceil(5), 100),
        }
    }

    /// Is a turn much cheaper than a connection?
    pub(super) const fn is_cheap(self) -> bool {
        matches!(self, Self::Refused | Self::Other)
    }

    /// The number of turns before the first round. A tracer may report the first refusals of a
    /// second individually, but this measures the flood after them.
    pub(super) const fn warm_up(self) -> u32 {
        match self {
            Self::Refused => 2000,
            _ => 200,
        }
    }
}
