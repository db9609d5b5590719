//! Sets of empty programs: the floor that a tracer's cost is compared with, and others that show
//! the cost of each attach type.

use anyhow::Result;

use super::empty::{Attached, Hook};
use super::types::Types;

use Hook::{Fentry, Fexit, Kprobe, Kretprobe, TpBtf};

/// The name of the floor's row.
pub(super) const FLOOR: &str = "floor";

/// A set of hooks, with the name of its row.
#[derive(Clone, Copy, Debug)]
pub(super) struct Set {
    pub(super) name: &'static str,
    /// Alternatives, for kernels where the first one cannot be attached.
    choices: &'static [&'static [Hook]],
}

const fn set(name: &'static str, choices: &'static [&'static [Hook]]) -> Set {
    Set { name, choices }
}

/// The enqueue function of each family; a connection passes one of them.
const V4: &str = "tcp_v4_syn_recv_sock";
const V6: &str = "tcp_v6_syn_recv_sock";
/// A function after both, for kernels whose trampolines pass too few arguments.
const EITHER: &str = "inet_csk_complete_hashdance";
const ACCEPT: &str = "inet_csk_accept";
const SYN: &str = "tcp_conn_request";
/// The end of a handshake, which also enqueues the connection.
const ACK: &str = "tcp_check_req";
const CHILD: &str = "tcp_child_process";
const GRAFT: &str = "security_sock_graft";
const STATE: &str = "inet_sock_set_state";

/// Every set, the floor first.
pub(super) const SETS: [Set; 14] = [
    set(FLOOR, &[&[Fexit(V4), Fexit(V6), Fexit(ACCEPT)], &[Fexit(EITHER), Fexit(ACCEPT)]]),
    set("one fentry", &[&[Fentry(ACCEPT)]]),
    set("one fexit", &[&[Fexit(ACCEPT)]]),
    set("fentry + fexit", &[&[Fentry(ACCEPT), Fexit(ACCEPT)]]),
    set("two fexit", &[&[Fexit(ACCEPT), Fexit(ACCEPT)]]),
    set("one kprobe", &[&[Kprobe(ACCEPT)]]),
    set("one kretprobe", &[&[Kretprobe(ACCEPT)]]),
    set("tp_btf state", &[&[TpBtf(STATE)]]),
    set("fentry graft", &[&[Fentry(GRAFT)]]),
    set("fentry SYN", &[&[Fentry(SYN)]]),
    set("fexit SYN", &[&[Fexit(SYN)]]),
    set(
        "floor + fexit SYN",
        &[
            &[Fexit(SYN), Fexit(V4), Fexit(V6), Fexit(ACCEPT)],
            &[Fexit(SYN), Fexit(EITHER), Fexit(ACCEPT)],
        ],
    ),
    // The hooks that a connection passes with backlog-trace by fentry.
    set("ours, empty", &[&[Fexit(SYN), Fexit(ACK), Fentry(GRAFT)]]),
    set("three fentry", &[&[Fentry(SYN), Fentry(CHILD), Fentry(GRAFT)]]),
];

impl Set {
    /// Attaches the first alternative that the kernel permits, and returns its hooks. The error is
    /// that of the last one.
    pub(super) fn attach(self, types: &Types) -> Result<(Vec<Attached>, String)> {
        let mut result = Ok((Vec::new(), String::new()));
        for hooks in self.choices {
            result = hooks.iter().map(|hook| hook.attach(types)).collect::<Result<_>>().map(
                |attached| {
                    let names: Vec<String> = hooks.iter().map(|hook| hook.name()).collect();
                    (attached, names.join(", "))
                },
            );
            if result.is_ok() {
                break;
            }
        }
        result
    }
}
