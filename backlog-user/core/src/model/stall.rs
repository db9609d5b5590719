//! Times without an accept while a full queue refused packets. They follow from the time of the
//! last accept in drop records, not from intervals.

use serde::{Deserialize, Serialize};

/// See the module documentation.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stall {
    /// The last accept before the last refusal; zero: none.
    accepted_ns: u64,
    /// The first refusal since then.
    refused_ns: u64,
    /// The longest time between an accept and a refusal with no accept in between.
    pub longest_ns: u64,
}

impl Stall {
    /// Records that a full queue refused a packet, with the time of the last accept before it.
    pub fn refused(&mut self, time_ns: u64, accepted_ns: u64) {
        if self.refused_ns == 0 || self.accepted_ns != accepted_ns {
            (self.accepted_ns, self.refused_ns) = (accepted_ns, time_ns);
        }
        let since_ns = if accepted_ns == 0 { self.refused_ns } else { accepted_ns };
        self.longest_ns = self.longest_ns.max(time_ns.saturating_sub(since_ns));
    }

    /// Time of the first refusal after this last accept; none if there was no refusal.
    #[must_use]
    pub fn since_ns(&self, accepted_ns: u64) -> Option<u64> {
        (self.refused_ns > accepted_ns).then_some(self.refused_ns)
    }
}

#[cfg(test)]
mod tests {
    use super::Stall;

    #[test]
    fn a_stall_begins_with_the_first_refusal_after_the_last_accept() {
        let mut stall = Stall::default();
        assert_eq!(stall.since_ns(0), None);
        for (time_ns, accepted_ns) in [(10, 4), (12, 4), (20, 15), (29, 15)] {
            stall.refused(time_ns, accepted_ns);
        }
        assert_eq!((stall.since_ns(15), stall.longest_ns), (Some(20), 14));
        // It has accepted again.
        assert_eq!(stall.since_ns(30), None);
    }

    #[test]
    fn nothing_was_ever_accepted() {
        let mut stall = Stall::default();
        stall.refused(10, 0);
        stall.refused(17, 0);
        assert_eq!((stall.since_ns(0), stall.longest_ns), (Some(10), 7));
    }
}
