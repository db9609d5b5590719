//! The capabilities that a run on this host needs, from the table that the tracer itself uses.

use backlog_core::run::Backend;

use super::report::{Need, Needs, Right, RunNeeds};
use crate::rights::capability::{Capabilities, Capability};
use crate::rights::table::{FEATURES, Feature, Uses, kept};

/// The properties of this host that determine which capabilities are needed.
#[derive(Clone, Copy, Debug, Default)]
#[expect(clippy::struct_excessive_bools, reason = "each is a fact of its own")]
pub(super) struct Host {
    /// eBPF memory counts against the limit of locked memory.
    pub(super) locked_memory: bool,
    /// The kernel reserves every `bpf()` call.
    pub(super) reserved_bpf: bool,
    /// `kernel.perf_event_paranoid` is above 2.
    pub(super) restricted_perf: bool,
    /// This user is not root.
    pub(super) is_other_user: bool,
}

/// A run whose needs are asked for.
#[derive(Debug)]
pub(super) struct Asked {
    /// Its options, as they were given.
    pub(super) words: Vec<String>,
    /// What they use on this host.
    pub(super) uses: Uses,
    /// The backend that it names.
    pub(super) backend: Option<Backend>,
}

/// Each capability, and what it is for.
pub(super) fn each(held: Capabilities) -> Vec<Right> {
    let right = |capability: Capability| Right {
        name: capability.name(),
        effective: held.has(capability),
        purpose: purpose(capability),
    };
    Capability::ALL.into_iter().map(right).collect()
}

fn purpose(capability: Capability) -> String {
    let needs = |feature: &&Feature| feature.capabilities.contains(&capability);
    let with_option = |feature: &Feature| match feature.run.option() {
        "" => feature.name.to_owned(),
        option => format!("{option}: {}", feature.name),
    };
    let names: Vec<String> = FEATURES.iter().filter(needs).map(with_option).collect();
    if names.is_empty() { "not needed for anything".to_owned() } else { names.join("; ") }
}

/// What a run with this backend needs. None means that no backend works yet: assume the best one.
/// With `asked`, also what a run with these options needs.
pub(super) fn of_run(
    held: Capabilities,
    backend: Option<Backend>,
    host: Host,
    asked: Option<&Asked>,
) -> Needs {
    let on_tracepoints = backend == Some(Backend::Tracepoint);
    let uses = Uses {
        locked_memory: host.locked_memory,
        reserved_bpf: host.reserved_bpf,
        restricted_kprobes: host.restricted_perf && backend == Some(Backend::Kprobe),
        restricted_tracepoints: host.restricted_perf && on_tracepoints,
        tracefs: host.is_other_user && on_tracepoints,
        other_namespaces: true,
        ..Uses::default()
    };
    let (smallest, complete) = (uses.to_trace(), uses.to_attach());
    let applies = |one: &&Feature| uses.is(one.run) || !one.run.option().is_empty();
    Needs {
        smallest: smallest.names().collect(),
        complete: complete.names().collect(),
        missing: lacking(complete, held).names().collect(),
        features: FEATURES.iter().filter(applies).map(|one| need(one, held)).collect(),
        run: asked.map(|asked| of_options(asked, uses, held)),
    }
}

/// The host decides on a part of the capabilities, the options on the rest.
fn of_options(asked: &Asked, host: Uses, held: Capabilities) -> RunNeeds {
    let uses = Uses {
        verbose: asked.uses.verbose,
        command: asked.uses.command,
        user: asked.uses.user,
        files: asked.uses.files,
        later_files: asked.uses.later_files,
        other_namespaces: asked.uses.other_namespaces,
        ..host
    };
    let complete = uses.to_attach().and(uses.to_trace());
    RunNeeds {
        options: asked.words.clone(),
        smallest: uses.to_trace().names().collect(),
        complete: complete.names().collect(),
        whole_run: uses.to_the_end().names().collect(),
        missing: lacking(complete, held).names().collect(),
    }
}

fn need(feature: &Feature, held: Capabilities) -> Need {
    let needed = Capabilities::of(feature.capabilities);
    Need {
        feature: feature.name,
        option: Some(feature.run.option()).filter(|option| !option.is_empty()),
        capabilities: needed.names().collect(),
        missing: lacking(needed, held).names().collect(),
        until: feature.until.word(),
        without: feature.without,
    }
}

/// `CAP_SYS_ADMIN` stands in for `CAP_BPF` and `CAP_PERFMON`.
fn lacking(needed: Capabilities, held: Capabilities) -> Capabilities {
    let missing = needed.except(held);
    let stands_in = held.has(Capability::SysAdmin) && !kept(missing, held).is_none();
    let implied = Capabilities::of(&[Capability::Bpf, Capability::Perfmon]);
    if stands_in { missing.except(implied) } else { missing }
}

#[cfg(test)]
mod tests {
    use super::{Asked, Host, each, of_run};
    use crate::rights::capability::{Capabilities, Capability};
    use crate::rights::table::Uses;
    use backlog_core::run::Backend;

    fn held(capabilities: &[Capability]) -> Capabilities {
        Capabilities::of(capabilities)
    }

    #[test]
    fn two_capabilities_trace_with_fentry() {
        let two = held(&[Capability::Bpf, Capability::Perfmon]);
        let debian = Host { restricted_perf: true, is_other_user: true, ..Host::default() };
        let needs = of_run(two, Some(Backend::Fentry), debian, None);
        assert_eq!(needs.smallest, ["CAP_BPF", "CAP_PERFMON"]);
        assert_eq!(needs.missing, ["CAP_SYS_ADMIN", "CAP_SYS_PTRACE", "CAP_DAC_READ_SEARCH"]);
        let kprobe = of_run(two, Some(Backend::Kprobe), debian, None);
        assert_eq!(kprobe.smallest, ["CAP_BPF", "CAP_PERFMON", "CAP_SYS_ADMIN"]);
        let tracepoint = of_run(two, Some(Backend::Tracepoint), debian, None);
        assert_eq!(tracepoint.smallest, ["CAP_BPF", "CAP_PERFMON"]);
    }

    #[test]
    fn the_oldest_capability_includes_two() {
        let admin = held(&[Capability::SysAdmin]);
        let needs = of_run(admin, Some(Backend::Fentry), Host::default(), None);
        assert_eq!(needs.missing, ["CAP_SYS_PTRACE", "CAP_DAC_READ_SEARCH"]);
    }

    #[test]
    fn a_run_needs_what_its_options_use() {
        let words = vec!["--cmd".to_owned(), "wrk".to_owned()];
        let uses = Uses { command: true, user: true, ..Uses::default() };
        let asked = Asked { words, uses, backend: None };
        let two = held(&[Capability::Bpf, Capability::Perfmon]);
        let needs = of_run(two, Some(Backend::Fentry), Host::default(), Some(&asked));
        let run = needs.run.unwrap();
        assert_eq!(run.smallest, ["CAP_BPF", "CAP_PERFMON", "CAP_SETUID", "CAP_SETGID"]);
        assert_eq!(run.whole_run, ["CAP_SYS_PTRACE", "CAP_DAC_READ_SEARCH", "CAP_KILL"]);
        let lacks =
            ["CAP_SYS_PTRACE", "CAP_DAC_READ_SEARCH", "CAP_KILL", "CAP_SETUID", "CAP_SETGID"];
        assert_eq!(run.missing, lacks);
        // The namespaces of others are not among them, while a run without options wants them.
        assert!(needs.missing.contains(&"CAP_SYS_ADMIN"));
    }

    #[test]
    fn an_option_names_what_it_needs() {
        let needs = of_run(Capabilities::NONE, None, Host::default(), None);
        let command = needs.features.iter().find(|need| need.option == Some("--cmd")).unwrap();
        assert_eq!((&command.missing[..], command.until), (&["CAP_KILL"][..], "whole run"));
        let rights = each(Capabilities::NONE);
        assert!(rights.iter().all(|right| !right.effective && !right.purpose.is_empty()));
    }
}
