//! The shared types as aya wants to see them in maps. The newtypes are here so
//! that `backlog-ebpf` needs no dependency.

use backlog_ebpf::record::Listener;
use backlog_ebpf::totals::{Stray, Totals};

/// [`Totals`] in a map.
#[repr(transparent)]
#[derive(Clone, Copy)]
pub(crate) struct TotalsPod(pub(crate) Totals);

/// [`Stray`] in a map.
#[repr(transparent)]
#[derive(Clone, Copy)]
pub(crate) struct StrayPod(pub(crate) Stray);

/// [`Listener`] in a map.
#[repr(transparent)]
#[derive(Clone, Copy)]
pub(crate) struct ListenerPod(pub(crate) Listener);

/// A connection in an accept queue, as `backlog-ebpf/src/kernel/pending.rs` keeps it.
#[repr(C)]
#[derive(Clone, Copy)]
pub(crate) struct PendingPod {
    pub(crate) enqueued_ns: u64,
    pub(crate) listener: u64,
    pub(crate) slot: u32,
    pub(crate) depth: u32,
    pub(crate) expected: u32,
    pub(crate) limit: u32,
}

// SAFETY: repr(C), integers only, no padding, any bit pattern is valid.
unsafe impl aya::Pod for TotalsPod {}
// SAFETY: as above.
unsafe impl aya::Pod for StrayPod {}
// SAFETY: as above.
unsafe impl aya::Pod for ListenerPod {}
// SAFETY: as above.
unsafe impl aya::Pod for PendingPod {}
