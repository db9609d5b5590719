//! The programs in the kernel, seen from here: what goes where, loading and attaching it, and
//! reading what it has counted.

pub(crate) mod attach;
pub(crate) mod layout;
pub(crate) mod live;
pub(crate) mod load;
mod mapped_array;
pub(crate) mod plan;
mod pod;
#[cfg(feature = "ebpf-log")]
mod program_log;
pub(crate) mod queues;
pub(crate) mod self_cost;
