//! Prints synthetic hosts.

use backlog_core::aggregate::registry::SockDiagListener;
use backlog_core::counter::Counter;
use backlog_core::owner::{Container, Owner, Process};
use backlog_core::settings::Settings;
use jiff::Timestamp;

use super::host::{Audited, Host, Member, Space};
use super::{csv, finding, json, text};
use crate::host::kernel::slab::{Entry, Memory};
use crate::output::schema;

/// A healthy listener on this address.
pub(crate) fn listed(local: &str) -> SockDiagListener {
    SockDiagListener::made_up(local.parse().unwrap())
}

pub(super) fn audited(local: &str, limit: u32, depth: u32) -> Audited {
    Audited {
        syn_queue: Some(0),
        ..Audited::of(&SockDiagListener { limit, depth, ..listed(local) }, 1)
    }
}

pub(super) fn space(listeners: Vec<Audited>) -> Space {
    let mut counters = [Some(0); Counter::COUNT];
    counters[Counter::FastOpenListenOverflow as usize] = None;
    Space {
        netns: 4_026_531_840,
        name: None,
        own: true,
        settings: Settings {
            somaxconn: Some(4096),
            tcp_max_syn_backlog: Some(512),
            syncookies: Some(1),
            abort_on_overflow: Some(0),
            migrate_req: Some(0),
        },
        counters: Some(counters),
        listeners,
        left_out: 0,
        unassigned: Some(0),
    }
}

pub(super) fn set(space: &mut Space, counter: Counter, value: u64) {
    if let Some(counters) = &mut space.counters {
        counters[counter as usize] = Some(value);
    }
}

pub(super) fn host(spaces: Vec<Space>) -> Host {
    let entry = |socket| Some(Entry { request: 320, socket });
    let memory = Memory { ipv4: entry(2368), ipv6: entry(2496), ..Memory::default() };
    Host { spaces, memory, not_seen: Vec::new(), filtered: false }
}

fn owner(comm: &str, pid: u32, processes: usize) -> Owner {
    let main = Process {
        pid,
        comm: comm.into(),
        cmdline: format!("/usr/sbin/{comm} -g daemon"),
        uid: 33,
        user: Some("www".into()),
        cgroup: Some("/system.slice/web.service".into()),
    };
    Owner {
        main,
        processes,
        pids: vec![pid],
        threads: 1,
        unit: Some("web.service".into()),
        container: None,
    }
}

/// A host with all findings, in two namespaces.
fn busy() -> Host {
    let mut full = audited("0.0.0.0:8000", 5, 6);
    full.listener.sk_drops = Some(14);
    full.listener.identity.owner = Some(Box::new(owner("nginx", 812, 4)));
    let mut members = vec![audited("10.0.0.1:443", 4096, 0), audited("10.0.0.1:443", 4096, 3300)];
    for (inode, member) in (100..).zip(&mut members) {
        member.listener.inode = Some(inode);
        (member.syn_queue, member.group) = (None, Some(Member { size: 2, member: 1 }));
        member.listener.reuseport = Some(true);
        member.listener.identity.owner = Some(Box::new(owner("a name; odd", 4_194_303, 1)));
    }
    let mut bound = audited("[fe80::1234:5678:9abc:def0]:22", 128, 0);
    bound.interface = Some("eth0".into());
    let mut listeners = vec![bound];
    listeners.append(&mut members);
    listeners.push(full);
    let mut ours = space(listeners);
    set(&mut ours, Counter::ListenOverflows, 7);
    set(&mut ours, Counter::ListenDrops, 9);
    let mut inner = audited("[::]:8080", 8192, 0);
    let container = Container { runtime: Some("docker".into()), id: "0123abcd".into(), pod: None };
    inner.listener.identity.owner =
        Some(Box::new(Owner { container: Some(container), ..owner("java", 77, 1) }));
    inner.listener.identity.cgroup = Some("/docker/0123abcd".into());
    let mut blue = space(vec![inner]);
    (blue.netns, blue.own, blue.name) = (4_026_532_287, false, Some("blue".into()));
    blue.settings.syncookies = Some(0);
    blue.settings.abort_on_overflow = Some(1);
    blue.left_out = 1;
    blue.counters = None;
    host(vec![ours, blue])
}

#[track_caller]
fn lines_fit(text: &str) {
    for line in text.lines() {
        assert!(line.is_ascii() && line.len() <= 80 && line.trim_end() == line, "{line:?}");
    }
}

#[test]
fn a_busy_host_in_a_table() {
    let host = busy();
    let text = text::render(&host, &finding::find(&host));
    lines_fit(&text);
    insta::assert_snapshot!(text);
}

#[test]
fn a_healthy_host_in_a_table() {
    let host = host(vec![space(vec![audited("0.0.0.0:22", 128, 0), audited("[::]:22", 128, 0)])]);
    let text = text::render(&host, &finding::find(&host));
    lines_fit(&text);
    insta::assert_snapshot!(text);
}

#[test]
fn many_of_one_kind_are_told_in_one() {
    let all = (1..=5000).map(|port| audited(&format!("0.0.0.0:{port}"), 4096, 0)).collect();
    let host = host(vec![space(all)]);
    let text = text::render(&host, &finding::find(&host));
    assert_eq!(text.matches("is somaxconn").count(), 10);
    assert!(text.contains("and 4990 others"), "{}", text.lines().count());
}

#[test]
fn json_lines() {
    let host = busy();
    let mut out = Vec::new();
    json::write(&mut out, Timestamp::UNIX_EPOCH, &host, &finding::find(&host)).unwrap();
    let text = String::from_utf8(out).unwrap();
    schema::check_lines(&text);
    insta::assert_snapshot!(text.replace(env!("CARGO_PKG_VERSION"), "VERSION"));
}

#[test]
fn csv_rows() {
    let host = busy();
    let mut out = Vec::new();
    csv::write(&mut out, &host, &finding::find(&host)).unwrap();
    insta::assert_snapshot!(String::from_utf8(out).unwrap());
}
