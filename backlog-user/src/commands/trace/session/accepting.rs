//! Which processes accept, what they do, and why `accept()` fails: inspected when drops begin
//! or nobody accepts.

use std::fs;
use std::time::{Duration, Instant};

use anyhow::Result;
use backlog_core::event::{Event, ListenerId, What};
use backlog_core::model::interval::Interval;
use backlog_core::model::page::Page;

use super::Session;
use crate::clock::monotonic_ns;
use crate::commands::show;
use crate::commands::trace::accept_probe::Candidate;
use crate::host::acceptors::About;

/// What acceptors do is looked at no later after the first drop.
const LATE_NS: u64 = 200_000_000;

impl Session<'_> {
    /// Why nobody accepted where packets have begun to be refused.
    pub(super) fn explain(&mut self) -> Result<()> {
        for (listener, refused_ns) in std::mem::take(&mut self.begun) {
            let time_ns = monotonic_ns();
            self.want_accept_probe(listener, time_ns);
            // What they do now says nothing of then.
            if time_ns.saturating_sub(refused_ns) > LATE_NS {
                continue;
            }
            self.look_at_acceptors(listener, refused_ns, false)?;
        }
        Ok(())
    }

    /// What those who accept at a listener do: since packets were refused at this moment, or,
    /// if it is `idle`, as of this moment.
    fn look_at_acceptors(&mut self, listener: ListenerId, of_ns: u64, idle: bool) -> Result<()> {
        let Some(page) = self.model.get(listener) else { return Ok(()) };
        let (accepted_ns, last_accept) = self.live.get_ref().last_accept(listener);
        let owner = page.listener.identity.owner.as_deref();
        let last_accept = last_accept.or(page.last_accept);
        let mut accepting = self.live.get_ref().seen_accepting(listener);
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
        let Some(acceptor) = self.acceptors.look(&about) else { return Ok(()) };
        let event = Event { time_ns: monotonic_ns(), what: What::Acceptor(Box::new(acceptor)) };
        self.record_and_show(&event)
    }

    /// Records and shows an event that does not come from the kernel's programs.
    fn record_and_show(&mut self, event: &Event) -> Result<()> {
        let Self { recorder, outputs, clock, model, limiter, .. } = self;
        recorder.event(event);
        show::event(outputs, clock, model, limiter, event)?;
        Ok(())
    }

    /// Nobody has accepted for long where connections wait: what those do who should.
    fn look_at_stalls(&mut self) -> Result<()> {
        for (listener, since_ns) in self.accept_probe.stalled(monotonic_ns()) {
            let now_ns = monotonic_ns();
            if self.acceptors.rests(now_ns) {
                // The others are looked at at the end of the next interval.
                break;
            }
            self.accept_probe.looked(listener);
            let last = self.model.get(listener).and_then(|page| page.episodes.kept().last());
            // When packets began to be refused in this stall, they have been looked at.
            if last.is_none_or(|last| last.begin_ns < since_ns || last.acceptor.is_none()) {
                self.look_at_acceptors(listener, now_ns, true)?;
            }
        }
        Ok(())
    }

    /// At the end of an interval: the probe on failing accepts is attached where nobody accepts,
    /// and what it has counted is reported.
    pub(super) fn watch_accepts(&mut self, rows: &[Interval], time_ns: u64) -> Result<()> {
        for row in rows {
            let found = (row.depth, row.accepted);
            if self.accept_probe.interval(row.listener, found, (row.elapsed_ns, time_ns)) {
                self.attach_accept_probe();
            }
        }
        self.look_at_stalls()?;
        self.report_failed_accepts(false)
    }

    fn want_accept_probe(&mut self, listener: ListenerId, now_ns: u64) {
        if self.accept_probe.want(listener, now_ns) {
            self.attach_accept_probe();
        }
    }

    fn attach_accept_probe(&mut self) {
        if let Err(error) = self.live.get_mut().attach_accept_probe() {
            self.accept_probe.fail();
            self.say(&format!("errors of accept() are not known: {error:#}"));
        }
    }

    /// When the probe is to be detached.
    pub(super) fn accept_probe_due(&self) -> Option<Instant> {
        let left_ns = self.accept_probe.until_ns()?.saturating_sub(monotonic_ns());
        Some(Instant::now() + Duration::from_nanos(left_ns))
    }

    /// Detaches it, with a last report.
    pub(super) fn end_accept_probe(&mut self) -> Result<()> {
        if self.accept_probe.until_ns().is_none() {
            return Ok(());
        }
        self.report_failed_accepts(true)?;
        self.accept_probe.detached(monotonic_ns());
        self.live.get_mut().detach_accept_probe()
    }

    fn report_failed_accepts(&mut self, at_end: bool) -> Result<()> {
        if self.accept_probe.until_ns().is_none() {
            return Ok(());
        }
        let (failures, other) = self.live.get_ref().failed_accepts();
        let time_ns = monotonic_ns();
        let reports = {
            let Self { accept_probe, model, .. } = self;
            let candidates = model.open().map(|page| {
                let owner = page.listener.identity.owner.as_deref();
                let pids = owner.map_or(&[][..], |owner| &owner.pids[..]);
                Candidate { listener: page.listener.id, inode: page.listener.inode, pids }
            });
            accept_probe.report((&failures, other), (time_ns, at_end), &candidates, most_files)
        };
        for report in reports {
            let event = Event { time_ns, what: What::AcceptErrors(Box::new(report)) };
            self.record_and_show(&event)?;
        }
        Ok(())
    }
}

/// The processes that were seen accepting at a listener; none was: those that hold it.
pub(super) fn acceptors_of(page: &Page) -> Vec<u32> {
    let seen: Vec<u32> = page.workers.shares().iter().map(|share| share.process.pid).collect();
    if !seen.is_empty() {
        return seen;
    }
    let owner = page.listener.identity.owner.as_deref();
    owner.map_or_else(Vec::new, |owner| owner.pids.clone())
}

/// How many files a process may have open.
fn most_files(pid: u32) -> Option<u64> {
    let text = fs::read_to_string(format!("/proc/{pid}/limits")).ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("Max open files"))?;
    line.split_whitespace().next()?.parse().ok()
}
