//! fentry and fexit. The program's name says its hook; the loader gives the
//! kernel function it is attached to (`backlog-user/src/plan.rs`). An fexit
//! program finds the return value behind the arguments, so a function whose
//! number of arguments differs between kernels has a program for each.
//!
//! Names are at most 15 characters: the kernel cuts longer ones.

use aya_ebpf::{
    macros::{fentry, fexit},
    programs::{FEntryContext, FExitContext},
};

use crate::kernel::{accept, enqueue, filter::running, listener, refuse};

/// `tcp_conn_request(rsk_ops, af_ops, sk, skb)`
#[fentry]
fn fe_syn(ctx: FEntryContext) {
    if running() {
        refuse::syn_enter(ctx.arg(2));
    }
}

/// `tcp_conn_request(rsk_ops, af_ops, sk, skb)`
#[fexit]
fn fx_syn(ctx: FExitContext) {
    if running() {
        refuse::syn_exit(ctx.arg(2), ctx.arg(3));
    }
}

/// `tcp_check_req(sk, skb, req, fastopen, …)`
#[fentry]
fn fe_ack(ctx: FEntryContext) {
    if running() {
        refuse::ack_enter(ctx.arg(0), ctx.arg(3));
    }
}

/// `tcp_check_req(sk, skb, req, fastopen, …)`
#[fexit]
fn fx_ack(ctx: FExitContext) {
    if running() {
        refuse::ack_exit(ctx.arg(0), ctx.arg(2));
    }
}

/// `tcp_get_cookie_sock(sk, skb, req, dst[, tsoff])`
#[fentry]
fn fe_cookie(ctx: FEntryContext) {
    if running() {
        refuse::cookie_enter(ctx.arg(0));
    }
}

/// `tcp_get_cookie_sock(sk, skb, req, dst[, tsoff])`
#[fexit]
fn fx_cookie(ctx: FExitContext) {
    if running() {
        refuse::cookie_exit(ctx.arg(0), ctx.arg(1));
    }
}

/// `inet_csk_complete_hashdance(sk, child, req, own_req)`
#[fentry]
fn fe_handshake(ctx: FEntryContext) {
    if running() {
        enqueue::handshake_enter(ctx.arg(0), ctx.arg(1), ctx.arg(2), ctx.arg(3));
    }
}

/// `inet_csk_complete_hashdance(sk, child, req, own_req)` -> child
#[fexit]
fn fx_handshake(ctx: FExitContext) {
    if running() {
        enqueue::handshake_exit(ctx.arg(0), ctx.arg(1), ctx.arg(4));
    }
}

/// `inet_csk_reqsk_queue_add(sk, req, child)`
#[fentry]
fn fe_add(ctx: FEntryContext) {
    if running() {
        enqueue::add_enter(ctx.arg(0), ctx.arg(1), ctx.arg(2));
    }
}

/// `inet_csk_reqsk_queue_add(sk, req, child)` -> child
#[fexit]
fn fx_add(ctx: FExitContext) {
    if running() {
        enqueue::add_exit(ctx.arg(0), ctx.arg(2), ctx.arg(3));
    }
}

/// `__inet_accept(sock, newsock, newsk)`
#[fentry]
fn fe_accept(ctx: FEntryContext) {
    if running() {
        accept::before_graft(ctx.arg(0), ctx.arg(2));
    }
}

/// `__inet_accept(sock, newsock, newsk)`, where `security_sock_graft` is missing
#[fentry]
fn fe_accept_only(ctx: FEntryContext) {
    if running() {
        accept::accepted(ctx.arg(0), ctx.arg(2));
    }
}

/// `inet_csk_accept(sk, arg)` -> child
#[fexit]
fn fx_accept_2(ctx: FExitContext) {
    if running() {
        accept::returned(ctx.arg(0), ctx.arg(2));
    }
}

/// `inet_csk_accept(sk, flags, err, kern)` -> child
#[fexit]
fn fx_accept_4(ctx: FExitContext) {
    if running() {
        accept::returned(ctx.arg(0), ctx.arg(4));
    }
}

/// `security_sock_graft(newsk, newsock)`
#[fentry]
fn fe_graft(ctx: FEntryContext) {
    if running() {
        accept::grafted(ctx.arg(0));
    }
}

/// `inet_child_forget(sk, req, child)`
#[fentry]
fn fe_forget(ctx: FEntryContext) {
    if running() {
        accept::forgotten(ctx.arg(0), ctx.arg(2));
    }
}

/// `inet_csk_listen_start(sk[, backlog])`
#[fentry]
fn fe_open(ctx: FEntryContext) {
    if running() {
        listener::opening(ctx.arg(0));
    }
}

/// `inet_csk_listen_start(sk[, backlog])`
#[fexit]
fn fx_open(ctx: FExitContext) {
    if running() {
        listener::opened(ctx.arg(0));
    }
}

/// `inet_csk_listen_stop(sk)`
#[fentry]
fn fe_close(ctx: FEntryContext) {
    if running() {
        listener::stopping(ctx.arg(0));
    }
}

/// `inet_csk_listen_stop(sk)`
#[fexit]
fn fx_close(ctx: FExitContext) {
    if running() {
        listener::stopped(ctx.arg(0));
    }
}
