//! The owner of a listener: the processes that hold its socket, their user, systemd unit, cgroup
//! and container.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};

/// The owner of a listener.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Owner {
    /// The holder that is not a child of another holder: the parent of a pre-fork server. If there
    /// are several, the one with the lowest pid.
    pub main: Process,
    /// Processes that hold the socket.
    pub processes: usize,
    /// Their pids, the main one's first: at most [`PIDS`].
    pub pids: Vec<u32>,
    /// The number of their threads.
    pub threads: u32,
    /// The systemd unit of the main process (`nginx.service`), by its cgroup.
    pub unit: Option<String>,
    /// The container of the main process, by its cgroup.
    pub container: Option<Container>,
}

/// The most pids that are kept of an owner.
pub const PIDS: usize = 64;

/// A process that holds a socket.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Process {
    /// Its pid in the pid namespace of this tool.
    pub pid: u32,
    /// Its name.
    pub comm: String,
    /// Its command line, words joined by spaces, at most 512 bytes; empty if it has none.
    pub cmdline: String,
    /// The effective user.
    pub uid: u32,
    /// That user's name, by `/etc/passwd`.
    pub user: Option<String>,
    /// The path of its cgroup, in the unified hierarchy or in systemd's own.
    pub cgroup: Option<String>,
}

/// A container, as named by the path of a cgroup.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Container {
    /// `docker`, `containerd`, `cri-o`, `podman`, `systemd-nspawn`, `lxc`, or none if the path does
    /// not show it.
    pub runtime: Option<Cow<'static, str>>,
    /// Its id, or the name of a machine.
    pub id: String,
    /// The uid of the Kubernetes pod.
    pub pod: Option<String>,
}
