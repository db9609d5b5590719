//! The options that the tracer and the service share: what to trace, and how.

use std::path::PathBuf;

use backlog_core::filter::Filter;

use super::options::OptionsError;
use super::selection::Selection;
use super::values::Backend;

/// Default of `--drop-records`.
pub(crate) const DROP_RECORDS: u32 = 1000;
/// Default size of the ring buffer, KiB.
pub(crate) const RING_KIB: u32 = 8192;

/// Selects what is traced.
#[derive(Clone, Debug, PartialEq, Eq, clap::Args)]
pub(crate) struct SelectionArgs {
    /// Trace only these local ports: 8000, 80,443 or 8000-8100
    #[arg(short = 'P', long, value_name = "PORTS")]
    pub(crate) port: Option<String>,

    /// Trace only listeners that this process holds or opens
    ///
    /// Its children are not included, except for the listeners that they share with it.
    #[arg(short, long, value_name = "PID")]
    pub(crate) pid: Option<u32>,

    /// Trace only this network namespace: a pid, a path, a name from `ip netns`, or an
    /// inode number
    #[arg(long, value_name = "NETNS")]
    pub(crate) netns: Option<String>,

    /// Trace only listeners whose sockets were created in or below this cgroup (v2):
    /// /system.slice/nginx.service
    #[arg(long, value_name = "PATH")]
    pub(crate) cgroup: Option<PathBuf>,

    /// Trace only IPv4 clients, including those of dual-stack listeners
    #[arg(short = '4', long, conflicts_with = "ipv6")]
    pub(crate) ipv4: bool,

    /// Trace only IPv6 clients
    #[arg(short = '6', long)]
    pub(crate) ipv6: bool,
}

impl SelectionArgs {
    /// Validates the selection: what the programs can filter by, and what must be looked up at the
    /// start.
    pub(super) fn check(self) -> Result<(Filter, Selection), OptionsError> {
        let Self { port, pid, netns, cgroup, ipv4, ipv6 } = self;
        let ports = port.map(|text| text.parse()).transpose()?;
        let family = Filter::family_of(ipv4, ipv6);
        Ok((Filter { ports, family, ..Filter::default() }, Selection { netns, pid, cgroup }))
    }
}

/// What is done at an event.
#[derive(Clone, Debug, PartialEq, Eq, clap::Args)]
pub(crate) struct EventArgs {
    /// Run CMD with sh when drops begin, a queue is nearly full, or nobody accepts
    ///
    /// CMD gets the event on stdin, as one line of JSON (docs/GUIDE.md); its output goes to stderr.
    /// It has the rights of the caller. A queue is nearly full at 80%, or at --until-use or
    /// --warn-use. Each kind of event at a listener starts CMD at most once in 10 s, with 4 at
    /// once and 30 in a minute; CMD is stopped after 30 s. What is left out is counted.
    #[arg(long, value_name = "CMD")]
    pub(crate) on_event: Option<String>,
}

/// How it is traced and judged.
#[derive(Clone, Debug, PartialEq, Eq, clap::Args)]
pub(crate) struct TracingArgs {
    /// Client timeout: a larger backlog is not recommended if queued clients would wait
    /// longer than this
    #[arg(long, value_name = "TIME", default_value = "5s")]
    pub(crate) client_timeout: String,

    /// Select how to attach to the kernel
    #[arg(long, value_name = "BACKEND", value_enum, default_value_t = Backend::Auto)]
    pub(crate) backend: Backend,

    /// Report at most N individual drops per listener and second (split across CPUs);
    /// further drops are only counted
    #[arg(long, value_name = "N", default_value_t = DROP_RECORDS)]
    pub(crate) drop_records: u32,

    /// Size of the ring buffer in KiB (for the tests)
    #[arg(long, hide = true, value_name = "KIB", default_value_t = RING_KIB,
          value_parser = clap::value_parser!(u32).range(4..=1 << 20))]
    pub(crate) ring_kib: u32,
}
