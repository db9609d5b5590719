//! Caches the owner of each listener, and decides when to scan again: a scan of the descriptors of
//! all processes takes a while, so it runs when an unknown process accepts, and for at most a
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

/// After a scan, this multiple of its duration passes without one.
const REST: u32 = 100;
/// And by this at least.
const SHORTEST_REST: Duration = Duration::from_secs(1);
/// Scans after the start of a listener whose owner could not be read: a server may start its
/// workers a while later.
const LOOKS: u8 = 2;

/// See the module's head.
pub(crate) struct OwnerCache {
    finder: Finder,
    cgroups: Cgroups,
    /// By the inode number of a socket.
    known: HashMap<u64, Owner>,
    /// Sockets opened since the last interval, with the caller of `listen()`.
    new: HashMap<u64, Option<u32>>,
    looks_left: u8,
    looks: Looks,
    /// Are processes numbered here as the kernel numbers them?
    same_numbers: bool,
    not_before: Instant,
    looked_ns: u64,
    next_of_process: Instant,
}

/// An open listener, as the model knows it.
pub(crate) struct Open<'a> {
    /// Who it is.
    pub(crate) listener: &'a Listener,
    /// The last acceptor.
    pub(crate) last_accept: Option<LastAccept>,
}

impl OwnerCache {
    /// An empty cache.
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

    /// Looks for the owners of sockets that are there.
    pub(crate) fn look(&mut self, sockets: &HashSet<u64>) {
        let start = Instant::now();
        self.looked_ns = monotonic_ns();
        let mut found = self.finder.scan(sockets);
        // A process that ends during the scan closes its socket; the close event will report that.
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

    /// The known owner of a listener. An unknown listener is searched for soon.
    pub(crate) fn identify(&mut self, listener: &Listener, netns: Option<String>) -> Identity {
        let owner = listener.inode.and_then(|inode| self.known.get(&inode)).cloned();
        if let (None, Some(inode)) = (&owner, listener.inode) {
            let caller = listener.call.as_ref().and_then(|call| Some(call.caller.as_ref()?.pid));
            self.new.insert(inode, caller);
        }
        let cgroup = listener.cgroup.and_then(|id| self.cgroups.path_of(id));
        Identity { owner: owner.map(Box::new), cgroup, netns }
    }

    /// A listener has closed: its socket's number may be another's soon.
    pub(crate) fn closed(&mut self, listener: &Listener) {
        if let Some(inode) = listener.inode {
            self.known.remove(&inode);
            self.new.remove(&inode);
        }
    }

    /// The sockets that a process holds now; none if it has ended.
    pub(crate) fn sockets_of(&mut self, pid: u32) -> HashSet<u64> {
        if Instant::now() < self.next_of_process {
            return HashSet::new();
        }
        let start = Instant::now();
        let sockets = self.finder.sockets_of(pid).unwrap_or_default();
        self.next_of_process = Instant::now() + (start.elapsed() * REST).max(SHORTEST_REST);
        sockets
    }

    /// At the end of an interval or of the run: the changes of these. `name` knows the names of
    /// network namespaces, by now perhaps of more.
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
    /// Workers started later are unknown when they accept.
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

    /// Has a process accepted since the last scan that is not known to hold the socket? The socket
    /// was passed on, or a worker was started.
    fn is_stranger(&self, open: &Open<'_>) -> bool {
        // In its own pid namespace the tool sees other pids than the kernel reports.
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
