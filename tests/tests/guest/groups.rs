//! Members of `SO_REUSEPORT` groups of real servers.

use std::collections::BTreeSet;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use backlog_tests::servers::{Plan, Server};
use backlog_tests::tracer::{Summary, Tracer};

use super::help::{LIMIT, PORT, PORT_TEXT, stop};
use super::owners::with_servers;
use super::ownership::wait_for_listeners;

/// The backlog of each member.
const BACKLOG: u32 = 16;
/// The number of clients of the stopped worker that must be refused.
const REFUSED: usize = 8;
/// One of three members gets a third of the clients, so this many are enough.
const MOST: usize = 600;
/// A client without an answer by then gives up.
const PATIENCE: Duration = Duration::from_millis(100);

/// nginx has a listener for each worker, and one worker is stopped: the kernel still assigns it a
/// third of the clients, which wait and are refused while the other two have room.
#[test]
fn a_stopped_worker_of_nginx_is_unbalanced() {
    with_servers(|root| {
        let mut tracer = Tracer::start(&["--port", PORT_TEXT], LIMIT).unwrap();
        let servers = [Server::start(root, &Plan::nginx_with_backlog(PORT, 3, BACKLOG)).unwrap()];
        wait_for_listeners(&mut tracer, &servers);
        let main = servers[0].main();
        let worker = servers[0].pids().into_iter().find(|pid| *pid != main).unwrap();
        // SAFETY: kill takes two numbers; the server is not waited for, nor are its workers.
        let stopped = unsafe { libc::kill(i32::try_from(worker).unwrap(), libc::SIGSTOP) };
        assert_eq!(stopped, 0);
        let waiting = come_until_refused();
        let run = stop(tracer);
        drop((waiting, servers));
        let members: Vec<&Summary> =
            run.summaries().filter(|summary| summary.listener.port == PORT).collect();
        assert_eq!(members.len(), 3);
        let verdict = |member: &Summary| member.sizing["verdict"].as_str().unwrap().to_owned();
        let (slow, others): (Vec<&Summary>, Vec<&Summary>) =
            members.into_iter().partition(|member| member.drops.total > 0);
        assert_eq!(slow.len(), 1, "{slow:?}");
        let why = slow[0].sizing["why"].as_str().unwrap();
        assert_eq!(verdict(slow[0]), "unbalanced", "{why}");
        assert!(why.contains("2 of 2 others had room"), "{why}");
        assert!(why.contains("never accepted") || why.contains("stopped accepting"), "{why}");
        let others: BTreeSet<String> = others.into_iter().map(verdict).collect();
        assert!(!others.contains("unbalanced"), "{others:?}");
    });
}

/// Connects one client after the other, until enough are refused. Queued ones stay connected.
fn come_until_refused() -> Vec<TcpStream> {
    let server = SocketAddr::from(([127, 0, 0, 1], PORT));
    let (mut waiting, mut refused) = (Vec::new(), 0);
    for _ in 0..MOST {
        if refused == REFUSED {
            break;
        }
        let Ok(mut client) = TcpStream::connect_timeout(&server, PATIENCE) else {
            refused += 1;
            continue;
        };
        client.set_read_timeout(Some(PATIENCE)).unwrap();
        client.write_all(b"GET / HTTP/1.0\r\nHost: localhost\r\n\r\n").unwrap();
        if client.read(&mut [0; 16]).is_err() {
            waiting.push(client);
        }
    }
    assert_eq!(refused, REFUSED, "{} wait", waiting.len());
    waiting
}
