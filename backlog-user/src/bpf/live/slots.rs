//! Frees the slots of closed listeners, and finds listeners whose open or close record was lost.

use std::collections::HashSet;

use anyhow::{Context as _, Result};
use aya::maps::PerCpuValues;
use aya::util::nr_cpus;
use backlog_core::event::{Closed, Event, What};
use backlog_ebpf::totals::Totals;

use super::{Live, leftovers};
use crate::bpf::pod::{ListenerPod, TotalsPod};
use crate::clock::monotonic_ns;

/// A slot whose listener has closed.
pub(super) struct Retiring {
    pub(super) slot: u32,
    /// The socket's address: its entry leaves the kernel's table of listeners when the queue is
    /// dropped.
    pub(super) sk: u64,
    /// The ring buffer was empty once since the close, so no record of this listener is left in it.
    pub(super) drained: bool,
}

/// With this many closed listeners, their slots are freed at once instead of at the next count.
const RETIRING_MANY: usize = 256;

/// After this time, the listener of a newly assigned slot is settled: it has opened, or the slot
/// was freed again.
const SETTLES_NS: u64 = 50_000_000;

impl Live {
    /// Frees the slots of closed listeners if there are many of them.
    pub(crate) fn retire_if_many(&mut self, events: &mut Vec<Event>) -> Result<()> {
        if self.retiring.len() < RETIRING_MANY {
            return Ok(());
        }
        self.retire(self.epoch, events)
    }

    pub(super) fn retire(&mut self, ended: u32, events: &mut Vec<Event>) -> Result<()> {
        let (ready, waiting): (Vec<Retiring>, Vec<Retiring>) =
            std::mem::take(&mut self.retiring).into_iter().partition(|closed| {
                let Retiring { slot, sk, drained } = *closed;
                let stops = self.loaded.maps.listeners.get(&sk, 0).is_ok_and(|held| held == slot);
                drained && !stops
            });
        self.retiring = waiting;
        let slots: Vec<u32> = ready.iter().map(|closed| closed.slot).collect();
        if !slots.is_empty() {
            self.settle(&slots)?;
        }
        for slot in slots {
            if let Some(listener) = self.translator.registry.at(slot) {
                self.count_one(slot, listener, ended, events)?;
            }
            let distributions = self.loaded.maps.distributions.get(slot).map(|pod| pod.0);
            self.translator.release(slot, distributions);
            let cpus = nr_cpus().map_err(|(file, error)| {
                anyhow::Error::new(error).context(format!("reading {file}"))
            })?;
            let zero = PerCpuValues::try_from(vec![TotalsPod(Totals::default()); cpus])
                .context("making empty totals")?;
            self.loaded.maps.totals.set(slot, zero, 0).context("clearing a slot's totals")?;
            self.empty_workers(slot)?;
            self.workers.forget(slot);
            self.given_back.insert(slot, monotonic_ns());
            self.loaded.maps.free_slots.push(slot, 0).context("freeing a slot")?;
        }
        Ok(())
    }

    /// Counts the leftover accepts of slots that get no more events.
    fn settle(&mut self, slots: &[u32]) -> Result<()> {
        for (child, entry) in leftovers::early(&self.loaded.maps) {
            if slots.contains(&entry.slot) {
                leftovers::settle(&mut self.loaded.maps, child, &entry)?;
            }
        }
        Ok(())
    }

    /// Counts the leftover accepts of all slots. Must be called when no program runs any more, and
    /// before the last count.
    pub(crate) fn leftovers(&mut self) -> Result<()> {
        let slots: Vec<u32> = self.translator.registry.slots().map(|(slot, _)| slot).collect();
        self.settle(&slots)
    }

    /// A close record was lost: closes the listeners that are missing from the kernel's table.
    pub(super) fn find_closed(&mut self, events: &mut Vec<Event>) {
        let open: HashSet<u32> = self.open_slots().into_iter().collect();
        let retiring: HashSet<u32> = self.retiring.iter().map(|closed| closed.slot).collect();
        let gone: Vec<u32> = self
            .translator
            .registry
            .slots()
            .map(|(slot, _)| slot)
            .filter(|slot| !open.contains(slot) && !retiring.contains(slot))
            .collect();
        for slot in gone {
            self.retiring.push(Retiring { slot, sk: 0, drained: false });
            if let Some(listener) = self.translator.registry.closed(slot) {
                let what = What::Closed(Closed { listener, depth: 0, syn_queue: 0 });
                events.push(Event { time_ns: monotonic_ns(), what });
            }
        }
    }

    /// The slots that the kernel's table of listeners holds.
    fn open_slots(&self) -> Vec<u32> {
        self.loaded.maps.listeners.iter().filter_map(|entry| Some(entry.ok()?.1)).collect()
    }

    /// Finds listeners whose open record was lost because the ring buffer was full: the map of
    /// listener information has every listener with a slot, even after its close.
    pub(crate) fn discover(&mut self, events: &mut Vec<Event>) {
        let settled_ns =
            if self.running { monotonic_ns().saturating_sub(SETTLES_NS) } else { u64::MAX };
        for slot in 0..self.loaded.maps.info.count() {
            if self.translator.registry.at(slot).is_some() {
                continue;
            }
            let Some(ListenerPod(info)) = self.loaded.maps.info.get(slot) else { continue };
            let since_ns = self.given_back.get(&slot).copied().unwrap_or(0);
            let time_ns = info.header.time_ns;
            if info.sk == 0 || time_ns <= since_ns || time_ns > settled_ns {
                continue;
            }
            self.listener(slot, events);
            // Its close record may be lost as well, so the next count compares with the kernel's
            // table. If the record still arrives, that is harmless.
            self.unheard = true;
        }
    }
}
