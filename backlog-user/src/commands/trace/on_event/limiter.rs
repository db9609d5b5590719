//! Limits how many commands events may start, so that a flood of events does not become a flood of
//! processes. Pure.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use backlog_core::event::ListenerId;

use crate::output::json::event::EventKind;

/// The minimum time between two commands for the same kind of event at the same listener.
pub(super) const EACH: Duration = Duration::from_secs(10);
/// The maximum number of commands that run at the same time.
pub(super) const AT_ONCE: usize = 4;
/// The maximum number of commands per minute, for all events together.
pub(super) const IN_A_MINUTE: usize = 30;

const MINUTE: Duration = Duration::from_mins(1);

/// Events that started no command, by reason.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Skipped {
    /// The same kind of event at the same listener started one a moment ago.
    pub(super) repeated: u64,
    /// The maximum number of commands was running.
    pub(super) busy: u64,
    /// The maximum number of commands in a minute had been started.
    pub(super) many: u64,
    /// The event could not be sent.
    pub(super) failed: u64,
}

impl Skipped {
    /// The sum.
    pub(super) fn all(self) -> u64 {
        let Self { repeated, busy, many, failed } = self;
        repeated + busy + many + failed
    }
}

/// See the module documentation.
#[derive(Debug, Default)]
pub(super) struct Limiter {
    /// The last start for each kind of event and listener, within the last [`EACH`].
    last_ns: BTreeMap<(ListenerId, EventKind), u64>,
    /// The times of the starts within the last minute.
    starts_ns: VecDeque<u64>,
    pub(super) skipped: Skipped,
}

impl Limiter {
    /// May an event now start a command, while this many run?
    pub(super) fn admits(
        &mut self,
        event: (ListenerId, EventKind),
        now_ns: u64,
        running: usize,
    ) -> bool {
        let is_within = |time: Duration, then_ns: u64| {
            u128::from(now_ns.saturating_sub(then_ns)) < time.as_nanos()
        };
        self.last_ns.retain(|_, then_ns| is_within(EACH, *then_ns));
        self.starts_ns.retain(|then_ns| is_within(MINUTE, *then_ns));
        if self.last_ns.contains_key(&event) {
            self.skipped.repeated += 1;
            return false;
        }
        if running >= AT_ONCE {
            self.skipped.busy += 1;
            return false;
        }
        if self.starts_ns.len() >= IN_A_MINUTE {
            self.skipped.many += 1;
            return false;
        }
        self.last_ns.insert(event, now_ns);
        self.starts_ns.push_back(now_ns);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::{AT_ONCE, IN_A_MINUTE, Limiter, Skipped};
    use crate::output::json::event::EventKind::{self, Drops, HighUse};
    use backlog_core::event::ListenerId;

    const SECOND: u64 = 1_000_000_000;
    const KINDS: [EventKind; 2] = [Drops, HighUse];

    #[test]
    fn a_kind_of_a_listener_starts_one_in_ten_seconds() {
        let mut limiter = Limiter::default();
        let mut starts = Vec::new();
        for tenth in 0..300 {
            if limiter.admits((ListenerId(1), Drops), 5 + tenth * SECOND / 10, 0) {
                starts.push(tenth);
            }
        }
        assert_eq!(starts, [0, 100, 200]);
        assert_eq!(limiter.skipped, Skipped { repeated: 297, ..Skipped::default() });
        // Other kinds do not wait for it.
        assert!(limiter.admits((ListenerId(1), HighUse), 30 * SECOND, 0));
        assert!(limiter.admits((ListenerId(2), Drops), 30 * SECOND, 0));
    }

    #[test]
    fn few_run_at_once_and_a_skipped_event_holds_nothing_up() {
        let mut limiter = Limiter::default();
        assert!(!limiter.admits((ListenerId(1), Drops), SECOND, AT_ONCE));
        assert!(limiter.admits((ListenerId(1), Drops), 2 * SECOND, AT_ONCE - 1));
        assert_eq!(limiter.skipped, Skipped { busy: 1, ..Skipped::default() });
    }

    #[test]
    fn a_thousand_listeners_start_no_thousand_commands() {
        let mut limiter = Limiter::default();
        let mut started = 0;
        let mut total = 0;
        for second in 0..180 {
            for listener in 0..1000 {
                for kind in KINDS {
                    total += 1;
                    let event = (ListenerId(listener), kind);
                    started += usize::from(limiter.admits(event, second * SECOND, 0));
                    assert!(limiter.last_ns.len() <= IN_A_MINUTE);
                }
            }
        }
        assert_eq!(started, 3 * IN_A_MINUTE);
        assert_eq!(started as u64 + limiter.skipped.all(), total);
    }
}
