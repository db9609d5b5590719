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

use crate::kernel::{
    accept, ack, cookie, enqueue, filter::running, globals::SOCKET_SK, listener, migrate, read,
    request, syn, types::Socket,
};

/// `tcp_conn_request(rsk_ops, af_ops, sk, skb)`
#[fentry]
fn fe_syn(ctx: FEntryContext) {
    if running() {
        syn::enter(ctx.arg(2));
    }
}

/// `tcp_conn_request(rsk_ops, af_ops, sk, skb)`
#[fexit]
fn fx_syn(ctx: FExitContext) {
    if running() {
        syn::exit(ctx.arg(2), ctx.arg(3));
    }
}

/// `tcp_peer_is_proven(req, dst)` -> bool
#[fexit]
fn fx_proven(ctx: FExitContext) {
    if running() {
        syn::peer_asked(ctx.arg(2));
    }
}

/// `mptcp_token_get_sock(...)`: that it is called says enough
#[fentry]
fn fe_join(_: FEntryContext) {
    if running() {
        syn::join_asked();
    }
}

/// `tcp_check_req(sk, skb, req, fastopen, …)`
#[fentry]
fn fe_ack(ctx: FEntryContext) {
    if running() {
        ack::enter(ctx.arg(0), ctx.arg(3));
    }
}

/// `tcp_check_req(sk, skb, req, fastopen, req_stolen)` -> child
#[fexit]
fn fx_ack_5(ctx: FExitContext) {
    if running() {
        ack::exit(ctx.arg(0), ctx.arg(2), ctx.arg(5));
    }
}

/// `tcp_check_req(sk, skb, req, fastopen, req_stolen, drop_reason)` -> child
#[fexit]
fn fx_ack_6(ctx: FExitContext) {
    if running() {
        ack::exit(ctx.arg(0), ctx.arg(2), ctx.arg(6));
    }
}

/// `cookie_v4_check(sk, skb)`
#[fentry]
fn fe_cookie_4(ctx: FEntryContext) {
    if running() {
        cookie::enter(ctx.arg(0), ctx.arg(1));
    }
}

/// `cookie_v4_check(sk, skb)` -> child, sk or null
#[fexit]
fn fx_cookie_4(ctx: FExitContext) {
    if running() {
        cookie::exit(ctx.arg(0), ctx.arg(2));
    }
}

/// `cookie_v6_check(sk, skb)`
#[fentry]
fn fe_cookie_6(ctx: FEntryContext) {
    if running() {
        cookie::enter(ctx.arg(0), ctx.arg(1));
    }
}

/// `cookie_v6_check(sk, skb)` -> child, sk or null
#[fexit]
fn fx_cookie_6(ctx: FExitContext) {
    if running() {
        cookie::exit(ctx.arg(0), ctx.arg(2));
    }
}

/// `tcp_req_err(req, seq, abort)`
#[fentry]
fn fe_error(ctx: FEntryContext) {
    if running() {
        request::error_enter(ctx.arg(0));
    }
}

/// `tcp_req_err(req, seq, abort)`
#[fexit]
fn fx_error(ctx: FExitContext) {
    if running() {
        request::error_exit(ctx.arg(0));
    }
}

/// `reqsk_timer_handler(timer)`
#[fentry]
fn fe_timer(ctx: FEntryContext) {
    if running() {
        request::timer_enter(ctx.arg(0));
    }
}

/// `reqsk_timer_handler(timer)`
#[fexit]
fn fx_timer(ctx: FExitContext) {
    if running() {
        request::timer_exit(ctx.arg(0));
    }
}

/// `reuseport_migrate_sock(sk, migrating, skb)` -> listener
#[fexit]
fn fx_migrate(ctx: FExitContext) {
    if running() {
        migrate::migrates(ctx.arg(0), ctx.arg(1), ctx.arg(3));
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
        accept::forgotten(ctx.arg(0), ctx.arg(1), ctx.arg(2));
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

/// `inet_listen(sock, backlog)`
#[fexit]
fn fx_listen(ctx: FExitContext) {
    if running() {
        let sock: *const Socket = ctx.arg(0);
        listener::listened(read::pointer(sock, &SOCKET_SK));
    }
}

/// `__inet_listen_sk(sk, backlog)`
#[fexit]
fn fx_listen_sk(ctx: FExitContext) {
    if running() {
        listener::listened(ctx.arg(0));
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
