//! Access to the kernel's memory: its types, the offsets of fields, and reads. This layer keeps no
//! state.

pub(crate) mod caller;
pub(crate) mod cgroup;
pub(crate) mod globals;
pub(crate) mod log;
pub(crate) mod mptcp;
pub(crate) mod pointers;
pub(crate) mod read;
pub(crate) mod sock;
pub(crate) mod syscall;
pub(crate) mod time;
pub(crate) mod types;
