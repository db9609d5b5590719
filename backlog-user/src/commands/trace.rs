//! Turns options into a session: reads the kernel, makes the plan, and loads the programs.

mod child;
mod children;
mod clock_steps;
mod enrichers;
mod guard;
mod on_event;
mod queue;
pub(crate) mod rights;
mod session;
pub(crate) mod signals;
mod sinks;

use std::collections::BTreeSet;
use std::io::{self, Write as _};
use std::path::Path;
use std::sync::Arc;

use anyhow::{Context as _, Result, bail};
use aya::util::nr_cpus;
use backlog_core::aggregate::registry::SockDiagListener;
use backlog_core::filter::Filter;
use backlog_core::run::Backend;
use backlog_core::run::Meta;
use backlog_ebpf::ABSENT;
use backlog_ebpf::totals::Totals;
use tokio::sync::Notify;

use crate::bpf::attach::{self, Chosen};
use crate::bpf::layout::Layout;
use crate::bpf::live::Live;
use crate::bpf::load::{Limits, Loader};
use crate::bpf::plan::{self, Way, Ways};
use crate::bpf::self_cost::Own;
use crate::cli::options::Options;
use crate::cli::{self, DROP_RECORDS, RING_KIB};
use crate::clock;
use crate::commands::show::{self, OutputOptions};
use crate::commands::trace::children::Children;
use crate::commands::trace::enrichers::Enrichers;
use crate::commands::trace::guard::Guard;
use crate::commands::trace::rights::Rights;
use crate::commands::trace::session::{Parts, Session};
use crate::commands::trace::signals::Signals;
use crate::commands::trace::sinks::Destinations;
use crate::exit::Outcome;
use crate::host::acceptors::Acceptors;
use crate::host::kernel::btf::Btf;
use crate::host::kernel::{self, KernelView};
use crate::host::kernel_counters::{Ask, KernelCounters};
use crate::host::namespaces::identity::Identify;
use crate::host::namespaces::in_first_pid_namespace;
use crate::host::owner::find::Finder;
use crate::host::owner_cache::OwnerCache;
use crate::notice::{self, notice};
use crate::outlet::{self, Lost, OnStall, Outlet, Target};
use crate::output::outputs::Outputs;
use crate::output::record::Recorder;
use crate::output::record::ring::Ring;
use crate::output::report::{Destination, Report};
use crate::output::tui::{Tui, screen};

/// The maximum size of the totals of all slots, in bytes.
const TOTALS_BYTES: usize = 64 << 20;

/// The parts of a run that only a service has.
pub(crate) struct Service {
    /// Its outputs.
    pub(crate) outputs: Outputs,
    /// The recording that reports are made from, unless reports are off.
    pub(crate) past: Option<Ring>,
    /// Notified on SIGHUP.
    pub(crate) reload: Arc<Notify>,
    /// Called when a signal has ended the run.
    pub(crate) stopping: fn(),
}

/// Runs the tracer until it ends.
pub(crate) fn run(options: Options) -> Result<Outcome> {
    if options.tui {
        screen::check(std::env::var("TERM").ok().as_deref())?;
    }
    start(options, None, || Ok(()))
}

/// Runs the tracer as a service. `begin` starts the service's own threads, with few rights.
pub(crate) fn serve(
    options: Options,
    service: Service,
    begin: impl FnOnce() -> Result<()>,
) -> Result<Outcome> {
    start(options, Some(service), begin)
}

fn start(
    options: Options,
    service: Option<Service>,
    begin: impl FnOnce() -> Result<()>,
) -> Result<Outcome> {
    let root = Path::new("/");
    kernel::rights::check(root)?;
    // Fork before the first thread starts: the commands keep the rights of the caller, the tool
    // drops most of them.
    let children = Children::fork(&options)?;
    outlet::survive_file_limit();
    let rights = Rights::prepare(root, &options)?;
    begin()?;
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("starting the runtime")?
        .block_on(trace(root, options, service, children, &rights))
}

async fn trace(
    root: &Path,
    mut options: Options,
    service: Option<Service>,
    mut children: Children,
    rights: &Rights,
) -> Result<Outcome> {
    let kernel = KernelView::read(root)?;
    let mut layout = Layout::find(&kernel.btf)?;
    if !Identify::has_cookies() {
        layout.leave_out("NET_COOKIE");
    }
    if options.check_programs {
        let limits = limits([].iter(), Sizes::of(&options, 1));
        return check_programs(&kernel.btf, &layout, limits, wanted(options.backend));
    }
    let guard = Guard::start()?;
    let heard = guard.clone();
    let stopping = service.as_ref().map(|service| service.stopping);
    let heard = move || {
        heard.end();
        if let Some(stopping) = stopping {
            stopping();
        }
    };
    let reload = service.as_ref().map(|service| Arc::clone(&service.reload));
    let signals = Signals::watch(heard, reload)?;
    notice::never_block().context("starting the thread that writes to stderr")?;
    let mut stdout = Outlet::open(Target::Stdout, OnStall::Lose)
        .context("starting the thread that writes to stdout")?;
    let recorder = match service.as_ref().and_then(|service| service.past.as_ref()) {
        Some(ring) => Recorder::in_memory(ring, clock::monotonic_ns())?,
        None => Recorder::create(options.record.as_ref())?,
    };
    let mut kernel_counters = KernelCounters::find();
    let finder = Finder::new(&root.join("proc"), &root.join("etc/passwd"));
    let asked = options.selection.add_to(&mut options.filter, &finder)?;
    let options = &options;
    if options.filter.cgroup.is_some() && !layout.knows_cgroups() {
        bail!("--cgroup: this kernel does not show the cgroup of a socket: use --pid or --port");
    }
    let mut sized_by = kernel_counters.ask_all(Ask::All);
    sized_by.retain(|listed| options.filter.lists(listed));
    let sizes = Sizes::of(options, possible_cpus()?);
    let limits = limits(sized_by.listed(), sizes);
    guard.stage("loading the programs");
    let mut loader = Loader::create(&layout, &options.filter, limits)?;
    guard.stage("attaching the programs");
    let chosen = attach::best(&mut loader, &kernel.btf, &layout, wanted(options.backend))?;
    let counts_kprobes = kernel.btf.field("bpf_link_info", "perf_event.kprobe.missed").is_some();
    drop(kernel.btf);
    let Chosen { backend, mut attached, reasons } = chosen;
    let mut gaps = std::mem::take(&mut attached.gaps);
    gaps.extend(kernel_counters.namespaces().unseen());
    if options.filter.process.is_some() && !in_first_pid_namespace(&root.join("proc")) {
        gaps.push(
            "--pid: this pid namespace numbers processes differently from the kernel, so \
             listeners that the process opens appear a second later"
                .to_owned(),
        );
    }
    let mut reasons = reasons;
    reasons.append(&mut attached.fallbacks);
    let programs = loader.ready(attached, counts_kprobes)?;
    let has_cookies = layout.value("NET_COOKIE").is_some_and(|offset| offset != ABSENT);
    let identify = programs.identify(has_cookies);
    let by_inode = matches!(identify, Identify::Unknown);
    kernel_counters.identify_by(identify);
    give_back();
    let own = Own::watch(root, programs.numbers(), &programs.attached.hooks, options.verbose);
    gaps.extend(own.refusal().map(|why| format!("runs of the programs are not counted: {why}")));
    let meta = Meta {
        // The session sets it when it begins.
        time_ns: 0,
        version: env!("CARGO_PKG_VERSION").to_owned(),
        host: kernel.host,
        kernel: kernel.release,
        backend,
        hooks: programs.attached.hooks.iter().map(plan::Hook::placed).collect(),
        options: std::env::args().skip(1).collect(),
        settings: kernel.settings,
        // The session sets it as well.
        traced: None,
        reasons,
        gaps,
        bpf_stats: own.counts_runs(),
    };
    let acceptors = Acceptors::new(&root.join("proc"));
    guard.stage("reading the listeners of the host");
    let outputs = service.map_or_else(|| outputs(options, &stdout), |service| service.outputs);
    let (outputs, started) = children.connect(outputs, options.verbose);
    let live = Live::new(programs, by_inode);
    guard.attached(live.switch(), options.duration);
    let parts = Parts {
        live,
        enrichers: Enrichers::new(kernel_counters, OwnerCache::new(finder), acceptors),
        to: Destinations { outputs, recorder, stdout: stdout.clone() },
        own,
        meta,
        asked,
        guard,
    };
    let guard = parts.guard.clone();
    let session = Session::start(options, parts)?;
    rights.settle(options, &guard)?;
    let outcome = session.run(signals, children.command, started).await;
    written(outcome, stdout.finish())
}

/// The outcome after stdout was closed: reports the data that its reader did not take.
pub(crate) fn written(outcome: Result<Outcome>, stdout: io::Result<Lost>) -> Result<Outcome> {
    let outcome = outcome?;
    let Lost { lines, bytes } = stdout?;
    if bytes == 0 {
        return Ok(outcome);
    }
    notice(&format!("stdout: its reader has stalled; not written: {lines} lines, {bytes} bytes"));
    Ok(Outcome::Unwritten)
}

/// Returns memory to the system: reading the kernel's BTF took some 80 MB, which the C library
/// would keep for the whole run.
fn give_back() {
    #[cfg(target_env = "gnu")]
    // SAFETY: it may be called at any time, and touches no memory that is in use.
    unsafe {
        libc::malloc_trim(0)
    };
}

/// The selected backend; None means the best one.
pub(crate) fn wanted(backend: cli::Backend) -> Option<Backend> {
    match backend {
        cli::Backend::Auto => None,
        cli::Backend::Fentry => Some(Backend::Fentry),
        cli::Backend::Kprobe => Some(Backend::Kprobe),
        cli::Backend::Tracepoint => Some(Backend::Tracepoint),
    }
}

/// Loads every program that fits this kernel, for each backend that it permits, and prints a line
/// of JSON for each.
fn check_programs(
    btf: &Btf,
    layout: &Layout,
    limits: Limits,
    wanted: Option<Backend>,
) -> Result<Outcome> {
    let mut out = io::stdout().lock();
    let mut loader = Loader::create(layout, &Filter::default(), limits)?;
    let mut ways = Ways::default();
    attach::try_ways(&mut loader, &mut ways, &Way::ALL);
    let mut checked = BTreeSet::new();
    for backend in Backend::ALL {
        if wanted.is_some_and(|wanted| wanted != backend) {
            continue;
        }
        let plan = attach::with(btf, layout, &ways, |shown| {
            let plan = plan::plan(shown, backend)?;
            let spare = plan::spare(&plan, shown);
            Ok::<_, anyhow::Error>((plan, spare))
        });
        let (plan, spare) = match plan {
            Ok(plan) => plan,
            Err(error) if wanted.is_some() => return Err(error),
            Err(_) => continue,
        };
        for hook in plan.hooks().chain(&spare) {
            if checked.insert(hook.program) {
                serde_json::to_writer(&mut out, &loader.verify(hook)?)?;
                out.write_all(b"\n")?;
            }
        }
    }
    Ok(Outcome::Done)
}

/// The limits of a run with few listeners, for a trial.
pub(crate) fn trial_limits() -> Result<Limits> {
    let sizes = Sizes {
        cpus: possible_cpus()?,
        ring: RING_KIB << 10,
        drop_records: DROP_RECORDS,
        until_drop: 0,
    };
    Ok(limits([].iter(), sizes))
}

/// The number of CPUs with an element in a per-CPU map.
fn possible_cpus() -> Result<usize> {
    nr_cpus().map_err(|(file, error)| anyhow::Error::new(error).context(format!("reading {file}")))
}

/// What determines the sizes of the tables, in addition to the listeners.
#[derive(Clone, Copy)]
struct Sizes {
    cpus: usize,
    ring: u32,
    drop_records: u32,
    until_drop: u64,
}

impl Sizes {
    fn of(options: &Options, cpus: usize) -> Self {
        Self {
            cpus: cpus.max(1),
            ring: options.ring,
            drop_records: options.drop_records,
            until_drop: options.replay.until_drop.unwrap_or(0),
        }
    }
}

/// Drop records per listener, CPU and second that wake userspace.
const URGENT_RECORDS: u32 = 16;

/// Room for twice the current numbers, within what a host can spare: a slot costs its totals on
/// each CPU and 6 KiB for its distributions, a queued connection some 150 bytes.
fn limits<'a>(listed: impl Iterator<Item = &'a SockDiagListener>, sizes: Sizes) -> Limits {
    let Sizes { cpus, ring, drop_records, until_drop } = sizes;
    let (listeners, queues) = listed.fold((0_u32, 0_u32), |(count, sum), listed| {
        (count.saturating_add(1), sum.saturating_add(listed.limit))
    });
    let per_slot = size_of::<Totals>() * cpus;
    let affordable = u32::try_from(TOTALS_BYTES / per_slot).unwrap_or(u32::MAX);
    let wanted = listeners.saturating_mul(2).clamp(1024, 1 << 16);
    Limits {
        slots: wanted.min(affordable).max(256),
        pending: queues.saturating_mul(2).clamp(1 << 16, 1 << 18),
        ring,
        // The limit is split across CPUs.
        drop_records: drop_records.div_ceil(u32::try_from(cpus).unwrap_or(u32::MAX)),
        urgent_records: u32::try_from(until_drop).unwrap_or(u32::MAX).max(URGENT_RECORDS),
    }
}

fn outputs(options: &Options, stdout: &Outlet) -> Outputs {
    let wish = OutputOptions {
        output: options.output,
        utc: options.utc,
        quiet: options.quiet,
        verbose: options.verbose,
        replay: options.replay,
    };
    let style = show::style(wish);
    let zone = style.zone.clone();
    let outputs = if options.tui {
        Outputs::screen(Tui::new(style, options.interval, stdout.clone()))
    } else {
        Outputs::lines(show::lines(wish, stdout.clone()))
    };
    match &options.report {
        None => outputs,
        Some(file) => {
            outputs.with(Report::new(zone, Destination::File(file.clone()), !options.quiet))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Sizes, limits};
    use backlog_core::aggregate::registry::SockDiagListener;

    #[test]
    fn tables_grow_with_the_host_and_are_bounded() {
        let made_up = SockDiagListener::made_up("0.0.0.0:80".parse().unwrap());
        let listed = SockDiagListener { limit: 4096, ..made_up };
        let sizes = |cpus| Sizes { cpus, ring: 4096, drop_records: 1000, until_drop: 0 };
        let few = limits([listed.clone()].iter(), sizes(2));
        assert_eq!((few.slots, few.pending), (1024, 65_536));
        assert_eq!((few.drop_records, few.urgent_records), (500, 16));
        let many = vec![listed; 10_000];
        let host = limits(many.iter(), sizes(2));
        assert_eq!((host.slots, host.pending), (20_000, 1 << 18));
        assert!(limits(many.iter(), sizes(512)).slots < 1024);
    }
}
