//! The cgroup of a socket: its id, and whether it is below another one. A connection has the cgroup
//! of its listener; a process that moves to another cgroup leaves its sockets behind.

use backlog_ebpf::ABSENT;

use super::{
    globals::{
        CGROUP_ANCESTOR_IDS, CGROUP_ANCESTORS, CGROUP_LEVEL, CGROUP_NODE, NODE_ID, SK_CGROUP,
    },
    read,
    types::{Cgroup, Node, Sock},
};

/// The id of a socket's cgroup; zero if this kernel does not show it.
#[inline(always)]
pub(crate) fn of(sk: *const Sock) -> u64 {
    if SK_CGROUP.load() == ABSENT {
        return 0;
    }
    number(read::pointer(sk, &SK_CGROUP))
}

#[inline(always)]
fn number(cgroup: *const Cgroup) -> u64 {
    let node: *const Node = read::pointer(cgroup, &CGROUP_NODE);
    if node.is_null() { 0 } else { read::field(node, &NODE_ID) }
}

/// Whether a socket's cgroup is `wanted`, which is at that level, or below it.
#[inline(always)]
pub(crate) fn is_below(sk: *const Sock, wanted: u64, level: u32) -> bool {
    if SK_CGROUP.load() == ABSENT {
        return false;
    }
    let cgroup: *const Cgroup = read::pointer(sk, &SK_CGROUP);
    if cgroup.is_null() || read::field::<_, u32>(cgroup, &CGROUP_LEVEL) < level {
        return false;
    }
    let place = 8 * level as usize;
    let ancestor: u64 = if CGROUP_ANCESTORS.load() == ABSENT {
        read::at(cgroup, CGROUP_ANCESTOR_IDS.load() as usize + place)
    } else {
        let ancestor: u64 = read::at(cgroup, CGROUP_ANCESTORS.load() as usize + place);
        number(ancestor as *const Cgroup)
    };
    ancestor == wanted
}
