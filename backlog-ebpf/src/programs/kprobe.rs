//! kprobe and kretprobe, for kernels that cannot attach fentry and fexit. A kretprobe sees no
//! arguments: the program at the entry saves them ([`calls`]).
//!
//! The kernel skips a kprobe program while another one runs on the same CPU (`bpf_prog_active` in
//! `trace_call_bpf`, 5.10 to 7.3). So no program is attached here where a packet may interrupt it,
//! except on the paths of listen() and close(), which are rare.

use aya_ebpf::{
    macros::{kprobe, kretprobe},
    programs::{ProbeContext, RetProbeContext},
};

use super::{
    context::{Arguments as _, Return},
    hooks,
};
use crate::state::{
    calls::{self, SleepingFn},
    shared,
    values::{SavedArgs, TracedCall},
};

/// Programs that need only the entry: name and hook.
macro_rules! at_entry {
    ($($name:ident: $hook:ident;)+) => {$(
        #[kprobe]
        fn $name(ctx: ProbeContext) -> u32 {
            if shared::running() {
                hooks::$hook(&ctx);
            }
            0
        }
    )+};
}

/// Pairs: the name and the hook of each program, and the function that saves the arguments in
/// between.
macro_rules! pairs {
    ($($save:ident, $take:ident, $key:expr,
       $enter:ident: $at_entry:expr, $exit:ident: $at_exit:ident;)+) => {$(
        #[kprobe]
        fn $enter(ctx: ProbeContext) -> u32 {
            if shared::running() {
                $at_entry(&ctx);
                calls::$save($key, SavedArgs::of(|index| ctx.word(index)));
            }
            0
        }

        #[kretprobe]
        fn $exit(ctx: RetProbeContext) -> u32 {
            if shared::running() && let Some(saved) = calls::$take($key) {
                hooks::$at_exit(&Return { saved, ctx });
            }
            0
        }
    )+};
}

/// The hook of an entry that only saves the arguments.
#[inline(always)]
fn nothing(_: &ProbeContext) {}

at_entry! {
    kp_accept_only: accept;
    kp_graft: graft;
    kp_forget: forget;
}

pairs! {
    save, take, TracedCall::Syn, kp_syn: nothing, kr_syn: syn_done;
    save, take, TracedCall::Ack, kp_ack: nothing, kr_ack: ack_done;
    save, take, TracedCall::Cookie, kp_cookie: hooks::cookie, kr_cookie: cookie_done;
    save, take, TracedCall::Error, kp_error: hooks::error, kr_error: error_done;
    save, take, TracedCall::Timer, kp_timer: hooks::timer, kr_timer: timer_done;
    save, take, TracedCall::Migrate, kp_migrate: nothing, kr_migrate: migrated;
    save, take, TracedCall::Add, kp_add: nothing, kr_add: add_done;
    save_by_thread, take_by_thread, SleepingFn::Open, kp_open: hooks::open, kr_open: open_done;
    save_by_thread, take_by_thread, SleepingFn::Listen, kp_listen: nothing, kr_listen: listen_done;
    save_by_thread, take_by_thread, SleepingFn::ListenSk,
        kp_listen_sk: nothing, kr_listen_sk: listen_sk_done;
    save_by_thread, take_by_thread, SleepingFn::Close, kp_close: hooks::close, kr_close: close_done;
}

/// `tcp_peer_is_proven(req, dst)` -> bool
#[kretprobe]
fn kr_proven(ctx: RetProbeContext) -> u32 {
    if shared::running() {
        hooks::proven(ctx.ret());
    }
    0
}
