//! Prints the audit as CSV: a header row and a row per listener, which repeats the columns of its
//! namespace. An empty field means unknown.

use std::collections::HashMap;
use std::io::Write;

use anyhow::Result;
use backlog_core::counter::Counter;
use backlog_core::event::Listener;
use backlog_core::owner::{Container, Owner, Process};
use backlog_core::text::outside::safe;
use backlog_core::text::owner_text::outside;

use super::finding::Finding;
use super::host::{Audited, Host, Space};
use crate::output::column::{Column, text};

/// The data of a row.
struct Row<'a> {
    space: &'a Space,
    audited: &'a Audited,
    /// The kinds of the findings on the listener itself.
    kinds: &'a [&'static str],
}

impl Row<'_> {
    fn listener(&self) -> &Listener {
        &self.audited.listener
    }

    fn owner(&self) -> Option<&Owner> {
        self.audited.owner()
    }

    fn main(&self) -> Option<&Process> {
        self.owner().map(|owner| &owner.main)
    }

    fn container(&self) -> Option<&Container> {
        self.owner()?.container.as_ref()
    }
}

type RowColumn = Column<fn(&Row<'_>) -> String>;

/// The columns, named as in the JSON lines.
const COLUMNS: [RowColumn; 32] = [
    Column::new("netns", "the inode number of its network namespace", |row| {
        row.space.netns.to_string()
    }),
    Column::new("netns_name", "the name of its network namespace", |row| {
        outside(row.space.name.as_ref())
    }),
    Column::new("addr", "the address that it is bound to", |row| {
        row.listener().local.ip().to_string()
    }),
    Column::new("port", "the port that it is bound to", |row| {
        row.listener().local.port().to_string()
    }),
    Column::new("family", "`ipv4` or `ipv6`", |row| row.listener().family().to_owned()),
    Column::new("v6only", "an IPv6 socket that accepts no IPv4 clients", |row| {
        row.listener().v6_only.to_string()
    }),
    Column::new("interface", "the interface that it is bound to", |row| {
        outside(row.audited.interface.as_ref())
    }),
    Column::new("inode", "the inode number of its socket", |row| row.audited.inode().to_string()),
    Column::new("cookie", "the cookie of its socket", |row| text(row.listener().cookie)),
    Column::new(
        "asked",
        "always empty: the kernel does not keep what was asked for. The column stays for readers that count columns",
        |_| String::new(),
    ),
    Column::new("limit", "the granted backlog", |row| row.listener().limit.to_string()),
    Column::new("somaxconn", "`net.core.somaxconn` of its network namespace now", |row| {
        text(row.space.settings.somaxconn)
    }),
    Column::new("depth", "connections in its accept queue", |row| row.listener().depth.to_string()),
    Column::new("use_percent", "`depth` in percent of `limit`, rounded up", |row| {
        row.audited.use_percent().to_string()
    }),
    Column::new(
        "syn_queue",
        "requests in its SYN queue; empty: they may belong to another listener as well",
        |row| text(row.audited.syn_queue),
    ),
    Column::new("sk_drops", "`sk_drops` since it was opened", |row| text(row.listener().sk_drops)),
    Column::new("reuseport", "`true`: another socket listens on exactly the same address", |row| {
        text(row.listener().reuseport)
    }),
    Column::new("mptcp", "it takes MPTCP", |row| row.audited.mptcp.to_string()),
    Column::new("uid", "the user that its socket belongs to", |row| row.audited.uid.to_string()),
    Column::new("pid", "the number of the main process that holds it", |row| {
        text(row.main().map(|main| main.pid))
    }),
    Column::new("comm", "the name of that process", |row| {
        outside(row.main().map(|main| &main.comm))
    }),
    Column::new("processes", "how many processes hold it", |row| {
        text(row.owner().map(|owner| owner.processes))
    }),
    Column::new("user", "the user of the main process", |row| {
        outside(row.main().and_then(|main| main.user.as_ref()))
    }),
    Column::new("unit", "the systemd unit of the main process", |row| {
        outside(row.owner().and_then(|owner| owner.unit.as_ref()))
    }),
    Column::new("container", "the id of the container of the main process", |row| {
        outside(row.container().map(|container| &container.id))
    }),
    Column::new("cgroup", "the path of the cgroup (v2) where its socket was made", |row| {
        outside(row.listener().identity.cgroup.as_ref())
    }),
    Column::new(
        "tcp_max_syn_backlog",
        "`net.ipv4.tcp_max_syn_backlog` of its network namespace",
        |row| text(row.space.settings.tcp_max_syn_backlog),
    ),
    Column::new("syncookies", "`net.ipv4.tcp_syncookies` of its network namespace", |row| {
        text(row.space.settings.syncookies)
    }),
    Column::new(
        "abort_on_overflow",
        "`net.ipv4.tcp_abort_on_overflow` of its network namespace",
        |row| text(row.space.settings.abort_on_overflow),
    ),
    Column::new("ListenOverflows", "that counter of its network namespace", |row| {
        text(row.space.counter(Counter::ListenOverflows))
    }),
    Column::new("ListenDrops", "that counter of its network namespace", |row| {
        text(row.space.counter(Counter::ListenDrops))
    }),
    Column::new(
        "findings",
        "the kinds of the findings on the listener itself, separated by spaces",
        |row| row.kinds.join(" "),
    ),
];

/// All columns, for docs and `explain`.
pub(crate) fn columns() -> Vec<crate::output::column::ColumnDoc> {
    COLUMNS.iter().map(Column::doc).collect()
}

/// Writes all rows.
pub(super) fn write(out: impl Write, host: &Host, findings: &[Finding<'_>]) -> Result<()> {
    // The findings on each listener, by its inode.
    let mut kinds: HashMap<u64, Vec<&str>> = HashMap::new();
    for finding in findings {
        if let Some(audited) = finding.listener {
            kinds.entry(audited.inode()).or_default().push(finding.kind.name());
        }
    }
    let mut out = csv::Writer::from_writer(out);
    out.write_record(COLUMNS.iter().map(|column| column.name))?;
    for space in &host.spaces {
        for audited in &space.listeners {
            let kinds = kinds.get(&audited.inode()).map(Vec::as_slice).unwrap_or_default();
            let row = Row { space, audited, kinds };
            out.write_record(COLUMNS.iter().map(|column| safe(&(column.value)(&row))))?;
        }
    }
    Ok(out.flush()?)
}
