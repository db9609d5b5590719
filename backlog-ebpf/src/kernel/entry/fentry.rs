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

use crate::kernel::{accept, enqueue, listener, refuse};

/// `tcp_conn_request(rsk_ops, af_ops, sk, skb)`
#[fentry]
fn fe_syn(ctx: FEntryContext) {
    refuse::syn_enter(ctx.arg(2));
}

/// `tcp_conn_request(rsk_ops, af_ops, sk, skb)`
#[fexit]
fn fx_syn(ctx: FExitContext) {
    refuse::syn_exit(ctx.arg(2), ctx.arg(3));
}

/// `tcp_check_req(sk, skb, req, fastopen, …)`
#[fentry]
fn fe_ack(ctx: FEntryContext) {
    refuse::ack_enter(ctx.arg(0), ctx.arg(3));
}

/// `tcp_check_req(sk, skb, req, fastopen, …)`
#[fexit]
fn fx_ack(ctx: FExitContext) {
    refuse::ack_exit(ctx.arg(0), ctx.arg(2));
}

/// `tcp_get_cookie_sock(sk, skb, req, dst[, tsoff])`
#[fentry]
fn fe_cookie(ctx: FEntryContext) {
    refuse::cookie_enter(ctx.arg(0));
}

/// `tcp_get_cookie_sock(sk, skb, req, dst)` -> child
#[fexit]
fn fx_cookie_4(ctx: FExitContext) {
    refuse::cookie_exit(ctx.arg(0), ctx.arg(1));
    enqueue::cookie(ctx.arg(0), ctx.arg(4), ctx.arg(2));
}

/// `tcp_get_cookie_sock(sk, skb, req, dst, tsoff)` -> child
#[fexit]
fn fx_cookie_5(ctx: FExitContext) {
    refuse::cookie_exit(ctx.arg(0), ctx.arg(1));
    enqueue::cookie(ctx.arg(0), ctx.arg(5), ctx.arg(2));
}

/// `inet_csk_complete_hashdance(sk, child, req, own_req)`
#[fentry]
fn fe_handshake(ctx: FEntryContext) {
    enqueue::handshake_enter(ctx.arg(0), ctx.arg(1), ctx.arg(2), ctx.arg(3));
}

/// `inet_csk_complete_hashdance(sk, child, req, own_req)` -> child
#[fexit]
fn fx_handshake(ctx: FExitContext) {
    enqueue::handshake_exit(ctx.arg(0), ctx.arg(1), ctx.arg(2), ctx.arg(4));
}

/// `inet_csk_reqsk_queue_add(sk, req, child)`
#[fentry]
fn fe_add(ctx: FEntryContext) {
    enqueue::add_enter(ctx.arg(0), ctx.arg(1), ctx.arg(2));
}

/// `inet_csk_reqsk_queue_add(sk, req, child)` -> child
#[fexit]
fn fx_add(ctx: FExitContext) {
    enqueue::add_exit(ctx.arg(0), ctx.arg(1), ctx.arg(2), ctx.arg(3));
}

/// `__inet_accept(sock, newsock, newsk)`
#[fentry]
fn fe_accept(ctx: FEntryContext) {
    accept::before_graft(ctx.arg(0), ctx.arg(2));
}

/// `inet_csk_accept(sk, arg)` -> child
#[fexit]
fn fx_accept_2(ctx: FExitContext) {
    accept::returned(ctx.arg(0), ctx.arg(2));
}

/// `inet_csk_accept(sk, flags, err, kern)` -> child
#[fexit]
fn fx_accept_4(ctx: FExitContext) {
    accept::returned(ctx.arg(0), ctx.arg(4));
}

/// `security_sock_graft(newsk, newsock)`
#[fentry]
fn fe_graft(ctx: FEntryContext) {
    accept::grafted(ctx.arg(0));
}

/// `inet_child_forget(sk, req, child)`
#[fentry]
fn fe_forget(ctx: FEntryContext) {
    accept::forgotten(ctx.arg(2));
}

/// `inet_csk_listen_start(sk[, backlog])`
#[fexit]
fn fx_open(ctx: FExitContext) {
    listener::opened(ctx.arg(0));
}

/// `inet_csk_listen_stop(sk)`
#[fentry]
fn fe_close(ctx: FEntryContext) {
    listener::stopping(ctx.arg(0));
}

/// `inet_csk_listen_stop(sk)`
#[fexit]
fn fx_close(ctx: FExitContext) {
    listener::stopped(ctx.arg(0));
}
