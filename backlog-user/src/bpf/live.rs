//! The live source of events: reads records from the ring buffer, and totals and queued connections
//! from the maps. Slots and maps stay inside this module; the events that it emits name listeners.

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

/// See the module documentation.
pub(crate) struct Live {
    loaded: Loaded,
    translator: Translator,
    workers: WorkerCounts,
    /// The current epoch of the interval peaks, or the last one after the end.
    epoch: u32,
    running: bool,
    /// Slots of closed listeners, freed once no record or count for them can still arrive.
    retiring: Vec<Retiring>,
    /// When each slot was last freed.
    given_back: HashMap<u32, u64>,
    /// The number of lost close records so far.
    lost_closes: u64,
    /// Inodes of the sockets that were added to the filter.
    wanted: HashSet<u64>,
    /// A listener was found whose open record was lost, so its close record may be lost as well.
    unheard: bool,
}

/// The maximum number of records per call of [`Live::drain`], so that other work gets its turn. A
/// batch fits in the CPU cache.
pub(crate) const BATCH: usize = 1 << 10;

impl AsRawFd for Live {
    /// The ring buffer's descriptor: readable when the programs wake userspace.
    fn as_raw_fd(&self) -> RawFd {
        self.loaded.maps.events.as_raw_fd()
    }
}

impl Live {
    /// Takes over the loaded programs. `by_inode`: namespaces are distinguished by their inode
    /// numbers alone.
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

    /// Restricts tracing to this namespace, since later ones may reuse the inode number of
    /// `--netns`. Must be called before the programs start.
    pub(crate) fn only(&mut self, netns: Netns) -> Result<()> {
        let identity = netns.identity().unwrap_or(0);
        self.loaded.maps.asked_netns.set(0, identity, 0).context("setting the filter of --netns")
    }

    /// Starts the programs, after the first part of the startup scan. Returns the namespaces that
    /// could not be scanned, as text.
    pub(crate) fn begin(&mut self, namespaces: &Namespaces) -> Result<Vec<String>> {
        let failures = startup_scan::before(&mut self.loaded, namespaces)?;
        self.running = true;
        self.next_epoch()?;
        startup_scan::begun(&mut self.loaded)?;
        Ok(failures)
    }

    /// Runs the second part of the startup scan, after the start.
    pub(crate) fn begun(&mut self, namespaces: &Namespaces) -> Result<()> {
        // The first part has already reported the namespaces that cannot be scanned.
        startup_scan::after(&mut self.loaded, namespaces).map(drop)
    }

    /// Stops counting; programs that are running finish. Returns the end of the run, which is
    /// earlier if another thread has already stopped it.
    pub(crate) fn end(&mut self) -> Result<u64> {
        self.running = false;
        self.loaded.switch.stop()
    }

    /// The handle that stops and detaches the programs from any thread.
    pub(crate) fn switch(&self) -> Arc<Switch> {
        Arc::clone(&self.loaded.switch)
    }

    /// Has another thread stopped the programs?
    pub(crate) fn is_stopped(&self) -> bool {
        self.loaded.switch.stopped_ns().is_some()
    }

    /// The time up to which the programs have counted: now, or the end of the run.
    pub(crate) fn counted_until(&self) -> u64 {
        self.loaded.switch.stopped_ns().unwrap_or_else(monotonic_ns)
    }

    fn next_epoch(&mut self) -> Result<()> {
        // Epoch zero would stop the programs.
        self.epoch = self.epoch.checked_add(1).unwrap_or(1);
        self.loaded.switch.begin_epoch(self.epoch)
    }

    /// Adds listeners that a dump of the kernel's sockets shows.
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

    /// Takes up to [`BATCH`] records from the ring buffer, since the programs may write faster than
    /// we read. Returns true if the buffer was empty at the end.
    pub(crate) fn drain(&mut self, events: &mut Vec<Event>) -> bool {
        #[cfg(feature = "ebpf-log")]
        self.loaded.log.flush();
        for _ in 0..BATCH {
            // Each record is copied out before the next one is read: the ring buffer frees its
            // space only then.
            let Some(decoded) = self.loaded.maps.events.next().map(|bytes| decode(&bytes)) else {
                for closed in &mut self.retiring {
                    closed.drained = true;
                }
                return true;
            };
            if let Ok(Record::Closed(record::Listener { header, sk, .. })) = &decoded {
                let slot = header.slot;
                // `find_closed` may have reported the close before its record was read.
                if self.retiring.iter().all(|closed| closed.slot != slot) {
                    self.retiring.push(Retiring { slot, sk: *sk, drained: false });
                }
            }
            let Self { translator, loaded, .. } = self;
            translator.record(&decoded, |slot| note(&loaded.maps, slot), events);
        }
        false
    }

    /// Reads the totals of every listener and starts a new epoch of peaks.
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
        // The sum drops when a slot is freed, so compare only with the last sum.
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

    /// Clears a slot's table of accepts by thread. Accepts counted between the read and this write
    /// are not attributed to a thread.
    fn empty_workers(&mut self, slot: u32) -> Result<()> {
        self.workers.emptied(slot);
        let empty = WorkersPod(Workers::default());
        self.loaded.maps.workers.set(slot, empty, 0).context("emptying the table of acceptors")
    }

    /// The processes that have accepted from a listener so far.
    pub(crate) fn seen_accepting(&self, listener: ListenerId) -> Vec<Caller> {
        let mut slots = self.translator.registry.slots();
        let slot = slots.find(|(_, id)| *id == listener).map(|(slot, _)| slot);
        let now = slot.and_then(|slot| self.loaded.maps.workers.get(&slot, 0).ok());
        now.map_or_else(Vec::new, |WorkersPod(now)| workers::processes(&now))
    }

    /// Sets the sockets that the filter lets through from now on. Others are removed, since their
    /// inode numbers may be reused; listeners that already have a slot keep it.
    pub(crate) fn want(&mut self, sockets: HashSet<u64>) -> Result<()> {
        let map = &mut self.loaded.maps.wanted;
        for gone in self.wanted.difference(&sockets) {
            // It may be missing from the map.
            let _ = map.remove(gone);
        }
        for inode in sockets.difference(&self.wanted) {
            map.insert(inode, 1, 0).context("adding to the filter of sockets")?;
        }
        self.wanted = sockets;
        Ok(())
    }

    /// Events that a program missed because it was already running on that CPU. None if the kernel
    /// does not count them (before 5.12).
    pub(crate) fn missed(&self) -> Option<u64> {
        self.loaded.missed()
    }

    /// Detaches the programs; the maps stay readable.
    pub(crate) fn detach(&mut self) {
        self.loaded.switch.detach();
    }

    /// The listener with this inode number in this namespace.
    pub(crate) fn of_socket(&self, netns: Netns, inode: u64) -> Option<ListenerId> {
        self.translator.registry.of_socket(netns, inode)
    }

    /// Namespaces that turned out to have been created during the run.
    pub(crate) fn take_new_namespaces(&mut self) -> Vec<Netns> {
        self.translator.registry.take_new()
    }

    /// Events that were not attributed to any listener.
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

    /// The same at the end of the run, when no program runs any more, including the entries left in
    /// the table of queued connections. It reads the whole table, so it is not called at each
    /// interval. With a filter by owner those entries are left out, since they may belong to
    /// listeners outside the filter.
    pub(crate) fn stray_at_end(&self, by_owner: bool) -> Stray {
        let mut sum = self.stray();
        if !by_owner {
            sum.accepts += leftovers::unknown(&self.loaded.maps);
        }
        sum
    }

    /// When a listener last accepted, and which process did.
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

    /// Detaches the probe on failing calls of `accept()`.
    pub(crate) fn detach_accept_probe(&mut self) -> Result<()> {
        self.loaded.detach_accept_probe()
    }

    /// The probe's counts, and the number of failures that found its table full.
    pub(crate) fn failed_accepts(&self) -> (Vec<(FailureKey, Failure)>, u32) {
        self.loaded.failed_accepts()
    }

    /// The queued connections of each listener, by the time of their enqueue; zero means before the
    /// start. Must be called when no program runs any more.
    pub(crate) fn queued(&self) -> HashMap<ListenerId, Vec<u64>> {
        let mut queued: HashMap<ListenerId, Vec<u64>> = HashMap::new();
        for (slot, enqueued_ns) in leftovers::queued(&self.loaded.maps) {
            if let Some(listener) = self.translator.registry.at(slot) {
                queued.entry(listener).or_default().push(enqueued_ns);
            }
        }
        queued
    }

    /// The number of records that could not be decoded.
    pub(crate) fn decode_errors(&self) -> u64 {
        self.translator.decode_errors()
    }

    /// The listener of a slot, found in the kernel's map if its open record was lost.
    fn listener(&mut self, slot: u32, events: &mut Vec<Event>) -> Option<ListenerId> {
        let Self { translator, loaded, .. } = self;
        translator.listener(slot, |slot| note(&loaded.maps, slot), events)
    }
}

impl Drop for Live {
    /// Detaches the programs, since other owners of the switch may live as long as the process.
    fn drop(&mut self) {
        self.detach();
    }
}

/// The distributions of a slot, if they have changed: each enqueue changes one of the two values
/// that are compared, and each accept the other, after the event was counted. They are read before
/// the rest, so that a concurrent event is found at the next count. Two accepts in the same
/// nanosecond may go unnoticed, so the last count is `whole`.
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
