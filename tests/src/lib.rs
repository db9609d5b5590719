//! What the truth tests stand on: a load whose own account is the judge
//! (`load`), crafted packets for what no ordinary client can do (`packets`),
//! real servers that others have written (`servers`), accepts by
//! `io_uring` (`uring`) and by 32-bit calls (`narrow`), fresh network namespaces, the kernel's counters, what `ss` says, and the tool under test
//! run from outside by its command line and JSON contract (`tracer`). And what
//! any tracer costs, measured beside others (`bench`).
//! Nothing here links with the tool's own code.

pub mod bench;
pub mod bpf;
pub mod cgroup;
pub mod clock;
pub mod counters;
pub mod cpus;
pub mod delay;
pub mod epoll;
pub mod handshake;
pub mod interface;
pub mod load;
pub mod narrow;
mod netlink;
pub mod netns;
pub mod output;
pub mod packets;
pub mod proc;
pub mod requests;
pub mod route;
pub mod servers;
pub mod socket;
pub mod ss;
pub mod sysctl;
pub mod tmux;
pub mod tracer;
pub mod types;
pub mod uring;
