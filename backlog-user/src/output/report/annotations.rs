//! Events that the report shows individually, since the model does not keep them: the first drop of
//! each run of drops, changes of limits, and steps of the clock. Bounded; what is left out is
//! counted.

use std::collections::BTreeMap;

use backlog_core::event::{Limit, ListenerId};
use backlog_core::model::Refusal;

/// The events of one listener.
#[derive(Debug, Default)]
pub(super) struct Moments {
    /// The first drop of each run with the same cause.
    pub(super) begun: Vec<Refusal>,
    /// Changes of its limit, and their times.
    pub(super) limits: Vec<(u64, Limit)>,
    /// The number of events left out.
    pub(super) left_out: u64,
}

/// See the module documentation.
#[derive(Debug, Default)]
pub(super) struct Annotations {
    moments: BTreeMap<ListenerId, Moments>,
    /// Steps of the wall clock: the time, and the step in nanoseconds.
    pub(super) steps: Vec<(u64, i128)>,
    /// The number of steps left out.
    pub(super) steps_left_out: u64,
    /// The number of kept events of all listeners.
    kept: usize,
}

/// The maximum number of events per listener, and of clock steps.
const MOST: usize = 300;

/// The maximum number of events of all listeners: some 10 MB.
const MOST_OF_ALL: usize = 60_000;

impl Annotations {
    /// Adds a refused packet.
    pub(super) fn refused(&mut self, refusal: &Refusal) {
        if refusal.first {
            self.keep(refusal.drop.listener, |moments| moments.begun.push(*refusal));
        }
    }

    /// Adds another `listen()` call, or a change of the limit.
    pub(super) fn limit(&mut self, listener: ListenerId, time_ns: u64, limit: &Limit) {
        // The event that opened the listener already has this call.
        if limit.opens {
            return;
        }
        self.keep(listener, |moments| moments.limits.push((time_ns, limit.clone())));
    }

    /// Adds a step of the wall clock.
    pub(super) fn clock_set(&mut self, time_ns: u64, step_ns: i128) {
        if self.steps.len() < MOST {
            self.steps.push((time_ns, step_ns));
        } else {
            self.steps_left_out += 1;
        }
    }

    /// The events of a listener, if there are any.
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
