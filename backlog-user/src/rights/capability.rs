//! Names of capabilities, and sets of them.

use std::fmt::{self, Display};

use rustix::thread::CapabilitySet;

/// A capability that some feature needs, with its number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Capability {
    DacOverride = 1,
    DacReadSearch = 2,
    Fowner = 3,
    Kill = 5,
    Setgid = 6,
    Setuid = 7,
    Setpcap = 8,
    NetAdmin = 12,
    SysPtrace = 19,
    SysAdmin = 21,
    SysResource = 24,
    Perfmon = 38,
    Bpf = 39,
}

impl Capability {
    /// All, the most important first.
    pub(crate) const ALL: [Self; 13] = [
        Self::Bpf,
        Self::Perfmon,
        Self::SysAdmin,
        Self::SysPtrace,
        Self::DacReadSearch,
        Self::SysResource,
        Self::Kill,
        Self::DacOverride,
        Self::Fowner,
        Self::Setuid,
        Self::Setgid,
        Self::Setpcap,
        Self::NetAdmin,
    ];

    /// The name in capabilities(7).
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::DacOverride => "CAP_DAC_OVERRIDE",
            Self::DacReadSearch => "CAP_DAC_READ_SEARCH",
            Self::Fowner => "CAP_FOWNER",
            Self::Kill => "CAP_KILL",
            Self::Setgid => "CAP_SETGID",
            Self::Setuid => "CAP_SETUID",
            Self::Setpcap => "CAP_SETPCAP",
            Self::NetAdmin => "CAP_NET_ADMIN",
            Self::SysPtrace => "CAP_SYS_PTRACE",
            Self::SysAdmin => "CAP_SYS_ADMIN",
            Self::SysResource => "CAP_SYS_RESOURCE",
            Self::Perfmon => "CAP_PERFMON",
            Self::Bpf => "CAP_BPF",
        }
    }
}

/// A set of capabilities, which may include ones without a name here.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Capabilities(u64);

impl Capabilities {
    /// The empty set.
    pub(crate) const NONE: Self = Self(0);

    /// The set of these capabilities.
    pub(crate) fn of(capabilities: &[Capability]) -> Self {
        Self(capabilities.iter().fold(0, |bits, one| bits | 1 << *one as u32))
    }

    /// Parses the hexadecimal number in `/proc/PID/status`.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        u64::from_str_radix(text.trim(), 16).ok().map(Self)
    }

    /// Does the set contain it?
    pub(crate) const fn has(self, capability: Capability) -> bool {
        self.0 & (1 << capability as u32) != 0
    }

    /// The union.
    pub(crate) const fn and(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// The intersection.
    pub(crate) const fn common(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }

    /// The capabilities that the other set lacks.
    pub(crate) const fn except(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }

    /// Is the set empty?
    pub(crate) const fn is_none(self) -> bool {
        self.0 == 0
    }

    /// The names, the most important first.
    pub(crate) fn names(self) -> impl Iterator<Item = &'static str> {
        Capability::ALL.into_iter().filter(move |one| self.has(*one)).map(Capability::name)
    }
}

impl From<CapabilitySet> for Capabilities {
    fn from(set: CapabilitySet) -> Self {
        Self(set.bits())
    }
}

impl From<Capabilities> for CapabilitySet {
    fn from(set: Capabilities) -> Self {
        Self::from_bits_retain(set.0)
    }
}

/// For example `CAP_BPF, CAP_PERFMON`; capabilities without a name here are printed as a number.
impl Display for Capabilities {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut parts: Vec<String> = self.names().map(str::to_owned).collect();
        let rest = self.except(Self::of(&Capability::ALL));
        if !rest.is_none() {
            parts.push(format!("others ({:#x})", rest.0));
        }
        if parts.is_empty() { to.write_str("none") } else { to.write_str(&parts.join(", ")) }
    }
}

#[cfg(test)]
mod tests {
    use super::{Capabilities, Capability};
    use rustix::thread::CapabilitySet;

    #[test]
    fn numbers_are_those_of_the_kernel() {
        let all = Capabilities::of(&Capability::ALL);
        let kernel = [
            CapabilitySet::BPF,
            CapabilitySet::PERFMON,
            CapabilitySet::SYS_ADMIN,
            CapabilitySet::SYS_PTRACE,
            CapabilitySet::DAC_READ_SEARCH,
            CapabilitySet::SYS_RESOURCE,
            CapabilitySet::KILL,
            CapabilitySet::DAC_OVERRIDE,
            CapabilitySet::FOWNER,
            CapabilitySet::SETUID,
            CapabilitySet::SETGID,
            CapabilitySet::SETPCAP,
            CapabilitySet::NET_ADMIN,
        ];
        for (ours, theirs) in Capability::ALL.into_iter().zip(kernel) {
            assert_eq!(CapabilitySet::from(Capabilities::of(&[ours])), theirs, "{ours:?}");
        }
        assert_eq!(Capabilities::from(CapabilitySet::from(all)), all);
    }

    #[test]
    fn a_set_is_named() {
        let set = Capabilities::of(&[Capability::Perfmon, Capability::Bpf]);
        assert_eq!(set.to_string(), "CAP_BPF, CAP_PERFMON");
        assert_eq!(Capabilities::NONE.to_string(), "none");
        let more = Capabilities::parse("0000000000000009\n").unwrap();
        assert_eq!(more.to_string(), "CAP_FOWNER, others (0x1)");
    }
}
