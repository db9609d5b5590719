//! Special handshakes: SYN cookies, Fast Open, MPTCP. Each enters the accept queue through another
//! kernel function.

use std::path::Path;

use backlog_tests::load::Truth;
use backlog_tests::sysctl::Sysctl;

use super::help::{Part, assert_counted, assert_exact, assert_held, counter, in_guest, trace_load};

const SOME: &str = "-q --count 60 --backlog 128";

#[test]
fn syn_cookies() {
    in_guest(|| {
        // Always send cookies, even if the SYN queue has room.
        let _always = Sysctl::set("net.ipv4.tcp_syncookies", "2").unwrap();
        let variants = [
            ("IPv4", "--hold-to-end"),
            ("IPv6", "--hold-to-end --family v6"),
            ("IPv4 clients of a dual listener", "--hold-to-end --family dual"),
            ("closed at once", ""),
        ];
        let batch = trace_load(&variants.map(|(name, more)| (name, format!("{SOME} {more}"))));
        for part in &batch.parts {
            assert_counted(part);
            assert_cookies(part);
        }
        let (closed, held) = batch.parts.split_last().unwrap();
        for part in held {
            assert_held(part);
        }
        // A FIN right after the ACK may be taken for a second ACK on another CPU, and the kernel
        // may then queue a second child (60 clients, 62 accepts).
        assert!(closed.truth.accepted >= 60, "{}: the load itself", closed.name);
    });
}

/// Asserts that all connections used cookies.
fn assert_cookies(part: &Part<Truth>) {
    let Part { name, truth, .. } = part;
    let kernel = |counted| counter(&truth.kernel, counted);
    assert!(kernel("SyncookiesRecv") >= truth.accepted, "{name}: the load itself");
    let summary = part.summary();
    assert_eq!(summary.beside("syn_cookie_accepted"), truth.accepted, "{name}: accepted");
    assert_eq!(summary.beside("syn_cookie_sent"), kernel("SyncookiesSent"), "{name}: sent");
}

/// The child is queued before its handshake is complete.
#[test]
fn fast_open() {
    in_guest(|| {
        // Client and server, both without the cookie: 1 + 2 + 4 + 0x200.
        let _open = Sysctl::set("net.ipv4.tcp_fastopen", "519").unwrap();
        let families = ["v4", "v6"];
        let batch = trace_load(
            &families.map(|f| (f, format!("{SOME} --hold-to-end --fastopen --family {f}"))),
        );
        for part in &batch.parts {
            let opened = counter(&part.truth.kernel, "TCPFastOpenPassive");
            assert!(opened > 0, "{}: the load itself", part.name);
        }
        assert_exact(&batch);
    });
}

#[test]
fn clients_of_an_mptcp_listener_count_once() {
    in_guest(|| {
        if !Path::new("/proc/sys/net/mptcp/enabled").exists() {
            println!("skipped: this kernel has no MPTCP");
            return;
        }
        let variants = [
            ("plain clients", ""),
            ("MPTCP clients", "--mptcp-client"),
            ("IPv4 clients of a dual listener", "--family dual"),
        ];
        assert_exact(&trace_load(
            &variants.map(|(name, more)| (name, format!("{SOME} --hold-to-end --mptcp {more}"))),
        ));
    });
}
