//! A dropped connection attempt, as the table of attempts stores it. A retry has the same address,
//! port and initial sequence number, so a client that gets in later is found here.

use core::mem::size_of;

/// A place in the table.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Attempt {
    /// The [`tag`] of the attempt; zero means a free place.
    pub tag: u64,
    /// When it was last dropped, `CLOCK_MONOTONIC` nanoseconds.
    pub refused_ns: u64,
}

/// Places in the table.
pub const ATTEMPTS: usize = 65_536;

/// How long an attempt is kept: longer than a client waits for its last retry (127 s after the
/// first SYN with `net.ipv4.tcp_syn_retries` at 6), and longer than a server retransmits its
/// SYN-ACKs (63 s).
pub const KEPT_NS: u64 = 1 << 37;

/// An attempt as a nearly unique number: in a table of this size, one in 2^32 attempts collides
/// with another. `high` and `low` are the halves of the client's address, with IPv4 mapped into
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
    // Zero means a free place.
    value | (1 << 63)
}

/// The place of an attempt; its second place is this one's neighbour.
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

    /// Counts the distinct numbers.
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
        // Hashed at random, 1,024 tags would take some 1,016 of 65,536 places.
        assert!(distinct(places) > 1_000, "{}", distinct(places));
    }
}
