//! The owners of listeners: real servers from Debian packages, started as their users start them,
//! before the tool and after it. The tool must report each correctly, with all its processes, and
//! `ss -ltnp` must agree.

use std::fs;
use std::io::{Write, stderr};

use anyhow::Context;
use backlog_tests::cgroup::{self, Cgroup};
use backlog_tests::netns::{self, Name};
use backlog_tests::servers::{Clients, Plan, Root, Server, Truth, all, answers};
use backlog_tests::tracer::{Limit, Line, Listener, Process, Tracer};
use backlog_tests::{proc, socket, ss};

use super::help::{LIMIT, PORT, in_guest, in_guest_once, stop};
use super::ownership::{
    self, Place, assert_asked, assert_opened, assert_owned, closings, of, ports, wait_for_listeners,
};

/// The number of clients of each server: enough that each of three sockets on a port gets one.
const CLIENTS: u32 = 60;

/// Runs `test` as usual, if the servers are installed.
pub(crate) fn with_servers(test: impl FnOnce(&Root) + Send) {
    in_guest(|| match Root::find() {
        Ok(root) => test(&root),
        Err(error) => absent("real servers", &format!("{error:#}")),
    });
}

/// The same for tests of userspace alone.
fn with_servers_once(test: impl FnOnce(&Root) + Send) {
    in_guest_once(|| match Root::find() {
        Ok(root) => test(&root),
        Err(error) => absent("real servers", &format!("{error:#}")),
    });
}

pub(crate) fn absent(name: &str, why: &str) {
    let _ = writeln!(stderr(), "absent: {name}: {why}");
}

/// Servers that stay the same when clients connect.
fn plain() -> Vec<Plan> {
    let activated = Plan::activated(0).name;
    all(PORT).unwrap().into_iter().filter(|plan| plan.name != activated).collect()
}

fn start(root: &Root, plan: &Plan) -> Server {
    Server::start(root, plan).context(plan.name).unwrap()
}

/// Connects clients to each server, so that each of its listeners has a summary.
fn visit(servers: &[Server]) {
    for Server { truth: Truth { port, sockets, .. }, .. } in servers {
        for _ in 0..if *sockets > 1 { CLIENTS } else { 1 } {
            answers(*port).unwrap();
        }
    }
}

/// Needs no tool: checks the truth that the other tests rely on.
#[test]
fn servers_are_what_we_think() {
    with_servers_once(|root| {
        for plan in all(PORT).unwrap() {
            let mut server = start(root, &plan);
            assert_true(&server, &of(server.truth.port, &ss::listeners(root).unwrap()));
            if plan.name == "go mptcp" {
                is_multipath(root, &server);
            }
            if plan == Plan::activated(plan.truth.port) {
                answers(plan.truth.port).unwrap();
                server.becomes(Plan::woken(plan.truth.port)).unwrap();
                assert_true(&server, &of(server.truth.port, &ss::listeners(root).unwrap()));
            }
            let (port, pids) = (server.truth.port, server.pids());
            server.stop().unwrap();
            assert!(!pids.iter().any(|pid| proc::lives(*pid)), "{}: {pids:?}", plan.name);
            assert!(of(port, &ss::listeners(root).unwrap()).is_empty(), "{}", plan.name);
        }
    });
}

/// Compares a server's truth with the output of `ss`.
fn assert_true(server: &Server, rows: &[ss::Row]) {
    let Server { name, truth, .. } = server;
    assert_eq!(rows.len(), truth.sockets, "{name}: {rows:?}");
    for row in rows {
        assert_eq!(row.pids(), server.pids(), "{name}: {row:?}");
        assert_eq!(row.limit, truth.limit().unwrap(), "{name}: {row:?}");
        assert!(row.users.iter().all(|user| user.comm == truth.comm), "{name}: {row:?}");
        let addr = if truth.addr == "::" { "*" } else { truth.addr };
        assert_eq!(row.addr, addr, "{name}: {row:?}");
    }
}

/// Does the server listen with MPTCP, as it must if this kernel can?
fn is_multipath(root: &Root, server: &Server) -> bool {
    let kernel = fs::exists("/proc/sys/net/mptcp").unwrap();
    if !kernel {
        absent("an MPTCP listener", "no MPTCP in this kernel: it listens with TCP");
    }
    let rows = of(server.truth.port, &ss::listeners(root).unwrap());
    let user = &rows[0].users[0];
    let is = socket::protocol_of(user.pid, user.fd).unwrap() == libc::IPPROTO_MPTCP;
    assert_eq!(is, kernel, "{}", server.name);
    is
}

/// The tool sees the calls of `listen()`, so it knows the requested backlog and the caller.
#[test]
fn servers_that_start_under_the_tool_are_named() {
    with_servers(|root| {
        let plans = plain();
        let mut tracer = Tracer::start(&["--port", &ports(&plans)], LIMIT).unwrap();
        let servers: Vec<Server> = plans.iter().map(|plan| start(root, plan)).collect();
        wait_for_listeners(&mut tracer, &servers);
        visit(&servers);
        let rows = ss::listeners(root).unwrap();
        let run = stop(tracer);
        let place = Place::here();
        for server in &servers {
            let Server { name, truth, .. } = server;
            for listener in run.listeners(truth.port) {
                assert_asked(name, listener, truth.asked, truth.opener, server.main());
                let calls = run.limits(listener).unwrap();
                // The line `listener` reports the first call.
                assert_eq!(calls.len(), truth.calls - 1, "{name}: listen(): {calls:?}");
                for call in &calls {
                    assert_call(name, call, truth, server.main());
                }
            }
            let summaries = ownership::summaries(&run, truth.port);
            assert!(summaries.iter().all(|one| one.asked == Some(truth.asked)), "{name}");
            assert_owned(server, &summaries, &rows, &place);
            let shared: Vec<_> = summaries.iter().map(|one| one.reuseport).collect();
            assert_eq!(shared, vec![Some(truth.reuseport); truth.sockets], "{name}: reuseport");
        }
    });
}

/// Checks a call of `listen()` against the server's own source code.
fn assert_call(name: &str, call: &Limit, truth: &Truth, pid: u32) {
    let limit = truth.limit().unwrap();
    assert_eq!((call.asked, call.limit), (Some(truth.asked), limit), "{name}: {call:?}");
    let caller = Process { pid, comm: truth.opener.to_owned() };
    assert_eq!(call.process.as_ref(), Some(&caller), "{name}: {call:?}");
}

/// The tool did not see them start, and finds them by what the kernel shows.
#[test]
fn servers_that_ran_before_the_tool_are_named() {
    with_servers(|root| {
        let plans = plain();
        let servers: Vec<Server> = plans.iter().map(|plan| start(root, plan)).collect();
        let mut tracer = Tracer::start(&["--port", &ports(&plans)], LIMIT).unwrap();
        wait_for_listeners(&mut tracer, &servers);
        visit(&servers);
        let rows = ss::listeners(root).unwrap();
        let run = stop(tracer);
        for server in &servers {
            let Server { name, truth, .. } = server;
            let unseen = run.listeners(truth.port).all(|one| one.asked.is_none());
            assert!(unseen, "{name}: the requested backlog was seen");
            assert_owned(server, &ownership::summaries(&run, truth.port), &rows, &Place::here());
        }
    });
}

/// The audit traces nothing, but finds the same owners.
#[test]
fn the_audit_names_them() {
    with_servers_once(|root| {
        let servers: Vec<Server> =
            all(PORT).unwrap().iter().map(|plan| start(root, plan)).collect();
        let audited = ownership::audit(netns::inode().unwrap());
        let rows = ss::listeners(root).unwrap();
        for server in &servers {
            let found: Vec<Listener> =
                audited.iter().filter(|one| one.port == server.truth.port).cloned().collect();
            assert_owned(server, &found, &rows, &Place::here());
        }
    });
}

/// One program creates the listener, and another one accepts and calls `listen()` again.
#[test]
fn a_listener_that_is_passed_on_has_two_owners_in_turn() {
    with_servers(|root| {
        let plan = Plan::activated(PORT);
        let mut tracer = Tracer::start(&["--port", &PORT.to_string()], LIMIT).unwrap();
        let mut server = start(root, &plan);
        wait_for_listeners(&mut tracer, std::slice::from_ref(&server));
        answers(PORT).unwrap();
        let woken = Plan::woken(PORT);
        server.becomes(woken.clone()).unwrap();
        let again = |lines: &[Line]| lines.iter().any(|line| line.is("limit"));
        tracer.wait_for("the second listen()", LIMIT, again).unwrap();
        let rows = ss::listeners(root).unwrap();
        let run = stop(tracer);
        let listeners: Vec<&Listener> = run.listeners(PORT).collect();
        assert_eq!(listeners.len(), 1, "{listeners:?}");
        let pid = server.main();
        assert_asked(plan.name, listeners[0], plan.truth.asked, plan.truth.opener, pid);
        let calls = run.limits(listeners[0]).unwrap();
        assert_eq!(calls.len(), 1, "{calls:?}");
        assert_call(plan.name, &calls[0], &woken, pid);
        assert_eq!(calls[0].was, Some(plan.truth.limit().unwrap()), "{calls:?}");
        assert_owned(&server, &ownership::summaries(&run, PORT), &rows, &Place::here());
    });
}

/// The server runs in a network namespace and cgroup of its own, like a container or unit.
#[test]
fn a_server_in_a_namespace_and_a_cgroup_of_its_own_is_named() {
    with_servers(|root| {
        let slice = format!("backlog{}.slice", std::process::id());
        let cgroup = match Cgroup::make(&[&slice, "backlog-web.service"]) {
            Ok(cgroup) => cgroup,
            Err(error) => return absent("a cgroup of its own", &format!("{error:#}")),
        };
        let early = Tracer::start(&["--port", &PORT.to_string()], LIMIT).unwrap();
        let plan = Plan::http_server(PORT);
        let (server, rows, inode) = netns::fresh(|| {
            let server = Server::start_in(root, &plan, Some(&cgroup)).unwrap();
            answers(PORT).unwrap();
            (server, ss::listeners(root).unwrap(), netns::inode().unwrap())
        })
        .unwrap();
        // On a machine in use, others would see a name.
        let native = std::env::var_os("BACKLOG_NATIVE").is_some();
        let name = (!native).then_some("backlog-web");
        let _named = name.map(|name| Name::give(name, server.main()).unwrap());
        let late = Tracer::start(&["--port", &PORT.to_string()], LIMIT).unwrap();
        // Below a unit other than the root's, this is not a unit of its own.
        let unit = (cgroup::own().unwrap() == "/").then_some("backlog-web.service");
        let place = Place { netns: inode, cgroup: cgroup.path.clone(), unit };
        for (tracer, name, asked) in [(early, None, Some(5)), (late, name, None)] {
            netns::within(server.main(), || answers(PORT).unwrap()).unwrap();
            let run = stop(tracer);
            let found = ownership::summaries(&run, PORT);
            assert_owned(&server, &found, &rows, &place);
            assert_eq!(found[0].asked, asked);
            if name.is_some() {
                assert_eq!(found[0].netns_name.as_deref(), name);
            }
        }
        server.stop().unwrap();
    });
}

/// The second server counts as another one, although it has the port and name of the first.
#[test]
fn a_restart_under_load_is_two_listeners() {
    with_servers(|root| {
        let plan = Plan::nginx(PORT);
        let tracer = Tracer::start(&["--port", &PORT.to_string()], LIMIT).unwrap();
        let first = start(root, &plan);
        let clients = Clients::start(PORT);
        clients.more(20).unwrap();
        let before = first.main();
        first.stop().unwrap();
        let second = start(root, &plan);
        clients.more(20).unwrap();
        let rows = ss::listeners(root).unwrap();
        assert!(clients.finish().unwrap() >= 40);
        let run = stop(tracer);
        let listeners: Vec<&Listener> = run.listeners(PORT).collect();
        assert_eq!(listeners.len(), 2, "{listeners:?}");
        assert_ne!(listeners[0].id, listeners[1].id);
        for (listener, pid) in listeners.iter().zip([before, second.main()]) {
            assert_opened(&run, &plan, listener, pid);
            assert_eq!(closings(&run, listener), usize::from(pid == before), "{listener:?}");
        }
        let summaries = ownership::summaries(&run, PORT);
        let (of_first, of_second): (Vec<_>, Vec<_>) =
            summaries.into_iter().partition(|one| one.id == listeners[0].id);
        // It is gone, but still reported.
        let was = Process { pid: before, comm: plan.truth.comm.to_owned() };
        let named: Vec<_> = of_first.iter().map(|one| one.process.as_ref()).collect();
        assert_eq!(named, [Some(&was)], "{of_first:?}");
        assert_owned(&second, &of_second, &rows, &Place::here());
    });
}
