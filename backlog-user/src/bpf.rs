//! The userspace side of the programs: planning their hooks, loading and attaching them, and
//! reading their counts.

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
