//! `--on-event`: runs a command when drops begin, a queue is nearly full, or nobody accepts. It is
//! a sink next to the outputs: it turns what they show into events, and passes those that the
//! [`limiter`] admits to a process that starts the commands ([`launcher`]). It never blocks.

mod launcher;
mod limiter;

use std::cell::RefCell;
use std::fmt::Write as _;
use std::io;
use std::os::fd::OwnedFd;
use std::rc::Rc;
use std::time::Duration;

use backlog_core::event::ListenerId;
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::time::{Instant, sleep, timeout_at};

use crate::clock::monotonic_ns;
use crate::commands::trace::guard::Guard;
use crate::commands::trace::signals::Signals;
use crate::notice::notice;
use crate::output::json::event::EventLine;
use crate::output::json::line::Line;
use crate::output::json::values;
use crate::output::sink::{Now, Sink, Update};
pub(super) use launcher::Launcher;
use launcher::Report;
use limiter::{AT_ONCE, EACH, IN_A_MINUTE, Limiter, Skipped};

/// How long a command and its background processes may run.
const LIMIT: Duration = Duration::from_secs(30);

/// How long it may take to end after SIGTERM.
const GRACE: Duration = Duration::from_secs(2);

/// How much longer than these the end of the run waits for reports.
const SLACK: Duration = Duration::from_secs(2);

/// The sink that starts the commands.
pub(super) struct OnEvent(Rc<RefCell<State>>);

/// The started commands, which the end of the run waits for.
pub(super) struct Started(Rc<RefCell<State>>);

struct State {
    /// None if the process is gone.
    launcher: Option<Launcher>,
    limiter: Limiter,
    running: usize,
    counts: Counts,
    verbose: bool,
}

/// How the commands ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Counts {
    started: u64,
    failed: u64,
    too_long: u64,
    stopped: u64,
}

/// Creates the sink and the handle for the end of the run.
pub(super) fn connect(launcher: Launcher, verbose: bool) -> (OnEvent, Started) {
    let state = Rc::new(RefCell::new(State {
        launcher: Some(launcher),
        limiter: Limiter::default(),
        running: 0,
        counts: Counts::default(),
        verbose,
    }));
    (OnEvent(Rc::clone(&state)), Started(state))
}

impl Sink for OnEvent {
    fn update(&mut self, now: Now<'_>, update: &Update<'_>) -> io::Result<()> {
        let Now { clock, model } = now;
        let mut state = self.0.borrow_mut();
        match *update {
            Update::Refused(refusal) if refusal.episode => {
                if let Some(page) = model.get(refusal.drop.listener) {
                    state.happened(page.listener.id, EventLine::drops(clock, page, refusal));
                }
            }
            Update::HighUse { page, high } => {
                state.happened(page.listener.id, EventLine::high_use(clock, page, high));
            }
            Update::Acceptor { time_ns, acceptor } if acceptor.idle => {
                if let Some(page) = model.get(acceptor.listener) {
                    let line = EventLine::stall(clock, time_ns, page, acceptor);
                    state.happened(page.listener.id, line);
                }
            }
            Update::Interval { time_ns, rows } => {
                for row in rows.iter().filter(|row| row.dropped() > 0) {
                    let Some(page) = model.get(row.listener) else { continue };
                    // If no drop of the episode has a record, it begins when the drops are counted.
                    let last = page.episodes.kept().last();
                    if last.is_some_and(|last| last.begin_ns == time_ns && last.clients == 0) {
                        let line = EventLine::counted_drops(clock, time_ns, page);
                        state.happened(page.listener.id, line);
                    }
                }
                state.collect();
            }
            Update::Flush => state.collect(),
            _ => {}
        }
        Ok(())
    }
}

impl State {
    /// Starts the command for an event, if the limiter admits it.
    fn happened(&mut self, listener: ListenerId, line: EventLine<'_>) {
        self.collect();
        let Some(launcher) = &self.launcher else {
            self.limiter.skipped.failed += 1;
            return;
        };
        let none_before = self.limiter.skipped == Skipped::default();
        if !self.limiter.admits((listener, line.kind()), monotonic_ns(), self.running) {
            if none_before {
                notice(&format!(
                    "--on-event: not every event starts the command (each kind at a listener at \
                     most once in {} s, {AT_ONCE} at once, {IN_A_MINUTE} in a minute); the others \
                     are counted",
                    EACH.as_secs()
                ));
            }
            return;
        }
        let mut event = Vec::new();
        let started =
            values::write(&mut event, &Line::Event(line)).and_then(|()| launcher.start(&event));
        match started {
            Ok(()) => {
                self.running += 1;
                self.counts.started += 1;
            }
            Err(error) => {
                if self.limiter.skipped.failed == 0 {
                    notice(&format!("--on-event: an event starts no command: {error}"));
                }
                self.limiter.skipped.failed += 1;
            }
        }
    }

    /// Reads the pending reports.
    fn collect(&mut self) {
        while self.running > 0 {
            let Some(launcher) = &self.launcher else { return };
            match launcher.report() {
                Ok(None) => return,
                Ok(Some(report)) => {
                    let text = launcher.text().to_owned();
                    self.ended(&text, report);
                }
                Err(error) => {
                    notice(&format!(
                        "--on-event: the process that starts the command has ended ({error}): no \
                         further event starts it"
                    ));
                    self.counts.failed += self.running as u64;
                    (self.launcher, self.running) = (None, 0);
                }
            }
        }
    }

    /// Processes the end of a command. Only the first failure is logged.
    fn ended(&mut self, text: &str, report: Report) {
        self.running -= 1;
        let first = self.counts.failed + self.counts.too_long == 0;
        let end = match report {
            Report::Exited(0) => return,
            Report::Stopped => {
                self.counts.stopped += 1;
                return;
            }
            Report::TooLong => {
                self.counts.too_long += 1;
                format!("was stopped after {} s", LIMIT.as_secs())
            }
            Report::Exited(status @ (126 | 127)) => {
                self.counts.failed += 1;
                format!("exited with status {status}: the shell could not run it")
            }
            Report::Exited(status) => {
                self.counts.failed += 1;
                format!("exited with status {status}")
            }
            Report::Signalled(signal) => {
                self.counts.failed += 1;
                format!("was killed by signal {signal}")
            }
            Report::NotStarted(errno) => {
                self.counts.failed += 1;
                format!("was not started: {}", io::Error::from_raw_os_error(errno))
            }
        };
        if first {
            notice(&format!(
                "--on-event: sh -c '{text}' {end}; more such failures are only counted"
            ));
        }
    }

    /// The message at the end of the run, if an event was skipped or a command failed.
    fn summary(&self) -> Option<String> {
        summary(self.counts, self.limiter.skipped, self.verbose)
    }
}

fn summary(counts: Counts, skipped: Skipped, verbose: bool) -> Option<String> {
    let Counts { started, failed, too_long, stopped } = counts;
    let parts = |all: &[(u64, String)]| -> String {
        let shown = all.iter().filter(|(count, _)| *count > 0);
        shown.map(|(count, what)| format!("{count} {what}")).collect::<Vec<_>>().join(", ")
    };
    if !verbose && failed + too_long + stopped + skipped.all() == 0 {
        return None;
    }
    let mut text = format!("--on-event: {started} started");
    let ends = parts(&[
        (failed, "failed".to_owned()),
        (too_long, format!("stopped after {} s", LIMIT.as_secs())),
        (stopped, "stopped at the end of the run".to_owned()),
    ]);
    if !ends.is_empty() {
        let _ = write!(text, " ({ends})");
    }
    let Skipped { repeated, busy, many, failed } = skipped;
    let reasons = parts(&[
        (repeated, format!("within {} s of another at the listener", EACH.as_secs())),
        (busy, format!("while {AT_ONCE} ran")),
        (many, format!("after {IN_A_MINUTE} in a minute")),
        (failed, "not handed over".to_owned()),
    ]);
    if !reasons.is_empty() {
        let _ = write!(text, "; events without a command: {reasons}");
    }
    Some(text)
}

impl Started {
    /// Waits for the commands at the end of the run, which may have caused some of them. A signal
    /// stops them.
    pub(super) async fn finish(self, signals: &mut Signals, interrupted: bool, guard: &Guard) {
        let watched = self.0.borrow().launcher.as_ref().and_then(watch);
        let Some(watched) = watched else { return self.report() };
        let patience = Instant::now() + LIMIT + GRACE;
        while !interrupted && self.runs() && Instant::now() < patience {
            guard.stage("waiting for the commands of --on-event");
            tokio::select! {
                biased;
                () = signals.any() => break,
                ready = watched.readable() => {
                    let Ok(mut ready) = ready else { break };
                    ready.clear_ready();
                    self.0.borrow_mut().collect();
                }
                () = sleep(Duration::from_secs(1)) => {}
            }
        }
        if let Some(launcher) = &self.0.borrow().launcher {
            launcher.stop();
        }
        let patience = Instant::now() + GRACE + SLACK;
        while self.runs() {
            let Ok(Ok(mut ready)) = timeout_at(patience, watched.readable()).await else { break };
            ready.clear_ready();
            self.0.borrow_mut().collect();
        }
        self.report();
    }

    fn runs(&self) -> bool {
        self.0.borrow().running > 0
    }

    fn report(&self) {
        if let Some(text) = self.0.borrow().summary() {
            notice(&text);
        }
    }
}

/// Watches the line to the process, which is readable when a report is pending.
fn watch(launcher: &Launcher) -> Option<AsyncFd<OwnedFd>> {
    let line = launcher.line.try_clone().ok()?;
    // SAFETY: it owns its descriptor, which stays open for as long as this lives.
    unsafe { AsyncFd::register_with_interest(line, Interest::READABLE) }.ok()
}

#[cfg(test)]
mod tests {
    use super::{Counts, Skipped, summary};

    #[test]
    fn the_end_says_what_failed_and_what_was_left_out() {
        let fine = Counts { started: 3, ..Counts::default() };
        assert_eq!(summary(fine, Skipped::default(), false), None);
        let verbose = summary(fine, Skipped::default(), true).unwrap();
        assert_eq!(verbose, "--on-event: 3 started");
        let counts = Counts { started: 9, failed: 2, too_long: 1, stopped: 1 };
        let skipped = Skipped { repeated: 40, busy: 2, many: 1, failed: 0 };
        assert_eq!(
            summary(counts, skipped, false).unwrap(),
            "--on-event: 9 started (2 failed, 1 stopped after 30 s, 1 stopped at the end of the \
             run); events without a command: 40 within 10 s of another at the listener, 2 while 4 \
             ran, 1 after 30 in a minute"
        );
        assert!(summary(fine, Skipped { busy: 1, ..Skipped::default() }, false).is_some());
    }
}
