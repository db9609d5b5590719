//! From a context to a body: which argument of the kernel's function is which of the
//! body's. Every way of attaching comes by here.

use super::context::{Arguments, Returned};
use crate::kernel::{
    accept, ack, cookie, enqueue, globals::SOCKET_SK, listener, migrate, read, request, syn,
    types::Socket,
};

/// `tcp_conn_request(rsk_ops, af_ops, sk, skb)`
#[inline(always)]
pub(super) fn syn(call: &impl Arguments) {
    syn::enter(call.pointer(2));
}

/// `tcp_conn_request(rsk_ops, af_ops, sk, skb)`
#[inline(always)]
pub(super) fn syn_done(call: &impl Returned) {
    syn::exit(call.pointer(2), call.pointer(3));
}

/// `tcp_peer_is_proven(req, dst)` -> bool
#[inline(always)]
pub(super) fn proven(proven: u64) {
    syn::peer_asked(proven);
}

/// `mptcp_token_get_sock(...)`: that it is called says enough
#[inline(always)]
pub(super) fn join(_: &impl Arguments) {
    syn::join_asked();
}

/// `tcp_check_req(sk, skb, req, fastopen, …)`
#[inline(always)]
pub(super) fn ack(call: &impl Arguments) {
    ack::enter(call.pointer(0), call.word(3));
}

/// `tcp_check_req(sk, skb, req, fastopen, …)` -> child
#[inline(always)]
pub(super) fn ack_done(call: &impl Returned) {
    ack::exit(call.pointer(0), call.pointer(2), call.value());
}

/// `cookie_v4_check(sk, skb)`, `cookie_v6_check(sk, skb)`
#[inline(always)]
pub(super) fn cookie(call: &impl Arguments) {
    cookie::enter(call.pointer(0), call.pointer(1));
}

/// The same -> child, sk or null
#[inline(always)]
pub(super) fn cookie_done(call: &impl Returned) {
    cookie::exit(call.pointer(0), call.value() as *const _);
}

/// `tcp_req_err(req, seq, abort)`
#[inline(always)]
pub(super) fn error(call: &impl Arguments) {
    request::error_enter(call.pointer(0));
}

/// `tcp_req_err(req, seq, abort)`
#[inline(always)]
pub(super) fn error_done(call: &impl Returned) {
    request::error_exit(call.pointer(0));
}

/// `reqsk_timer_handler(timer)`
#[inline(always)]
pub(super) fn timer(call: &impl Arguments) {
    request::timer_enter(call.pointer(0));
}

/// `reqsk_timer_handler(timer)`
#[inline(always)]
pub(super) fn timer_done(call: &impl Returned) {
    request::timer_exit(call.pointer(0));
}

/// `reuseport_migrate_sock(sk, migrating, skb)` -> listener
#[inline(always)]
pub(super) fn migrated(call: &impl Returned) {
    migrate::migrates(call.pointer(0), call.pointer(1), call.value() as *const _);
}

/// `inet_csk_complete_hashdance(sk, child, req, own_req)`
#[inline(always)]
pub(super) fn handshake(call: &impl Arguments) {
    enqueue::handshake_enter(call.pointer(0), call.pointer(1), call.pointer(2), call.word(3));
}

/// `inet_csk_complete_hashdance(sk, child, req, own_req)` -> child
#[inline(always)]
pub(super) fn handshake_done(call: &impl Returned) {
    enqueue::handshake_exit(call.pointer(0), call.pointer(1), call.value());
}

/// `inet_csk_reqsk_queue_add(sk, req, child)`
#[inline(always)]
pub(super) fn add(call: &impl Arguments) {
    enqueue::add_enter(call.pointer(0), call.pointer(1), call.pointer(2));
}

/// `inet_csk_reqsk_queue_add(sk, req, child)` -> child
#[inline(always)]
pub(super) fn add_done(call: &impl Returned) {
    enqueue::add_exit(call.pointer(0), call.pointer(2), call.value());
}

/// `__inet_accept(sock, newsock, newsk)`, which grafts later
#[inline(always)]
pub(super) fn before_graft(call: &impl Arguments) {
    accept::before_graft(call.pointer(0), call.pointer(2));
}

/// `__inet_accept(sock, newsock, newsk)`, where `security_sock_graft` is missing
#[inline(always)]
pub(super) fn accept(call: &impl Arguments) {
    accept::accepted(call.pointer(0), call.pointer(2));
}

/// `inet_csk_accept(sk, …)` -> child
#[inline(always)]
pub(super) fn accept_done(call: &impl Returned) {
    accept::returned(call.pointer(0), call.value() as *const _);
}

/// `security_sock_graft(newsk, newsock)`
#[inline(always)]
pub(super) fn graft(call: &impl Arguments) {
    accept::grafted(call.pointer(0));
}

/// `inet_child_forget(sk, req, child)`
#[inline(always)]
pub(super) fn forget(call: &impl Arguments) {
    accept::forgotten(call.pointer(0), call.pointer(1), call.pointer(2));
}

/// `inet_csk_listen_start(sk[, backlog])`
#[inline(always)]
pub(super) fn open(call: &impl Arguments) {
    listener::opening(call.pointer(0));
}

/// `inet_csk_listen_start(sk[, backlog])`
#[inline(always)]
pub(super) fn open_done(call: &impl Returned) {
    listener::opened(call.pointer(0));
}

/// `inet_listen(sock, backlog)`
#[inline(always)]
pub(super) fn listen_done(call: &impl Returned) {
    let sock: *const Socket = call.pointer(0);
    listener::listened(read::pointer(sock, &SOCKET_SK));
}

/// `__inet_listen_sk(sk, backlog)`
#[inline(always)]
pub(super) fn listen_sk_done(call: &impl Returned) {
    listener::listened(call.pointer(0));
}

/// `inet_csk_listen_stop(sk)`
#[inline(always)]
pub(super) fn close(call: &impl Arguments) {
    listener::stopping(call.pointer(0));
}

/// `inet_csk_listen_stop(sk)`
#[inline(always)]
pub(super) fn close_done(call: &impl Returned) {
    listener::stopped(call.pointer(0));
}
