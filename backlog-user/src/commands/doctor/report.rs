//! The report of `doctor`: plain data, which `-o json` prints. Like the other JSON formats, it only
//! changes by additions; anything else increments `schema`.

use std::collections::BTreeMap;

use serde::Serialize;

/// The line of the doctor. The doc comment of its variant says when it is printed.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(tag = "type", rename_all = "snake_case")]
pub(crate) enum Line<'a> {
    /// The only object of `doctor`.
    Doctor(&'a Report),
}

/// All of it.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(crate) struct Report {
    /// The version of this contract. It counts up if anything but an addition changes.
    #[cfg_attr(test, schemars(range(min = 1, max = 1)))]
    pub(crate) schema: u32,
    /// The version of backlog-trace.
    pub(crate) version: &'static str,
    /// Would tracing work as it was asked for?
    pub(crate) verdict: Readiness,
    /// The kernel.
    pub(crate) kernel: Kernel,
    /// This process.
    pub(crate) process: Process,
    /// Can the maps be created, and among them the ring buffer?
    pub(crate) ring_buffer: Check,
    /// The ways of attaching.
    pub(crate) ways: Vec<Tried>,
    /// The sets of hooks, the best first.
    pub(crate) backends: Vec<Tried>,
    /// The backend of `hooks`: the one that would be used or that was asked for. Null: none.
    #[serde(rename = "backend")]
    pub(crate) shown: Option<&'static str>,
    /// The moments of that backend. Null: they could not be tried.
    pub(crate) hooks: Option<Vec<Moment>>,
    /// What was read from the kernel's types. Null: it has none.
    pub(crate) values: Option<Vec<Global>>,
    /// What is unknown or inexact on this kernel. Null: unknown.
    pub(crate) gaps: Option<Vec<String>>,
}

/// Would tracing work as it was asked for?
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(crate) struct Readiness {
    /// It would.
    pub(crate) works: bool,
    /// The backend that would be used. Null: none.
    pub(crate) backend: Option<&'static str>,
    /// Why it would not work, and what to do. Null: it would.
    pub(crate) why: Option<String>,
}

/// The kernel.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(crate) struct Kernel {
    /// Its release.
    pub(crate) release: Seen<String>,
    /// The architecture.
    pub(crate) arch: &'static str,
    /// The size of `/sys/kernel/btf/vmlinux`, bytes.
    pub(crate) btf_bytes: Seen<u64>,
    /// Options that it was built with, by name: `y`, `m`, `n` or a value.
    pub(crate) config: Seen<BTreeMap<&'static str, String>>,
    /// The lockdown mode.
    pub(crate) lockdown: Seen<String>,
    /// Sysctls by name.
    pub(crate) sysctls: BTreeMap<&'static str, Seen<String>>,
    /// Can the tracepoints of tracefs be read?
    pub(crate) tracefs: Check,
}

/// The process that asks.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[cfg_attr(test, schemars(rename = "own_process"))]
pub(crate) struct Process {
    /// Its capabilities, the most important first. Null: `/proc` does not show them.
    pub(crate) capabilities: Option<Vec<Right>>,
    /// What a run needs. Null: the capabilities are not known.
    pub(crate) needs: Option<Needs>,
    /// Its capabilities are those of a user namespace, and the kernel grants nothing for them.
    pub(crate) in_user_namespace: bool,
    /// Network namespaces that it can enter.
    pub(crate) namespaces: usize,
    /// What is unknown about those that it cannot enter; also one of the `gaps`. Null: it can
    /// enter all.
    pub(crate) unseen_namespaces: Option<String>,
}

/// A capability.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[cfg_attr(test, schemars(rename = "capability"))]
pub(crate) struct Right {
    /// Its name.
    pub(crate) name: &'static str,
    /// It is in effect.
    pub(crate) effective: bool,
    /// What it is for.
    pub(crate) purpose: String,
}

/// The capabilities that a run needs on this host.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(crate) struct Needs {
    /// Those without which nothing is traced with this backend.
    pub(crate) smallest: Vec<&'static str>,
    /// Those with which nothing is left out, without further options.
    pub(crate) complete: Vec<&'static str>,
    /// Those of `complete` that this process lacks.
    pub(crate) missing: Vec<&'static str>,
    /// What needs which of them.
    pub(crate) features: Vec<Need>,
    /// What the run behind `--` needs. Null: none was given.
    pub(crate) run: Option<RunNeeds>,
}

/// The capabilities that a run with certain options needs on this host.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(crate) struct RunNeeds {
    /// Its options, as they were given.
    pub(crate) options: Vec<String>,
    /// Those without which it does not start or traces nothing.
    pub(crate) smallest: Vec<&'static str>,
    /// Those with which nothing of it is left out.
    pub(crate) complete: Vec<&'static str>,
    /// Those of `complete` that it keeps until it ends. It gives up the others once its programs
    /// are attached.
    pub(crate) whole_run: Vec<&'static str>,
    /// Those of `complete` that this process lacks.
    pub(crate) missing: Vec<&'static str>,
}

/// What a feature needs.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(crate) struct Need {
    /// The feature.
    pub(crate) feature: &'static str,
    /// The option with which a run uses it. Null: it needs no option.
    pub(crate) option: Option<&'static str>,
    /// All that it needs.
    pub(crate) capabilities: Vec<&'static str>,
    /// Those of them that this process lacks.
    pub(crate) missing: Vec<&'static str>,
    /// When it needs them: `start` (the tool gives them up when the programs are attached) or
    /// `whole run`.
    pub(crate) until: &'static str,
    /// What happens without them.
    pub(crate) without: &'static str,
}

/// Something that could be read, or why not.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[cfg_attr(test, schemars(rename = "readable_{T}"))]
#[serde(rename_all = "snake_case")]
pub(crate) enum Seen<T> {
    /// What was read.
    Value(T),
    /// Why it could not be read.
    NotReadable(String),
}

/// What a trial showed.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(tag = "result", rename_all = "snake_case")]
pub(crate) enum Check {
    /// It works.
    Yes,
    /// It does not work.
    No {
        /// Why not.
        why: String,
    },
    /// It was not tried.
    NotChecked {
        /// Why not.
        why: String,
    },
}

/// Something that was tried.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(crate) struct Tried {
    /// Its name.
    pub(crate) name: &'static str,
    #[serde(flatten)]
    pub(crate) check: Check,
}

/// A moment that is to be traced.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(crate) struct Moment {
    /// Its name.
    pub(crate) name: &'static str,
    /// Nothing can be traced without it.
    pub(crate) needed: bool,
    /// The programs that trace it. Empty: it is missing.
    pub(crate) used: Vec<Used>,
    /// What would have been better, and why it is not used.
    pub(crate) refused: Vec<Refused>,
}

/// A program on its hook.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(crate) struct Used {
    /// Its name.
    pub(crate) program: &'static str,
    /// The way of attaching: `fexit`, `kprobe`, ...
    pub(crate) attach: &'static str,
    /// The kernel function or the tracepoint.
    pub(crate) target: &'static str,
    /// Instructions that the verifier walked. Null: the kernel is older than 5.16.
    pub(crate) walked: Option<u32>,
}

/// An alternative that the kernel refused.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(crate) struct Refused {
    /// The ways of attaching, and what to: `fentry+fexit tcp_check_req`.
    pub(crate) by: String,
    /// Why it was refused.
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
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(crate) struct Global {
    /// Its name.
    pub(crate) name: &'static str,
    /// A byte offset, a bit mask, or a counter's number. Null: this kernel has no such thing.
    pub(crate) value: Option<u32>,
    /// The field or the enum's name that it was read from.
    pub(crate) source: String,
}
