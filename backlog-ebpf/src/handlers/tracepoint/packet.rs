//! A packet that is being freed.

use crate::kernel::types::{Net, SkBuff};

/// A packet to a port with a listener.
pub(super) struct Packet {
    pub(super) skb: *const SkBuff,
    pub(super) net: *const Net,
    pub(super) port: u16,
    /// The flags of its TCP header. They are tested late: each early test doubles the verifier's
    /// work.
    pub(super) flags: u32,
}
