//! Kernel memory of a queue entry, from the sizes of the running kernel's slab objects, which only
//! root can read.

use std::fs;
use std::path::Path;

use backlog_core::event;

/// The sizes of the objects that a client costs until it is accepted; None where they could not be
/// read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Memory {
    pub(crate) ipv4: Option<Entry>,
    pub(crate) ipv6: Option<Entry>,
    pub(crate) mptcp_ipv4: Option<Entry>,
    pub(crate) mptcp_ipv6: Option<Entry>,
}

/// The objects of an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Entry {
    /// The request, which exists from the SYN to the accept. It is all of a SYN queue's entry.
    pub(crate) request: u64,
    /// The socket or sockets of the connection, which an entry of the accept queue has as well.
    pub(crate) socket: u64,
}

impl Entry {
    /// The size of an entry in the accept queue.
    pub(crate) fn queued(self) -> u64 {
        self.request + self.socket
    }

    /// The size of both queues when they are full: each holds one entry more than the limit. Data
    /// that clients have sent is not included.
    pub(crate) fn at_most(self, limit: u32) -> u64 {
        (u64::from(limit) + 1).saturating_mul(self.queued() + self.request)
    }
}

impl Memory {
    /// Reads the sizes below `root`.
    pub(crate) fn read(root: &Path) -> Self {
        let table = fs::read_to_string(root.join("proc/slabinfo")).unwrap_or_default();
        let sum = |names: &[&[&str]]| -> Option<u64> {
            let one = |names: &&[&str]| names.iter().find_map(|name| size(root, &table, name));
            names.iter().map(one).sum()
        };
        let entry = |request: &[&str], sockets: &[&[&str]]| {
            Some(Entry { request: sum(&[request])?, socket: sum(sockets)? })
        };
        // Only newer kernels have a separate MPTCP slab for each family.
        Self {
            ipv4: entry(&["request_sock_TCP"], &[&["TCP"]]),
            ipv6: entry(&["request_sock_TCPv6", "request_sock_TCP"], &[&["TCPv6"]]),
            mptcp_ipv4: entry(
                &["request_sock_subflow_v4", "request_sock_subflow"],
                &[&["TCP"], &["MPTCP"]],
            ),
            mptcp_ipv6: entry(
                &["request_sock_subflow_v6", "request_sock_subflow"],
                &[&["TCPv6"], &["MPTCPv6"]],
            ),
        }
    }
}

/// The size of a connection in an accept queue, without MPTCP.
pub(crate) fn of_queued(root: &Path) -> event::Memory {
    let Memory { ipv4, ipv6, .. } = Memory::read(root);
    event::Memory { ipv4: ipv4.map(Entry::queued), ipv6: ipv6.map(Entry::queued) }
}

/// The size of an object in a slab, including padding.
fn size(root: &Path, table: &str, name: &str) -> Option<u64> {
    let file = root.join("sys/kernel/slab").join(name).join("slab_size");
    let in_sysfs = fs::read_to_string(file).ok().and_then(|text| text.trim().parse().ok());
    in_sysfs.or_else(|| {
        // The columns: name, objects in use, objects, bytes of each, ...
        let mut rows = table.lines().map(str::split_whitespace);
        rows.find_map(|mut row| (row.next() == Some(name)).then(|| row.nth(2)?.parse().ok())?)
    })
}

#[cfg(test)]
mod tests {
    use super::{Entry, Memory};
    use std::fs;

    #[test]
    fn sizes_come_from_sysfs_or_from_slabinfo() {
        let root = tempfile::tempdir().unwrap();
        assert_eq!(Memory::read(root.path()), Memory::default());
        fs::create_dir_all(root.path().join("proc")).unwrap();
        let table = "slabinfo - version: 2.1\n\
                     # name <active_objs> <num_objs> <objsize> <objperslab> <pagesperslab>\n\
                     TCPv6 52 104 2496 13 8 : tunables 0 0 0\n\
                     request_sock_TCP 1 2 304 12 1 : tunables 0 0 0\n\
                     TCP 52 104 2240 13 8 : tunables 0 0 0\n";
        fs::write(root.path().join("proc/slabinfo"), table).unwrap();
        let memory = Memory::read(root.path());
        assert_eq!(memory.ipv4, Some(Entry { request: 304, socket: 2240 }));
        assert_eq!(memory.ipv6, Some(Entry { request: 304, socket: 2496 }));
        assert_eq!(memory.mptcp_ipv4, None);
        let slab = root.path().join("sys/kernel/slab/TCP");
        fs::create_dir_all(&slab).unwrap();
        fs::write(slab.join("slab_size"), "2368\n").unwrap();
        assert_eq!(Memory::read(root.path()).ipv4.unwrap().socket, 2368);
    }

    #[test]
    fn one_more_than_the_limit_fits_into_each_queue() {
        let entry = Entry { request: 300, socket: 2000 };
        assert_eq!(entry.at_most(0), 2600);
        assert_eq!(entry.at_most(9), 26_000);
    }
}
