//! Handshakes that are no ordinary ones: SYN cookies, Fast Open, MPTCP. Each
//! reaches the accept queue by another function of the kernel.

use std::path::Path;

use backlog_tests::sysctl::Sysctl;

use super::help::{assert_counted, assert_exact, in_guest, trace_load};

const SOME: &str = "--count 60 --backlog 128";

#[test]
fn syn_cookies() {
    in_guest(|| cookies("v4"));
}

#[test]
fn syn_cookies_ipv6() {
    in_guest(|| cookies("v6"));
}

#[test]
fn syn_cookies_dual() {
    in_guest(|| cookies("dual"));
}

fn cookies(family: &str) {
    // Always, also with room in the SYN queue.
    let _always = Sysctl::set("net.ipv4.tcp_syncookies", "2").unwrap();
    let traced = trace_load(&format!("{SOME} --family {family}"));
    // A FIN that is right behind the ACK may be taken for one as well, on another
    // CPU: the kernel then makes a second child, which later kernels throw away
    // and 5.10 queues (60 clients, 62 accepts).
    assert!(traced.kernel("SyncookiesRecv") >= 60, "the load itself");
    assert_counted(&traced);
    let summary = traced.summary();
    assert_eq!(summary.beside("syn_cookie_accepted"), 60);
    assert_eq!(summary.beside("syn_cookie_sent"), traced.kernel("SyncookiesSent"));
}

#[test]
fn fast_open() {
    in_guest(|| fast_open_of("v4"));
}

#[test]
fn fast_open_ipv6() {
    in_guest(|| fast_open_of("v6"));
}

/// The child is queued before its handshake is through.
fn fast_open_of(family: &str) {
    // Client and server, both without the cookie: 1 + 2 + 4 + 0x200.
    let _open = Sysctl::set("net.ipv4.tcp_fastopen", "519").unwrap();
    let traced = trace_load(&format!("{SOME} --family {family} --fastopen"));
    assert!(traced.kernel("TCPFastOpenPassive") > 0, "the load itself");
    assert_exact(&traced);
}

#[test]
fn plain_clients_of_an_mptcp_listener_count_once() {
    in_guest(|| mptcp("--mptcp"));
}

#[test]
fn mptcp_clients_of_an_mptcp_listener_count_once() {
    in_guest(|| mptcp("--mptcp --mptcp-client"));
}

#[test]
fn ipv4_clients_of_a_dual_mptcp_listener_count_once() {
    in_guest(|| mptcp("--mptcp --family dual"));
}

fn mptcp(arguments: &str) {
    if !Path::new("/proc/sys/net/mptcp/enabled").exists() {
        println!("skipped: this kernel has no MPTCP");
        return;
    }
    assert_exact(&trace_load(&format!("{SOME} {arguments}")));
}
