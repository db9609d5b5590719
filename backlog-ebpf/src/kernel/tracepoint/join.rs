//! Does a SYN ask to join an MPTCP connection? Its options say so (RFC 8684, section 3.2).

use crate::kernel::{
    globals::{SKB_HEAD, SKB_TRANSPORT_HEADER},
    read,
    types::SkBuff,
};

/// The option's kind.
const MPTCP: u8 = 30;
/// Its subtype, in the upper half of the third byte.
const JOIN: u8 = 1;
/// Padding, which is a byte alone.
const NOP: u8 = 1;
/// Options that are looked at: a SYN of Linux has at most six, padding included.
const OPTIONS: u32 = 12;
/// Where they begin.
const HEADER: usize = 20;
/// Where a header is longest.
const LONGEST: usize = 60;

/// See the module's head.
#[inline(always)]
pub(super) fn is_join(skb: *const SkBuff) -> bool {
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
