//! A connection attempt that a listener has refused, as the table of refused attempts keeps
//! it: a client comes back with the same address, port and initial sequence number, and when
//! its connection is queued at last it is found here.

use core::mem::size_of;

/// A place in the table.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Attempt {
    /// What [`tag`] makes of the attempt; zero: none.
    pub tag: u64,
    /// When it was refused last, `CLOCK_MONOTONIC` nanoseconds.
    pub refused_ns: u64,
}

/// Places in the table.
pub const ATTEMPTS: usize = 65_536;

/// Longer than a client waits before its next retry: 127 s behind the first SYN with
/// `net.ipv4.tcp_syn_retries` at 6, and a server's SYN-ACKs are given up after 63 s.
pub const KEPT_NS: u64 = 1 << 37;

/// An attempt as a nearly unique number: in a table of this size, one in 2^32 attempts is mistaken
/// for another. `high` and `low` are the halves of the client's address, an IPv4 one mapped into
/// IPv6.
#[must_use]
#[allow(clippy::inline_always, reason = "a call costs a program more than most of it")]
#[inline(always)]
pub const fn tag(high: u64, low: u64, port: u16, isn: u32) -> u64 {
    const FIRST: u64 = 0x9e37_79b9_7f4a_7c15;
    const SECOND: u64 = 0xbf58_476d_1ce4_e5b9;

    let mut value = high.wrapping_mul(FIRST) ^ low;
    value = (value ^ (value >> 31)).wrapping_mul(SECOND);
    value ^= ((isn as u64) << 16) | port as u64;
    value = (value ^ (value >> 29)).wrapping_mul(FIRST);
    value ^= value >> 32;
    // Zero belongs to no attempt.
    value | (1 << 63)
}

/// The place of an attempt; its second one is the neighbour of this.
#[must_use]
#[allow(clippy::inline_always, reason = "a call costs a program more than most of it")]
#[allow(clippy::cast_possible_truncation, reason = "the lowest bits are wanted")]
#[inline(always)]
pub const fn place(tag: u64) -> u32 {
    tag as u32 & (ATTEMPTS as u32 - 1)
}

const _: () = assert!(ATTEMPTS.is_power_of_two() && size_of::<Attempt>() == 16);

#[cfg(test)]
mod tests {
    use super::{ATTEMPTS, place, tag};

    /// How many different numbers there are.
    fn distinct<const N: usize>(mut numbers: [u64; N]) -> usize {
        numbers.sort_unstable();
        1 + numbers.windows(2).filter(|pair| pair[0] != pair[1]).count()
    }

    #[test]
    fn attempts_that_differ_little_have_other_tags_and_are_spread() {
        let mut tags = [0; 1024];
        for (index, one) in (0_u64..).zip(&mut tags) {
            let (address, port, isn) = (index >> 7, (index >> 3) & 15, index & 7);
            let (port, isn) = (u16::try_from(port).unwrap(), u32::try_from(isn).unwrap());
            *one = tag(0, 0xffff_0000 | (address << 32), 40_000 + port, isn << 8);
        }
        assert_eq!(distinct(tags), tags.len());
        let places = tags.map(|tag| u64::from(place(tag)));
        assert!(places.iter().all(|place| *place < ATTEMPTS as u64));
        // Thrown at random, 1,024 would take some 1,016 of 65,536 places.
        assert!(distinct(places) > 1_000, "{}", distinct(places));
    }
}
