//! Which capabilities each feature needs, when, and what is missing without them. Dropping
//! privileges, `doctor` and docs/REQUIREMENTS.md all use this table.

use Capability::{
    Bpf, DacOverride, DacReadSearch, Fowner, Kill, Perfmon, Setgid, Setpcap, Setuid, SysAdmin,
    SysPtrace, SysResource,
};

use super::capability::{Capabilities, Capability};

/// A row of the table.
pub(crate) struct Feature {
    /// The feature that needs the capabilities.
    pub(crate) name: &'static str,
    /// The capabilities; the feature needs all of them.
    pub(crate) capabilities: &'static [Capability],
    /// Until when they are needed.
    pub(crate) until: Until,
    /// The runs that use the feature.
    pub(crate) run: Run,
    /// What happens without them.
    pub(crate) without: &'static str,
}

/// Until when a feature needs its capabilities.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Until {
    /// Until the process has switched its user, before its first thread starts.
    Begun,
    /// Until all programs are attached.
    Attached,
    /// Until the run ends.
    End,
}

impl Until {
    /// The text in a table.
    pub(crate) const fn word(self) -> &'static str {
        match self {
            Self::Begun | Self::Attached => "start",
            Self::End => "whole run",
        }
    }
}

/// The runs that use a feature.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Run {
    /// Every run; without it, nothing is traced.
    Load,
    /// Every run.
    Every,
    /// Runs on kernels that count eBPF memory against the limit of locked memory.
    LockedMemory,
    /// Runs on hosts where `kernel.perf_event_paranoid` reserves perf events for `CAP_SYS_ADMIN`.
    RestrictedKprobes,
    /// The same for tracepoints.
    RestrictedTracepoints,
    /// Runs by users other than root.
    Tracefs,
    /// Runs with `-v`.
    Verbose,
    /// Runs with `--cmd`.
    Command,
    /// Runs with `--user`.
    User,
    /// Runs with `--record` or `--report` into folders that the user may not write to.
    Files,
    /// Runs with `--report` or `--record-rotate` there.
    LaterFiles,
    /// All runs except for `--netns` with the tool's own namespace.
    OtherNamespaces,
    /// Runs on kernels where `bpf()` itself needs them, which a trial shows.
    ReservedBpf,
}

/// The features that a run uses.
#[derive(Clone, Copy, Debug, Default)]
#[expect(clippy::struct_excessive_bools, reason = "each is a condition of its own")]
pub(crate) struct Uses {
    pub(crate) locked_memory: bool,
    pub(crate) restricted_kprobes: bool,
    pub(crate) restricted_tracepoints: bool,
    pub(crate) tracefs: bool,
    pub(crate) verbose: bool,
    pub(crate) command: bool,
    pub(crate) user: bool,
    pub(crate) files: bool,
    pub(crate) later_files: bool,
    pub(crate) other_namespaces: bool,
    pub(crate) reserved_bpf: bool,
}

/// All features, the most important first.
pub(crate) const FEATURES: [Feature; 14] = [
    Feature {
        name: "load and attach eBPF programs",
        capabilities: &[Bpf, Perfmon],
        until: Until::Attached,
        run: Run::Load,
        without: "tracing does not work; CAP_SYS_ADMIN includes both",
    },
    Feature {
        name: "read and write eBPF maps during the run, where the kernel refuses every bpf() call \
               (before 5.19, with kernel.unprivileged_bpf_disabled)",
        capabilities: &[Bpf],
        until: Until::End,
        run: Run::ReservedBpf,
        without: "tracing does not work there",
    },
    Feature {
        name: "locked memory before Linux 5.11",
        capabilities: &[SysResource],
        until: Until::Attached,
        run: Run::LockedMemory,
        without: "the maps must fit into ulimit -l",
    },
    Feature {
        name: "backend kprobe, where kernel.perf_event_paranoid is above 2 (Debian: 3)",
        capabilities: &[SysAdmin],
        until: Until::Attached,
        run: Run::RestrictedKprobes,
        without: "another backend is selected",
    },
    Feature {
        name: "perf tracepoints of the tracepoint backend, where kernel.perf_event_paranoid is \
               above 2",
        capabilities: &[SysAdmin],
        until: Until::Attached,
        run: Run::RestrictedTracepoints,
        without: "the backend runs a program at every system call",
    },
    Feature {
        name: "perf tracepoints of the tracepoint backend, for users other than root (tracefs \
               belongs to root)",
        capabilities: &[DacReadSearch],
        until: Until::Attached,
        run: Run::Tracefs,
        without: "the backend runs a program at every system call",
    },
    Feature {
        name: "enter other network namespaces: their kernel counters, and the queues of their \
               listeners",
        capabilities: &[SysAdmin, SysPtrace],
        until: Until::End,
        run: Run::OtherNamespaces,
        without: "listeners there appear at their first event; their queue at the start is \
                  unknown, and nothing is compared with the kernel's counters there",
    },
    Feature {
        name: "find the owners of listeners, and what their acceptors do, among processes of other \
               users",
        capabilities: &[SysPtrace, DacReadSearch],
        until: Until::End,
        run: Run::Every,
        without: "the owners of these listeners are unknown",
    },
    Feature {
        name: "BPF run-time statistics, for the overhead shown at exit",
        capabilities: &[SysAdmin],
        until: Until::Attached,
        run: Run::Verbose,
        without: "runs of the programs are not counted",
    },
    Feature {
        name: "end processes of the command that run as another user",
        capabilities: &[Kill],
        until: Until::End,
        run: Run::Command,
        without: "such processes of the command outlive the run",
    },
    Feature {
        name: "create files in folders of other users",
        capabilities: &[DacOverride, Fowner],
        until: Until::Attached,
        run: Run::Files,
        without: "the run does not start: name a file in a folder of your own",
    },
    Feature {
        name: "write the report and rotate the recording in folders of other users, if a trial \
               shows that it is needed",
        capabilities: &[DacOverride, Fowner],
        until: Until::End,
        run: Run::LaterFiles,
        without: "the run does not start: name a file in a folder of your own",
    },
    Feature {
        name: "run as another user",
        capabilities: &[Setuid, Setgid],
        until: Until::Begun,
        run: Run::User,
        without: "the run does not start",
    },
    Feature {
        name: "empty the bounding set of the tool",
        capabilities: &[Setpcap],
        until: Until::Begun,
        run: Run::Every,
        without: "the bounding set stays; no_new_privs makes it useless",
    },
];

impl Run {
    /// Without it, a run that uses it does not start, or traces nothing.
    pub(crate) const fn is_required(self) -> bool {
        matches!(
            self,
            Self::Load
                | Self::LockedMemory
                | Self::RestrictedKprobes
                | Self::ReservedBpf
                | Self::User
                | Self::Files
                | Self::LaterFiles
        )
    }

    /// The option that makes a run use the feature, as a table shows it.
    pub(crate) const fn option(self) -> &'static str {
        match self {
            Self::Load
            | Self::Every
            | Self::LockedMemory
            | Self::RestrictedKprobes
            | Self::RestrictedTracepoints
            | Self::Tracefs
            | Self::OtherNamespaces
            | Self::ReservedBpf => "",
            Self::Verbose => "-v",
            Self::Command => "--cmd",
            Self::User => "--user",
            Self::Files => "--record, --report",
            Self::LaterFiles => "--report, --record-rotate",
        }
    }
}

impl Uses {
    /// Does the run use features of this kind?
    pub(crate) fn is(&self, run: Run) -> bool {
        match run {
            Run::Load | Run::Every => true,
            Run::LockedMemory => self.locked_memory,
            Run::RestrictedKprobes => self.restricted_kprobes,
            Run::RestrictedTracepoints => self.restricted_tracepoints,
            Run::Tracefs => self.tracefs,
            Run::Verbose => self.verbose,
            Run::Command => self.command,
            Run::User => self.user,
            Run::Files => self.files,
            Run::LaterFiles => self.later_files,
            Run::OtherNamespaces => self.other_namespaces,
            Run::ReservedBpf => self.reserved_bpf,
        }
    }

    /// The capabilities that are needed to read the system and attach the programs, and later.
    pub(crate) fn to_attach(self) -> Capabilities {
        self.of(|one| one.until != Until::Begun)
    }

    /// The capabilities that are needed after the programs are attached.
    pub(crate) fn to_the_end(self) -> Capabilities {
        self.of(|one| one.until == Until::End)
    }

    /// The capabilities without which nothing is traced.
    pub(crate) fn to_trace(self) -> Capabilities {
        self.of(|one| one.run.is_required())
    }

    fn of(&self, wanted: impl Fn(&Feature) -> bool) -> Capabilities {
        let used = FEATURES.iter().filter(|one| self.is(one.run) && wanted(one));
        used.fold(Capabilities::NONE, |set, one| set.and(Capabilities::of(one.capabilities)))
    }
}

/// The subset of `held` that covers `needed`. `CAP_SYS_ADMIN` stands in for the two newer
/// capabilities that were split off from it.
pub(crate) fn kept(needed: Capabilities, held: Capabilities) -> Capabilities {
    let missing = needed.except(held);
    let stands_in = missing.has(Bpf) || missing.has(Perfmon);
    let more = if stands_in { Capabilities::of(&[SysAdmin]) } else { Capabilities::NONE };
    needed.and(more).common(held)
}

#[cfg(test)]
mod tests {
    use super::{Capabilities, Capability, FEATURES, Run, Uses, kept};

    fn set(capabilities: &[Capability]) -> Capabilities {
        Capabilities::of(capabilities)
    }

    #[test]
    fn only_what_a_run_uses_is_kept() {
        let own = Uses::default();
        let look = set(&[Capability::SysPtrace, Capability::DacReadSearch]);
        assert_eq!(own.to_the_end(), look);
        let others = Uses { other_namespaces: true, ..own };
        assert_eq!(others.to_the_end(), look.and(set(&[Capability::SysAdmin])));
        let command = Uses { command: true, ..own };
        assert_eq!(command.to_the_end(), look.and(set(&[Capability::Kill])));
        let old = Uses { reserved_bpf: true, ..own };
        assert_eq!(old.to_the_end(), look.and(set(&[Capability::Bpf])));
        // Statistics stay on without capabilities, and the user is only changed once.
        assert_eq!(Uses { verbose: true, user: true, files: true, ..own }.to_the_end(), look);
        assert!(own.to_attach().has(Capability::Bpf));
        assert!(!Uses { user: true, ..own }.to_attach().has(Capability::Setuid));
    }

    #[test]
    fn the_oldest_capability_stands_in_for_the_new_ones() {
        let needed = set(&[Capability::Bpf, Capability::SysPtrace]);
        let held = set(&[Capability::SysAdmin, Capability::Kill]);
        assert_eq!(kept(needed, held), set(&[Capability::SysAdmin]));
        let held = set(&[Capability::SysAdmin, Capability::Bpf]);
        assert_eq!(kept(needed, held), set(&[Capability::Bpf]));
    }

    #[test]
    fn every_capability_but_one_is_needed_by_some_feature() {
        for one in Capability::ALL {
            let needed = FEATURES.iter().any(|feature| feature.capabilities.contains(&one));
            assert_eq!(needed, one != Capability::NetAdmin, "{one:?}");
        }
        assert!(FEATURES.iter().any(|feature| feature.run == Run::Load));
    }
}
