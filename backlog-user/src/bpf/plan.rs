//! Which program attaches to which hook of this kernel, and why. Pure: facts about the kernel in, a
//! plan out; `load` executes it.
//!
//! A *backend* is a set of hooks that see the same things: kernel functions (by fentry,
//! or by kprobe) or tracepoints. Within it each moment has choices, the best first, and
//! may fall back by itself. The reasons are in docs/dev/ARCHITECTURE.md, "What is hooked".

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
    /// What a trial of the ways of attaching showed.
    pub(crate) ways: &'a Ways,
    /// Fields that the tracepoint backend needs and that the kernel's types do not have.
    pub(crate) lacking: &'a [String],
    /// Does the tracepoint on completions of `io_uring` identify the request?
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

/// One program on one hook.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Hook {
    /// What it is for, as `meta` and the notices name it.
    pub(crate) moment: &'static str,
    /// The program in `backlog-ebpf/src/programs`.
    pub(crate) program: &'static str,
    /// The kernel function or the tracepoint.
    pub(crate) target: &'static str,
    /// How.
    pub(crate) attach: Attach,
}

impl Hook {
    /// As the start of a run reports it.
    pub(crate) fn placed(&self) -> Placed {
        Placed {
            moment: self.moment.to_owned(),
            program: self.program.to_owned(),
            how: self.describe(),
        }
    }

    /// `fexit tcp_check_req`
    pub(crate) fn describe(&self) -> String {
        format!("{} {}", self.attach.word(), self.target)
    }
}

/// Programs that do a job together.
pub(crate) type Alternative = Vec<Hook>;

/// Something that is to be seen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ProbePoint {
    /// As in [`Hook::moment`].
    pub(crate) name: &'static str,
    /// How, the best first.
    pub(crate) choices: Vec<Alternative>,
    /// The gap without it; none: the rest is useless then.
    pub(crate) gap: Option<&'static str>,
}

/// The hooks to attach, in this order, and the gaps.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Plan {
    /// The set of hooks.
    pub(crate) backend: Backend,
    /// Enqueues before accepts: a connection that is queued after the first of
    /// them is attached is known when the second one sees it.
    pub(crate) moments: Vec<ProbePoint>,
    /// What this kernel does not let us know, in sentences.
    pub(crate) gaps: Vec<String>,
    /// The same where a program is attached and no better one.
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

/// The plan for a backend, or why it cannot be.
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

/// Collects moments.
#[derive(Default)]
struct ProbePoints {
    all: Vec<ProbePoint>,
    gaps: Vec<String>,
    gaps_of: Vec<(&'static str, String)>,
}

impl ProbePoints {
    /// Something that must be seen.
    fn must(&mut self, name: &'static str, choices: Vec<Alternative>) {
        self.all.push(ProbePoint { name, choices, gap: None });
    }

    /// An optional hook; `gap` says what is missing without it.
    fn may(&mut self, name: &'static str, choices: Vec<Alternative>, gap: &'static str) {
        self.all.push(ProbePoint { name, choices, gap: Some(gap) });
    }

    /// What this kernel has no hook for.
    fn gap(&mut self, text: &str) {
        self.gaps.push(text.to_owned());
    }

    /// What a program does not see.
    fn gap_of(&mut self, program: &'static str, text: String) {
        self.gaps_of.push((program, text));
    }

    fn plan(self, backend: Backend) -> Plan {
        let Self { all: moments, gaps, gaps_of } = self;
        Plan { backend, moments, gaps, gaps_of }
    }
}

/// Programs for one target. How a program is attached, its name says.
fn choice(moment: &'static str, target: &'static str, programs: &[&'static str]) -> Alternative {
    let hook =
        |program: &&'static str| Hook { moment, program, target, attach: Attach::of(program) };
    programs.iter().map(hook).collect()
}

/// Programs that the plan does not use here and that fit all the same: the tests
/// load them as well.
pub(crate) fn spare(plan: &Plan, shown: KernelFacts<'_>) -> Vec<Hook> {
    let mut fitting = functions::spare(shown);
    fitting.retain(|hook| plan.hooks().all(|used| used.program != hook.program));
    fitting
}

#[cfg(test)]
mod tests;
