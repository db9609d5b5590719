//! From the options to a session: reads the kernel, makes the plan, loads it.

use std::io::{self, BufWriter, Write as _};
use std::path::Path;

use anyhow::{Context as _, Result};
use aya::util::nr_cpus;
use backlog_ebpf::totals::Totals;
use jiff::tz::TimeZone;

use crate::cli::{Backend, Output};
use crate::event::plain;
use crate::kernel::{KernelView, rights};
use crate::layout::Layout;
use crate::listeners::{self, Listing};
use crate::live::Live;
use crate::load::{self, Filter, Limits};
use crate::options::Options;
use crate::plan::{self, Hook};
use crate::registry::Listed;
use crate::session::Session;
use crate::signals::Signals;
use crate::view::json::Json;
use crate::view::table::{Look, Table};
use crate::view::{Meta, View};

/// How a run ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// As asked.
    Done,
    /// With the drops that `--until-drop` waited for.
    DropsSeen,
}

/// Bytes that the totals of all slots may take.
const TOTALS_BYTES: usize = 64 << 20;

/// Runs the tracer until it is to end.
pub(crate) fn run(options: &Options) -> Result<Outcome> {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("starting the runtime")?
        .block_on(trace(options))
}

async fn trace(options: &Options) -> Result<Outcome> {
    let root = Path::new("/");
    rights::check(root)?;
    let kernel = KernelView::read(root)?;
    let layout = Layout::find(&kernel.btf)?;
    let (Backend::Auto | Backend::Fentry) = options.backend;
    let plan = plan::plan(|function| kernel.btf.arguments(function))?;
    if options.check_programs {
        let mut hooks = plan.hooks.clone();
        hooks.extend(plan::spare(&plan, |function| kernel.btf.arguments(function)));
        let limits = limits(&[], 1, options.ring);
        return check_programs(&hooks, &layout, limits);
    }
    drop(kernel.btf);
    let signals = Signals::watch()?;
    let sized_by = listed(&options.filter);
    let cpus = nr_cpus()
        .map_err(|(file, error)| anyhow::Error::new(error).context(format!("reading {file}")))?;
    let limits = limits(&sized_by.listed, cpus, options.ring);
    let mut loaded = load::load(&plan, &layout, &options.filter, limits)?;
    let mut gaps = plan.gaps;
    gaps.append(&mut loaded.gaps);
    let meta = Meta {
        // The session knows when it begins.
        time_ns: 0,
        kernel: kernel.release,
        backend: "fentry",
        hooks: loaded.hooks.clone(),
        options: std::env::args().skip(1).collect(),
        settings: kernel.settings,
        gaps,
    };
    let list = || listed(&options.filter);
    Session::start(options, Live::new(loaded), view(options), meta, list)?.run(signals).await
}

/// Loads every program that fits this kernel and prints a line of JSON for each.
fn check_programs(hooks: &[Hook], layout: &Layout, limits: Limits) -> Result<Outcome> {
    let mut out = io::stdout().lock();
    for verified in load::verify(hooks, layout, limits)? {
        serde_json::to_writer(&mut out, &verified)?;
        out.write_all(b"\n")?;
    }
    Ok(Outcome::Done)
}

/// The listeners of all namespaces that the filter lets through.
fn listed(filter: &Filter) -> Listing {
    let mut listing = listeners::everywhere();
    listing.listed.retain(|listed| wanted(filter, listed));
    listing
}

/// An IPv6 listener may have IPv4 clients, not the other way round.
fn wanted(filter: &Filter, listed: &Listed) -> bool {
    let port = filter.ports.as_ref().is_none_or(|ports| ports.contains(listed.local.port()));
    let may_have_v6 = plain(listed.local.ip()).is_ipv6();
    let only_v6 = listed.v6_only == Some(true);
    let family = match filter.family {
        Some(backlog_ebpf::AF_INET) => !only_v6,
        Some(_) => may_have_v6,
        None => true,
    };
    port && family
}

/// Room for what is there and as much again, within what a host can spare: a slot
/// costs its totals on each CPU, a queued connection about 100 bytes.
fn limits(listed: &[Listed], cpus: usize, ring: u32) -> Limits {
    let listeners = u32::try_from(listed.len()).unwrap_or(u32::MAX);
    let queues = listed.iter().fold(0_u32, |sum, listed| sum.saturating_add(listed.limit));
    let per_slot = size_of::<Totals>() * cpus.max(1);
    let affordable = u32::try_from(TOTALS_BYTES / per_slot).unwrap_or(u32::MAX);
    let wanted = listeners.saturating_mul(2).clamp(1024, 1 << 16);
    Limits {
        slots: wanted.min(affordable).max(256),
        pending: queues.saturating_mul(2).clamp(1 << 16, 1 << 18),
        ring,
    }
}

fn view(options: &Options) -> Box<dyn View> {
    let out = BufWriter::new(io::stdout());
    // Who names ports wants to see them, also while nothing happens.
    let idle_rows = options.verbose || (options.filter.ports.is_some() && !options.quiet);
    match options.output {
        Output::Json => Box::new(Json::new(out, idle_rows)),
        Output::Table => {
            let zone = if options.utc {
                TimeZone::UTC
            } else {
                // Without /etc/localtime it is UTC, as for every program.
                TimeZone::try_system().unwrap_or(TimeZone::UTC)
            };
            Box::new(Table::new(out, Look { zone, idle_rows, quiet: options.quiet }))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Filter, limits, wanted};
    use crate::registry::Listed;
    use backlog_ebpf::{AF_INET, AF_INET6};

    fn listed(local: &str, v6_only: Option<bool>) -> Listed {
        Listed {
            local: local.parse().unwrap(),
            netns: 1,
            inode: 1,
            cookie: 1,
            limit: 4096,
            depth: 0,
            v6_only,
        }
    }

    #[test]
    fn a_dual_stack_listener_is_of_both_families() {
        let v4 = Filter { family: Some(AF_INET), ports: None };
        let v6 = Filter { family: Some(AF_INET6), ports: None };
        assert!(wanted(&v4, &listed("[::]:80", Some(false))));
        assert!(wanted(&v6, &listed("[::]:80", Some(false))));
        assert!(!wanted(&v4, &listed("[::]:80", Some(true))));
        assert!(!wanted(&v6, &listed("0.0.0.0:80", None)));
    }

    #[test]
    fn ports_are_filtered() {
        let filter = Filter { ports: Some("80-81".parse().unwrap()), family: None };
        assert!(wanted(&filter, &listed("0.0.0.0:81", None)));
        assert!(!wanted(&filter, &listed("0.0.0.0:82", None)));
    }

    #[test]
    fn tables_grow_with_the_host_and_are_bounded() {
        let few = limits(&[listed("0.0.0.0:80", None)], 2, 4096);
        assert_eq!((few.slots, few.pending), (1024, 65_536));
        let many = vec![listed("0.0.0.0:80", None); 10_000];
        assert_eq!(
            (limits(&many, 2, 4096).slots, limits(&many, 2, 4096).pending),
            (20_000, 1 << 18)
        );
        assert!(limits(&many, 512, 4096).slots < 1024);
    }
}
