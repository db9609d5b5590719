//! Enrichers add what the eBPF programs cannot know: the kernel's own counters, the owners of
//! sockets, and the state of the acceptors. When the session calls one, it adds events to the queue
//! or completes those of the source. The model decides what to inspect, and these events change the
//! model in turn.

mod accept_probe;
mod accepting;

use std::collections::{BTreeSet, HashSet};
use std::fs::File;

use anyhow::Result;
use backlog_core::event::{Event, Netns, What};
use backlog_core::filter::Filter;
use backlog_core::model::interval::Interval;
use backlog_core::model::{Model, News};
use backlog_core::run::cost::Looks;

use super::queue::Queue;
use crate::bpf::live::Live;
use crate::clock::monotonic_ns;
use crate::host::acceptors::Acceptors;
use crate::host::kernel_counters::{Answers, Ask, KernelCounters};
use crate::host::owner_cache::{Open, OwnerCache};
use accepting::AcceptWatch;

/// All enrichers.
pub(super) struct Enrichers {
    pub(super) counters: KernelCounters,
    pub(super) owners: OwnerCache,
    accepting: AcceptWatch,
    /// The network namespace of `--netns`, until it has ended.
    asked: Option<Netns>,
}

/// What an enricher works with.
pub(super) struct Context<'a> {
    /// The source of events.
    pub(super) live: &'a mut Live,
    /// The current model.
    pub(super) model: &'a Model,
    /// The queue for new events.
    pub(super) queue: &'a mut Queue,
}

/// A reading of the programs' counts, between two readings of the kernel.
pub(super) struct Reading {
    /// When the programs' counts were read.
    pub(super) time_ns: u64,
    /// The namespaces that were queried.
    pub(super) namespaces: Vec<Netns>,
    pub(super) before: Answers,
    pub(super) after: Answers,
}

impl Enrichers {
    /// Creates enrichers that have looked up nothing yet.
    pub(super) fn new(counters: KernelCounters, owners: OwnerCache, acceptors: Acceptors) -> Self {
        let accepting = AcceptWatch::new(acceptors, monotonic_ns());
        Self { counters, owners, accepting, asked: None }
    }

    /// Makes `--netns` mean this namespace instead of its inode number, which a later one may
    /// reuse; `held` has kept it open since it was looked up. Returns its identity, and a gap if
    /// there is none.
    pub(super) fn ask_for(&mut self, netns: Netns, held: Option<File>) -> (Netns, Option<String>) {
        let (netns, gap) = match self.counters.identity_of(netns.inode(), held) {
            Some(identity) => (Netns::new(netns.inode(), identity), None),
            None => (
                netns,
                Some(
                    "--netns: this namespace is identified by its inode number only; a later one \
                     with the same number is taken for it"
                        .to_owned(),
                ),
            ),
        };
        self.asked = Some(netns);
        (netns, gap)
    }

    /// Completes an event before it is applied: identifies a new listener.
    pub(super) fn complete(&mut self, event: &mut Event, live: &mut Live, model: &Model) {
        let What::Listener(listener) = &mut event.what else { return };
        self.counters.are_new(live.take_new_namespaces());
        self.counters.opened(listener);
        if model.get(listener.id).is_none() {
            let netns = self.counters.name(listener.netns);
            listener.identity = self.owners.identify(listener, netns);
        }
    }

    /// Follows the changes that an event has caused, after it was applied.
    pub(super) fn follow(&mut self, news: &News, model: &Model) {
        match news {
            News::Refused(refusal) if refusal.episode => {
                self.accepting.refuses(refusal.drop.listener, refusal.time_ns);
            }
            News::Closed(closed) => {
                let Some(page) = model.get(closed.listener) else { return };
                self.accepting.closed(closed.listener);
                self.counters.closed(&page.listener);
                self.owners.closed(&page.listener);
            }
            _ => {}
        }
    }

    /// Inspects why nobody accepted where drops have begun, after a batch of events.
    pub(super) fn explain(&mut self, context: &mut Context<'_>) {
        self.accepting.explain(context);
    }

    /// Reads the programs' counts at the end of an interval, between two readings of the namespaces
    /// that are due.
    pub(super) fn count(&mut self, context: &mut Context<'_>) -> Result<Reading> {
        let namespaces = self.counters.turn(&context.model.moving_namespaces());
        let before = self.counters.ask(namespaces.iter().copied(), Ask::All);
        context.live.count(&mut context.queue.events)?;
        let after = self.counters.ask(namespaces.iter().copied(), Ask::All);
        let time_ns = context.live.counted_until();
        let reading = Reading { time_ns, namespaces, before, after };
        self.compare(&reading, context);
        Ok(reading)
    }

    /// Stops the counting, between two readings of all namespaces. Also returns how many events the
    /// programs have missed.
    pub(super) fn stop(&mut self, context: &mut Context<'_>) -> Result<(Reading, Option<u64>)> {
        let namespaces = self.counters.turn_of_all(&context.model.namespaces());
        let ask = |what| self.counters.ask(namespaces.iter().copied(), what);
        // Read the counters again on their own, as close to the end as possible.
        let (first, nearer) = (ask(Ask::All), ask(Ask::Counters));
        let missed = context.live.missed();
        let time_ns = context.live.end()?;
        let counters = ask(Ask::Counters);
        let mut after = ask(Ask::All);
        after.update(counters);
        // Only values that were read before the counting stopped are a lower bound.
        let mut before = first.given_by(time_ns);
        before.update(nearer.given_by(time_ns));
        let late = self.counters.fall_back(&mut before, &after);
        if late > 0 {
            context.queue.say(format!(
                "the tool was busy when the run ended: the kernel's counters of {late} network \
                 namespaces were read some time before and after it, so what was missed in \
                 between may not show"
            ));
        }
        Ok((Reading { time_ns, namespaces, before, after }, missed))
    }

    /// Compares the kernel's values before and after the counts.
    pub(super) fn compare(&mut self, reading: &Reading, context: &mut Context<'_>) {
        let Reading { time_ns, before, after, .. } = reading;
        let Context { live, queue, .. } = context;
        let of_socket = |netns, inode| live.of_socket(netns, inode);
        self.counters.events(before, after, *time_ns, of_socket, &mut queue.events);
    }

    /// Reports which of the queried namespaces have ended.
    pub(super) fn end_namespaces(&mut self, reading: &Reading, context: &mut Context<'_>) {
        let Reading { time_ns, namespaces, after, .. } = reading;
        let Context { model, queue, .. } = context;
        let open: BTreeSet<Netns> = model.open().map(|page| page.listener.netns).collect();
        let quiet: Vec<Netns> =
            namespaces.iter().filter(|netns| !open.contains(netns)).copied().collect();
        let ended = self.counters.ended(&quiet, after);
        self.have_ended(ended, *time_ns, queue);
    }

    /// Reports namespaces without listeners that have ended.
    pub(super) fn end_quiet_namespaces(&mut self, time_ns: u64, context: &mut Context<'_>) {
        let ended = self.counters.quiet_ended(&context.model.quiet_namespaces());
        self.have_ended(ended, time_ns, context.queue);
    }

    fn have_ended(&mut self, ended: Vec<Netns>, time_ns: u64, queue: &mut Queue) {
        if self.asked.is_some_and(|asked| ended.contains(&asked)) {
            self.asked = None;
            queue.say("--netns: this network namespace has ended and produces no more events");
        }
        for netns in ended {
            queue.push(time_ns, What::Ended { netns });
        }
    }

    /// Updates the owners of open listeners, if they may have changed.
    pub(super) fn identify(&mut self, time_ns: u64, at_end: bool, context: &mut Context<'_>) {
        let Context { model, queue, .. } = context;
        let open = model
            .open()
            .map(|page| Open { listener: &page.listener, last_accept: page.last_accept });
        let name = |netns| self.counters.known_name(netns);
        self.owners.refresh(open, time_ns, at_end, name, &mut queue.events);
    }

    /// With `--pid`: lets the programs trace listeners that the process has received since.
    pub(super) fn widen(
        &mut self,
        filter: &Filter,
        listing: &Answers,
        context: &mut Context<'_>,
    ) -> Result<()> {
        let Some(held) = &filter.process else { return Ok(()) };
        let sockets = self.owners.sockets_of(held.pid);
        if sockets.is_empty() {
            return Ok(());
        }
        let Context { live, model, .. } = context;
        let open = model.open().filter_map(|page| page.listener.inode);
        let listening: HashSet<u64> =
            listing.listed().map(|listed| listed.inode).chain(open).collect();
        live.want(&listening & &sockets)
    }

    /// After the rows of an interval: inspects acceptors where something is wrong, and drops the
    /// namespaces that the model has evicted.
    pub(super) fn interval_ended(
        &mut self,
        rows: &[Interval],
        time_ns: u64,
        context: &mut Context<'_>,
    ) {
        self.accepting.interval(rows, time_ns, context);
        self.counters.forget_quiet(context.model.forgotten_namespaces());
    }

    /// When to detach the probe on failing accepts.
    pub(super) fn accept_probe_due(&self) -> Option<std::time::Instant> {
        self.accepting.probe_due()
    }

    /// Detaches the probe on failing accepts after a last report.
    pub(super) fn end_accept_probe(&mut self, context: &mut Context<'_>) -> Result<()> {
        self.accepting.end_probe(context)
    }

    /// The cost of the scans for owners.
    pub(super) fn looks(&self) -> Looks {
        self.owners.looks()
    }
}
