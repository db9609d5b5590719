//! Assigns ids to listeners. The kernel counts by slot, and a socket dump knows inode numbers; the
//! rest of the tool knows only these ids. Pure.

use std::net::SocketAddr;

use backlog_ebpf::record::{Listener as Wire, NEW_NETNS, OPENED_NOW, REUSEPORT, V6_ONLY};
use foldhash::HashMap;

use crate::aggregate::decode::{DecodeError, address, call};
use crate::event::{Identity, Listener, ListenerId, Netns};

/// The listeners that are open.
#[derive(Debug, Default)]
pub struct Registry {
    next: u32,
    by_slot: HashMap<u32, ListenerId>,
    by_socket: HashMap<Socket, ListenerId>,
    socket_of: HashMap<ListenerId, Socket>,
    /// The reader of kernel counters cannot distinguish namespaces with the same inode number, so
    /// their identities are ignored.
    pub by_inode: bool,
    /// Namespaces with a listener that were created during the run, since the last
    /// [`Registry::take_new`].
    new_namespaces: Vec<Netns>,
}

/// Identifies a socket in both sources: namespace and inode. (The kernel reuses an inode number
/// only after the close and 2^32 others.)
type Socket = (Netns, u64);

/// A listener in a socket dump.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SockDiagListener {
    /// Its local address.
    pub local: SocketAddr,
    /// Its network namespace.
    pub netns: Netns,
    /// The inode number of its socket.
    pub inode: u64,
    /// Its cookie.
    pub cookie: u64,
    /// The granted backlog.
    pub limit: u32,
    /// The depth of its queue.
    pub depth: u32,
    /// `IPV6_V6ONLY`, if the dump has it.
    pub v6_only: Option<bool>,
    /// Its `sk_drops`, if the dump has it.
    pub sk_drops: Option<u32>,
    /// The user that its socket belongs to.
    pub uid: u32,
    /// The index of the interface that it is bound to; 0: none.
    pub interface: u32,
    /// The id of its socket's cgroup (v2), if the dump has it.
    pub cgroup_id: Option<u64>,
    /// It is the TCP socket of an MPTCP listener, and those were requested.
    pub mptcp: bool,
}

impl SockDiagListener {
    /// The listener with this id.
    #[must_use]
    pub fn listener(&self, id: ListenerId) -> Listener {
        Listener {
            id,
            local: self.local,
            v6_only: self.v6_only.unwrap_or(false),
            netns: self.netns,
            inode: Some(self.inode),
            cookie: Some(self.cookie),
            limit: self.limit,
            depth: self.depth,
            reuseport: None,
            opened_now: false,
            sk_drops: self.sk_drops,
            call: None,
            cgroup: self.cgroup_id,
            identity: Identity::default(),
        }
    }

    /// A healthy listener on this address, for tests.
    #[cfg(any(test, feature = "fixtures"))]
    #[must_use]
    pub fn made_up(local: SocketAddr) -> Self {
        Self {
            local,
            netns: 4_026_531_840.into(),
            inode: 7000 + u64::from(local.port()),
            cookie: 5,
            limit: 128,
            depth: 0,
            v6_only: local.is_ipv6().then_some(false),
            sk_drops: Some(0),
            uid: 33,
            interface: 0,
            cgroup_id: Some(77),
            mptcp: false,
        }
    }
}

impl Registry {
    /// The listener of a row in a dump, with its previous id or a new one.
    pub fn listed(&mut self, listed: &SockDiagListener) -> Listener {
        listed.listener(self.id_of((listed.netns, listed.inode)))
    }

    /// Registers a listener that has just got a slot.
    ///
    /// # Errors
    /// If its address is of an unknown family.
    pub fn opened(&mut self, wire: &Wire) -> Result<Listener, DecodeError> {
        let local = address(&wire.local)?;
        let slot = wire.header.slot;
        let netns = Netns::new(wire.netns, if self.by_inode { 0 } else { wire.identity });
        if wire.flags & NEW_NETNS != 0 {
            self.new_namespaces.push(netns);
        }
        let id = match self.by_slot.get(&slot) {
            // A record from another CPU has already registered it.
            Some(known) => *known,
            None if wire.inode == 0 => self.fresh(),
            None => self.id_of((netns, wire.inode)),
        };
        self.by_slot.insert(slot, id);
        let flag = |flag| wire.flags & flag != 0;
        Ok(Listener {
            id,
            local,
            v6_only: flag(V6_ONLY),
            netns,
            inode: (wire.inode != 0).then_some(wire.inode),
            cookie: (wire.cookie != 0).then_some(wire.cookie),
            limit: wire.limit,
            depth: wire.depth,
            reuseport: Some(flag(REUSEPORT)),
            opened_now: flag(OPENED_NOW),
            sk_drops: Some(wire.sk_drops),
            call: call(wire),
            cgroup: (wire.cgroup != 0).then_some(wire.cgroup),
            identity: Identity::default(),
        })
    }

    /// Handles the close of a listener: its socket's inode may be reused. It keeps its slot until
    /// [`Registry::release`], since late records may carry it.
    pub fn closed(&mut self, slot: u32) -> Option<ListenerId> {
        let id = *self.by_slot.get(&slot)?;
        if let Some(socket) = self.socket_of.remove(&id) {
            self.by_socket.remove(&socket);
        }
        Some(id)
    }

    /// Forgets a slot from which nothing more will come.
    pub fn release(&mut self, slot: u32) {
        self.by_slot.remove(&slot);
    }

    /// Takes the namespaces that were found to be created during the run.
    pub fn take_new(&mut self) -> Vec<Netns> {
        std::mem::take(&mut self.new_namespaces)
    }

    /// The listener that has this slot.
    #[must_use]
    pub fn at(&self, slot: u32) -> Option<ListenerId> {
        self.by_slot.get(&slot).copied()
    }

    /// Slots and their listeners.
    pub fn slots(&self) -> impl Iterator<Item = (u32, ListenerId)> + '_ {
        self.by_slot.iter().map(|(slot, id)| (*slot, *id))
    }

    /// The listener with this inode in this namespace.
    #[must_use]
    pub fn of_socket(&self, netns: Netns, inode: u64) -> Option<ListenerId> {
        self.by_socket.get(&(netns, inode)).copied()
    }

    fn id_of(&mut self, socket: Socket) -> ListenerId {
        if let Some(id) = self.by_socket.get(&socket) {
            return *id;
        }
        let id = self.fresh();
        self.by_socket.insert(socket, id);
        self.socket_of.insert(id, socket);
        id
    }

    fn fresh(&mut self) -> ListenerId {
        self.next += 1;
        ListenerId(self.next)
    }
}

#[cfg(test)]
mod tests {
    use super::{Registry, SockDiagListener};
    use backlog_ebpf::AF_INET;
    use backlog_ebpf::record::{Endpoint, Header, Listener};

    fn listed() -> SockDiagListener {
        SockDiagListener {
            inode: 77,
            ..SockDiagListener::made_up("127.0.0.1:8000".parse().unwrap())
        }
    }

    fn wire(slot: u32, inode: u64) -> Listener {
        let mut addr = [0; 16];
        addr[..4].copy_from_slice(&[127, 0, 0, 1]);
        Listener {
            header: Header { slot, ..Header::default() },
            inode,
            netns: 4_026_531_840,
            local: Endpoint { addr, port: 8000, family: AF_INET },
            ..Listener::default()
        }
    }

    #[test]
    fn a_dump_and_a_record_of_one_socket_are_one_listener() {
        let mut registry = Registry::default();
        let first = registry.listed(&listed()).id;
        let second = registry.opened(&wire(9, 77)).unwrap().id;
        assert_eq!(first, second);
        assert_eq!(registry.at(9), Some(first));
        assert_ne!(registry.opened(&wire(10, 78)).unwrap().id, first);
    }

    #[test]
    fn a_closed_socket_s_name_is_free_again() {
        let mut registry = Registry::default();
        let first = registry.opened(&wire(1, 77)).unwrap().id;
        assert_eq!(registry.closed(1), Some(first));
        // Late records of the slot still find it.
        assert_eq!(registry.at(1), Some(first));
        registry.release(1);
        assert_eq!(registry.at(1), None);
        assert_ne!(registry.opened(&wire(1, 77)).unwrap().id, first);
    }

    #[test]
    fn a_socket_without_inode_is_a_listener_of_its_own() {
        let mut registry = Registry::default();
        let first = registry.opened(&wire(1, 0)).unwrap().id;
        let second = registry.opened(&wire(2, 0)).unwrap().id;
        assert_ne!(first, second);
    }
}
