//! Plans which program attaches to which hook of this kernel, and says why. Pure: facts about the
//! kernel in, a plan out; `load` executes it.
//!
//! A *backend* is a set of hooks that see the same events: kernel functions (by fentry, or by
//! kprobe) or tracepoints. Each probe point has alternatives, the best first, and falls back on its
//! own. docs/dev/ARCHITECTURE.md, "What is hooked", gives the reasons.

mod functions;
mod tracepoints;
mod way;

use anyhow::Result;
use backlog_core::run::{Backend, Placed};

pub(crate) use way::{Attach, Way, Ways};

/// The input of the plan.
#[derive(Clone, Copy)]
pub(crate) struct KernelFacts<'a> {
    /// The number of arguments of a kernel function, if it exists.
    pub(crate) function: &'a dyn Fn(&str) -> Option<usize>,
    /// The number of arguments of a tracepoint, if it exists.
    pub(crate) tracepoint: &'a dyn Fn(&str) -> Option<usize>,
    /// Which attach types worked in a trial.
    pub(crate) ways: &'a Ways,
    /// Fields that the tracepoint backend needs and the kernel's BTF lacks.
    pub(crate) lacking: &'a [String],
    /// Does the tracepoint `io_uring_complete` identify the request?
    pub(crate) uring_requests: bool,
}

/// The attach types that decide whether a backend is available.
pub(crate) const fn ways(backend: Backend) -> &'static [Way] {
    match backend {
        Backend::Fentry => &[Way::Fentry],
        Backend::Kprobe => &[Way::Kprobe],
        Backend::Tracepoint => &[Way::BtfTracepoint, Way::RawTracepoint, Way::Tracepoint],
    }
}

/// A program on a hook.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Hook {
    /// The probe point, as `meta` and the log messages name it.
    pub(crate) moment: &'static str,
    /// The program in `backlog-ebpf/src/programs`.
    pub(crate) program: &'static str,
    /// The kernel function or the tracepoint.
    pub(crate) target: &'static str,
    /// The attach type.
    pub(crate) attach: Attach,
}

impl Hook {
    /// The hook as the start of a run reports it.
    pub(crate) fn placed(&self) -> Placed {
        Placed {
            moment: self.moment.to_owned(),
            program: self.program.to_owned(),
            how: self.describe(),
        }
    }

    /// For example `fexit tcp_check_req`.
    pub(crate) fn describe(&self) -> String {
        format!("{} {}", self.attach.word(), self.target)
    }
}

/// Programs that do a job together: all of them are attached, or none.
pub(crate) type Alternative = Vec<Hook>;

/// An event to trace, with the alternatives for tracing it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ProbePoint {
    /// As in [`Hook::moment`].
    pub(crate) name: &'static str,
    /// The alternatives, the best first.
    pub(crate) choices: Vec<Alternative>,
    /// What is missing without it; None if the backend is useless without it.
    pub(crate) gap: Option<&'static str>,
}

/// The hooks to attach, in this order, and the gaps.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Plan {
    /// The set of hooks.
    pub(crate) backend: Backend,
    /// The probe points. Enqueues come before accepts: once the enqueue hooks are attached, every
    /// new connection is known to the accept hook when it is attached.
    pub(crate) moments: Vec<ProbePoint>,
    /// What cannot be known on this kernel, in sentences.
    pub(crate) gaps: Vec<String>,
    /// Gaps that exist only if a certain program is attached.
    pub(crate) gaps_of: Vec<(&'static str, String)>,
}

impl Plan {
    /// Every hook of the first choices.
    #[cfg(test)]
    pub(crate) fn first(&self) -> impl Iterator<Item = &Hook> {
        self.moments.iter().filter_map(|moment| moment.choices.first()).flatten()
    }

    /// Events that the attached hooks do not show.
    pub(crate) fn gaps_with<'a>(&self, programs: impl Iterator<Item = &'a str>) -> Vec<String> {
        let attached: Vec<&str> = programs.collect();
        let of = |(program, gap): &(&'static str, String)| {
            attached.contains(program).then(|| gap.clone())
        };
        self.gaps.iter().cloned().chain(self.gaps_of.iter().filter_map(of)).collect()
    }

    /// Every hook of every choice.
    pub(crate) fn hooks(&self) -> impl Iterator<Item = &Hook> {
        self.moments.iter().flat_map(|moment| &moment.choices).flatten()
    }
}

/// Makes the plan for a backend, or says why it is impossible.
pub(crate) fn plan(shown: KernelFacts<'_>, backend: Backend) -> Result<Plan> {
    let mut plan = plan_of(shown, backend)?;
    if (shown.tracepoint)("io_uring_complete").is_some() && !shown.uring_requests {
        plan.gaps.push(
            "errors of accepts by io_uring are unknown: this kernel's tracepoint \
             io_uring_complete does not identify the request"
                .to_owned(),
        );
    }
    Ok(plan)
}

fn plan_of(shown: KernelFacts<'_>, backend: Backend) -> Result<Plan> {
    match backend {
        Backend::Fentry => {
            shown.ways.require(Way::Fentry)?;
            functions::plan(shown, backend)
        }
        Backend::Kprobe => {
            shown.ways.require(Way::Kprobe)?;
            functions::plan(shown, backend)
        }
        Backend::Tracepoint => {
            if shown.ways.require(Way::BtfTracepoint).is_err() {
                shown.ways.require(Way::RawTracepoint)?;
            }
            tracepoints::plan(shown)
        }
    }
}

/// Collects the probe points and gaps of a plan.
#[derive(Default)]
struct ProbePoints {
    all: Vec<ProbePoint>,
    gaps: Vec<String>,
    gaps_of: Vec<(&'static str, String)>,
}

impl ProbePoints {
    /// Adds a required probe point.
    fn must(&mut self, name: &'static str, choices: Vec<Alternative>) {
        self.all.push(ProbePoint { name, choices, gap: None });
    }

    /// Adds an optional probe point; `gap` says what is missing without it.
    fn may(&mut self, name: &'static str, choices: Vec<Alternative>, gap: &'static str) {
        self.all.push(ProbePoint { name, choices, gap: Some(gap) });
    }

    /// Adds a gap for which this kernel has no hook.
    fn gap(&mut self, text: &str) {
        self.gaps.push(text.to_owned());
    }

    /// Adds a gap that a program leaves.
    fn gap_of(&mut self, program: &'static str, text: String) {
        self.gaps_of.push((program, text));
    }

    fn plan(self, backend: Backend) -> Plan {
        let Self { all: moments, gaps, gaps_of } = self;
        Plan { backend, moments, gaps, gaps_of }
    }
}

/// An alternative with one target. The prefix of a program's name gives its attach type.
fn choice(moment: &'static str, target: &'static str, programs: &[&'static str]) -> Alternative {
    let hook =
        |program: &&'static str| Hook { moment, program, target, attach: Attach::of(program) };
    programs.iter().map(hook).collect()
}

/// Programs that fit this kernel but that the plan does not use. The tests load them as well.
pub(crate) fn spare(plan: &Plan, shown: KernelFacts<'_>) -> Vec<Hook> {
    let mut fitting = functions::spare(shown);
    fitting.retain(|hook| plan.hooks().all(|used| used.program != hook.program));
    fitting
}

#[cfg(test)]
mod tests;
