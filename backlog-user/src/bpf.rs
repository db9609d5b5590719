//! The userspace side of the eBPF programs: plans their hooks, loads and attaches them, and reads
//! what they report.

pub(crate) mod attach;
pub(crate) mod layout;
pub(crate) mod live;
pub(crate) mod load;
mod mapped_array;
pub(crate) mod plan;
mod pod;
#[cfg(feature = "ebpf-log")]
mod program_log;
pub(crate) mod reserved;
pub(crate) mod self_cost;
pub(crate) mod startup_scan;
pub(crate) mod switch;
