//! Who owns a listener: the processes that hold its socket, their user, systemd unit, cgroup
//! and container. `find` looks for them below a `/proc`; `container` and `cgroup` understand
//! paths; none of them asks a container runtime.

pub(crate) mod cgroup;
pub(crate) mod container;
mod descriptors;
pub(crate) mod find;
mod path;
mod process;

use std::borrow::Cow;

use serde::{Deserialize, Serialize};

/// Who owns a listener.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Owner {
    /// The holder that is no child of another holder: of a pre-fork server the parent. Of
    /// several such the one with the lowest pid.
    pub(crate) main: Process,
    /// Processes that hold the socket.
    pub(crate) processes: usize,
    /// Their pids, the main one's first: at most [`PIDS`].
    pub(crate) pids: Vec<u32>,
    /// Threads of all of them.
    pub(crate) threads: u32,
    /// The systemd unit that the main one is in (`nginx.service`), by its cgroup.
    pub(crate) unit: Option<String>,
    /// The container that it is in, by its cgroup.
    pub(crate) container: Option<Container>,
}

/// Pids that are kept of an owner.
pub(crate) const PIDS: usize = 64;

/// A process that holds a socket.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Process {
    /// Its number, as this tool's pid namespace has it.
    pub(crate) pid: u32,
    /// Its name.
    pub(crate) comm: String,
    /// Its command line, words joined by spaces, at most 512 bytes; empty if it has none.
    pub(crate) cmdline: String,
    /// The effective user.
    pub(crate) uid: u32,
    /// That user's name, by `/etc/passwd`.
    pub(crate) user: Option<String>,
    /// The path of its cgroup: of the unified hierarchy, or of systemd's own.
    pub(crate) cgroup: Option<String>,
}

/// A container, as the path of a cgroup names it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Container {
    /// `docker`, `containerd`, `cri-o`, `podman`, `systemd-nspawn`, `lxc`, or none where the
    /// path does not tell.
    pub(crate) runtime: Option<Cow<'static, str>>,
    /// Its id, or the name of a machine.
    pub(crate) id: String,
    /// The uid of the Kubernetes pod.
    pub(crate) pod: Option<String>,
}
