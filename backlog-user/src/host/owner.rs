//! The owners of a listener: the processes that hold its socket, with their user, systemd unit,
//! cgroup and container. `find` searches a `/proc` for them; `container` and `path` parse cgroup
//! paths; `cgroup` maps cgroup IDs to paths. Nothing queries a container runtime.

pub(crate) mod cgroup;
pub(crate) mod container;
mod descriptors;
pub(crate) mod find;
pub(crate) mod path;
mod process;
