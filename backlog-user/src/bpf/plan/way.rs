//! The attach types of programs, and which of them the kernel permits.

use std::collections::BTreeMap;

use anyhow::{Result, bail};

/// How a program is attached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Attach {
    /// At the entry of a function, by a BPF trampoline.
    Fentry,
    /// At its exit, by a BPF trampoline.
    Fexit,
    /// At the entry, by a breakpoint or ftrace.
    Kprobe,
    /// At its return, by kretprobe.
    Kretprobe,
    /// On a tracepoint, with BTF types.
    BtfTracepoint,
    /// On a tracepoint, without types.
    RawTracepoint,
    /// On a tracepoint, through perf.
    Tracepoint,
    /// Not attached: an iterator runs over a table of the kernel.
    Iter,
}

impl Attach {
    /// The attach type from the prefix of a program's name.
    pub(crate) fn of(program: &str) -> Self {
        match program.get(..3) {
            Some("fx_") => Self::Fexit,
            Some("kp_") => Self::Kprobe,
            Some("kr_") => Self::Kretprobe,
            Some("tb_") => Self::BtfTracepoint,
            Some("rt_") => Self::RawTracepoint,
            Some("tp_") => Self::Tracepoint,
            Some("it_") => Self::Iter,
            _ => Self::Fentry,
        }
    }

    /// The name that the output prints.
    pub(crate) const fn word(self) -> &'static str {
        match self {
            Self::Fentry => "fentry",
            Self::Fexit => "fexit",
            Self::Kprobe => "kprobe",
            Self::Kretprobe => "kretprobe",
            Self::BtfTracepoint => "tp_btf",
            Self::RawTracepoint => "raw_tp",
            Self::Tracepoint => "tracepoint",
            Self::Iter => "iter",
        }
    }

    /// The attach type that the kernel must permit for it.
    pub(crate) const fn way(self) -> Way {
        match self {
            Self::Fentry | Self::Fexit => Way::Fentry,
            Self::Kprobe | Self::Kretprobe => Way::Kprobe,
            Self::BtfTracepoint => Way::BtfTracepoint,
            Self::RawTracepoint => Way::RawTracepoint,
            Self::Tracepoint => Way::Tracepoint,
            Self::Iter => Way::Iter,
        }
    }
}

/// An attach type that a kernel permits or refuses as a whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Way {
    /// fentry and fexit.
    Fentry,
    /// kprobe and kretprobe.
    Kprobe,
    /// `tp_btf`.
    BtfTracepoint,
    /// `raw_tp`.
    RawTracepoint,
    /// A perf tracepoint.
    Tracepoint,
    /// Iterators over the kernel's tables.
    Iter,
}

impl Way {
    /// Every one.
    pub(crate) const ALL: [Self; 6] = [
        Self::Fentry,
        Self::Kprobe,
        Self::BtfTracepoint,
        Self::RawTracepoint,
        Self::Tracepoint,
        Self::Iter,
    ];

    /// The name that `doctor` prints.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Fentry => "fentry",
            Self::Kprobe => "kprobe",
            Self::BtfTracepoint => "tp_btf",
            Self::RawTracepoint => "raw_tp",
            Self::Tracepoint => "tracepoint",
            Self::Iter => "iter",
        }
    }
}

/// The result of trying each attach type: success, or why the kernel refuses it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Ways(BTreeMap<Way, Result<(), String>>);

impl Ways {
    /// Records the result of a trial.
    pub(crate) fn tried(&mut self, way: Way, result: Result<(), String>) {
        self.0.insert(way, result);
    }

    /// Was it tried?
    pub(crate) fn knows(&self, way: Way) -> bool {
        self.0.contains_key(&way)
    }

    /// May the kernel permit it? An untried type counts as permitted.
    pub(crate) fn permits(&self, way: Way) -> bool {
        !matches!(self.0.get(&way), Some(Err(_)))
    }

    /// Every result.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (Way, Result<(), &str>)> {
        self.0.iter().map(|(way, result)| (*way, result.as_ref().copied().map_err(String::as_str)))
    }

    /// Fails with the reason if the kernel refuses it.
    pub(crate) fn require(&self, way: Way) -> Result<()> {
        match self.0.get(&way) {
            Some(Err(why)) => bail!("{why}"),
            _ => Ok(()),
        }
    }
}
