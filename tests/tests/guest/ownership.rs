//! Comparisons for the tests of `owners`: the tool's report on a server's listeners against the
//! server's truth and `ss`.

use std::collections::BTreeSet;
use std::env;
use std::process::Command;

use anyhow::Context;
use backlog_tests::servers::{Plan, Server, Truth};
use backlog_tests::ss::Row;
use backlog_tests::tracer::{
    Kind, Limit, Line, Listener, Main, Owner, PATH_VARIABLE, Process, Run, Tracer,
};
use backlog_tests::{cgroup, netns, proc, sysctl};
use serde_json::Value;

use super::help::LIMIT;

/// Where a server runs.
pub(crate) struct Place {
    /// Inode of its network namespace.
    pub(crate) netns: u64,
    /// Its cgroup.
    pub(crate) cgroup: String,
    /// Its systemd unit, if it has one.
    pub(crate) unit: Option<&'static str>,
}

impl Place {
    /// The place of the calling thread.
    pub(crate) fn here() -> Self {
        Self { netns: netns::inode().unwrap(), cgroup: cgroup::own().unwrap(), unit: None }
    }
}

/// The listeners of all summaries for a port.
pub(crate) fn summaries(run: &Run, port: u16) -> Vec<Listener> {
    run.summaries().map(|one| one.listener.clone()).filter(|one| one.port == port).collect()
}

/// The rows of `ss` for a port.
pub(crate) fn of(port: u16, rows: &[Row]) -> Vec<Row> {
    rows.iter().filter(|row| row.port == port).cloned().collect()
}

/// Checks a listener whose opening was seen.
pub(crate) fn assert_asked(name: &str, listener: &Listener, asked: i64, comm: &str, pid: u32) {
    assert_eq!(listener.asked, Some(asked), "{name}: asked: {listener:?}");
    let process = Process { pid, comm: comm.to_owned() };
    assert_eq!(listener.process.as_ref(), Some(&process), "{name}: {listener:?}");
}

/// The same if clients are trying to connect: one of them may find the socket before the call that
/// opens it has returned, and the call then has a line of its own.
pub(crate) fn assert_opened(run: &Run, plan: &Plan, listener: &Listener, pid: u32) {
    let Plan { name, truth, .. } = plan;
    if listener.asked.is_some() {
        return assert_asked(name, listener, truth.asked, truth.opener, pid);
    }
    let calls = run.limits(listener).unwrap();
    let process = Process { pid, comm: truth.opener.to_owned() };
    let told =
        |call: &Limit| call.asked == Some(truth.asked) && call.process.as_ref() == Some(&process);
    assert!(calls.first().is_some_and(told), "{name}: {listener:?}: listen(): {calls:?}");
}

/// Checks all of a server's listeners, each with its limit, place and owners, and that `ss` agrees.
pub(crate) fn assert_owned(server: &Server, found: &[Listener], rows: &[Row], place: &Place) {
    let Server { name, truth, .. } = server;
    let rows = of(truth.port, rows);
    assert_eq!((found.len(), rows.len()), (truth.sockets, truth.sockets), "{name}: {found:?}");
    let mut members = BTreeSet::new();
    for listener in found {
        assert_limit(name, listener, truth);
        assert_place(name, listener, place);
        let owner = listener.owner.as_ref();
        let owner = owner.with_context(|| format!("{name}: nobody's: {listener:?}")).unwrap();
        assert_main(name, owner, server, place);
        assert_eq!(owner.pids, server.pids(), "{name}: {owner:?}");
        assert_eq!(owner.processes, owner.pids.len() as u64, "{name}: {owner:?}");
        assert!(owner.threads >= owner.processes, "{name}: {owner:?}");
        assert_eq!(owner.unit.as_deref(), place.unit, "{name}: {owner:?}");
        assert!(owner.container.is_none(), "{name}: {owner:?}");
        let main = Process { pid: owner.main.pid, comm: owner.main.comm.clone() };
        assert_eq!(listener.process.as_ref(), Some(&main), "{name}: {listener:?}");

        let row = rows.iter().find(|row| row.inode == listener.inode);
        let row = row.with_context(|| format!("{name}: {} of {rows:?}", listener.inode)).unwrap();
        assert_eq!(owner.pids, row.pids(), "{name}: ss says {row:?}");
        assert_eq!(listener.limit, row.limit, "{name}: ss says {row:?}");

        // Sharing the port is only known for sockets with events.
        assert!(listener.reuseport.is_none_or(|one| one == truth.reuseport), "{listener:?}");
        assert_eq!(listener.group.map(|group| group.size), group(truth), "{name}: {listener:?}");
        members.extend(listener.group.map(|group| group.member));
    }
    if truth.reuseport {
        assert_eq!(members.len(), truth.sockets, "{name}: members are not distinct: {found:?}");
    }
}

/// The number of sockets that share the port, if it is shared.
fn group(truth: &Truth) -> Option<u64> {
    truth.reuseport.then_some(truth.sockets as u64)
}

fn assert_limit(name: &str, listener: &Listener, truth: &Truth) {
    assert_eq!(listener.addr, truth.addr, "{name}: {listener:?}");
    let family = if truth.addr.contains(':') { "ipv6" } else { "ipv4" };
    assert_eq!(listener.family, family, "{name}: {listener:?}");
    assert_eq!(listener.limit, truth.limit().unwrap(), "{name}: {listener:?}");
    let somaxconn = sysctl::get("net.core.somaxconn").unwrap().parse().unwrap();
    // If the call was seen, this is the value at that time.
    let met = listener.somaxconn.or_else(|| listener.asked.is_none().then_some(somaxconn));
    assert_eq!(met, Some(somaxconn), "{name}: {listener:?}");
}

fn assert_place(name: &str, listener: &Listener, place: &Place) {
    assert_eq!(listener.netns, place.netns, "{name}: {listener:?}");
    // The cgroup may be unknown unless the call of `listen()` was seen.
    let cgroup = listener.cgroup.as_deref();
    assert!(cgroup.is_none_or(|one| one == place.cgroup), "{name}: {listener:?}");
    assert!(cgroup.is_some() || listener.asked.is_none(), "{name}: {listener:?}");
}

/// Checks the main process: the parent of the others.
fn assert_main(name: &str, owner: &Owner, server: &Server, place: &Place) {
    let Main { pid, comm, cmdline, uid, user, cgroup } = &owner.main;
    assert_eq!((*pid, comm.as_str()), (server.main(), server.truth.comm), "{name}: {owner:?}");
    let cmdline = words(cmdline);
    assert!(cmdline.contains(server.truth.cmdline), "{name}: {cmdline}");
    assert_eq!((*uid, user.as_deref()), (Some(0), Some("root")), "{name}: {owner:?}");
    // A system may have older hierarchies with more information in addition to version 2.
    let cgroups = proc::cgroups(*pid);
    let is_one = cgroup.as_ref().is_some_and(|one| cgroups.contains(one));
    assert!(is_one && cgroups.contains(&place.cgroup), "{name}: {owner:?}: {cgroups:?}");
    assert!(place.unit.is_none() || cgroup.as_ref() == Some(&place.cgroup), "{name}: {owner:?}");
}

/// A command line, given as a string or as a list.
fn words(cmdline: &Value) -> String {
    match cmdline {
        Value::Array(words) => words.iter().filter_map(Value::as_str).collect::<Vec<_>>().join(" "),
        other => other.as_str().unwrap_or_default().to_owned(),
    }
}

/// The audit's listeners in a network namespace.
pub(crate) fn audit(netns: u64) -> Vec<Listener> {
    let tool = env::var_os(PATH_VARIABLE).unwrap_or_else(|| "backlog-trace".into());
    let output = Command::new(tool).args(["listeners", "-o", "json"]).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    let text = String::from_utf8_lossy(&output.stdout);
    let lines = text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    let lines = lines.filter(|line| line["type"] == "audit_listener");
    let listeners = lines.map(|line| serde_json::from_value::<Listener>(line).unwrap());
    listeners.filter(|one| one.netns == netns).collect()
}

/// How often the tool reports that a listener was closed.
pub(crate) fn closings(run: &Run, listener: &Listener) -> usize {
    let is_closing = |line: &&Line| line.is("closed") && line.raw["listener"] == listener.id;
    run.lines.iter().filter(is_closing).count()
}

/// The option `--port` for all of these.
pub(crate) fn ports(plans: &[Plan]) -> String {
    let ports: Vec<u16> = plans.iter().map(|plan| plan.truth.port).collect();
    format!("{}-{}", ports.iter().min().unwrap(), ports.iter().max().unwrap())
}

/// Waits until the tool has reported each socket.
pub(crate) fn wait_for_listeners(tracer: &mut Tracer, servers: &[Server]) {
    let told = |lines: &[Line], truth: &Truth| {
        let of_port =
            |line: &&Line| matches!(&line.kind, Kind::Listener(one) if one.port == truth.port);
        lines.iter().filter(of_port).count() >= truth.sockets
    };
    let all = |lines: &[Line]| servers.iter().all(|server| told(lines, &server.truth));
    tracer.wait_for("the servers' lines", LIMIT, all).unwrap();
}
