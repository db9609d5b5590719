//! Estimates how long a SYN queue would be if it had room for the SYNs that were answered with a
//! cookie instead. The server keeps no state of them, so the number in flight is estimated here.
//!
//! A request leaves the SYN queue when the last ACK of its handshake arrives, and so would the
//! request that a cookie replaces: an ACK with a valid cookie ends one flight, whether it becomes a
//! connection or finds the accept queue full. Unanswered cookies are forgotten after a second.

use core::mem::size_of;

/// The cookies in flight.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Crowd {
    /// When this count started at zero, `CLOCK_MONOTONIC` nanoseconds.
    pub since_ns: u64,
    /// Cookies sent since then that were not answered by an ACK.
    pub in_flight: u32,
    /// Always zero.
    pub pad: u32,
}

/// The longest flight: a client retransmits its SYN after a second.
const LONGEST_NS: u64 = 1_000_000_000;

impl Crowd {
    /// An empty count.
    pub const NONE: Self = Self { since_ns: 0, in_flight: 0, pad: 0 };

    /// Records ACKs with a valid cookie.
    #[allow(clippy::inline_always, reason = "a call costs a program more than most of it")]
    #[inline(always)]
    pub const fn answer(&mut self, acks: u32) {
        self.in_flight = self.in_flight.saturating_sub(acks);
    }

    /// Records a cookie sent at a SYN queue of this length. Returns the length that the queue would
    /// have with room for it.
    #[must_use]
    #[allow(clippy::inline_always, reason = "a call costs a program more than most of it")]
    #[inline(always)]
    pub const fn note(&mut self, queue: u32, now_ns: u64) -> u32 {
        let old = now_ns.wrapping_sub(self.since_ns) > LONGEST_NS;
        if old || self.in_flight == 0 {
            self.since_ns = now_ns;
            self.in_flight = 0;
        }
        self.in_flight = self.in_flight.wrapping_add(1);
        queue.wrapping_add(self.in_flight)
    }
}

const _: () = assert!(size_of::<Crowd>() == 16);

#[cfg(test)]
mod tests {
    extern crate std;

    use std::collections::VecDeque;

    use super::Crowd;

    const MS: u64 = 1_000_000;

    #[test]
    fn a_burst_needs_room_for_all_of_it() {
        let mut crowd = Crowd::NONE;
        let needed = (0..28).map(|index| crowd.note(32, 1000 * MS + index * MS)).max();
        assert_eq!(needed, Some(60));
        // All were answered before the next burst, whether the accept queue had room or not.
        crowd.answer(28);
        let needed = (0..28).map(|index| crowd.note(32, 1700 * MS + index * MS)).max();
        assert_eq!(needed, Some(60));
        // No cookie was answered, and a second has passed.
        let needed = (0..10).map(|index| crowd.note(32, 9000 * MS + index * MS)).max();
        assert_eq!(needed, Some(42));
    }

    /// Clients at a short distance, at a SYN queue full of requests for which the accept queue has
    /// no room: each cookie is answered before the next is sent.
    #[test]
    fn one_that_is_answered_at_once_needs_one_place() {
        let mut crowd = Crowd::NONE;
        for index in 0..500 {
            assert_eq!(crowd.note(16, 1000 * MS + index * MS), 17);
            crowd.answer(1);
        }
    }

    /// 1,000 a second, 100 ms away, at a SYN queue of 32: 100 are in flight.
    #[test]
    fn a_steady_load_needs_room_for_a_round_trip() {
        let mut crowd = Crowd::NONE;
        let mut needed = 0;
        let (mut queue, mut cookies) = (VecDeque::new(), VecDeque::new());
        for now in 0..5_000_u64 {
            let is_over = |came: &u64| came + 100 <= now;
            while queue.pop_front_if(|came| is_over(came)).is_some() {}
            while cookies.pop_front_if(|came| is_over(came)).is_some() {
                crowd.answer(1);
            }
            if queue.len() < 32 {
                queue.push_back(now);
            } else {
                cookies.push_back(now);
                needed = needed.max(crowd.note(32, 1000 * MS + now * MS));
            }
        }
        assert!((95..=105).contains(&needed), "{needed}");
    }
}
