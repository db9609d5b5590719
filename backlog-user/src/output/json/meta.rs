//! Lines of a run as a whole: its start, and a step of its clock.

use std::collections::BTreeMap;

use backlog_core::clock::Clock;
use backlog_core::run::{Backend, Meta};
use backlog_core::settings;
use serde::Serialize;

use super::values::{At, Named};

/// The version of the contract.
const SCHEMA: u32 = 1;

/// `meta`.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(crate) struct MetaLine<'a> {
    #[serde(flatten)]
    at: At,
    /// The version of this contract. It counts up if anything but an addition changes.
    #[cfg_attr(test, schemars(range(min = 1, max = 1)))]
    schema: u32,
    /// The version of backlog-trace that traced.
    version: &'a str,
    /// The name of the host. Null: not known.
    host: Option<&'a str>,
    /// The release of the kernel, as `uname -r` prints it.
    kernel: &'a str,
    /// How the programs are attached.
    backend: Named<Backend>,
    /// What is attached, by moment: `fexit tcp_conn_request`.
    hooks: BTreeMap<&'a str, String>,
    /// Why no better backend is used, and which hooks fell back to an alternative.
    reasons: &'a [String],
    /// What cannot be known with this kernel or this backend.
    gaps: &'a [String],
    /// Does the kernel count the runs of eBPF programs? With `-v`, if permitted, or by the sysctl
    /// `kernel.bpf_stats_enabled`.
    bpf_stats: bool,
    /// The command line.
    options: &'a [String],
    /// The sysctls of all traced network namespaces.
    traced: Traced,
    #[serde(flatten)]
    common: Settings,
}

/// The sysctls of the traced network namespaces: that of `--netns`, else those where something listens
/// at the start, else the tool's own.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
struct Traced {
    /// How many namespaces.
    namespaces: u32,
    /// The lowest value of each sysctl.
    least: Settings,
    /// The highest value of each sysctl.
    most: Settings,
}

/// Sysctls that bound the queues. In `meta` itself null also means that the traced network
/// namespaces differ.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(crate) struct Settings {
    #[serde(flatten)]
    sysctls: Sysctls,
    /// `net.ipv4.tcp_migrate_req`. Null: could not be read, or the kernel is older than 5.14.
    tcp_migrate_req: Option<u8>,
}

/// Sysctls that bound the queues.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(crate) struct Sysctls {
    /// `net.core.somaxconn`. Null: could not be read.
    somaxconn: Option<u32>,
    /// `net.ipv4.tcp_max_syn_backlog`. Null: could not be read.
    tcp_max_syn_backlog: Option<u32>,
    /// `net.ipv4.tcp_syncookies`. Null: could not be read.
    syncookies: Option<u8>,
    /// `net.ipv4.tcp_abort_on_overflow`. Null: could not be read.
    abort_on_overflow: Option<u8>,
}

impl From<&settings::Settings> for Sysctls {
    fn from(settings: &settings::Settings) -> Self {
        let settings::Settings {
            somaxconn,
            tcp_max_syn_backlog,
            syncookies,
            abort_on_overflow,
            migrate_req: _,
        } = *settings;
        Self { somaxconn, tcp_max_syn_backlog, syncookies, abort_on_overflow }
    }
}

impl From<&settings::Settings> for Settings {
    fn from(settings: &settings::Settings) -> Self {
        Self { sysctls: settings.into(), tcp_migrate_req: settings.migrate_req }
    }
}

impl<'a> MetaLine<'a> {
    /// The line of this run.
    pub(super) fn of(clock: &Clock, meta: &'a Meta) -> Self {
        let bounds = meta.bounds();
        Self {
            at: At::of(clock, meta.time_ns),
            schema: SCHEMA,
            version: &meta.version,
            host: meta.host.as_deref(),
            kernel: &meta.kernel,
            backend: Named(meta.backend),
            hooks: hooks(meta),
            reasons: &meta.reasons,
            gaps: &meta.gaps,
            bpf_stats: meta.bpf_stats,
            options: &meta.options,
            traced: Traced {
                namespaces: bounds.namespaces,
                least: (&bounds.least).into(),
                most: (&bounds.most).into(),
            },
            common: (&bounds.common()).into(),
        }
    }
}

/// What is attached for each moment.
fn hooks(meta: &Meta) -> BTreeMap<&str, String> {
    let mut by_moment: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for hook in &meta.hooks {
        by_moment.entry(&hook.moment).or_default().push(&hook.how);
    }
    by_moment.into_iter().map(|(moment, hows)| (moment, hows.join(" + "))).collect()
}

/// `clock`.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(crate) struct ClockLine {
    #[serde(flatten)]
    at: At,
    /// How far the clock was set, seconds; negative: back.
    step_s: f64,
}

impl ClockLine {
    /// The line of this step.
    pub(super) fn of(clock: &Clock, time_ns: u64, step_ns: i128) -> Self {
        Self { at: At::of(clock, time_ns), step_s: step_ns as f64 / 1e9 }
    }
}
