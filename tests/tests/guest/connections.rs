//! Ordinary connections: each is counted exactly once, whatever the family, and however the server
//! waits for it.

use super::help::{assert_exact, in_guest, trace_load};

/// All of them fit into the queue: nothing is refused, however slow the guest is, so every account
/// must agree.
const MANY: &str = "-q --count 300 --backlog 512 --clients 2 --hold-to-end";

#[test]
fn of_every_family_and_every_way_of_accepting() {
    in_guest(|| {
        let many = |more: &str| format!("{MANY} {more}");
        let deferred = "-q --count 50 --backlog 64 --hold-to-end --defer-accept yes";
        assert_exact(&trace_load(&[
            ("IPv4", many("")),
            ("IPv6", many("--family v6")),
            // In the kernel, such a connection passes the functions of both families.
            ("IPv4 clients of a dual listener", many("--family dual")),
            ("IPv6 clients of a dual listener", many("--family dual --client-family v6")),
            ("non-blocking accept", many("--accept nonblocking")),
            ("epoll by several threads", many("--accept epoll --threads 3")),
            ("deferred accept", deferred.to_owned()),
        ]));
    });
}
