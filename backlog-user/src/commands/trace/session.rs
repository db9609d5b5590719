//! The main loop: waits for the ring, the interval, signals and the command, and
//! passes events to the model and what comes of them to the view. It sleeps when
//! nothing happens.

mod accepting;
mod counting;
mod ending;
mod notices;
mod queued;
mod waits;

use std::fs::File;
use std::io::{self, ErrorKind::BrokenPipe};
use std::path::Path;
use std::pin::pin;

use anyhow::{Context as _, Result, bail};
use backlog_core::clock::Clock;
use backlog_core::event::{Event, ListenerId, Netns, What};
use backlog_core::model::{Model, News};
use backlog_core::run::Backend;
use backlog_core::run::Meta;
use backlog_core::run::command::CommandEnd;
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::time::{Instant, MissedTickBehavior, interval_at};

use crate::bpf::live::Live;
use crate::bpf::self_cost::Own;
use crate::cli::options::Options;
use crate::clock::{self, monotonic_ns};
use crate::commands::show::{self, DropLimiter};
use crate::commands::trace::accept_probe::AcceptProbe;
use crate::commands::trace::child::Bounding;
use crate::commands::trace::clock_steps::Steps;
use crate::commands::trace::signals::Signals;
use crate::exit::Outcome;
use crate::host::acceptors::Acceptors;
use crate::host::kernel_counters::{Ask, KernelCounters};
use crate::host::owners::Owners;
use crate::notice::notice;
use crate::output::Flow;
use crate::output::outputs::Outputs;
use crate::output::record::Recorder;
use crate::output::sink::{Now, Sink as _, Update};
use crate::output::tui::Tui;
use waits::{at, at_most, next, reader_gone, wait_for, watch_stdout};

/// A run.
pub(crate) struct Session<'a> {
    options: &'a Options,
    live: AsyncFd<Live>,
    model: Model,
    clock: Clock,
    outputs: Outputs,
    start_ns: u64,
    backend: Backend,
    kernel_counters: KernelCounters,
    own: Own,
    owners: Owners,
    acceptors: Acceptors,
    accept_probe: AcceptProbe,
    /// The network namespace of `--netns`, until it has ended.
    asked: Option<Netns>,
    /// Episodes that have begun, and whose acceptors are to be looked at.
    begun: Vec<(ListenerId, u64)>,
    recorder: Recorder,
    limiter: DropLimiter,
    intervals: u64,
    /// How the command of `--cmd` ended.
    command: Option<CommandEnd>,
    /// Reused from one batch to the next.
    events: Vec<Event>,
}

impl<'a> Session<'a> {
    /// Lets the programs begin and shows what there is. Must be called within a
    /// runtime.
    #[expect(clippy::too_many_arguments, reason = "each has done its part before")]
    pub(crate) fn start(
        options: &'a Options,
        mut live: Live,
        mut outputs: Outputs,
        mut recorder: Recorder,
        mut meta: Meta,
        mut kernel_counters: KernelCounters,
        mut own: Own,
        mut owners: Owners,
        asked: Option<File>,
    ) -> Result<Self> {
        let clock = clock::start();
        kernel_counters.find_again();
        let mut filter = options.filter.clone();
        if let Some(netns) = &mut filter.netns {
            match kernel_counters.identity_of(netns.inode(), asked) {
                Some(identity) => *netns = Netns::new(netns.inode(), identity),
                None => meta.gaps.push(
                    "--netns: this namespace is known by its inode number only; a later one \
                     that gets the number is taken for it"
                        .to_owned(),
                ),
            }
            live.only(*netns)?;
        }
        let listed_before = kernel_counters.ask_all(Ask::All);
        let before = kernel_counters.ask_all(Ask::Counters);
        own.begin();
        let unseen = live.begin(kernel_counters.namespaces())?;
        meta.time_ns = monotonic_ns();
        let after = kernel_counters.ask_all(Ask::Counters);
        live.begun(kernel_counters.namespaces())?;
        meta.gaps.extend(unseen);
        kernel_counters.begin(&before, &after);
        // After the beginning: what is opened from here on is seen.
        let mut listed = kernel_counters.ask_all(Ask::All);
        kernel_counters.begin_listeners(&listed_before, &listed);
        if let Some(held) = &mut filter.process {
            // It may have opened some while the programs were attached.
            held.sockets.extend(owners.sockets_of(held.pid));
        }
        listed.retain(|listed| filter.lists(listed));
        if filter.process.is_some() {
            live.want(listed.listed().map(|listed| listed.inode).collect())?;
        }
        meta.traced = listed.settings(filter.netns.map(Netns::inode));
        owners.look(&listed.listed().map(|listed| listed.inode).collect());
        // SAFETY: `Live` owns the ring's map and never replaces it, so its
        // descriptor stays open and the same for as long as this lives.
        let live = unsafe { AsyncFd::register_with_interest(live, Interest::READABLE) }
            .context("watching the ring buffer")?;
        let model = Model::new(meta.time_ns);
        outputs.update(Now { clock: &clock, model: &model }, &Update::Start(&meta))?;
        recorder.start(&clock, &meta, options.shown());
        let mut session = Self {
            options,
            live,
            model,
            clock,
            outputs,
            start_ns: meta.time_ns,
            backend: meta.backend,
            kernel_counters,
            own,
            owners,
            acceptors: Acceptors::new(Path::new("/proc")),
            accept_probe: AcceptProbe::new(meta.time_ns),
            asked: filter.netns,
            begun: Vec::new(),
            recorder,
            limiter: DropLimiter::new(options.until_drop),
            intervals: 0,
            command: None,
            events: Vec::new(),
        };
        if session.outputs.draws() {
            session.model.keep_timelines();
        }
        session.model.set_client_timeout(options.client_timeout_ns);
        let memory = What::Memory(crate::host::kernel::slab::of_queued(Path::new("/")));
        session.events.push(Event { time_ns: meta.time_ns, what: memory });
        // They were there when it began. What has happened since is theirs, and no sign of a
        // listener that had their slot before.
        session.live.get_mut().listed(listed.listed(), meta.time_ns, &mut session.events);
        session.write_down()?;
        session.notices(&meta, &listed);
        Ok(session)
    }

    /// Runs until it is to end, and shows the summary.
    pub(crate) async fn run(mut self, mut signals: Signals) -> Result<Outcome> {
        let mut command = self.options.cmd.as_deref().map(Bounding::start).transpose()?;
        // Unless it ends first.
        self.command =
            command.is_some().then(|| CommandEnd { stopped: true, ..CommandEnd::default() });
        let first = Instant::now() + self.options.interval;
        let mut tick = interval_at(first, self.options.interval);
        // After a pause (SIGSTOP) one long interval, not a burst of empty ones.
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut duration = pin!(at_most(self.options.duration));
        let stdout = watch_stdout();
        let mut steps = Steps::watch();
        let mut inputs = self.outputs.tui().and_then(Tui::inputs);
        while !self.is_over() {
            let probe_due = self.accept_probe_due();
            tokio::select! {
                ready = self.live.readable_mut() => {
                    let mut ready = ready.context("waiting for the ring buffer")?;
                    if ready.get_inner_mut().drain(&mut self.events) {
                        ready.clear_ready();
                    } else {
                        ready.retain_ready();
                    }
                    self.live.get_mut().retire_if_many(&mut self.events)?;
                    self.write_down()?;
                }
                _ = tick.tick() => self.end_interval()?,
                () = steps.next() => self.write_down()?,
                () = at(self.recorder.due()) => self.recorder.flush(),
                () = at(probe_due) => self.end_accept_probe()?,
                input = next(inputs.as_mut()) => {
                    if let Some(tui) = self.outputs.tui()
                        && tui.input(&self.model, input)? == Flow::End
                    {
                        break;
                    }
                }
                ended = wait_for(command.as_mut()) => {
                    let ended = ended?;
                    if ended.failed() {
                        self.say(&ended.to_string());
                    }
                    self.command = Some(ended);
                    break;
                }
                () = &mut duration => break,
                () = signals.any() => break,
                () = reader_gone(stdout.as_ref()) => bail!(io::Error::from(BrokenPipe)),
            }
        }
        let outcome = self.finish();
        if let Some(command) = command {
            command.stop().await;
        }
        outcome
    }

    fn is_over(&self) -> bool {
        self.drops_seen() || self.options.count.is_some_and(|limit| self.intervals >= limit)
    }

    /// Have those come that `--until-drop` waits for? Some may be only counted.
    fn drops_seen(&self) -> bool {
        let seen = self.limiter.drops.max(self.model.dropped());
        self.options.until_drop.is_some_and(|limit| seen >= limit)
    }

    /// Passes the events on, in their order.
    fn write_down(&mut self) -> Result<()> {
        let Self {
            live,
            model,
            outputs,
            clock,
            events,
            recorder,
            limiter,
            kernel_counters,
            owners,
            accept_probe,
            begun,
            ..
        } = self;
        let set = clock::compare(clock).map(|step_ns| (monotonic_ns(), step_ns));
        recorder.clock(clock, set);
        if let Some((time_ns, step_ns)) = set {
            outputs.update(Now { clock, model }, &Update::ClockSet { time_ns, step_ns })?;
        }
        for mut event in events.drain(..) {
            if let What::Listener(listener) = &mut event.what {
                kernel_counters.are_new(live.get_mut().take_new_namespaces());
                kernel_counters.opened(listener);
                if model.get(listener.id).is_none() {
                    let netns = kernel_counters.name(listener.netns);
                    listener.identity = owners.identify(listener, netns);
                }
            }
            recorder.event(&event);
            let news = show::event(outputs, clock, model, limiter, &event)?;
            if let Some(News::Refused(refusal)) = &news
                && refusal.episode
            {
                begun.push((refusal.drop.listener, refusal.time_ns));
            }
            if let Some(News::Closed(closed)) = news
                && let Some(page) = model.get(closed.listener)
            {
                accept_probe.closed(closed.listener);
                kernel_counters.closed(&page.listener);
                owners.closed(&page.listener);
            }
        }
        self.explain()?;
        self.recorder.batch(&self.clock, &self.model, monotonic_ns());
        self.flush()?;
        self.complain();
        Ok(())
    }

    /// What was shown is to be seen now.
    fn flush(&mut self) -> io::Result<()> {
        let now = Now { clock: &self.clock, model: &self.model };
        self.outputs.update(now, &Update::Flush)
    }

    /// Says something that belongs to the run.
    fn say(&mut self, text: &str) {
        self.recorder.notice(monotonic_ns(), text);
        notice(text);
    }

    /// Says once if nothing more is recorded.
    fn complain(&mut self) {
        if let Some(text) = self.recorder.complaint() {
            notice(&format!("{text}; tracing continues without it"));
        }
    }
}
