//! The beginning of a run: the time from which the programs count, and the listeners that exist
//! then.

use std::fs::File;
use std::path::Path;

use anyhow::{Context as _, Result};
use backlog_core::event::{Netns, What};
use backlog_core::run::Meta;
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

use super::Session;
use crate::bpf::live::Live;
use crate::bpf::self_cost::Own;
use crate::cli::options::Options;
use crate::clock::{self, monotonic_ns};
use crate::commands::trace::enrichers::Enrichers;
use crate::commands::trace::guard::Guard;
use crate::commands::trace::queue::Queue;
use crate::commands::trace::sinks::{Destinations, Sinks};
use crate::host::kernel::slab;
use crate::host::kernel_counters::{Answers, Ask};

/// The parts of a run, prepared by other modules.
pub(crate) struct Parts {
    pub(crate) live: Live,
    pub(crate) enrichers: Enrichers,
    pub(crate) to: Destinations,
    pub(crate) own: Own,
    pub(crate) meta: Meta,
    /// Keeps the network namespace of `--netns` open from the time it was looked up.
    pub(crate) asked: Option<File>,
    pub(crate) guard: Guard,
}

impl<'a> Session<'a> {
    /// Starts the programs and shows the existing listeners. Must be called within a runtime.
    pub(crate) fn start(options: &'a Options, parts: Parts) -> Result<Self> {
        let Parts { mut live, mut enrichers, to, mut own, mut meta, asked, guard } = parts;
        let clock = clock::start();
        enrichers.counters.find_again();
        let mut filter = options.filter.clone();
        if let Some(netns) = &mut filter.netns {
            let (known, gap) = enrichers.ask_for(*netns, asked);
            *netns = known;
            meta.gaps.extend(gap);
            live.only(known)?;
        }
        let mut listed = begin(&mut live, &mut enrichers, &mut own, &mut meta)?;
        if let Some(held) = &mut filter.process {
            // The process may have opened sockets while the programs were attached.
            held.sockets.extend(enrichers.owners.sockets_of(held.pid));
        }
        listed.retain(|listed| filter.lists(listed));
        if filter.process.is_some() {
            live.want(listed.listed().map(|listed| listed.inode).collect())?;
        }
        meta.traced = listed.settings(filter.netns.map(Netns::inode));
        guard.stage("looking for the owners of the listeners in /proc");
        enrichers.owners.look(&listed.listed().map(|listed| listed.inode).collect());
        // SAFETY: `Live` owns the ring's map and never replaces it, so its
        // descriptor stays open and the same for as long as this lives.
        let live = unsafe { AsyncFd::register_with_interest(live, Interest::READABLE) }
            .context("watching the ring buffer")?;
        guard.stage("writing the first lines");
        let mut session = Self {
            options,
            live,
            enrichers,
            sinks: Sinks::begin(options, clock, &meta, to)?,
            queue: Queue::default(),
            own,
            start_ns: meta.time_ns,
            backend: meta.backend,
            intervals: 0,
            command: None,
            guard,
        };
        session.found(&listed)?;
        session.notices(&meta, &listed);
        Ok(session)
    }

    /// Adds the listeners that existed at the start. From then on, counts belong to them and not to
    /// an earlier listener in the same slot.
    fn found(&mut self, listed: &Answers) -> Result<()> {
        let time_ns = self.start_ns;
        self.queue.push(time_ns, What::Memory(slab::of_queued(Path::new("/"))));
        self.live.get_mut().listed(listed.listed(), time_ns, &mut self.queue.events);
        self.dispatch()
    }
}

/// Starts the programs, between two readings of every namespace. Returns the listeners that exist
/// right after the start.
fn begin(
    live: &mut Live,
    enrichers: &mut Enrichers,
    own: &mut Own,
    meta: &mut Meta,
) -> Result<Answers> {
    let counters = &mut enrichers.counters;
    let listed_before = counters.ask_all(Ask::All);
    let before = counters.ask_all(Ask::Counters);
    own.begin();
    let unseen = live.begin(counters.namespaces())?;
    meta.time_ns = monotonic_ns();
    let after = counters.ask_all(Ask::Counters);
    live.begun(counters.namespaces())?;
    meta.gaps.extend(unseen);
    counters.begin(&before, &after);
    // List the listeners after the start, since from then on the programs see every new one.
    let listed = counters.ask_all(Ask::All);
    counters.begin_listeners(&listed_before, &listed);
    Ok(listed)
}
