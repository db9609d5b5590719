//! The privileges of this process: which capabilities each feature needs, and how the tool drops
//! the rest.
//!
//! `table` lists what is needed, `process` prepares the process before its first thread starts,
//! `threads` reduces single threads and checks all of them, `user` parses `--user`, and `seccomp`
//! blocks system calls that a run never makes. docs/SECURITY.md gives the reasons.

pub(crate) mod capability;
pub(crate) mod process;
pub(crate) mod seccomp;
pub(crate) mod table;
pub(crate) mod threads;
pub(crate) mod user;
