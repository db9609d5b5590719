//! Arguments with a fixed set of values.

use clap::ValueEnum;

/// The level of findings that `--check` fails for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Check {
    /// Problems and risks
    Any,
    /// Problems only: clients are or were affected
    Problem,
}

/// Output format.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Output {
    /// Human-readable
    Table,
    /// One JSON object per line
    Json,
    /// A header row, then a row per listener and interval
    Csv,
}

/// Output format of `listeners`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum ListenersOutput {
    /// Human-readable
    Table,
    /// One JSON object per line
    Json,
    /// A header row, then a row per listener
    Csv,
}

/// Output format of `compare`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum CompareOutput {
    /// Human-readable
    Table,
    /// One JSON object per line
    Json,
}

/// Output format of `doctor`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum DoctorOutput {
    /// Human-readable
    Table,
    /// One JSON object
    Json,
}

/// A shell to generate completions for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Shell {
    /// GNU bash
    Bash,
    /// Z shell
    Zsh,
    /// fish
    Fish,
}

/// How to attach to the kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Backend {
    /// The best backend that the kernel permits
    Auto,
    /// Kernel functions via BPF trampolines (fentry and fexit)
    Fentry,
    /// Kernel functions via kprobes and kretprobes
    Kprobe,
    /// Tracepoints only
    Tracepoint,
}
