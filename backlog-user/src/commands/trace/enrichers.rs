//! Enrichers add what the eBPF programs cannot know: the kernel's own counters, the owners of
//! sockets, and the state of the acceptors. Each adds events to the queue, or completes those of
//! the source, when the session calls it; the model decides what to inspect, and these events
//! change it in turn.

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

/// All of them.
pub(super) struct Enrichers {
    pub(super) counters: KernelCounters,
    pub(super) owners: OwnerCache,
    accepting: AcceptWatch,
    /// The network namespace of `--netns`, until it has ended.
    asked: Option<Netns>,
}

/// What an enricher works with.
pub(super) struct Context<'a> {
    /// The source.
    pub(super) live: &'a mut Live,
    /// What is known.
    pub(super) model: &'a Model,
    /// The destination of new events.
    pub(super) queue: &'a mut Queue,
}

/// The programs' counts were read, between two answers of the kernel.
pub(super) struct Reading {
    /// When.
    pub(super) time_ns: u64,
    /// The namespaces that were asked.
    pub(super) namespaces: Vec<Netns>,
    pub(super) before: Answers,
    pub(super) after: Answers,
}

impl Enrichers {
    /// Enrichers that have looked nothing up yet.
    pub(super) fn new(counters: KernelCounters, owners: OwnerCache, acceptors: Acceptors) -> Self {
        let accepting = AcceptWatch::new(acceptors, monotonic_ns());
        Self { counters, owners, accepting, asked: None }
    }

    /// `--netns` means this namespace and not its inode number, which a later one may get; `held`
    /// keeps it open since it was named. Returns what distinguishes it from a later one.
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

    /// Before an event is applied: names a listener that is new.
    pub(super) fn complete(&mut self, event: &mut Event, live: &mut Live, model: &Model) {
        let What::Listener(listener) = &mut event.what else { return };
        self.counters.are_new(live.take_new_namespaces());
        self.counters.opened(listener);
        if model.get(listener.id).is_none() {
            let netns = self.counters.name(listener.netns);
            listener.identity = self.owners.identify(listener, netns);
        }
    }

    /// After an event was applied: what it has changed.
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

    /// After the events of a batch: inspects why nobody accepted, where drops have begun.
    pub(super) fn explain(&mut self, context: &mut Context<'_>) {
        self.accepting.explain(context);
    }

    /// At the end of an interval: reads the programs' counts, between two readings of the
    /// namespaces whose turn it is.
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

    /// Lets the programs count nothing more, between two answers of all namespaces. Says also
    /// how many events the programs have missed.
    pub(super) fn stop(&mut self, context: &mut Context<'_>) -> Result<(Reading, Option<u64>)> {
        let namespaces = self.counters.turn_of_all(&context.model.namespaces());
        let ask = |what| self.counters.ask(namespaces.iter().copied(), what);
        // The counters are read as near to the end as can be.
        let (first, nearer) = (ask(Ask::All), ask(Ask::Counters));
        let missed = context.live.missed();
        let time_ns = context.live.end()?;
        let counters = ask(Ask::Counters);
        let mut after = ask(Ask::All);
        after.update(counters);
        // Only what was read before the counting was stopped is a lower bound.
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

    /// The kernel's answers before and after the counts.
    pub(super) fn compare(&mut self, reading: &Reading, context: &mut Context<'_>) {
        let Reading { time_ns, before, after, .. } = reading;
        let Context { live, queue, .. } = context;
        let of_socket = |netns, inode| live.of_socket(netns, inode);
        self.counters.events(before, after, *time_ns, of_socket, &mut queue.events);
    }

    /// Which of the namespaces that were asked have ended.
    pub(super) fn end_namespaces(&mut self, reading: &Reading, context: &mut Context<'_>) {
        let Reading { time_ns, namespaces, after, .. } = reading;
        let Context { model, queue, .. } = context;
        let open: BTreeSet<Netns> = model.open().map(|page| page.listener.netns).collect();
        let quiet: Vec<Netns> =
            namespaces.iter().filter(|netns| !open.contains(netns)).copied().collect();
        let ended = self.counters.ended(&quiet, after);
        self.have_ended(ended, *time_ns, queue);
    }

    /// Which namespaces have ended in which nothing listened any more.
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

    /// Updates the owners of the open listeners, if they may have changed.
    pub(super) fn identify(&mut self, time_ns: u64, at_end: bool, context: &mut Context<'_>) {
        let Context { model, queue, .. } = context;
        let open = model
            .open()
            .map(|page| Open { listener: &page.listener, last_accept: page.last_accept });
        let name = |netns| self.counters.known_name(netns);
        self.owners.refresh(open, time_ns, at_end, name, &mut queue.events);
    }

    /// With `--pid`: lets the programs see listeners that the process has been given.
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

    /// After the rows of an interval: inspects the acceptors where something is wrong, and evicts
    /// what the model has evicted.
    pub(super) fn interval_ended(
        &mut self,
        rows: &[Interval],
        time_ns: u64,
        context: &mut Context<'_>,
    ) {
        self.accepting.interval(rows, time_ns, context);
        self.counters.forget_quiet(context.model.forgotten_namespaces());
    }

    /// When the probe on failing accepts is to be detached.
    pub(super) fn accept_probe_due(&self) -> Option<std::time::Instant> {
        self.accepting.probe_due()
    }

    /// Detaches it, with a last report.
    pub(super) fn end_accept_probe(&mut self, context: &mut Context<'_>) -> Result<()> {
        self.accepting.end_probe(context)
    }

    /// The cost of the scans for owners.
    pub(super) fn looks(&self) -> Looks {
        self.owners.looks()
    }
}
