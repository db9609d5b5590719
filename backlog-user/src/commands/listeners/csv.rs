//! The audit as CSV: a header row, and a row per listener, which repeats the columns of its
//! namespace. Empty: unknown.

use std::collections::HashMap;
use std::io::Write;

use anyhow::Result;
use backlog_core::counter::Counter;
use backlog_core::text::whose::outside;

use super::finding::Finding;
use super::host::{Audited, Host, Space};

/// Named as in the JSON lines.
const COLUMNS: [&str; 32] = [
    "netns",
    "netns_name",
    "addr",
    "port",
    "family",
    "v6only",
    "interface",
    "inode",
    "cookie",
    "asked",
    "limit",
    "somaxconn",
    "depth",
    "use_percent",
    "syn_queue",
    "sk_drops",
    "reuseport",
    "mptcp",
    "uid",
    "pid",
    "comm",
    "processes",
    "user",
    "unit",
    "container",
    "cgroup",
    "tcp_max_syn_backlog",
    "syncookies",
    "abort_on_overflow",
    "ListenOverflows",
    "ListenDrops",
    "findings",
];

/// Writes all of it.
pub(super) fn write(out: impl Write, host: &Host, findings: &[Finding<'_>]) -> Result<()> {
    // The findings on each listener itself.
    let mut kinds: HashMap<u64, Vec<&str>> = HashMap::new();
    for finding in findings {
        if let Some(audited) = finding.listener {
            kinds.entry(audited.listed.inode).or_default().push(finding.kind.name());
        }
    }
    let mut out = csv::Writer::from_writer(out);
    out.write_record(COLUMNS)?;
    for space in &host.spaces {
        for audited in &space.listeners {
            let kinds = kinds.get(&audited.listed.inode).map(Vec::as_slice);
            out.write_record(row(space, audited, kinds.unwrap_or_default()))?;
        }
    }
    Ok(out.flush()?)
}

fn row(space: &Space, audited: &Audited, kinds: &[&str]) -> [String; 32] {
    let Audited { listed, interface, syn_queue, group, owner, cgroup, defer_accept: _ } = audited;
    let (ip, port) = (listed.local.ip(), listed.local.port());
    let main = owner.as_ref().map(|owner| &owner.main);
    let container = owner.as_ref().and_then(|owner| owner.container.as_ref());
    let set = &space.settings;
    [
        space.netns.to_string(),
        outside(space.name.as_ref()),
        ip.to_string(),
        port.to_string(),
        if ip.is_ipv4() { "ipv4" } else { "ipv6" }.to_owned(),
        listed.v6_only.unwrap_or(false).to_string(),
        outside(interface.as_ref()),
        listed.inode.to_string(),
        listed.cookie.to_string(),
        // `asked`: the kernel does not keep it. The column stays, for those who read by number.
        String::new(),
        listed.limit.to_string(),
        text(set.somaxconn),
        listed.depth.to_string(),
        audited.use_percent().to_string(),
        text(*syn_queue),
        text(listed.sk_drops),
        text(group.map(|_| true)),
        listed.mptcp.to_string(),
        listed.uid.to_string(),
        text(main.map(|main| main.pid)),
        outside(main.map(|main| &main.comm)),
        text(owner.as_ref().map(|owner| owner.processes)),
        outside(main.and_then(|main| main.user.as_ref())),
        outside(owner.as_ref().and_then(|owner| owner.unit.as_ref())),
        outside(container.map(|container| &container.id)),
        outside(cgroup.as_ref()),
        text(set.tcp_max_syn_backlog),
        text(set.syncookies),
        text(set.abort_on_overflow),
        text(space.counter(Counter::ListenOverflows)),
        text(space.counter(Counter::ListenDrops)),
        kinds.join(" "),
    ]
}

fn text(value: Option<impl ToString>) -> String {
    value.map_or_else(String::new, |value| value.to_string())
}
