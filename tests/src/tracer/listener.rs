//! The tool's JSON lines about a listener: its socket, its limit, and its holders. Only the fields
//! that the tests use, as in `lines`.

use std::collections::BTreeSet;

use serde::Deserialize;
use serde_json::Value;

/// `listener`, in a summary too; and `audit_listener`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Listener {
    /// What other lines call it; a number or a text.
    pub id: Value,
    /// The address listened on.
    pub addr: String,
    /// The port.
    pub port: u16,
    /// `IPv4`, `IPv6` or however the tool calls it.
    pub family: Value,
    /// Inode of its network namespace.
    pub netns: u64,
    /// The name of that, if it has one.
    pub netns_name: Option<String>,
    /// Inode of the socket; 0 if it is not known.
    pub inode: u64,
    /// The granted backlog.
    pub limit: u64,
    /// The backlog asked for, if that was seen.
    pub asked: Option<i64>,
    /// What its namespace permits at most.
    pub somaxconn: Option<u64>,
    /// Its queue when it was seen.
    pub depth: u64,
    /// Does it share its port?
    pub reuseport: Option<bool>,
    /// With whom.
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
    /// The one to talk to.
    pub main: Main,
    /// How many processes hold the socket.
    pub processes: u64,
    /// Which.
    pub pids: BTreeSet<u32>,
    /// How many threads these have.
    pub threads: u64,
    /// The unit of systemd.
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
    /// Its arguments: a text, or its words.
    pub cmdline: Value,
    /// Its user.
    pub uid: Option<u32>,
    /// The same by name.
    pub user: Option<String>,
    /// Its cgroup.
    pub cgroup: Option<String>,
}

/// `owner.container`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Container {
    /// What runs it.
    pub runtime: Option<String>,
    /// Its name there.
    pub id: Option<String>,
    /// The pod that it is in.
    pub pod: Option<String>,
}

/// `group`.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq)]
#[serde(default)]
pub struct Group {
    /// How many sockets share the port.
    pub size: u64,
    /// Which of them this is.
    pub member: u64,
}

/// `limit`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Limit {
    /// Whose.
    pub listener: Value,
    /// What `listen()` was called with.
    pub asked: Option<i64>,
    /// What was granted.
    pub limit: u64,
    /// What was granted before, if anything.
    pub was: Option<u64>,
    /// What the namespace permits at most.
    pub somaxconn: Option<u64>,
    /// Who has called it.
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
