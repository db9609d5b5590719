//! The clients that a listener has refused and the server has not accepted.

use foldhash::HashMap;

use super::{Clients, Refused, State};
use crate::event::ListenerId;
use crate::model::saturating::saturating;

/// The likely outcome of a listener's clients that the server has not accepted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct UnadmittedClients {
    /// They have left, or their next retry is overdue.
    pub gave_up: u64,
    /// How many of these had their last ACK refused, so they are connected only in their own view.
    pub believing: u64,
    /// The kernel has reset them: refused for good.
    pub reset: u64,
    /// They may still be trying, or wait in the queue.
    pub trying: u64,
    /// Their outcome is unknown.
    pub unknown: u64,
}

impl UnadmittedClients {
    /// The sum of both.
    #[must_use]
    pub fn plus(&self, other: &Self) -> Self {
        Self {
            gave_up: self.gave_up.saturating_add(other.gave_up),
            believing: self.believing.saturating_add(other.believing),
            reset: self.reset.saturating_add(other.reset),
            trying: self.trying.saturating_add(other.trying),
            unknown: self.unknown.saturating_add(other.unknown),
        }
    }

    /// The number of clients; `believing` is part of `gave_up`.
    #[must_use]
    pub fn count(&self) -> u64 {
        saturating([self.gave_up, self.reset, self.trying, self.unknown])
    }
}

impl Clients {
    /// The likely outcome of a listener's unsettled attempts, given the depth of its queue.
    #[must_use]
    pub fn unadmitted(&self, listener: ListenerId, depth: u32, now_ns: u64) -> UnadmittedClients {
        let mut unadmitted = UnadmittedClients::default();
        let mut queued = 0;
        let all = self.by_listener.get_or_init(|| self.listed());
        for refused in all.get(&listener.0).into_iter().flatten() {
            match refused.state {
                State::Ended(_) => {}
                // The client has left, and only a late packet of it created the queued connection.
                State::Queued if refused.closed => {
                    unadmitted.gave_up += 1;
                    unadmitted.believing += 1;
                }
                State::Queued => queued += 1,
                State::Outside if refused.may_come_back(now_ns) => unadmitted.trying += 1,
                // Without its first refusal, the length of its next pause is unknown.
                State::Outside if !refused.known && !refused.closed => unadmitted.unknown += 1,
                State::Outside => {
                    unadmitted.gave_up += 1;
                    unadmitted.believing += u64::from(refused.believes());
                }
            }
        }
        // The others have left the queue, but the record was lost.
        let waiting = u64::from(depth).min(queued);
        unadmitted.trying += waiting;
        unadmitted.unknown += queued - waiting;
        unadmitted
    }

    fn listed(&self) -> HashMap<u32, Vec<Refused>> {
        let mut all: HashMap<u32, Vec<Refused>> = HashMap::default();
        for refused in self.young.values().chain(self.old.values()) {
            all.entry(refused.listener.0).or_default().push(*refused);
        }
        all
    }
}
