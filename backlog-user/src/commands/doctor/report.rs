//! The result of the doctor: plain data, as `-o json` prints it. A contract like the other JSON:
//! additive changes only, else `schema` counts up.

use std::collections::BTreeMap;

use serde::Serialize;

/// All of it.
#[derive(Debug, Serialize)]
pub(crate) struct Report {
    /// Always `doctor`.
    #[serde(rename = "type")]
    pub(crate) kind: &'static str,
    pub(crate) schema: u32,
    /// Of backlog-trace.
    pub(crate) version: &'static str,
    pub(crate) verdict: Readiness,
    pub(crate) kernel: Kernel,
    pub(crate) process: Process,
    /// Do the maps, and among them the ring buffer, come about?
    pub(crate) ring_buffer: Check,
    /// The ways of attaching.
    pub(crate) ways: Vec<Tried>,
    /// The sets of hooks, the best first.
    pub(crate) backends: Vec<Tried>,
    /// The backend whose hooks follow: the selected or the requested one.
    #[serde(rename = "backend")]
    pub(crate) shown: Option<&'static str>,
    /// Its moments; none where they could not be tried.
    pub(crate) hooks: Option<Vec<Moment>>,
    /// The values read from the kernel's BTF; none if it has no BTF.
    pub(crate) values: Option<Vec<Global>>,
    /// Unknown or inexact on this kernel; none where that is not known.
    pub(crate) gaps: Option<Vec<String>>,
}

/// Would tracing work as it was asked for?
#[derive(Debug, Serialize)]
pub(crate) struct Readiness {
    pub(crate) works: bool,
    /// By which backend.
    pub(crate) backend: Option<&'static str>,
    /// Why not, with the remedy.
    pub(crate) why: Option<String>,
}

/// The kernel.
#[derive(Debug, Serialize)]
pub(crate) struct Kernel {
    pub(crate) release: Seen<String>,
    pub(crate) arch: &'static str,
    /// Size of `/sys/kernel/btf/vmlinux`.
    pub(crate) btf_bytes: Seen<u64>,
    /// Its build options: `y`, `m`, `n` or a value, by name.
    pub(crate) config: Seen<BTreeMap<&'static str, String>>,
    pub(crate) lockdown: Seen<String>,
    pub(crate) sysctls: BTreeMap<&'static str, Seen<String>>,
    /// Are the tracepoints of tracefs readable?
    pub(crate) tracefs: Check,
}

/// This process.
#[derive(Debug, Serialize)]
pub(crate) struct Process {
    /// In the order of their weight; none where `/proc` does not show them.
    pub(crate) capabilities: Option<Vec<Right>>,
    /// Its capabilities belong to a user namespace and do not count for the kernel.
    pub(crate) in_user_namespace: bool,
    /// Network namespaces that it can enter.
    pub(crate) namespaces: usize,
    /// The gap for those that it cannot; also one of the `gaps`.
    pub(crate) unseen_namespaces: Option<String>,
}

/// A capability, and its purpose.
#[derive(Debug, Serialize)]
pub(crate) struct Right {
    pub(crate) name: &'static str,
    /// Is it in effect?
    pub(crate) effective: bool,
    pub(crate) purpose: &'static str,
}

/// Something that could be read, or why not.
#[derive(Debug, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Seen<T> {
    Value(T),
    NotReadable(String),
}

/// What a trial gave.
#[derive(Debug, Serialize)]
#[serde(tag = "result", rename_all = "snake_case")]
pub(crate) enum Check {
    Yes,
    No { why: String },
    NotChecked { why: String },
}

/// Something with a name that was tried.
#[derive(Debug, Serialize)]
pub(crate) struct Tried {
    pub(crate) name: &'static str,
    #[serde(flatten)]
    pub(crate) check: Check,
}

/// A moment that is to be seen.
#[derive(Debug, Serialize)]
pub(crate) struct Moment {
    pub(crate) name: &'static str,
    /// Nothing can be traced without it.
    pub(crate) needed: bool,
    /// The programs that do it; none: it is missing.
    pub(crate) used: Vec<Used>,
    /// What would have been better, and why it is not used.
    pub(crate) refused: Vec<Refused>,
}

/// A program on its hook.
#[derive(Debug, Serialize)]
pub(crate) struct Used {
    pub(crate) program: &'static str,
    /// `fexit`, `kprobe`, ...
    pub(crate) attach: &'static str,
    /// The kernel function or the tracepoint.
    pub(crate) target: &'static str,
    /// Instructions that the verifier walked; none before 5.16.
    pub(crate) walked: Option<u32>,
}

/// A choice that the kernel refused.
#[derive(Debug, Serialize)]
pub(crate) struct Refused {
    /// As in [`by`].
    pub(crate) by: String,
    pub(crate) why: String,
}

/// `fentry+fexit tcp_check_req`: ways of attaching, and what to.
pub(super) fn by<'a>(hooks: impl Iterator<Item = (&'a str, &'a str)>) -> String {
    let mut targets: Vec<(&str, String)> = Vec::new();
    for (attach, target) in hooks {
        match targets.last_mut() {
            Some((last, words)) if *last == target => *words = format!("{words}+{attach}"),
            _ => targets.push((target, attach.to_owned())),
        }
    }
    let words: Vec<String> =
        targets.iter().map(|(target, words)| format!("{words} {target}")).collect();
    words.join(", ")
}

/// A global of the programs.
#[derive(Debug, Serialize)]
pub(crate) struct Global {
    pub(crate) name: &'static str,
    /// A byte offset, a bit mask, or a counter's number; none: this kernel has no such
    /// thing.
    pub(crate) value: Option<u32>,
    /// The field or the enum's name that it was read from.
    pub(crate) source: String,
}
