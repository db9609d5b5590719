//! Gathers the data of an audit: queries the kernel in each network namespace, without tracing. No
//! other part of the audit accesses the machine.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::ffi::CStr;
use std::mem;
use std::net::SocketAddr;
use std::path::Path;

use anyhow::{Result, bail, ensure};
use backlog_core::aggregate::registry::SockDiagListener;
use backlog_core::counter::{Counter, Values};
use backlog_core::event::Identity;
use backlog_core::filter::Filter;
use backlog_core::owner::Owner;
use backlog_core::settings::Settings;
use backlog_core::text::format::plural;

use super::defer_accept;
use super::host::{Audited, Host, Member, Space};
use super::requests::{Lengths, assign};
use crate::host::kernel::rights;
use crate::host::kernel::slab::Memory;
use crate::host::kernel::{counters, settings};
use crate::host::namespaces::{self, Namespaces, named};
use crate::host::sock_diag;
use crate::rights::capability::Capability;

/// The selection.
#[derive(Clone, Debug, Default)]
pub(crate) struct Wanted {
    pub(crate) filter: Filter,
    /// List only this network namespace, as typed.
    pub(crate) netns: Option<String>,
}

/// The answers of one namespace.
struct Answer {
    settings: Settings,
    counters: Option<Values>,
    /// Every listener, in the order of the output.
    listed: Vec<SockDiagListener>,
    lengths: Option<Lengths>,
    interfaces: BTreeMap<u32, String>,
    /// Why the SYN queues are unknown.
    failure: Option<String>,
}

/// Queries the whole host. `owners` finds the holders of the sockets with these inode numbers, and
/// `cgroup` the path of the cgroup with this id.
pub(crate) fn host(
    root: &Path,
    wanted: &Wanted,
    owners: impl FnOnce(&HashSet<u64>) -> HashMap<u64, Owner>,
    cgroup: impl FnMut(u64) -> Option<String>,
) -> Result<Host> {
    let proc_root = root.join("proc");
    let mut namespaces = Namespaces::find(&proc_root);
    let own = namespaces::inode(&proc_root.join("thread-self/ns/net")).ok();
    let mut host =
        Host { memory: Memory::read(root), filtered: wanted.filter.is_set(), ..Host::default() };
    if let Some(text) = &wanted.netns {
        namespaces = only(root, namespaces, text)?;
    } else {
        host.not_seen.extend(namespaces.closed());
    }
    let mut answered = 0;
    for netns in namespaces.inodes() {
        let answer = match ask(&namespaces, netns, wanted) {
            Ok(answer) => answer,
            Err(error) => {
                let why = format!("network namespace {netns} is not inspected: {error:#}");
                host.not_seen.push(why);
                continue;
            }
        };
        answered += 1;
        host.not_seen.extend(
            answer.failure.iter().map(|why| {
                format!("the SYN queues of network namespace {netns} are unknown: {why}")
            }),
        );
        let mut space = space(netns, answer, wanted);
        space.own = own == Some(netns);
        space.name = namespaces.name_of(netns);
        if !space.listeners.is_empty() || wanted.netns.is_some() {
            host.spaces.push(space);
        }
    }
    ensure!(answered > 0, "no network namespace can be inspected: {}", host.not_seen.join("; "));
    host.spaces.sort_by_key(|space| (!space.own, space.netns));
    know(&mut host, owners, cgroup);
    deferring(&mut host);
    host.not_seen.extend(strangers(&host, &proc_root));
    Ok(host)
}

/// The single namespace that was selected.
fn only(root: &Path, mut namespaces: Namespaces, text: &str) -> Result<Namespaces> {
    let named::Named { netns, path, .. } = named::find(root, text)?;
    ensure!(
        !namespaces.is_shut(netns),
        "--netns {text}: no permission to enter another network namespace (that needs \
         CAP_SYS_ADMIN): run it as root"
    );
    if let Some(path) = path {
        namespaces.add_way(netns, path);
    }
    let only = namespaces.only(&[netns]);
    if only.inodes().next().is_none() {
        bail!(
            "--netns {text}: no process is in this network namespace, and it is mounted nowhere \
             (lsns -t net lists them; those of other users' processes need root)"
        );
    }
    Ok(only)
}

/// Queries the kernel within a namespace.
fn ask(namespaces: &Namespaces, netns: u32, wanted: &Wanted) -> Result<Answer> {
    let wanted = wanted.clone();
    namespaces.inside(netns, move || {
        let counters = counters::read(Path::new("/proc/thread-self/net"));
        let settings = settings::read(Path::new("/"));
        let mut listed = sock_diag::dump_with_mptcp(netns.into())?;
        listed.sort_by_key(|listed| (listed.local.port(), listed.local.ip(), listed.inode));
        // The kernel walks all of its connections for this.
        let needed = listed.iter().any(|listed| wanted.filter.lists(listed));
        let ipv6 = listed.iter().any(|listed| listed.v6_only.is_some());
        let (lengths, failure) = match needed.then(|| sock_diag::requests(ipv6)) {
            None => (None, None),
            Some(Ok(requests)) => (Some(assign(&listed, &requests)), None),
            Some(Err(error)) => (None, Some(format!("{error:#}"))),
        };
        let bound = listed.iter().map(|listed| listed.interface).filter(|index| *index != 0);
        let interfaces = bound.map(|index| (index, interface(index))).collect();
        Ok(Answer { settings, counters, listed, lengths, interfaces, failure })
    })
}

/// The name of an interface in this thread's namespace, or its number if it is gone.
fn interface(index: u32) -> String {
    let mut name = [0_u8; libc::IF_NAMESIZE];
    // SAFETY: the buffer is as long as the longest name with its end.
    let found = unsafe { libc::if_indextoname(index, name.as_mut_ptr().cast()) };
    let name = CStr::from_bytes_until_nul(&name).ok().filter(|_| !found.is_null());
    name.map_or_else(|| index.to_string(), |name| name.to_string_lossy().into_owned())
}

/// Selects a part of the answer.
fn space(netns: u32, answer: Answer, wanted: &Wanted) -> Space {
    let Answer { settings, counters, listed, lengths, interfaces, failure: _ } = answer;
    let mut sizes: HashMap<(SocketAddr, u32), usize> = HashMap::new();
    let places: Vec<(SocketAddr, u32, usize)> = listed
        .iter()
        .map(|one| {
            let size = sizes.entry((one.local, one.interface)).or_default();
            *size += 1;
            (one.local, one.interface, *size)
        })
        .collect();
    let group = |index: usize| {
        let (local, interface, member) = places[index];
        let size = sizes.get(&(local, interface)).copied().filter(|size| *size > 1)?;
        Some(Member { size, member })
    };
    let all = listed.len();
    let listeners: Vec<Audited> = listed
        .into_iter()
        .zip(1..)
        .enumerate()
        .filter(|(_, (listed, _))| wanted.filter.lists(listed))
        .map(|(index, (listed, number))| {
            let mut audited = Audited::of(&listed, number);
            audited.interface = interfaces.get(&listed.interface).cloned();
            audited.syn_queue = lengths.as_ref().and_then(|lengths| lengths.of[index]);
            audited.group = group(index);
            audited.listener.reuseport = audited.group.map(|_| true);
            audited
        })
        .collect();
    Space {
        netns,
        name: None,
        own: false,
        settings,
        counters,
        left_out: all - listeners.len(),
        listeners,
        unassigned: lengths.map(|lengths| lengths.unassigned),
    }
}

/// Adds the owners of the listeners.
fn know(
    host: &mut Host,
    owners: impl FnOnce(&HashSet<u64>) -> HashMap<u64, Owner>,
    mut cgroup: impl FnMut(u64) -> Option<String>,
) {
    let listeners = || host.spaces.iter().flat_map(|space| &space.listeners);
    let sockets: HashSet<u64> = listeners().map(Audited::inode).collect();
    let owners = owners(&sockets);
    for audited in host.spaces.iter_mut().flat_map(|space| &mut space.listeners) {
        let owner = owners.get(&audited.inode()).cloned().map(Box::new);
        let cgroup = audited.listener.cgroup.and_then(&mut cgroup);
        audited.listener.identity = Identity { owner, cgroup, netns: None };
    }
}

/// Looks up whether listeners have `TCP_DEFER_ACCEPT` set, but only where a finding depends on it,
/// since this needs a copy of the owner's descriptor.
fn deferring(host: &mut Host) {
    for space in &mut host.spaces {
        if space.counter(Counter::ListenDrops) == Some(0) {
            continue;
        }
        let mut listeners = mem::take(&mut space.listeners);
        for audited in &mut listeners {
            let drops = audited.listener.sk_drops.filter(|drops| *drops > 0);
            if let Some(owner) = audited.owner()
                && drops.is_some_and(|drops| space.may_be_deferred(drops))
            {
                audited.defer_accept = defer_accept::is_set(audited.inode(), &owner.pids);
            }
        }
        space.listeners = listeners;
    }
}

/// Reports listeners whose owners are hidden from a process with its rights. (With all rights an
/// owner may be unknown as well: the kernel's own sockets have none.)
fn strangers(host: &Host, proc_root: &Path) -> Option<String> {
    let rights = rights::effective(proc_root)?;
    let may_look = rights.has(Capability::SysPtrace) && rights.has(Capability::DacReadSearch);
    let listeners = host.spaces.iter().flat_map(|space| &space.listeners);
    let count = listeners.filter(|audited| audited.owner().is_none()).count();
    (count > 0 && !may_look).then(|| {
        format!(
            "the owner of {} is unknown: other users' processes do not show their sockets (that \
             needs CAP_SYS_PTRACE and CAP_DAC_READ_SEARCH)",
            plural(count as u64, "listener")
        )
    })
}

#[cfg(test)]
mod tests {
    use super::{Wanted, host};
    use backlog_core::filter::{Filter, Held};
    use backlog_core::owner::{Owner, Process};
    use backlog_core::text::owner_text;
    use std::collections::{HashMap, HashSet};
    use std::net::{TcpListener, TcpStream};
    use std::path::Path;

    #[test]
    fn a_listener_of_ours_is_found_with_its_queue_and_owner() {
        let socket = TcpListener::bind("127.0.0.1:0").unwrap();
        let local = socket.local_addr().unwrap();
        let _client = TcpStream::connect(local).unwrap();
        let wanted = Wanted {
            filter: Filter {
                ports: Some(local.port().to_string().parse().unwrap()),
                ..Filter::default()
            },
            netns: Some("/proc/self/ns/net".into()),
        };
        let me = |sockets: &HashSet<u64>| -> HashMap<u64, Owner> {
            let main = Process { pid: 1, comm: "me".into(), ..Process::default() };
            let owner = Owner { main, processes: 1, ..Owner::default() };
            sockets.iter().map(|inode| (*inode, owner.clone())).collect()
        };
        let found = match host(Path::new("/"), &wanted, me, |_| Some("/me".into())) {
            Ok(found) => found,
            // It fails only on kernels without the module.
            Err(error) => return assert!(format!("{error:#}").contains("tcp_diag"), "{error:#}"),
        };
        let [space] = found.spaces.as_slice() else { panic!("{found:?}") };
        assert!(space.own && space.settings.somaxconn.is_some() && space.counters.is_some());
        let [audited] = space.listeners.as_slice() else { panic!("{space:?}") };
        assert_eq!((audited.listener.local, audited.listener.depth), (local, 1));
        assert_eq!((audited.syn_queue, audited.group), (Some(0), None));
        assert_eq!(owner_text::process_word(&audited.listener), "me[1]");
        // This process holds no sockets in the list.
        let filter = Filter { process: Some(Held::default()), ..wanted.filter.clone() };
        let wanted = Wanted { filter, ..wanted };
        let found = host(Path::new("/"), &wanted, |_| HashMap::new(), |_| None).unwrap();
        assert!(found.spaces[0].listeners.is_empty() && !found.spaces[0].is_whole());
    }
}
