//! How long a SYN queue would be if it had room for the SYNs that were answered with a cookie
//! instead: nothing on the server remembers them, so their number in flight is estimated here.
//!
//! A request leaves the SYN queue one round trip after it arrived, and so would the request that a
//! cookie replaces. That time is not measured. But the requests queued when a cookie is sent
//! complete before its client does: when as many connections have arrived, the round trip is over,
//! and a new group of cookies begins. A client whose ACK is refused because the accept queue is full
//! has completed its round trip as well.

use core::mem::size_of;

/// The cookies of about one round trip.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Crowd {
    /// When the group began, `CLOCK_MONOTONIC` nanoseconds.
    pub since_ns: u64,
    /// It ends when the count of arrivals has come so far.
    pub until: u32,
    /// Cookies in it.
    pub cookies: u32,
    /// ACKs with a cookie that were refused, which count as arrivals.
    pub refused: u32,
    /// Always zero.
    pub pad: u32,
}

/// No round trip is longer: a client sends its SYN again after a second.
const LONGEST_NS: u64 = 1_000_000_000;

impl Crowd {
    /// Nothing counted.
    pub const NONE: Self = Self { since_ns: 0, until: 0, cookies: 0, refused: 0, pad: 0 };

    /// Records an ACK with a cookie that was refused.
    #[allow(clippy::inline_always, reason = "a call costs a program more than most of it")]
    #[inline(always)]
    pub const fn refuse(&mut self) {
        self.refused = self.refused.wrapping_add(1);
    }

    /// Records a cookie sent at a SYN queue of this length, after this many arrivals. Returns the
    /// length that the queue would have with room for it.
    #[must_use]
    #[allow(clippy::inline_always, reason = "a call costs a program more than most of it")]
    #[inline(always)]
    pub const fn note(&mut self, queue: u32, arrived: u32, now_ns: u64) -> u32 {
        let old = now_ns.wrapping_sub(self.since_ns) > LONGEST_NS;
        let arrived = arrived.wrapping_add(self.refused);
        // Half of the numbers are behind, the others ahead: the count wraps around.
        if old || arrived.wrapping_sub(self.until) < 1 << 31 {
            // Clients with a cookie are among those that arrive.
            let before = if old { 0 } else { self.cookies };
            self.since_ns = now_ns;
            self.until = arrived.wrapping_add(queue).wrapping_add(before);
            self.cookies = 0;
        }
        self.cookies = self.cookies.wrapping_add(1);
        queue.wrapping_add(self.cookies)
    }
}

const _: () = assert!(size_of::<Crowd>() == 24);

#[cfg(test)]
mod tests {
    extern crate std;

    use std::collections::VecDeque;

    use super::Crowd;

    const MS: u64 = 1_000_000;

    #[test]
    fn a_burst_needs_room_for_all_of_it() {
        let mut crowd = Crowd::NONE;
        let needed = (0..28).map(|index| crowd.note(32, 0, 1000 * MS + index * MS)).max();
        assert_eq!(needed, Some(60));
        // All have arrived when the next burst comes.
        let needed = (0..28).map(|index| crowd.note(32, 60, 1700 * MS + index * MS)).max();
        assert_eq!(needed, Some(60));
        // A longer break.
        let needed = (0..10).map(|index| crowd.note(32, 120, 9000 * MS + index * MS)).max();
        assert_eq!(needed, Some(42));
    }

    /// 98 clients at a time, and the accept queue has room for 40 of them.
    #[test]
    fn a_client_refused_by_the_accept_queue_is_no_longer_in_flight() {
        let mut crowd = Crowd::NONE;
        for burst in 0..8 {
            let begin = 1000 + 700 * u64::from(burst);
            let needed =
                (0..66).map(|index| crowd.note(32, burst * 40, (begin + index) * MS)).max();
            assert_eq!(needed, Some(98), "burst {burst}");
            (0..58).for_each(|_| crowd.refuse());
        }
    }

    /// 1,000 a second, 100 ms away, at a SYN queue of 32: 100 are in flight.
    #[test]
    fn a_steady_load_needs_room_for_a_round_trip() {
        let mut crowd = Crowd::NONE;
        let mut needed = 0;
        let (mut queue, mut arrived) = (VecDeque::new(), 0_u32);
        let mut cookies = VecDeque::new();
        for now in 0..5_000_u64 {
            for line in [&mut queue, &mut cookies] {
                while line.front().is_some_and(|came| came + 100 <= now) {
                    line.pop_front();
                    arrived += 1;
                }
            }
            if queue.len() < 32 {
                queue.push_back(now);
            } else {
                cookies.push_back(now);
                needed = needed.max(crowd.note(32, arrived, 1000 * MS + now * MS));
            }
        }
        assert!((95..=105).contains(&needed), "{needed}");
    }
}
