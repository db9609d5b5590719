//! The host as seen without our programs: its kernel, network namespaces, sockets and processes.

pub(crate) mod acceptors;
pub(crate) mod cpu_limit;
pub(crate) mod kernel;
pub(crate) mod kernel_counters;
pub(crate) mod namespaces;
pub(crate) mod owner;
pub(crate) mod owner_cache;
pub(crate) mod sock_diag;
