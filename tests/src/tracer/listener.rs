//! The tool's JSON lines about a listener: its socket, its limit, and its holders, with only those
//! fields that the tests use, as in `lines`.

use std::collections::BTreeSet;

use serde::Deserialize;
use serde_json::Value;

/// The line `listener`, also within a summary, and `audit_listener`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Listener {
    /// The ID that other lines refer to; a number or a string.
    pub id: Value,
    /// The listening address.
    pub addr: String,
    /// The listening port.
    pub port: u16,
    /// The family, under any name.
    pub family: Value,
    /// Inode of its network namespace.
    pub netns: u64,
    /// The name of the namespace, if it has one.
    pub netns_name: Option<String>,
    /// Inode of the socket; 0 if unknown.
    pub inode: u64,
    /// The granted backlog.
    pub limit: u64,
    /// The requested backlog, if the call was seen.
    pub asked: Option<i64>,
    /// The maximum that its namespace permits.
    pub somaxconn: Option<u64>,
    /// The depth of its queue when it was found.
    pub depth: u64,
    /// Does it share its port?
    pub reuseport: Option<bool>,
    /// The `SO_REUSEPORT` group.
    pub group: Option<Group>,
    /// The main owner.
    pub process: Option<Process>,
    /// All owners.
    pub owner: Option<Owner>,
    /// The cgroup of the socket itself.
    pub cgroup: Option<String>,
}

/// `process`.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq)]
#[serde(default)]
pub struct Process {
    /// Its number.
    pub pid: u32,
    /// Its name.
    pub comm: String,
}

/// `owner`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Owner {
    /// The main owner.
    pub main: Main,
    /// How many processes hold the socket.
    pub processes: u64,
    /// Their process IDs.
    pub pids: BTreeSet<u32>,
    /// The number of their threads.
    pub threads: u64,
    /// The systemd unit.
    pub unit: Option<String>,
    /// The container.
    pub container: Option<Container>,
}

/// `owner.main`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Main {
    /// Its number.
    pub pid: u32,
    /// Its name.
    pub comm: String,
    /// Its command line: a string, or a list of words.
    pub cmdline: Value,
    /// Its user.
    pub uid: Option<u32>,
    /// The name of its user.
    pub user: Option<String>,
    /// Its cgroup.
    pub cgroup: Option<String>,
}

/// `owner.container`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Container {
    /// The runtime.
    pub runtime: Option<String>,
    /// The ID in the runtime.
    pub id: Option<String>,
    /// The pod.
    pub pod: Option<String>,
}

/// `group`.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq)]
#[serde(default)]
pub struct Group {
    /// How many sockets share the port.
    pub size: u64,
    /// The number of this one.
    pub member: u64,
}

/// `limit`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Limit {
    /// The ID of the listener.
    pub listener: Value,
    /// The argument of `listen()`.
    pub asked: Option<i64>,
    /// The granted limit.
    pub limit: u64,
    /// The previous limit, if there was one.
    pub was: Option<u64>,
    /// The maximum that the namespace permits.
    pub somaxconn: Option<u64>,
    /// The process that made the call.
    pub process: Option<Process>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_owner_of_a_listener_is_read_and_may_be_unknown() {
        let text = r#"{"id":1,"addr":"::","port":8000,"limit":511,"asked":511,"somaxconn":4096,
            "process":{"pid":7,"comm":"nginx"},"netns_name":null,"cgroup":"/",
            "group":{"size":3,"member":1},
            "owner":{"main":{"pid":7,"comm":"nginx","cmdline":"nginx: master process",
                "uid":0,"user":"root","cgroup":"/"},
                "processes":2,"pids":[7,9],"threads":2,"unit":null,"container":null}}"#;
        let listener: Listener = serde_json::from_str(text).unwrap();
        let owner = listener.owner.unwrap();
        assert_eq!((owner.main.pid, owner.pids), (7, BTreeSet::from([7, 9])));
        assert_eq!(listener.group, Some(Group { size: 3, member: 1 }));
        let unknown: Listener =
            serde_json::from_str(r#"{"id":1,"process":null,"owner":null,"group":null}"#).unwrap();
        assert!(unknown.owner.is_none() && unknown.process.is_none());
    }
}
