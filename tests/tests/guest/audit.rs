//! `backlog-trace listeners --check` on listeners that are known to be healthy or not.

use std::env;
use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::process::{Command, Output};

use backlog_tests::clock::wait_until;
use backlog_tests::socket;
use backlog_tests::tracer::PATH_VARIABLE;
use socket2::{Domain, Protocol, Socket, Type};

use super::help::{LIMIT, PORT, PORT_TEXT, in_guest_once};

/// The number of clients of the healthy server.
const CLIENTS: u64 = 5;

fn audit() -> Output {
    let tool = env::var_os(PATH_VARIABLE).unwrap_or_else(|| "backlog-trace".into());
    let here = ["listeners", "--netns", "/proc/thread-self/ns/net", "-P", PORT_TEXT];
    Command::new(tool).args(here).arg("--check").output().unwrap()
}

fn listener(backlog: i32) -> Socket {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, Some(Protocol::TCP)).unwrap();
    socket.set_reuse_address(true).unwrap();
    socket.bind(&SocketAddr::from((Ipv4Addr::LOCALHOST, PORT)).into()).unwrap();
    socket.listen(backlog).unwrap();
    socket
}

/// Makes a listener refuse a client.
fn refuse(listener: &Socket) -> Vec<Socket> {
    let clients = (0..3).map(|_| {
        let client = Socket::new(Domain::IPV4, Type::STREAM, Some(Protocol::TCP)).unwrap();
        client.set_nonblocking(true).unwrap();
        // The expected error is that the connect is in progress.
        let _ = client.connect(&SocketAddr::from((Ipv4Addr::LOCALHOST, PORT)).into());
        client
    });
    let clients = clients.collect();
    wait_until("a drop", LIMIT, || Ok(socket::drops(listener)? > 0)).unwrap();
    clients
}

/// `TCP_DEFER_ACCEPT` increments `sk_drops` for each good request.
#[test]
fn a_healthy_server_that_defers_accepts_passes_the_check() {
    in_guest_once(|| {
        // The namespace's counters are about a listener that is gone.
        let gone = listener(0);
        let clients = refuse(&gone);
        drop((clients, gone));
        let deferring = listener(64);
        socket::set_tcp_option(&deferring, libc::TCP_DEFER_ACCEPT, 30).unwrap();
        let deferring = TcpListener::from(deferring);
        for client in 1..=CLIENTS {
            let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, PORT)).unwrap();
            let put_off = || Ok(socket::drops(&deferring)? == client);
            wait_until("the bare ACK to be put off", LIMIT, put_off).unwrap();
            stream.write_all(b"x").unwrap();
            let (mut accepted, _) = deferring.accept().unwrap();
            accepted.read_exact(&mut [0]).unwrap();
        }
        let passed = audit();
        let text = String::from_utf8_lossy(&passed.stdout);
        assert!(passed.status.success() && text.contains("info: defer_accept"), "{passed:?}");
        // The same counters, and a listener that has refused a client.
        drop(deferring);
        let refusing = listener(1);
        let _clients = refuse(&refusing);
        let failed = audit();
        let text = String::from_utf8_lossy(&failed.stdout);
        assert_eq!(failed.status.code(), Some(1), "{failed:?}");
        assert!(text.contains("problem: drops"), "{text}");
    });
}
