//! `sk_data_ready(sk)`, 6.3 and later: at a listener it says that a connection has been
//! added.

use super::birth;
use crate::kernel::{
    filter,
    globals::SKC_STATE,
    listener, read,
    types::{IPPROTO_TCP, Sock, TCP_LISTEN},
};

/// Body: a socket has something to read.
#[inline(always)]
pub(crate) fn ready(sk: *const Sock) {
    // Every arrival of data comes here, so this asks first what costs least.
    if !birth::expected() || !filter::running() {
        return;
    }
    // One that is about to close still adds.
    let listens = read::field::<_, u8>(sk, &SKC_STATE) == TCP_LISTEN || listener::has_slot(sk);
    if !listens || read::protocol(sk) != IPPROTO_TCP {
        return;
    }
    if let Some(birth) = birth::take() {
        birth::queued(sk, birth);
    }
}
