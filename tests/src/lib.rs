//! The library of the truth tests: a load that keeps its own account as the reference (`load`),
//! crafted packets for states that ordinary clients cannot cause (`packets`), real servers
//! (`servers`), accepts by `io_uring` (`uring`) and by 32-bit calls (`narrow`), new network
//! namespaces, the kernel's counters, the output of `ss`, and a real browser (`browser`). It runs
//! the tool under test by its command line and JSON contract (`tracer`) or as a service
//! (`service`), and measures the cost of tracers (`bench`). Nothing here links with the tool's own
//! code.

pub mod bench;
pub mod bpf;
pub mod browser;
pub mod cgroup;
pub mod clock;
pub mod counters;
pub mod cpus;
pub mod delay;
pub mod epoll;
pub mod handshake;
pub mod inodes;
pub mod interface;
pub mod load;
pub mod monitoring;
pub mod narrow;
mod netlink;
pub mod netns;
pub mod output;
pub mod packets;
pub mod proc;
pub mod prometheus;
pub mod ptrace;
pub mod requests;
pub mod route;
pub mod servers;
pub mod service;
pub mod soak;
pub mod socket;
pub mod ss;
pub mod sysctl;
pub mod terminal;
pub mod tmux;
pub mod tracer;
pub mod types;
pub mod uring;
pub mod victoria;
