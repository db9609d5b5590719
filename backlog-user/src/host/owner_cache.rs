//! Caches the owner of each listener, and decides when to scan again. A scan of all processes'
//! descriptors takes a while, so it runs when an unknown process accepts, and takes at most a
//! hundredth of the time.

use std::collections::{HashMap, HashSet};
use std::path::Path;
use std::time::{Duration, Instant};

use backlog_core::event::{Event, Identity, LastAccept, Listener, ListenerId, Netns, What};
use backlog_core::owner::{Owner, PIDS};
use backlog_core::run::cost::Looks;

use crate::clock::monotonic_ns;
use crate::host::namespaces::in_first_pid_namespace;
use crate::host::owner::cgroup::Cgroups;
use crate::host::owner::find::Finder;

/// The pause after a scan is this multiple of its duration.
const REST: u32 = 100;
/// The minimum pause.
const SHORTEST_REST: Duration = Duration::from_secs(1);
/// The number of scans after the start of a listener whose owner could not be read: a server may
/// start its workers a while later.
const LOOKS: u8 = 2;

/// See the module documentation.
pub(crate) struct OwnerCache {
    finder: Finder,
    cgroups: Cgroups,
    /// The owners by the inode number of the socket.
    known: HashMap<u64, Owner>,
    /// Sockets opened since the last interval, with the caller of `listen()`.
    new: HashMap<u64, Option<u32>>,
    looks_left: u8,
    looks: Looks,
    /// Does this process see the kernel's own process IDs?
    same_numbers: bool,
    not_before: Instant,
    looked_ns: u64,
    next_of_process: Instant,
}

/// An open listener of the model.
pub(crate) struct Open<'a> {
    /// Its data.
    pub(crate) listener: &'a Listener,
    /// The last acceptor.
    pub(crate) last_accept: Option<LastAccept>,
}

impl OwnerCache {
    /// Creates an empty cache.
    pub(crate) fn new(finder: Finder) -> Self {
        Self {
            finder,
            cgroups: Cgroups::find(Path::new("/proc")),
            known: HashMap::new(),
            new: HashMap::new(),
            looks_left: 0,
            looks: Looks::default(),
            same_numbers: in_first_pid_namespace(Path::new("/proc")),
            not_before: Instant::now(),
            looked_ns: 0,
            next_of_process: Instant::now(),
        }
    }

    /// Scans for the owners of these sockets.
    pub(crate) fn look(&mut self, sockets: &HashSet<u64>) {
        let start = Instant::now();
        self.looked_ns = monotonic_ns();
        let mut found = self.finder.scan(sockets);
        // Keep the owners that the scan missed: if a process has ended, the close event of its
        // socket will follow.
        self.known.retain(|inode, _| sockets.contains(inode) && !found.contains_key(inode));
        found.extend(self.known.drain());
        self.known = found;
        let took = start.elapsed();
        let Looks { count, elapsed, last } = &mut self.looks;
        *count += 1;
        *elapsed += took;
        *last = self.finder.last();
        self.not_before = Instant::now() + (took * REST).max(SHORTEST_REST);
        self.looks_left = self.looks_left.saturating_sub(1);
    }

    /// The cost of the scans.
    pub(crate) fn looks(&self) -> Looks {
        self.looks
    }

    /// The known owner of a listener. If it is unknown, a search follows soon.
    pub(crate) fn identify(&mut self, listener: &Listener, netns: Option<String>) -> Identity {
        let owner = listener.inode.and_then(|inode| self.known.get(&inode)).cloned();
        if let (None, Some(inode)) = (&owner, listener.inode) {
            let caller = listener.call.as_ref().and_then(|call| Some(call.caller.as_ref()?.pid));
            self.new.insert(inode, caller);
        }
        let cgroup = listener.cgroup.and_then(|id| self.cgroups.path_of(id));
        Identity { owner: owner.map(Box::new), cgroup, netns }
    }

    /// A listener has closed, so the inode number of its socket may be reused.
    pub(crate) fn closed(&mut self, listener: &Listener) {
        if let Some(inode) = listener.inode {
            self.known.remove(&inode);
            self.new.remove(&inode);
        }
    }

    /// The sockets that a process holds now. Empty if it has ended, or if the last call is too
    /// recent.
    pub(crate) fn sockets_of(&mut self, pid: u32) -> HashSet<u64> {
        if Instant::now() < self.next_of_process {
            return HashSet::new();
        }
        let start = Instant::now();
        let sockets = self.finder.sockets_of(pid).unwrap_or_default();
        self.next_of_process = Instant::now() + (start.elapsed() * REST).max(SHORTEST_REST);
        sockets
    }

    /// Updates the identities of open listeners at the end of an interval or run. `name` may know
    /// the names of more network namespaces by now.
    pub(crate) fn refresh<'a>(
        &mut self,
        open: impl Iterator<Item = Open<'a>> + Clone,
        time_ns: u64,
        at_end: bool,
        name: impl Fn(Netns) -> Option<String>,
        events: &mut Vec<Event>,
    ) {
        if !self.new.is_empty() {
            self.ask();
        }
        if open.clone().any(|open| self.is_stranger(&open)) {
            self.looks_left = self.looks_left.max(1);
        }
        if at_end || (self.looks_left > 0 && Instant::now() >= self.not_before) {
            self.look(&open.clone().filter_map(|open| open.listener.inode).collect());
        }
        for Open { listener, .. } in open {
            let was = &listener.identity;
            let owner = listener.inode.and_then(|inode| self.known.get(&inode));
            let netns = was.netns.clone().or_else(|| name(listener.netns));
            if owner != was.owner.as_deref() || netns != was.netns {
                let owner = owner.cloned().map(Box::new);
                let identity = Identity { owner, netns, cgroup: was.cgroup.clone() };
                events.push(changed(listener.id, identity, time_ns));
            }
        }
    }

    /// Checks whether the processes that opened listeners still hold them, one process each.
    /// Workers started later are noticed when they accept.
    fn ask(&mut self) {
        let new = std::mem::take(&mut self.new);
        let pids: HashSet<u32> = new.values().copied().flatten().collect();
        let sockets: HashSet<u64> = new.into_keys().collect();
        let found = self.finder.ask(&sockets, &pids.into_iter().collect::<Vec<_>>());
        if found.len() < sockets.len() || !self.same_numbers {
            self.looks_left = LOOKS;
        }
        self.known.extend(found);
    }

    /// Has a process accepted since the last scan that is not a known holder of the socket? Then
    /// the socket was passed on, or a worker was started.
    fn is_stranger(&self, open: &Open<'_>) -> bool {
        // In another pid namespace, the tool sees other pids than the kernel reports.
        if !self.same_numbers {
            return false;
        }
        let Some(LastAccept { pid, time_ns, .. }) = open.last_accept else { return false };
        let owner = open.listener.inode.and_then(|inode| self.known.get(&inode));
        time_ns > self.looked_ns
            && owner.is_some_and(|owner| owner.processes <= PIDS && !owner.pids.contains(&pid))
    }
}

fn changed(listener: ListenerId, identity: Identity, time_ns: u64) -> Event {
    Event { time_ns, what: What::Identity { listener, identity } }
}
