//! fentry and fexit. The loader chooses the kernel function that a program is attached to
//! (`backlog-user/src/bpf/plan`). An fexit program finds the return value after the arguments, so a
//! function whose number of arguments differs between kernels has a program for each number.
//!
//! Names have at most 15 characters: the kernel truncates longer ones.

use aya_ebpf::{
    macros::{fentry, fexit},
    programs::{FEntryContext, FExitContext},
};

use super::{
    context::{Exit, Returned as _},
    hooks,
};
use crate::state::shared;

/// Programs at the entry: the name and its hook.
macro_rules! at_entry {
    ($($name:ident: $hook:ident;)+) => {$(
        #[fentry]
        fn $name(ctx: FEntryContext) {
            if shared::running() {
                hooks::$hook(&ctx);
            }
        }
    )+};
}

/// Programs at the exit: the name, the number of arguments, and the hook.
macro_rules! at_exit {
    ($($name:ident: $count:literal $hook:ident;)+) => {$(
        #[fexit]
        fn $name(ctx: FExitContext) {
            if shared::running() {
                hooks::$hook(&Exit::<$count>(ctx));
            }
        }
    )+};
}

at_entry! {
    fe_cookie_4: cookie;
    fe_cookie_6: cookie;
    fe_error: error;
    fe_timer: timer;
    fe_accept_only: accept;
    fe_graft: graft;
    fe_forget: forget;
    fe_open: open;
    fe_close: close;
}

at_exit! {
    fx_syn: 4 syn_done;
    fx_ack_5: 5 ack_done;
    fx_ack_6: 6 ack_done;
    fx_cookie_4: 2 cookie_done;
    fx_cookie_6: 2 cookie_done;
    fx_error: 3 error_done;
    fx_timer: 1 timer_done;
    fx_migrate: 3 migrated;
    fx_add: 3 add_done;
    fx_open: 1 open_done;
    fx_listen: 2 listen_done;
    fx_listen_sk: 2 listen_sk_done;
    fx_close: 1 close_done;
}

/// `tcp_peer_is_proven(req, dst)` -> bool
#[fexit]
fn fx_proven(ctx: FExitContext) {
    if shared::running() {
        hooks::proven(Exit::<2>(ctx).value());
    }
}
