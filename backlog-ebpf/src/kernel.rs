//! The kernel's memory: its types by name, where their fields are, and how they are read. Nothing
//! here keeps anything.

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
