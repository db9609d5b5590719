//! MPTCP: detects SYNs that join a connection, by their options (RFC 8684, section 3.2), and their
//! sockets, which are never queued; finds the TCP socket below an MPTCP socket.

use backlog_ebpf::ABSENT;

use super::{
    globals::{
        ICSK_ULP_DATA, MPTCP_FIRST, SKB_HEAD, SKB_TRANSPORT_HEADER, SUBFLOW_JOIN,
        SUBFLOW_JOIN_MASK, TP_IS_MPTCP, TP_IS_MPTCP_MASK,
    },
    pointers::KernelPtr,
    read,
    types::{IPPROTO_MPTCP, SkBuff, Sock},
};

/// The kind of the MPTCP option.
const MPTCP: u8 = 30;
/// Its subtype for a join, in the upper half of the third byte.
const JOIN: u8 = 1;
/// The one-byte padding option.
const NOP: u8 = 1;
/// Options to check: a SYN from Linux has at most six, including padding.
const OPTIONS: u32 = 12;
/// The offset of the options in a TCP header.
const HEADER: usize = 20;
/// The length of the longest TCP header.
const LONGEST: usize = 60;

/// Whether a SYN asks to join a connection.
#[inline(always)]
pub(crate) fn is_join(skb: *const SkBuff) -> bool {
    let head: u64 = read::field(skb, &SKB_HEAD);
    let transport = u64::from(read::field::<_, u16>(skb, &SKB_TRANSPORT_HEADER));
    find(head.wrapping_add(transport)) != 0
}

#[inline(never)]
fn find(header: u64) -> u32 {
    let header = header as *const u8;
    let mut at = HEADER;
    for _ in 0..OPTIONS {
        let [kind, length, rest]: [u8; 3] = read::at(header, at);
        if kind == MPTCP {
            return u32::from(rest >> 4 == JOIN);
        }
        at += if kind == NOP { 1 } else { length as usize };
        if kind == 0 || (kind != NOP && length < 2) || at >= LONGEST {
            break;
        }
    }
    0
}

/// Whether MPTCP connections can join through a listener: only if it is MPTCP's own.
#[inline(always)]
pub(crate) fn allows_joins(sk: *const Sock) -> bool {
    TP_IS_MPTCP.load() != ABSENT
        && u32::from(read::field::<_, u8>(sk, &TP_IS_MPTCP)) & TP_IS_MPTCP_MASK.load() != 0
}

/// Whether a connection's socket joined an MPTCP connection.
#[inline(always)]
pub(crate) fn is_join_child(child: impl KernelPtr<Sock>) -> bool {
    if TP_IS_MPTCP.load() == ABSENT || SUBFLOW_JOIN.load() == ABSENT {
        return false;
    }
    let Some(whole) = child.as_tcp_sock() else { return false };
    let mptcp = u32::from(read::field::<_, u8>(whole, &TP_IS_MPTCP)) & TP_IS_MPTCP_MASK.load();
    if mptcp == 0 {
        return false;
    }
    let subflow: *const u8 = read::pointer(child.address(), &ICSK_ULP_DATA);
    u32::from(read::field::<_, u8>(subflow, &SUBFLOW_JOIN)) & SUBFLOW_JOIN_MASK.load() != 0
}

/// The TCP socket that has the queue: under an MPTCP socket it is the first subflow.
#[inline(always)]
pub(crate) fn tcp_of(sk: *const Sock) -> *const Sock {
    if MPTCP_FIRST.load() == ABSENT || sk.is_null() || read::protocol(sk) != IPPROTO_MPTCP {
        return sk;
    }
    read::pointer(sk, &MPTCP_FIRST)
}
