//! The user's filter.

pub mod ports;

use std::collections::HashSet;

use backlog_ebpf::{AF_INET, AF_INET6};

use crate::aggregate::registry::SockDiagListener;
use crate::event::{Netns, plain};
use crate::filter::ports::PortSet;

/// The filter that the kernel's programs apply.
#[derive(Clone, Debug, Default)]
pub struct Filter {
    /// Local ports; none: all.
    pub ports: Option<PortSet>,
    /// `AF_INET` or `AF_INET6`; none: both.
    pub family: Option<u16>,
    /// A network namespace, with the number that distinguishes it from later ones with its inode
    /// number, once known; none: all.
    pub netns: Option<Netns>,
    /// The process whose sockets are traced; none: all.
    pub process: Option<Held>,
    /// The cgroup whose sockets are traced; none: all.
    pub cgroup: Option<Subtree>,
}

/// The sockets of a process.
#[derive(Clone, Debug, Default)]
pub struct Held {
    /// Its pid.
    pub pid: u32,
    /// The inode numbers of the sockets that it held when inspected.
    pub sockets: HashSet<u64>,
}

/// A cgroup and those below it.
#[derive(Clone, Debug, Default)]
pub struct Subtree {
    /// Its id.
    pub id: u64,
    /// Its level: 0 is the root.
    pub level: u32,
    /// Its id and those of the cgroups below it at the start.
    pub members: HashSet<u64>,
}

impl Filter {
    /// The family that `-4` or `-6` asks for.
    #[must_use]
    pub fn family_of(ipv4: bool, ipv6: bool) -> Option<u16> {
        match (ipv4, ipv6) {
            (true, _) => Some(AF_INET),
            (false, true) => Some(AF_INET6),
            (false, false) => None,
        }
    }

    /// Whether it excludes anything.
    #[must_use]
    pub fn is_set(&self) -> bool {
        self.ports.is_some()
            || self.family.is_some()
            || self.netns.is_some()
            || self.process.is_some()
            || self.cgroup.is_some()
    }

    /// Whether it depends on the owner of a listener.
    #[must_use]
    pub fn by_owner(&self) -> bool {
        self.process.is_some() || self.cgroup.is_some()
    }

    /// Whether this listener is listed. An IPv6 listener may have IPv4 clients, but not the
    /// reverse.
    #[must_use]
    pub fn lists(&self, listed: &SockDiagListener) -> bool {
        let port = self.ports.as_ref().is_none_or(|ports| ports.contains(listed.local.port()));
        let may_have_v6 = plain(listed.local.ip()).is_ipv6();
        let only_v6 = listed.v6_only == Some(true);
        let family = match self.family {
            Some(AF_INET) => !only_v6,
            Some(_) => may_have_v6,
            None => true,
        };
        let netns = self.netns.is_none_or(|asked| asked.may_be(listed.netns));
        let held = self.process.as_ref().is_none_or(|held| held.sockets.contains(&listed.inode));
        let below = self.cgroup.as_ref().is_none_or(|tree| {
            listed.cgroup_id.is_some_and(|cgroup| tree.members.contains(&cgroup))
        });
        port && family && netns && held && below
    }
}

#[cfg(test)]
mod tests {
    use super::{Filter, Held, Subtree};
    use crate::aggregate::registry::SockDiagListener;
    use crate::event::Netns;
    use backlog_ebpf::{AF_INET, AF_INET6};

    fn listed(local: &str, v6_only: Option<bool>) -> SockDiagListener {
        let made_up = SockDiagListener::made_up(local.parse().unwrap());
        SockDiagListener { netns: 1.into(), inode: 1, v6_only, cgroup_id: None, ..made_up }
    }

    #[test]
    fn a_dual_stack_listener_is_of_both_families() {
        let v4 = Filter { family: Some(AF_INET), ..Filter::default() };
        let v6 = Filter { family: Some(AF_INET6), ..Filter::default() };
        assert!(v4.lists(&listed("[::]:80", Some(false))));
        assert!(v6.lists(&listed("[::]:80", Some(false))));
        assert!(!v4.lists(&listed("[::]:80", Some(true))));
        assert!(!v6.lists(&listed("0.0.0.0:80", None)));
    }

    #[test]
    fn filters_hold_together() {
        let listed = SockDiagListener { cgroup_id: Some(5), ..listed("0.0.0.0:80", None) };
        let fits = Filter {
            netns: Some(Netns::new(1, 5)),
            process: Some(Held { pid: 9, sockets: [1].into() }),
            cgroup: Some(Subtree { id: 4, level: 1, members: [4, 5].into() }),
            ..Filter::default()
        };
        assert!(fits.lists(&listed));
        assert!(!Filter { netns: Some(2.into()), ..fits.clone() }.lists(&listed));
        let another = SockDiagListener { netns: Netns::new(1, 6), ..listed.clone() };
        assert!(!fits.lists(&another), "a later one with its inode number");
        let held = Some(Held { pid: 9, sockets: [2].into() });
        assert!(!Filter { process: held, ..fits.clone() }.lists(&listed));
        // A socket does not match if the kernel does not show its cgroup.
        assert!(!fits.lists(&SockDiagListener { cgroup_id: None, ..listed }));
    }

    #[test]
    fn ports_are_filtered() {
        let filter = Filter { ports: Some("80-81".parse().unwrap()), ..Filter::default() };
        assert!(filter.lists(&listed("0.0.0.0:81", None)));
        assert!(!filter.lists(&listed("0.0.0.0:82", None)));
        assert!(filter.is_set() && !Filter::default().is_set());
    }
}
