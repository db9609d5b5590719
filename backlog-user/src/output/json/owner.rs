//! The owner of a listener's socket.

use backlog_core::owner;
use serde::Serialize;

/// Who holds a socket.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(crate) struct Owner<'a> {
    /// The holder that is not a child of another holder: of a pre-fork server the parent. Of
    /// several such holders the one with the lowest pid.
    main: Holder<'a>,
    /// How many processes hold the socket.
    processes: usize,
    /// Their pids, `main` first, at most 64.
    pids: &'a [u32],
    /// Threads of all these processes.
    threads: u32,
    /// The systemd unit that `main` runs in, by the path of its cgroup. Null: none.
    unit: Option<&'a str>,
    /// The container that `main` runs in, by the path of its cgroup. Null: none.
    container: Option<Container<'a>>,
}

/// A process that holds a socket.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
struct Holder<'a> {
    /// Its number in the tool's pid namespace.
    pid: u32,
    /// Its name.
    comm: &'a str,
    /// Its command line, words joined by spaces, at most 512 bytes. Empty: it has none.
    cmdline: &'a str,
    /// Its effective user.
    uid: u32,
    /// The name of that user by `/etc/passwd`. Null: not known.
    user: Option<&'a str>,
    /// The path of its cgroup. Null: not known.
    cgroup: Option<&'a str>,
}

/// A container, as the path of a cgroup names it.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
struct Container<'a> {
    /// `docker`, `containerd`, `cri-o`, `podman`, `systemd-nspawn` or `lxc`. Null: the path does
    /// not tell.
    runtime: Option<&'a str>,
    /// Its id, or the name of a machine.
    id: &'a str,
    /// The uid of the Kubernetes pod. Null: none.
    pod: Option<&'a str>,
}

impl<'a> From<&'a owner::Owner> for Owner<'a> {
    fn from(owner: &'a owner::Owner) -> Self {
        let owner::Owner { main, processes, pids, threads, unit, container } = owner;
        let owner::Process { pid, comm, cmdline, uid, user, cgroup } = main;
        let main = Holder {
            pid: *pid,
            comm,
            cmdline,
            uid: *uid,
            user: user.as_deref(),
            cgroup: cgroup.as_deref(),
        };
        let container = container.as_ref().map(|container| Container {
            runtime: container.runtime.as_deref(),
            id: &container.id,
            pod: container.pod.as_deref(),
        });
        let unit = unit.as_deref();
        Self { main, processes: *processes, pids, threads: *threads, unit, container }
    }
}
