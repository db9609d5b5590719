//! The arguments of the subcommands.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::ArgAction;

use super::values::{Backend, Check, CompareOutput, DoctorOutput, ListenersOutput, Output};

/// The arguments of `listeners`.
#[derive(Debug, clap::Args)]
pub(crate) struct ListenersArgs {
    /// List only these local ports: 8000, 80,443 or 8000-8100
    #[arg(short = 'P', long, value_name = "PORTS")]
    pub(crate) port: Option<String>,

    /// List only listeners that accept IPv4 clients (most [::] listeners do)
    #[arg(short = '4', conflicts_with = "ipv6")]
    pub(crate) ipv4: bool,

    /// List only listeners that accept IPv6 clients
    #[arg(short = '6')]
    pub(crate) ipv6: bool,

    /// List only listeners that this process holds
    #[arg(short, long, value_name = "PID")]
    pub(crate) pid: Option<u32>,

    /// List only this network namespace: a pid, a path, a name from `ip netns`, or an
    /// inode number
    #[arg(long, value_name = "NETNS")]
    pub(crate) netns: Option<String>,

    /// List only listeners whose sockets were created in or below this cgroup (v2)
    #[arg(long, value_name = "PATH")]
    pub(crate) cgroup: Option<PathBuf>,

    /// Output format
    #[arg(short, long, value_name = "FORMAT", value_enum,
          default_value_t = ListenersOutput::Table)]
    pub(crate) output: ListenersOutput,

    /// Exit with status 1 if there is a finding of this level or above
    #[arg(long, value_name = "LEVEL", value_enum, num_args = 0..=1,
          default_missing_value = "any")]
    pub(crate) check: Option<Check>,
}

/// The arguments of `doctor`.
#[derive(Debug, clap::Args)]
pub(crate) struct DoctorArgs {
    /// Output format
    #[arg(short, long, value_name = "FORMAT", value_enum,
          default_value_t = DoctorOutput::Table)]
    pub(crate) output: DoctorOutput,

    /// Check only this backend
    #[arg(long, value_name = "BACKEND", value_enum, default_value_t = Backend::Auto)]
    pub(crate) backend: Backend,

    /// Also print every value read from the kernel's BTF
    #[arg(short, long)]
    pub(crate) verbose: bool,

    /// Also report the smallest set of capabilities for this run: its options, or serve and its
    /// options
    #[arg(last = true, value_name = "RUN")]
    pub(crate) run: Vec<OsString>,
}

/// The arguments of `replay`.
#[derive(Debug, clap::Args)]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag of its own")]
pub(crate) struct ReplayArgs {
    /// Recording made by --record, with its rotated files beside it; - for stdin
    #[arg(value_name = "FILE")]
    pub(crate) file: PathBuf,

    /// Reporting interval, a multiple of the recorded one: 10, 1m
    #[arg(value_name = "INTERVAL")]
    pub(crate) interval: Option<String>,

    /// Client timeout to judge by, instead of that of the run
    ///
    /// A larger backlog is not recommended if queued clients would wait longer than this.
    #[arg(long, value_name = "TIME")]
    pub(crate) client_timeout: Option<String>,

    /// Output format
    #[arg(short, long, value_name = "FORMAT", value_enum, default_value_t = Output::Table)]
    pub(crate) output: Output,

    /// Also write a self-contained HTML report
    #[arg(long, value_name = "PAGE")]
    pub(crate) report: Option<PathBuf>,

    /// Full-screen interactive view at the speed of the run (press ? for help)
    ///
    /// Space pauses, left and right seek by 10 s, + and - change the speed, 0 plays as fast
    /// as possible. At the end of the recording, q quits and prints the summary.
    #[arg(long)]
    pub(crate) tui: bool,

    /// Playback speed: 10, 0.5; 0 for as fast as possible
    #[arg(long, value_name = "N", requires = "tui", default_value_t = 1.0)]
    pub(crate) speed: f64,

    /// Print times in UTC (always the case for JSON and CSV)
    #[arg(long)]
    pub(crate) utc: bool,

    /// Print only data and errors: no headings, no log messages
    #[arg(short, long, conflicts_with = "verbose")]
    pub(crate) quiet: bool,

    /// Show idle listeners, and tracing overhead at the end
    #[arg(short, long, action = ArgAction::SetTrue)]
    pub(crate) verbose: bool,
}

/// The arguments of `report`.
#[derive(Debug, clap::Args)]
pub(crate) struct ReportArgs {
    /// Recording made by --record, with its rotated files beside it; - for stdin
    #[arg(value_name = "FILE")]
    pub(crate) file: PathBuf,

    /// File to write the page to; - for stdout
    ///
    /// Default: FILE with .html in place of .zst and .jsonl. An existing page is replaced.
    #[arg(short, long, value_name = "PAGE")]
    pub(crate) output: Option<PathBuf>,

    /// Client timeout to judge by, instead of that of the run
    ///
    /// A larger backlog is not recommended if queued clients would wait longer than this.
    #[arg(long, value_name = "TIME")]
    pub(crate) client_timeout: Option<String>,

    /// Print times in UTC
    #[arg(long)]
    pub(crate) utc: bool,
}

/// The arguments of `compare`.
#[derive(Debug, clap::Args)]
pub(crate) struct CompareArgs {
    /// Recording of the run before the change, with its rotated files beside it
    #[arg(value_name = "BEFORE")]
    pub(crate) before: PathBuf,

    /// Recording of the run after it
    #[arg(value_name = "AFTER")]
    pub(crate) after: PathBuf,

    /// Output format
    #[arg(short, long, value_name = "FORMAT", value_enum,
          default_value_t = CompareOutput::Table)]
    pub(crate) output: CompareOutput,

    /// Client timeout to judge both by, instead of those of the runs
    #[arg(long, value_name = "TIME")]
    pub(crate) client_timeout: Option<String>,

    /// Print times in UTC
    #[arg(long)]
    pub(crate) utc: bool,
}
