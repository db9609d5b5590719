//! A run as a whole: the metadata of its start and its end.

pub mod command;
pub mod cost;

use backlog_ebpf::totals::Stray;
use serde::{Deserialize, Serialize};

use crate::event::form;
use crate::model::reconcile::{Account, Blind};
use crate::settings::{Settings, Spread};
use command::CommandEnd;
use cost::{Cost, Looks};

/// A set of hooks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Backend {
    /// Kernel functions, by BPF trampolines.
    Fentry,
    /// The same functions, by kprobes.
    Kprobe,
    /// Tracepoints only.
    Tracepoint,
}

impl Backend {
    /// All backends, the best first.
    pub const ALL: [Self; 3] = [Self::Fentry, Self::Kprobe, Self::Tracepoint];

    /// The name on the command line and in `meta`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Fentry => "fentry",
            Self::Kprobe => "kprobe",
            Self::Tracepoint => "tracepoint",
        }
    }

    /// A reason in [`Meta::reasons`] why this backend is not used.
    #[must_use]
    pub fn refusal(self, why: &str) -> String {
        format!("no {}: {why}", self.name())
    }
}

/// The metadata at the start of a run.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Meta {
    /// When tracing began, monotonic nanoseconds.
    pub time_ns: u64,
    /// The version of the tool that traces.
    pub version: String,
    /// The host's name.
    #[serde(default)]
    pub host: Option<String>,
    /// The kernel's release, as `uname -r` prints it.
    pub kernel: String,
    /// The backend that is used.
    pub backend: Backend,
    /// The attached programs and their hooks.
    pub hooks: Vec<Placed>,
    /// The command line.
    pub options: Vec<String>,
    /// The sysctls of the tool's own network namespace.
    pub settings: Settings,
    /// The sysctls of the traced network namespaces; none: an older recording, or no listener at
    /// the start.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub traced: Option<Spread>,
    /// Why no better backend was used, and which hooks are not attached as planned.
    pub reasons: Vec<String>,
    /// Events that cannot be seen on this kernel.
    pub gaps: Vec<String>,
    /// Whether the kernel counts the runs of programs.
    pub bpf_stats: bool,
}

impl Meta {
    /// The sysctls that bound the queues, of the traced namespaces if known.
    #[must_use]
    pub fn bounds(&self) -> Spread {
        self.traced.unwrap_or_else(|| self.settings.into())
    }
}

/// A program on its hook, for reports.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Placed {
    /// Its purpose.
    pub moment: String,
    /// Its name.
    pub program: String,
    /// `fexit tcp_check_req`
    pub how: String,
}

/// The state of the tool itself in the middle of a run.
#[derive(Clone, Copy, Debug, Default)]
pub struct Health {
    /// Counts that belong to no listener.
    pub stray: Stray,
    /// Records that could not be decoded.
    pub decode_errors: u64,
    /// Events that programs missed because they were interrupted by themselves.
    pub missed: Option<u64>,
    /// Scans for the owners of listeners.
    pub looks: Looks,
    /// Kernel memory of the maps.
    pub maps_bytes: Option<u64>,
    /// Kernel memory of the programs.
    pub programs_bytes: Option<u64>,
}

/// The data at the end of a run, besides the listeners' summaries.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct End {
    /// When tracing ended, monotonic nanoseconds.
    pub time_ns: u64,
    /// The duration of the run.
    pub elapsed_ns: u64,
    /// Counts that belong to no listener.
    #[serde(with = "form::Astray")]
    pub stray: Stray,
    /// Records that could not be decoded.
    #[serde(rename = "undecoded")]
    pub decode_errors: u64,
    /// Events that programs missed because they were interrupted by themselves.
    pub missed: Option<u64>,
    /// The reconciliation, from the model.
    #[serde(skip)]
    pub accounts: Vec<Account>,
    /// Counts that may explain a difference.
    pub blind: Blind,
    /// The cost of tracing.
    pub cost: Cost,
    /// The exit of the command of `--cmd`; none: there was no command, or the recording is older.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub command: Option<CommandEnd>,
    /// Why the recording of this run is incomplete; none: it is complete, or there is no recording.
    #[serde(skip)]
    pub recording_incomplete: Option<String>,
    /// Problems of the recording from which the run was read.
    #[serde(skip)]
    pub remarks: Vec<String>,
}
