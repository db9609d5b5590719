//! Maps a context to a handler: which argument of the kernel's function is which argument of the
//! handler. All attach types share this.

use super::context::{Arguments, Returned};
use crate::handlers::{accept, ack, cookie, enqueue, listener, migrate, request, syn};
use crate::kernel::{globals::SOCKET_SK, read, types::Socket};

/// `tcp_conn_request(rsk_ops, af_ops, sk, skb)`
#[inline(always)]
pub(super) fn syn_done(call: &impl Returned) {
    syn::done(call.pointer(2), call.pointer(3));
}

/// `tcp_peer_is_proven(req, dst)` -> bool
#[inline(always)]
pub(super) fn proven(proven: u64) {
    syn::on_peer_checked(proven);
}

/// `tcp_check_req(sk, skb, req, fastopen, …)` -> child
#[inline(always)]
pub(super) fn ack_done(call: &impl Returned) {
    ack::done(call.pointer(0), call.address(1), call.pointer(2), call.word(3), call.result());
}

/// `cookie_v4_check(sk, skb)`, `cookie_v6_check(sk, skb)`
#[inline(always)]
pub(super) fn cookie(call: &impl Arguments) {
    cookie::enter(call.address(0), call.address(1));
}

/// The same -> child, sk or null
#[inline(always)]
pub(super) fn cookie_done(call: &impl Returned) {
    cookie::exit(call.address(0), call.value() as *const _);
}

/// `tcp_req_err(req, seq, abort)`
#[inline(always)]
pub(super) fn error(call: &impl Arguments) {
    request::error_enter(call.address(0));
}

/// `tcp_req_err(req, seq, abort)`
#[inline(always)]
pub(super) fn error_done(call: &impl Returned) {
    request::error_exit(call.address(0));
}

/// `reqsk_timer_handler(timer)`
#[inline(always)]
pub(super) fn timer(call: &impl Arguments) {
    request::timer_enter(call.address(0));
}

/// `reqsk_timer_handler(timer)`
#[inline(always)]
pub(super) fn timer_done(call: &impl Returned) {
    request::timer_exit(call.address(0));
}

/// `reuseport_migrate_sock(sk, migrating, skb)` -> listener
#[inline(always)]
pub(super) fn migrated(call: &impl Returned) {
    migrate::on_migrate(call.address(0), call.address(1), call.value() as *const _);
}

/// `inet_csk_reqsk_queue_add(sk, req, child)` -> child
#[inline(always)]
pub(super) fn add_done(call: &impl Returned) {
    enqueue::on_queue_add(call.pointer(0), call.pointer(2), call.value());
}

/// `__inet_accept(sock, newsock, newsk)`, where `security_sock_graft` is missing
#[inline(always)]
pub(super) fn accept(call: &impl Arguments) {
    accept::on_graft(call.pointer(2));
}

/// `security_sock_graft(newsk, newsock)`
#[inline(always)]
pub(super) fn graft(call: &impl Arguments) {
    accept::on_graft(call.pointer(0));
}

/// `inet_child_forget(sk, req, child)`
#[inline(always)]
pub(super) fn forget(call: &impl Arguments) {
    accept::on_forget(call.address(0), call.address(1), call.address(2));
}

/// `inet_csk_listen_start(sk[, backlog])`
#[inline(always)]
pub(super) fn open(call: &impl Arguments) {
    listener::opening(call.address(0));
}

/// `inet_csk_listen_start(sk[, backlog])`
#[inline(always)]
pub(super) fn open_done(call: &impl Returned) {
    listener::opened(call.address(0));
}

/// `inet_listen(sock, backlog)`
#[inline(always)]
pub(super) fn listen_done(call: &impl Returned) {
    let sock: *const Socket = call.address(0);
    listener::listened(read::pointer(sock, &SOCKET_SK), 0);
}

/// `__inet_listen_sk(sk, backlog)`
#[inline(always)]
pub(super) fn listen_sk_done(call: &impl Returned) {
    listener::listened_within(call.address(0));
}

/// `inet_csk_listen_stop(sk)`
#[inline(always)]
pub(super) fn close(call: &impl Arguments) {
    listener::stopping(call.address(0));
}

/// `inet_csk_listen_stop(sk)`
#[inline(always)]
pub(super) fn close_done(call: &impl Returned) {
    listener::stopped(call.address(0));
}
