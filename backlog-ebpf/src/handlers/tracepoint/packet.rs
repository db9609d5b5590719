//! A packet of which the end is seen.

use crate::kernel::types::{Net, SkBuff};

/// A packet to a port that somebody listens at.
pub(super) struct Packet {
    pub(super) skb: *const SkBuff,
    pub(super) net: *const Net,
    pub(super) port: u16,
    /// The flags of its TCP header. They are tested late: each test that comes early doubles
    /// what the verifier walks.
    pub(super) flags: u32,
}
