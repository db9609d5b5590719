//! Decides when to attach the probe on failing accepts, and evaluates its counts. It is attached
//! for a few seconds when an episode of drops begins, or when nobody has accepted for a while from
//! a queue that is not empty; otherwise it costs nothing. Pure: the caller passes the time.

use std::collections::{BTreeMap, HashMap};

use backlog_core::aggregate::decode::comm;
use backlog_core::event::{AcceptError, AcceptErrors, Caller, ListenerId};
use backlog_ebpf::accepts::{Failure, FailureKey};

/// How long it stays attached. Event loops retry a failed accept after a second.
const WATCH_NS: u64 = 3_000_000_000;
/// How long it may stay attached without a pause.
const BUDGET_NS: u64 = 30_000_000_000;
/// After that, it may be attached for one part in this many of the time.
const SHARE: u64 = 10;
/// A time without accepts that is normal even if the queue is not empty.
const IDLE_NS: u64 = 1_000_000_000;

/// See the module documentation.
#[derive(Debug)]
pub(crate) struct AcceptProbe {
    attached: Option<Attached>,
    /// How long it may be attached, as of `budget_at_ns`.
    budget_ns: u64,
    budget_at_ns: u64,
    /// Listeners with a queue that is not empty and without accepts.
    waiting: BTreeMap<ListenerId, Waiting>,
    /// Attaching has failed and is not retried.
    failed: bool,
}

/// A listener that nobody accepts from.
#[derive(Clone, Copy, Debug)]
struct Waiting {
    since_ns: u64,
    /// Its acceptors have been inspected since.
    looked: bool,
}

/// The state while the probe is attached.
#[derive(Debug)]
struct Attached {
    until_ns: u64,
    /// The listeners that it was attached for, and the time of their last report.
    wanted: BTreeMap<ListenerId, u64>,
    /// The count of each key that was already reported.
    reported: HashMap<FailureKey, u32>,
    reported_other: u32,
}

/// A listener that a failure may belong to.
#[derive(Clone, Copy)]
pub(crate) struct Candidate<'a> {
    /// Its ID.
    pub(crate) listener: ListenerId,
    /// The inode number of its socket.
    pub(crate) inode: Option<u64>,
    /// The processes that hold it or have accepted from it.
    pub(crate) pids: &'a [u32],
}

impl AcceptProbe {
    /// Starts detached, with the full budget.
    pub(crate) fn new(now_ns: u64) -> Self {
        Self {
            attached: None,
            budget_ns: BUDGET_NS,
            budget_at_ns: now_ns,
            waiting: BTreeMap::new(),
            failed: false,
        }
    }

    /// Processes the depth and the accepts of a listener at the end of an interval. Returns true if
    /// the probe must be attached now.
    pub(crate) fn interval(
        &mut self,
        listener: ListenerId,
        (depth, accepted): (u32, u64),
        (elapsed_ns, now_ns): (u64, u64),
    ) -> bool {
        if depth == 0 || accepted > 0 {
            self.waiting.remove(&listener);
            return false;
        }
        let begun = || Waiting { since_ns: now_ns.saturating_sub(elapsed_ns), looked: false };
        let Waiting { since_ns, .. } = *self.waiting.entry(listener).or_insert_with(begun);
        now_ns.saturating_sub(since_ns) >= IDLE_NS && self.want(listener, now_ns)
    }

    /// Listeners that nobody has accepted from for long, and since when: their acceptors are
    /// inspected once.
    pub(crate) fn stalled(&self, now_ns: u64) -> Vec<(ListenerId, u64)> {
        let is = |waiting: &Waiting| {
            !waiting.looked && now_ns.saturating_sub(waiting.since_ns) >= IDLE_NS
        };
        let waiting = self.waiting.iter().filter(|(_, waiting)| is(waiting));
        waiting.map(|(listener, waiting)| (*listener, waiting.since_ns)).collect()
    }

    /// The acceptors of a listener have been inspected.
    pub(crate) fn looked(&mut self, listener: ListenerId) {
        if let Some(waiting) = self.waiting.get_mut(&listener) {
            waiting.looked = true;
        }
    }

    /// A listener has closed.
    pub(crate) fn closed(&mut self, listener: ListenerId) {
        self.waiting.remove(&listener);
    }

    /// Requests the probe for a listener. Returns true if it must be attached now.
    pub(crate) fn want(&mut self, listener: ListenerId, now_ns: u64) -> bool {
        self.refill(now_ns);
        if let Some(attached) = &mut self.attached {
            attached.wanted.entry(listener).or_insert(now_ns);
            attached.until_ns = now_ns + WATCH_NS.min(self.budget_ns);
            return false;
        }
        if self.failed || self.budget_ns < WATCH_NS {
            return false;
        }
        self.attached = Some(Attached {
            until_ns: now_ns + WATCH_NS,
            wanted: BTreeMap::from([(listener, now_ns)]),
            reported: HashMap::new(),
            reported_other: 0,
        });
        true
    }

    /// Attaching has failed.
    pub(crate) fn fail(&mut self) {
        (self.failed, self.attached) = (true, None);
    }

    /// When to detach it; None if it is not attached.
    pub(crate) fn until_ns(&self) -> Option<u64> {
        Some(self.attached.as_ref()?.until_ns)
    }

    /// The failures since the last report, for each listener at which `accept()` has failed, and at
    /// the end for each listener that the probe was attached for. `limit` returns the open-file
    /// limit of a process.
    pub(crate) fn report<'a>(
        &mut self,
        (failures, other): (&[(FailureKey, Failure)], u32),
        (now_ns, at_end): (u64, bool),
        candidates: &(impl Iterator<Item = Candidate<'a>> + Clone),
        limit: impl Fn(u32) -> Option<u64>,
    ) -> Vec<AcceptErrors> {
        let Some(attached) = &mut self.attached else { return Vec::new() };
        let mut reports: BTreeMap<ListenerId, AcceptErrors> = BTreeMap::new();
        let left_out = u64::from(other.wrapping_sub(attached.reported_other));
        attached.reported_other = other;
        for (listener, since_ns) in &attached.wanted {
            let watched_ns = now_ns.saturating_sub(*since_ns);
            let report =
                AcceptErrors { listener: *listener, watched_ns, errors: Vec::new(), left_out };
            reports.insert(*listener, report);
        }
        for (key, failure) in failures {
            let reported = attached.reported.entry(*key).or_default();
            let count = u64::from(failure.count.wrapping_sub(*reported));
            *reported = failure.count;
            if count == 0 {
                continue;
            }
            let errno = i32::try_from(key.errno).unwrap_or(0);
            let nofile = (errno == libc::EMFILE).then(|| limit(key.pid)).flatten();
            let error = AcceptError {
                process: Caller { pid: key.pid, comm: comm(&failure.comm) },
                errno,
                count,
                first_ns: failure.first_ns,
                last_ns: failure.last_ns,
                nofile,
                by_holder: key.inode == 0,
            };
            for candidate in candidates.clone().filter(|one| is_of(key, one, &attached.wanted)) {
                let listener = candidate.listener;
                // An empty queue is of interest only for these listeners.
                if error.is_empty_queue() && !attached.wanted.contains_key(&listener) {
                    continue;
                }
                let none = || AcceptErrors { listener, ..AcceptErrors::default() };
                reports.entry(listener).or_insert_with(none).errors.push(error.clone());
            }
        }
        // Listeners without failures are reported only at the end.
        reports.retain(|_, report| at_end || report.says_something());
        for listener in reports.keys() {
            if let Some(since_ns) = attached.wanted.get_mut(listener) {
                *since_ns = now_ns;
            }
        }
        reports.into_values().collect()
    }

    /// The probe was detached.
    pub(crate) fn detached(&mut self, now_ns: u64) {
        self.refill(now_ns);
        self.attached = None;
    }

    /// Charges the budget for the time attached, or refills it for the time detached.
    fn refill(&mut self, now_ns: u64) {
        let elapsed_ns = now_ns.saturating_sub(std::mem::replace(&mut self.budget_at_ns, now_ns));
        self.budget_ns = if self.attached.is_some() {
            self.budget_ns.saturating_sub(elapsed_ns)
        } else {
            (self.budget_ns + elapsed_ns / SHARE).min(BUDGET_NS)
        };
    }
}

/// Does a failure belong to this listener? If the kernel does not show the socket, it may belong to
/// any that the process holds.
fn is_of(key: &FailureKey, candidate: &Candidate<'_>, wanted: &BTreeMap<ListenerId, u64>) -> bool {
    if key.inode != 0 {
        return candidate.inode == Some(key.inode);
    }
    candidate.pids.contains(&key.pid) && wanted.contains_key(&candidate.listener)
}

#[cfg(test)]
mod tests {
    use super::{AcceptProbe, BUDGET_NS, Candidate, WATCH_NS};
    use backlog_core::event::ListenerId;
    use backlog_ebpf::accepts::{Failure, FailureKey};

    const SECOND: u64 = 1_000_000_000;

    fn failure(inode: u64, pid: u32, errno: i32, count: u32) -> (FailureKey, Failure) {
        let key = FailureKey { inode, pid, errno: errno.cast_unsigned() };
        let comm = *b"web\0\0\0\0\0\0\0\0\0\0\0\0\0";
        (key, Failure { first_ns: 5, last_ns: 6, count, pad: 0, comm })
    }

    fn candidates() -> [Candidate<'static>; 2] {
        [
            Candidate { listener: ListenerId(1), inode: Some(11), pids: &[7] },
            Candidate { listener: ListenerId(2), inode: Some(12), pids: &[7, 8] },
        ]
    }

    fn of(probe: &mut AcceptProbe, failures: &[(FailureKey, Failure)], now_ns: u64) -> String {
        told(probe, failures, (now_ns, false))
    }

    fn told(
        probe: &mut AcceptProbe,
        failures: &[(FailureKey, Failure)],
        when: (u64, bool),
    ) -> String {
        let candidates = candidates();
        let reports = probe.report((failures, 0), when, &candidates.iter().copied(), |_| Some(24));
        let one = |report: &backlog_core::event::AcceptErrors| {
            let errors: Vec<String> = report
                .errors
                .iter()
                .map(|error| format!("{} {} x{}", error.process, error.errno, error.count))
                .collect();
            format!("{}:{}:{}", report.listener.0, report.watched_ns / SECOND, errors.join(","))
        };
        reports.iter().map(one).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn failures_are_attributed_by_socket_and_told_once() {
        let mut probe = AcceptProbe::new(0);
        assert!(probe.want(ListenerId(1), SECOND));
        let some = [failure(11, 7, libc::EMFILE, 3), failure(12, 8, libc::EAGAIN, 9)];
        assert_eq!(of(&mut probe, &some, 2 * SECOND), "1:1:web[7] 24 x3");
        let more = [failure(11, 7, libc::EMFILE, 5), failure(99, 9, libc::EMFILE, 1)];
        assert_eq!(of(&mut probe, &more, 4 * SECOND), "1:2:web[7] 24 x2");
        // Nothing has failed: only the report at the end says so.
        assert_eq!(of(&mut probe, &more, 5 * SECOND), "");
        assert_eq!(told(&mut probe, &more, (6 * SECOND, true)), "1:2:");
        probe.detached(5 * SECOND);
        assert_eq!(of(&mut probe, &more, 5 * SECOND), "");
    }

    #[test]
    fn another_listener_is_told_of_if_it_fails() {
        let mut probe = AcceptProbe::new(0);
        probe.want(ListenerId(1), 0);
        let some = [failure(12, 8, libc::EMFILE, 2)];
        assert_eq!(of(&mut probe, &some, SECOND), "2:0:web[8] 24 x2");
    }

    #[test]
    fn without_its_socket_a_failure_is_of_what_the_process_holds() {
        let mut probe = AcceptProbe::new(0);
        probe.want(ListenerId(2), 0);
        let some = [failure(0, 7, libc::EMFILE, 2), failure(0, 9, libc::EMFILE, 1)];
        assert_eq!(of(&mut probe, &some, SECOND), "2:1:web[7] 24 x2");
    }

    #[test]
    fn it_is_attached_while_nobody_accepts_and_for_a_tenth_of_the_time() {
        let mut probe = AcceptProbe::new(0);
        let id = ListenerId(1);
        assert!(!probe.interval(id, (3, 0), (SECOND / 2, SECOND)), "half a second is normal");
        assert!(probe.interval(id, (3, 0), (SECOND, 2 * SECOND)));
        let (mut attached_ns, mut last_ns) = (0, 2 * SECOND);
        for second in 3..=1000 {
            let now_ns = second * SECOND;
            if probe.until_ns().is_some() {
                attached_ns += now_ns - last_ns;
            }
            last_ns = now_ns;
            probe.interval(id, (3, 0), (SECOND, now_ns));
            if probe.until_ns().is_some_and(|until_ns| until_ns <= now_ns) {
                probe.detached(now_ns);
            }
        }
        let bound_ns = BUDGET_NS + 1000 * SECOND / 10 + WATCH_NS;
        assert!((BUDGET_NS..=bound_ns).contains(&attached_ns), "{attached_ns}");
    }

    #[test]
    fn a_stall_is_looked_at_once() {
        let mut probe = AcceptProbe::new(0);
        let id = ListenerId(1);
        probe.interval(id, (3, 0), (SECOND / 2, SECOND));
        assert!(probe.stalled(SECOND).is_empty(), "half a second is normal");
        probe.interval(id, (3, 0), (SECOND, 2 * SECOND));
        assert_eq!(probe.stalled(2 * SECOND), [(id, SECOND / 2)]);
        probe.looked(id);
        assert!(probe.stalled(9 * SECOND).is_empty());
        // Another one.
        probe.interval(id, (3, 1), (SECOND, 10 * SECOND));
        probe.interval(id, (3, 0), (SECOND, 11 * SECOND));
        assert_eq!(probe.stalled(11 * SECOND), [(id, 10 * SECOND)]);
        probe.closed(id);
        assert!(probe.stalled(20 * SECOND).is_empty());
    }

    #[test]
    fn who_accepts_is_left_alone_and_what_fails_is_not_tried_again() {
        let mut probe = AcceptProbe::new(0);
        let id = ListenerId(1);
        for second in 1..10 {
            assert!(!probe.interval(id, (3, 1), (SECOND, second * SECOND)));
            assert!(!probe.interval(ListenerId(2), (0, 0), (SECOND, second * SECOND)));
        }
        assert!(probe.want(id, 20 * SECOND));
        probe.fail();
        assert!(!probe.want(id, 30 * SECOND));
    }
}
