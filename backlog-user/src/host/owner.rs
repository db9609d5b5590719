//! Who owns a listener: the processes that hold its socket, their user, systemd unit, cgroup
//! and container. `find` looks for them below a `/proc`; `container` and `cgroup` understand
//! paths; none of them asks a container runtime.

pub(crate) mod cgroup;
pub(crate) mod container;
mod descriptors;
pub(crate) mod find;
pub(crate) mod path;
mod process;
