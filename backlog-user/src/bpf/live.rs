//! Events from the running kernel: records out of the ring, totals and queued
//! connections out of the maps. It knows slots and maps; what leaves it does not.

mod leftovers;
mod slots;
mod workers;

use std::collections::{HashMap, HashSet};
use std::mem::offset_of;
use std::os::fd::{AsRawFd, RawFd};
use std::sync::Arc;

use anyhow::{Context as _, Result};
use backlog_core::aggregate::decode::{Record, decode};
use backlog_core::aggregate::registry::SockDiagListener;
use backlog_core::aggregate::translate::{self, Translator};
use backlog_core::event::{Caller, Count, Event, LastAccept, ListenerId, Netns, What};
use backlog_ebpf::accepts::{Failure, FailureKey, Workers};
use backlog_ebpf::distribution::Distributions;
use backlog_ebpf::record::{self, Kind};
use backlog_ebpf::totals::Stray;

use crate::bpf::load::{Loaded, Maps};
use crate::bpf::mapped_array::Table;
use crate::bpf::pod::{DistributionsPod, TotalsPod, WorkersPod};
use crate::bpf::startup_scan;
use crate::bpf::switch::Switch;
use crate::clock::monotonic_ns;
use crate::host::namespaces::Namespaces;
use slots::Retiring;
use workers::WorkerCounts;

/// See the module's head.
pub(crate) struct Live {
    loaded: Loaded,
    translator: Translator,
    workers: WorkerCounts,
    /// The running epoch of the interval peaks, or the last one.
    epoch: u32,
    running: bool,
    /// Slots of closed listeners, which are given back when nothing of them can
    /// come any more.
    retiring: Vec<Retiring>,
    /// When a slot was given back last.
    given_back: HashMap<u32, u64>,
    /// Records of a close that were lost so far.
    lost_closes: u64,
    /// Sockets that were added to the filter.
    wanted: HashSet<u64>,
    /// A listener was found whose open record was lost: its close record may be lost as well.
    unheard: bool,
}

/// Records that are taken before others get their turn: no more than a CPU's cache holds.
pub(crate) const BATCH: usize = 1 << 10;

impl AsRawFd for Live {
    /// The ring: readable when the programs want to be heard.
    fn as_raw_fd(&self) -> RawFd {
        self.loaded.maps.events.as_raw_fd()
    }
}

impl Live {
    /// Takes over the loaded programs. `by_inode`: only the inode number distinguishes namespaces.
    pub(crate) fn new(loaded: Loaded, by_inode: bool) -> Self {
        let mut translator = Translator::default();
        translator.registry.by_inode = by_inode;
        Self {
            loaded,
            translator,
            workers: WorkerCounts::default(),
            epoch: 0,
            running: false,
            retiring: Vec::new(),
            given_back: HashMap::new(),
            lost_closes: 0,
            wanted: HashSet::new(),
            unheard: false,
        }
    }

    /// Several namespaces may get the inode number of `--netns` in turn: this is the one to trace.
    /// Must be called before the programs begin.
    pub(crate) fn only(&mut self, netns: Netns) -> Result<()> {
        let identity = netns.identity().unwrap_or(0);
        self.loaded.maps.asked_netns.set(0, identity, 0).context("setting the filter of --netns")
    }

    /// Lets the programs begin, with a startup scan before and after. Returns the namespaces that
    /// could not be scanned, in words.
    pub(crate) fn begin(&mut self, namespaces: &Namespaces) -> Result<Vec<String>> {
        let failures = startup_scan::before(&mut self.loaded, namespaces)?;
        self.running = true;
        self.next_epoch()?;
        startup_scan::begun(&mut self.loaded)?;
        Ok(failures)
    }

    /// The look afterwards.
    pub(crate) fn begun(&mut self, namespaces: &Namespaces) -> Result<()> {
        // Namespaces that cannot be scanned have been reported before.
        startup_scan::after(&mut self.loaded, namespaces).map(drop)
    }

    /// Deactivates the programs. Running ones finish. Returns the end of the run, which was before
    /// if another thread has stopped them.
    pub(crate) fn end(&mut self) -> Result<u64> {
        self.running = false;
        self.loaded.switch.stop()
    }

    /// Stops and detaches the programs, from any thread.
    pub(crate) fn switch(&self) -> Arc<Switch> {
        Arc::clone(&self.loaded.switch)
    }

    /// Has another thread stopped them?
    pub(crate) fn is_stopped(&self) -> bool {
        self.loaded.switch.stopped_ns().is_some()
    }

    /// Until when they have counted: now, or the end of the run.
    pub(crate) fn counted_until(&self) -> u64 {
        self.loaded.switch.stopped_ns().unwrap_or_else(monotonic_ns)
    }

    fn next_epoch(&mut self) -> Result<()> {
        // Zero would stop the programs.
        self.epoch = self.epoch.checked_add(1).unwrap_or(1);
        self.loaded.switch.begin_epoch(self.epoch)
    }

    /// Listeners that a dump of the kernel's sockets shows.
    pub(crate) fn listed<'a>(
        &mut self,
        listed: impl Iterator<Item = &'a SockDiagListener>,
        time_ns: u64,
        events: &mut Vec<Event>,
    ) {
        events.extend(listed.map(|listed| Event {
            time_ns,
            what: What::Listener(self.translator.registry.listed(listed)),
        }));
    }

    /// Takes the records that are in the ring, but not for ever: the programs may
    /// be faster. True: it was empty at the end.
    pub(crate) fn drain(&mut self, events: &mut Vec<Event>) -> bool {
        #[cfg(feature = "ebpf-log")]
        self.loaded.log.flush();
        for _ in 0..BATCH {
            // A record is copied out before the next is asked for: while one is
            // held, the ring has no more room.
            let Some(decoded) = self.loaded.maps.events.next().map(|bytes| decode(&bytes)) else {
                for closed in &mut self.retiring {
                    closed.drained = true;
                }
                return true;
            };
            if let Ok(Record::Closed(record::Listener { header, sk, .. })) = &decoded {
                let slot = header.slot;
                // It may have been found closed before this was read.
                if self.retiring.iter().all(|closed| closed.slot != slot) {
                    self.retiring.push(Retiring { slot, sk: *sk, drained: false });
                }
            }
            let Self { translator, loaded, .. } = self;
            translator.record(&decoded, |slot| note(&loaded.maps, slot), events);
        }
        false
    }

    /// Reads the totals of every listener and begins a new epoch of peaks.
    pub(crate) fn count(&mut self, events: &mut Vec<Event>) -> Result<()> {
        let ended = self.epoch;
        if self.running {
            self.next_epoch()?;
        }
        self.discover(events);
        let slots: Vec<(u32, ListenerId)> = self.translator.registry.slots().collect();
        let mut lost_closes = 0;
        for (slot, listener) in slots {
            lost_closes += self.count_one(slot, listener, ended, events)?;
        }
        // The sum falls when a slot is given back: only the last one is to compare with.
        let lost = lost_closes > std::mem::replace(&mut self.lost_closes, lost_closes);
        if std::mem::take(&mut self.unheard) || lost {
            self.find_closed(events);
        }
        self.retire(ended, events)
    }

    fn count_one(
        &mut self,
        slot: u32,
        listener: ListenerId,
        ended: u32,
        events: &mut Vec<Event>,
    ) -> Result<u64> {
        let time_ns = monotonic_ns();
        let cpus = self
            .loaded
            .maps
            .totals
            .get(&slot, 0)
            .with_context(|| format!("reading the totals of slot {slot}"))?;
        let table = &self.loaded.maps.distributions;
        let whole = !self.running;
        let distributions = |last: &Distributions| moved(table, slot, last, whole);
        let cpus = cpus.iter().map(|TotalsPod(totals)| totals);
        let mut count = self.translator.count(slot, cpus, ended, distributions);
        self.count_workers(slot, &mut count)?;
        let lost_closes = count.totals.lost[Kind::Closed as usize];
        events.push(Event { time_ns, what: What::Count { listener, count } });
        Ok(lost_closes)
    }

    /// Adds the accepts by thread since the last count.
    fn count_workers(&mut self, slot: u32, count: &mut Count) -> Result<()> {
        if !self.workers.have_moved(slot, count.totals.accepted) {
            return Ok(());
        }
        let now = self.loaded.maps.workers.get(&slot, 0);
        let WorkersPod(now) =
            now.with_context(|| format!("reading the acceptors of slot {slot}"))?;
        if self.workers.moved(slot, &now, count) {
            self.empty_workers(slot)?;
        }
        Ok(())
    }

    /// Accepts counted meanwhile are lost and belong to no thread's share.
    fn empty_workers(&mut self, slot: u32) -> Result<()> {
        self.workers.emptied(slot);
        let empty = WorkersPod(Workers::default());
        self.loaded.maps.workers.set(slot, empty, 0).context("emptying the table of acceptors")
    }

    /// The processes that have accepted at a listener so far.
    pub(crate) fn seen_accepting(&self, listener: ListenerId) -> Vec<Caller> {
        let mut slots = self.translator.registry.slots();
        let slot = slots.find(|(_, id)| *id == listener).map(|(slot, _)| slot);
        let now = slot.and_then(|slot| self.loaded.maps.workers.get(&slot, 0).ok());
        now.map_or_else(Vec::new, |WorkersPod(now)| workers::processes(&now))
    }

    /// Listeners that the filter is to let through from now on, and no others: a number may
    /// be another socket's later. (Those that are known stay known.)
    pub(crate) fn want(&mut self, sockets: HashSet<u64>) -> Result<()> {
        let map = &mut self.loaded.maps.wanted;
        for gone in self.wanted.difference(&sockets) {
            // It may never have been there.
            let _ = map.remove(gone);
        }
        for inode in sockets.difference(&self.wanted) {
            map.insert(inode, 1, 0).context("adding to the filter of sockets")?;
        }
        self.wanted = sockets;
        Ok(())
    }

    /// Events that a program missed because it was already running on that CPU.
    /// None where the kernel does not count them (before 5.12).
    pub(crate) fn missed(&self) -> Option<u64> {
        self.loaded.missed()
    }

    /// Takes the programs off their hooks; the maps stay readable.
    pub(crate) fn detach(&mut self) {
        self.loaded.switch.detach();
    }

    /// The listener that has this inode in this namespace.
    pub(crate) fn of_socket(&self, netns: Netns, inode: u64) -> Option<ListenerId> {
        self.translator.registry.of_socket(netns, inode)
    }

    /// Namespaces that are now known to have been made during the run.
    pub(crate) fn take_new_namespaces(&mut self) -> Vec<Netns> {
        self.translator.registry.take_new()
    }

    /// What belongs to no listener.
    pub(crate) fn stray(&self) -> Stray {
        let mut sum = Stray::default();
        if let Ok(cpus) = self.loaded.maps.stray.get(&0, 0) {
            for cpu in cpus.iter() {
                let Stray { no_slot, closed, accepts, drops, hidden } = cpu.0;
                sum.no_slot += no_slot;
                sum.closed += closed;
                sum.accepts += accepts;
                sum.drops += drops;
                sum.hidden += hidden;
            }
        }
        sum
    }

    /// The same when no program runs any more, with the remaining entries in the table of queued
    /// connections: it reads the whole table, so it does not run at each interval. With a filter by
    /// owner they may belong to filtered listeners.
    pub(crate) fn stray_at_end(&self, by_owner: bool) -> Stray {
        let mut sum = self.stray();
        if !by_owner {
            sum.accepts += leftovers::unknown(&self.loaded.maps);
        }
        sum
    }

    /// The last accept of a listener so far: its time and its process.
    pub(crate) fn last_accept(&self, listener: ListenerId) -> (Option<u64>, Option<LastAccept>) {
        let slots = self.translator.registry.slots();
        let found = slots.into_iter().find(|(_, id)| *id == listener);
        let now = found.and_then(|(slot, _)| self.loaded.maps.distributions.get(slot));
        let Some(DistributionsPod(now)) = now else { return (None, None) };
        ((now.accepted_ns != 0).then_some(now.accepted_ns), translate::last_accept(&now))
    }

    /// Attaches the probe on failing calls of `accept()`.
    pub(crate) fn attach_accept_probe(&mut self) -> Result<()> {
        self.loaded.attach_accept_probe()
    }

    /// Detaches it.
    pub(crate) fn detach_accept_probe(&mut self) -> Result<()> {
        self.loaded.detach_accept_probe()
    }

    /// Its counts, and the number of failures without room.
    pub(crate) fn failed_accepts(&self) -> (Vec<(FailureKey, Failure)>, u32) {
        self.loaded.failed_accepts()
    }

    /// Connections in the tables of queued ones, by listener: when each was queued; zero: before
    /// the start. To be called when no program runs any more.
    pub(crate) fn queued(&self) -> HashMap<ListenerId, Vec<u64>> {
        let mut queued: HashMap<ListenerId, Vec<u64>> = HashMap::new();
        for (slot, enqueued_ns) in leftovers::queued(&self.loaded.maps) {
            if let Some(listener) = self.translator.registry.at(slot) {
                queued.entry(listener).or_default().push(enqueued_ns);
            }
        }
        queued
    }

    /// Records that could not be read.
    pub(crate) fn decode_errors(&self) -> u64 {
        self.translator.decode_errors()
    }

    /// The listener of a slot.
    fn listener(&mut self, slot: u32, events: &mut Vec<Event>) -> Option<ListenerId> {
        let Self { translator, loaded, .. } = self;
        translator.listener(slot, |slot| note(&loaded.maps, slot), events)
    }
}

impl Drop for Live {
    /// Others may hold the switch for as long as the process lives.
    fn drop(&mut self) {
        self.detach();
    }
}

/// The distributions of a slot, if they have moved since: each arrival moves one of the two values
/// that are compared, and each accept the other, after it has been counted. They are read before
/// the rest, so that what comes meanwhile is found at the next count. Two accepts in the same
/// nanosecond may leave no trace there, so the last count is `whole`.
fn moved(
    table: &Table<DistributionsPod>,
    slot: u32,
    last: &Distributions,
    whole: bool,
) -> Option<Distributions> {
    let arrived: u32 = table.part(slot, offset_of!(Distributions, arrived))?;
    let accepted_ns: u64 = table.part(slot, offset_of!(Distributions, accepted_ns))?;
    let never = (arrived, accepted_ns) == (0, 0);
    let moved = (arrived, accepted_ns) != (last.arrived, last.accepted_ns);
    if !moved && (never || !whole) {
        return None;
    }
    let DistributionsPod(now) = table.get(slot)?;
    Some(Distributions { arrived, accepted_ns, ..now })
}

/// The kernel's information on the listener of a slot.
fn note(maps: &Maps, slot: u32) -> Option<record::Listener> {
    Some(maps.info.get(slot)?.0)
}
