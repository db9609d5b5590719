//! What the report remembers of a run while it goes on, since the model keeps no moments:
//! where runs of drops began, when limits were changed and the clock was set. Bounded; what
//! is left out is counted.

use std::collections::BTreeMap;

use backlog_core::event::{Limit, ListenerId};
use backlog_core::model::Refusal;

/// Moments of one listener.
#[derive(Debug, Default)]
pub(super) struct Moments {
    /// Drops that began a run of their cause.
    pub(super) begun: Vec<Refusal>,
    /// Changes of its limit, and when.
    pub(super) limits: Vec<(u64, Limit)>,
    /// Moments that are not here.
    pub(super) left_out: u64,
}

/// See the module's head.
#[derive(Debug, Default)]
pub(super) struct Annotations {
    moments: BTreeMap<ListenerId, Moments>,
    /// Steps of the wall clock: when, and nanoseconds.
    pub(super) steps: Vec<(u64, i128)>,
    /// Steps that are not here.
    pub(super) steps_left_out: u64,
    /// Moments of all listeners.
    kept: usize,
}

/// Moments kept per listener, and steps of the clock.
const MOST: usize = 300;

/// Moments kept for all listeners: some 10 MB.
const MOST_OF_ALL: usize = 60_000;

impl Annotations {
    /// A packet was refused.
    pub(super) fn refused(&mut self, refusal: &Refusal) {
        if refusal.first {
            self.keep(refusal.drop.listener, |moments| moments.begun.push(*refusal));
        }
    }

    /// Another `listen()` was called, or a limit has changed.
    pub(super) fn limit(&mut self, listener: ListenerId, time_ns: u64, limit: &Limit) {
        // The listener's own event already has the call that opened it.
        if limit.opens {
            return;
        }
        self.keep(listener, |moments| moments.limits.push((time_ns, limit.clone())));
    }

    /// The wall clock was set.
    pub(super) fn clock_set(&mut self, time_ns: u64, step_ns: i128) {
        if self.steps.len() < MOST {
            self.steps.push((time_ns, step_ns));
        } else {
            self.steps_left_out += 1;
        }
    }

    /// Those of a listener, if there are any.
    pub(super) fn of(&self, listener: ListenerId) -> Option<&Moments> {
        self.moments.get(&listener)
    }

    fn keep(&mut self, listener: ListenerId, push: impl FnOnce(&mut Moments)) {
        let moments = self.moments.entry(listener).or_default();
        if moments.begun.len() + moments.limits.len() < MOST && self.kept < MOST_OF_ALL {
            push(moments);
            self.kept += 1;
        } else {
            moments.left_out += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Annotations, MOST};
    use backlog_core::event::{Limit, ListenerId};

    #[test]
    fn what_is_left_out_is_counted() {
        let mut annotations = Annotations::default();
        let listener = ListenerId(1);
        let limit = Limit { listener, now: 2, was: 1, depth: 0, call: None, opens: false };
        for time_ns in 0..MOST as u64 + 7 {
            annotations.limit(listener, time_ns, &limit);
        }
        let moments = annotations.of(listener).unwrap();
        assert_eq!((moments.limits.len(), moments.left_out), (MOST, 7));
        assert!(annotations.of(ListenerId(2)).is_none());
        for time_ns in 0..MOST as u64 + 3 {
            annotations.clock_set(time_ns, 5);
        }
        assert_eq!((annotations.steps.len(), annotations.steps_left_out), (MOST, 3));
    }
}
