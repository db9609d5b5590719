//! The audit as JSON lines: docs/JSON.md, "backlog-trace listeners". Additive changes only,
//! else [`SCHEMA`] counts up.

use std::io::{self, Write};

use backlog_core::counter::Counter;
use backlog_core::settings::Settings;
use jiff::Timestamp;
use serde_json::{Map, Value, json};

use super::finding::Finding;
use super::host::{Audited, Host, Space};
use crate::host::kernel::slab::{Entry, Memory};

/// The version of the contract.
const SCHEMA: u32 = 1;

/// Writes all of it: the audit as a whole, listeners, namespaces, findings.
pub(super) fn write(
    out: &mut impl Write,
    time: Timestamp,
    host: &Host,
    findings: &[Finding<'_>],
) -> io::Result<()> {
    let mut line = |kind: &str, value: Value| -> io::Result<()> {
        let mut line = Map::new();
        line.insert("type".into(), kind.into());
        line.insert("time".into(), format!("{time:.9}").into());
        if let Value::Object(fields) = value {
            line.extend(fields);
        }
        serde_json::to_writer(&mut *out, &line)?;
        out.write_all(b"\n")
    };
    let whole = json!({
        "schema": SCHEMA,
        "version": env!("CARGO_PKG_VERSION"),
        "not_seen": host.not_seen,
        "memory": memory(&host.memory),
    });
    line("audit", whole)?;
    for space in &host.spaces {
        for audited in &space.listeners {
            line("audit_listener", listener(space, audited, audited.entry(&host.memory)))?;
        }
    }
    for space in &host.spaces {
        line("audit_namespace", namespace(space))?;
    }
    for finding in findings {
        line("finding", said(finding))?;
    }
    out.flush()
}

/// The fields that the tracer's `listener` has are named as there.
fn listener(space: &Space, audited: &Audited, entry: Option<Entry>) -> Value {
    let Audited { listed, interface, syn_queue, group, owner, cgroup, defer_accept } = audited;
    let process = owner.as_ref().map(|owner| {
        let main = &owner.main;
        json!({"pid": main.pid, "comm": main.comm})
    });
    json!({
        "addr": listed.local.ip(),
        "port": listed.local.port(),
        "family": if listed.local.is_ipv4() { "ipv4" } else { "ipv6" },
        "v6only": listed.v6_only.unwrap_or(false),
        "interface": interface,
        "netns": space.netns,
        "inode": listed.inode,
        "cookie": listed.cookie,
        "limit": listed.limit,
        "asked": null,
        "somaxconn": space.settings.somaxconn,
        "depth": listed.depth,
        "use_percent": audited.use_percent(),
        "syn_queue": syn_queue,
        "sk_drops": listed.sk_drops,
        "defer_accept": defer_accept,
        "reuseport": group.map(|_| true),
        "group": group,
        "mptcp": listed.mptcp,
        "uid": listed.uid,
        "entry_bytes": entry.map(Entry::queued),
        "at_most_bytes": entry.map(|entry| entry.at_most(listed.limit)),
        "process": process,
        "owner": owner,
        "cgroup_id": listed.cgroup_id,
        "cgroup": cgroup,
    })
}

fn namespace(space: &Space) -> Value {
    let Settings { somaxconn, tcp_max_syn_backlog, syncookies, abort_on_overflow, .. } =
        space.settings;
    let counters: Map<String, Value> = Counter::ALL
        .iter()
        .map(|counter| (counter.name().to_owned(), space.counter(*counter).into()))
        .collect();
    json!({
        "netns": space.netns,
        "name": space.name,
        "own": space.own,
        "listeners": space.listeners.len(),
        "left_out": space.left_out,
        "settings": {
            "somaxconn": somaxconn,
            "tcp_max_syn_backlog": tcp_max_syn_backlog,
            "syncookies": syncookies,
            "abort_on_overflow": abort_on_overflow,
        },
        "counters": counters,
        "syn_queue_unassigned": space.unassigned,
    })
}

fn said(finding: &Finding<'_>) -> Value {
    let listener = finding.listener.map(|audited| {
        let listed = &audited.listed;
        json!({"addr": listed.local.ip(), "port": listed.local.port(), "inode": listed.inode})
    });
    json!({
        "level": finding.level,
        "kind": finding.kind,
        "netns": finding.space.map(|space| space.netns),
        "listener": listener,
        "fact": finding.fact,
        "cure": finding.cure,
    })
}

fn memory(memory: &Memory) -> Value {
    let Memory { ipv4, ipv6, mptcp_ipv4, mptcp_ipv6 } = memory;
    let entry = |entry: &Option<Entry>| {
        entry.map(|Entry { request, socket }| json!({"request": request, "socket": socket}))
    };
    json!({
        "ipv4": entry(ipv4),
        "ipv6": entry(ipv6),
        "mptcp_ipv4": entry(mptcp_ipv4),
        "mptcp_ipv6": entry(mptcp_ipv6),
    })
}
