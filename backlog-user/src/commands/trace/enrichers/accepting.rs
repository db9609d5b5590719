//! Inspects the accepting processes, their state, and why `accept()` fails, when drops begin or
//! nobody accepts.

use std::fs;
use std::time::{Duration, Instant};

use anyhow::Result;
use backlog_core::event::{ListenerId, What};
use backlog_core::model::interval::Interval;
use backlog_core::model::page::Page;

use super::Context;
use super::accept_probe::{AcceptProbe, Candidate};
use crate::clock::monotonic_ns;
use crate::host::acceptors::{About, Acceptors};

/// Acceptors are inspected at most this long after the first drop.
const LATE_NS: u64 = 200_000_000;

/// See the module documentation.
pub(super) struct AcceptWatch {
    acceptors: Acceptors,
    probe: AcceptProbe,
    /// Episodes of drops that have begun, whose acceptors must be inspected.
    begun: Vec<(ListenerId, u64)>,
}

impl AcceptWatch {
    /// Starts without an inspection.
    pub(super) fn new(acceptors: Acceptors, now_ns: u64) -> Self {
        Self { acceptors, probe: AcceptProbe::new(now_ns), begun: Vec::new() }
    }

    /// A listener has started to drop packets.
    pub(super) fn refuses(&mut self, listener: ListenerId, time_ns: u64) {
        self.begun.push((listener, time_ns));
    }

    /// A listener has closed.
    pub(super) fn closed(&mut self, listener: ListenerId) {
        self.probe.closed(listener);
    }

    /// Inspects why nobody accepted where drops have begun.
    pub(super) fn explain(&mut self, context: &mut Context<'_>) {
        for (listener, refused_ns) in std::mem::take(&mut self.begun) {
            let time_ns = monotonic_ns();
            if self.probe.want(listener, time_ns) {
                self.attach_probe(context);
            }
            // After that, their current state says nothing about the time of the drop.
            if time_ns.saturating_sub(refused_ns) <= LATE_NS {
                self.look(listener, refused_ns, false, context);
            }
        }
    }

    /// After the rows of an interval: attaches the probe where nobody accepts, and reports its
    /// counts.
    pub(super) fn interval(&mut self, rows: &[Interval], time_ns: u64, context: &mut Context<'_>) {
        let model = context.model;
        let busy = rows.iter().filter(|row| row.moved());
        self.acceptors.note(
            busy.filter_map(|row| Some((row.listener, acceptors_of(model.get(row.listener)?)))),
        );
        for row in rows {
            let found = (row.depth, row.accepted);
            if self.probe.interval(row.listener, found, (row.elapsed_ns, time_ns)) {
                self.attach_probe(context);
            }
        }
        self.look_at_stalls(context);
        self.report_failures(false, context);
    }

    /// Inspects the acceptors of a listener: what they have been doing since packets were refused
    /// at `of_ns`, or, if it is `idle`, what they are doing then.
    fn look(&mut self, listener: ListenerId, of_ns: u64, idle: bool, context: &mut Context<'_>) {
        let Context { live, model, queue } = context;
        let Some(page) = model.get(listener) else { return };
        let (accepted_ns, last_accept) = live.last_accept(listener);
        let owner = page.listener.identity.owner.as_deref();
        let last_accept = last_accept.or(page.last_accept);
        let mut accepting = live.seen_accepting(listener);
        let known = page.workers.shares().into_iter().map(|share| share.process);
        for process in known {
            if accepting.iter().all(|one| one.pid != process.pid) {
                accepting.push(process.clone());
            }
        }
        let about = About {
            listener,
            holders: owner.map_or(&[], |owner| &owner.pids),
            main: page.listener.process(),
            accepting: &accepting,
            last_accept,
            accepted_ns: accepted_ns.filter(|time_ns| *time_ns >= page.first_seen_ns),
            refused_ns: of_ns,
            idle,
        };
        if let Some(acceptor) = self.acceptors.look(&about) {
            queue.push(monotonic_ns(), What::Acceptor(Box::new(acceptor)));
        }
    }

    /// Inspects the processes that should accept where connections wait and nobody has accepted for
    /// long.
    fn look_at_stalls(&mut self, context: &mut Context<'_>) {
        for (listener, since_ns) in self.probe.stalled(monotonic_ns()) {
            let now_ns = monotonic_ns();
            if self.acceptors.rests(now_ns) {
                // The others are inspected at the end of the next interval.
                break;
            }
            self.probe.looked(listener);
            let last = context.model.get(listener).and_then(|page| page.episodes.kept().last());
            // Otherwise they were inspected when drops began during this stall.
            if last.is_none_or(|last| last.begin_ns < since_ns || last.acceptor.is_none()) {
                self.look(listener, now_ns, true, context);
            }
        }
    }

    fn attach_probe(&mut self, context: &mut Context<'_>) {
        if let Err(error) = context.live.attach_accept_probe() {
            self.probe.fail();
            context.queue.say(format!("errors of accept() are unknown: {error:#}"));
        }
    }

    /// When to detach the probe.
    pub(super) fn probe_due(&self) -> Option<Instant> {
        let left_ns = self.probe.until_ns()?.saturating_sub(monotonic_ns());
        Some(Instant::now() + Duration::from_nanos(left_ns))
    }

    /// Detaches the probe after a last report.
    pub(super) fn end_probe(&mut self, context: &mut Context<'_>) -> Result<()> {
        if self.probe.until_ns().is_none() {
            return Ok(());
        }
        self.report_failures(true, context);
        self.probe.detached(monotonic_ns());
        context.live.detach_accept_probe()
    }

    fn report_failures(&mut self, at_end: bool, context: &mut Context<'_>) {
        if self.probe.until_ns().is_none() {
            return;
        }
        let Context { live, model, queue } = context;
        let (failures, other) = live.failed_accepts();
        let time_ns = monotonic_ns();
        let candidates = model.open().map(|page| {
            let owner = page.listener.identity.owner.as_deref();
            let pids = owner.map_or(&[][..], |owner| &owner.pids[..]);
            Candidate { listener: page.listener.id, inode: page.listener.inode, pids }
        });
        let counted = (failures.as_slice(), other);
        for report in self.probe.report(counted, (time_ns, at_end), &candidates, most_files) {
            queue.push(time_ns, What::AcceptErrors(Box::new(report)));
        }
    }
}

/// The processes that were seen accepting from a listener, or else those that hold it.
fn acceptors_of(page: &Page) -> Vec<u32> {
    let seen: Vec<u32> = page.workers.shares().iter().map(|share| share.process.pid).collect();
    if !seen.is_empty() {
        return seen;
    }
    let owner = page.listener.identity.owner.as_deref();
    owner.map_or_else(Vec::new, |owner| owner.pids.clone())
}

/// The open-file limit of a process.
fn most_files(pid: u32) -> Option<u64> {
    let text = fs::read_to_string(format!("/proc/{pid}/limits")).ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("Max open files"))?;
    line.split_whitespace().next()?.parse().ok()
}
