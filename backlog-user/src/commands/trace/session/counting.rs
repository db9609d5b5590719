//! The end of an interval: what the programs have counted, between two readings of the kernel's
//! own counters, and whose the listeners are.

use std::collections::{BTreeSet, HashSet};

use anyhow::Result;
use backlog_core::event::{Event, Netns, What};
use backlog_core::model::reconcile::Blind;
use backlog_core::run::Backend;

use super::{Session, accepting};
use crate::clock::monotonic_ns;
use crate::commands::show::{self};
use crate::host::kernel_counters::{Answers, Ask};
use crate::host::owners::Open;

/// Batches of records that are taken before the counts are read, and after: the programs may
/// be faster.
const CATCH_UP: usize = 16;

impl Session<'_> {
    pub(super) fn end_interval(&mut self) -> Result<()> {
        self.intervals += 1;
        self.catch_up()?;
        let namespaces = self.kernel_counters.turn(&self.model.moving_namespaces());
        let before = self.kernel_counters.ask(namespaces.iter().copied(), Ask::All);
        self.live.get_mut().count(&mut self.events)?;
        let after = self.kernel_counters.ask(namespaces.iter().copied(), Ask::All);
        let time_ns = monotonic_ns();
        self.compare(&before, &after, time_ns)?;
        self.end_namespaces(&namespaces, &after, time_ns)?;
        // What was counted is told in the same interval.
        self.catch_up()?;
        self.identify(time_ns, false)?;
        self.want(&after)?;
        let blind = self.blind(self.live.get_ref().missed());
        let rows =
            show::interval(&mut self.outputs, &self.clock, &mut self.model, time_ns, &blind)?;
        let busy = rows.iter().filter(|row| row.moved()).filter_map(|row| {
            Some((row.listener, accepting::acceptors_of(self.model.get(row.listener)?)))
        });
        self.acceptors.note(busy);
        // The rows have been printed: what follows belongs to the next interval, in a recording too.
        self.recorder.interval(time_ns, &blind);
        self.watch_accepts(&rows, time_ns)?;
        self.recorder.batch(&self.clock, &self.model, time_ns);
        self.complain();
        Ok(self.flush()?)
    }

    /// Writes down what the kernel has answered before and after the totals were read.
    pub(super) fn compare(
        &mut self,
        before: &Answers,
        after: &Answers,
        time_ns: u64,
    ) -> Result<()> {
        let live = self.live.get_ref();
        let of_socket = |netns, inode| live.of_socket(netns, inode);
        self.kernel_counters.events(before, after, time_ns, of_socket, &mut self.events);
        self.write_down()
    }

    /// Notes which of these namespaces have ended.
    pub(super) fn end_namespaces(
        &mut self,
        asked: &[Netns],
        after: &Answers,
        time_ns: u64,
    ) -> Result<()> {
        let open: BTreeSet<Netns> = self.model.open().map(|page| page.listener.netns).collect();
        let quiet: Vec<Netns> =
            asked.iter().filter(|netns| !open.contains(netns)).copied().collect();
        let ended = self.kernel_counters.ended(&quiet, after);
        if self.asked.is_some_and(|asked| ended.contains(&asked)) {
            self.asked = None;
            self.say("--netns: this network namespace has ended; nothing more comes of it");
        }
        self.events
            .extend(ended.into_iter().map(|netns| Event { time_ns, what: What::Ended { netns } }));
        self.write_down()
    }

    /// What may explain a difference to the kernel's counters.
    pub(super) fn blind(&self, missed: Option<u64>) -> Blind {
        let stray = self.live.get_ref().stray();
        Blind {
            filtered: self.options.filter.is_set(),
            no_slot: stray.no_slot,
            at_closed: stray.closed,
            missed: missed.unwrap_or(0),
            ignores: self.backend == Backend::Tracepoint,
        }
    }

    /// Takes the records that are in the ring.
    pub(super) fn catch_up(&mut self) -> Result<()> {
        for _ in 0..CATCH_UP {
            let empty = self.live.get_mut().drain(&mut self.events);
            self.write_down()?;
            if empty {
                break;
            }
        }
        Ok(())
    }

    /// Looks whose the open listeners are, if that may have changed.
    pub(super) fn identify(&mut self, time_ns: u64, at_end: bool) -> Result<()> {
        let open = self
            .model
            .open()
            .map(|page| Open { listener: &page.listener, last_accept: page.last_accept });
        let name = |netns| self.kernel_counters.known_name(netns);
        self.owners.refresh(open, time_ns, at_end, name, &mut self.events);
        self.write_down()
    }

    /// With `--pid`: listeners that the process has been given.
    pub(super) fn want(&mut self, listing: &Answers) -> Result<()> {
        let Some(held) = &self.options.filter.process else { return Ok(()) };
        let sockets = self.owners.sockets_of(held.pid);
        if sockets.is_empty() {
            return Ok(());
        }
        let open = self.model.open().filter_map(|page| page.listener.inode);
        let listening: HashSet<u64> =
            listing.listed().map(|listed| listed.inode).chain(open).collect();
        self.live.get_mut().want(&listening & &sockets)
    }
}
