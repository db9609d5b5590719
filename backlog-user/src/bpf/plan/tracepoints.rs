//! The hooks on tracepoints, for kernels that permit neither fentry nor kprobes.

use anyhow::{Result, bail};
use backlog_core::run::Backend;

use super::{Alternative, KernelFacts, Plan, ProbePoints, Way, choice};

/// What no tracepoint shows.
const GAPS: [&str; 4] = [
    "backend tracepoint: requests that expire in the SYN queue are not counted, nor is a listener \
     that leaves while a handshake ends",
    "backend tracepoint: a connection that migrates to another listener of its group is reported \
     when it is accepted there",
    "backend tracepoint: the member of a SO_REUSEPORT group that refused a packet is inferred \
     from its sk_drops, which another CPU may have moved meanwhile",
    "backend tracepoint: ignored packets are not counted, although they move sk_drops",
];

/// The gap text for an accept that no program sees.
const AT_THE_END: &str = "seen only when its connection ends, and without its wait";

/// Makes the plan.
pub(super) fn plan(shown: KernelFacts<'_>) -> Result<Plan> {
    if !shown.lacking.is_empty() {
        bail!(
            "this kernel's type information lacks {}: please report its `uname -r`",
            shown.lacking.join(", ")
        );
    }
    let mut moments = ProbePoints::default();
    let mut missing = Vec::new();
    for (moment, tracepoint, programs) in [
        ("state", "inet_sock_set_state", ["tb_state", "rt_state"]),
        ("ack", "kfree_skb", ["tb_kfree", "rt_kfree"]),
        ("syn", "consume_skb", ["tb_consume", "rt_consume"]),
        ("destroy", "tcp_destroy_sock", ["tb_destroy", "rt_destroy"]),
    ] {
        if (shown.tracepoint)(tracepoint).is_none() {
            missing.push(tracepoint);
        }
        let mut choices = typed_or_raw(shown, moment, tracepoint, programs);
        // `destroy` runs in process context. On the other tracepoints, a packet can interrupt the
        // program and the kernel skips the nested run: attach both twins, so that the second one
        // sees it.
        if moment != "destroy" && choices.len() > 1 {
            choices.insert(0, choice(moment, tracepoint, &programs));
        }
        moments.must(moment, choices);
    }
    moments.must("accept", accept(shown));
    let has_uring = (shown.tracepoint)("io_uring_complete").is_some();
    if has_uring {
        let choices = typed_or_raw(shown, "uring", "io_uring_complete", ["tb_uring", "rt_uring"]);
        moments.may("uring", choices, URING_GAP);
    }
    moments.must("queued", vec![choice("queued", "tcp", &["it_queued"])]);
    for gap in GAPS {
        moments.gap(gap);
    }
    let uring = if has_uring { ", or by io_uring into a registered file," } else { "" };
    moments
        .gap(&format!("backend tracepoint: an accept by the kernel itself{uring} is {AT_THE_END}"));
    if runs_32_bit(shown) {
        let gap = format!(
            "backend tracepoint: an accept by a 32-bit program is {AT_THE_END}; a second \
             listen() is detected only by the limit that it sets"
        );
        moments.gap_of("tp_accept", gap);
    }
    if !missing.is_empty() {
        bail!("this kernel has no tracepoint {}", missing.join(", "));
    }
    Ok(moments.plan(Backend::Tracepoint))
}

/// The gap if accepts by `io_uring` are not seen.
const URING_GAP: &str = "backend tracepoint: an accept by io_uring is seen only when its \
                         connection ends, and without its wait";

/// Can this kernel run 32-bit programs? On arm64 their system calls cannot be distinguished.
fn runs_32_bit(shown: KernelFacts<'_>) -> bool {
    cfg!(not(target_arch = "x86_64"))
        || ["do_int80_syscall_32", "do_int80_emulation", "__ia32_compat_sys_socketcall"]
            .iter()
            .any(|function| (shown.function)(function).is_some())
}

/// With perf tracepoints, a program runs only for the relevant system calls; otherwise it runs for
/// every system call.
fn accept(shown: KernelFacts<'_>) -> Vec<Alternative> {
    let mut choices = Vec::new();
    if shown.ways.permits(Way::Tracepoint) {
        let mut calls = choice("accept", "syscalls:sys_exit_accept4", &["tp_accept"]);
        calls.extend(choice("accept", "syscalls:sys_exit_accept", &["tp_accept"]));
        calls.extend(choice("accept", "syscalls:sys_exit_listen", &["tp_listen"]));
        choices.push(calls);
    }
    choices.extend(typed_or_raw(shown, "accept", "sys_exit", ["tb_exit", "rt_exit"]));
    choices
}

/// A program with BTF types, or else its twin without.
fn typed_or_raw(
    shown: KernelFacts<'_>,
    moment: &'static str,
    tracepoint: &'static str,
    [typed, raw]: [&'static str; 2],
) -> Vec<Alternative> {
    let mut choices = Vec::new();
    for (way, program) in [(Way::BtfTracepoint, typed), (Way::RawTracepoint, raw)] {
        if shown.ways.permits(way) {
            choices.push(choice(moment, tracepoint, &[program]));
        }
    }
    choices
}
