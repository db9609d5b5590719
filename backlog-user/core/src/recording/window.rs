//! Reads the end of a run as a run of its own: a recording that begins in the middle of a run is
//! treated as if tracing had started there, so that its counts start there. Pure.
//!
//! Three figures are known only for the whole run and are shown unchanged: the longest SYN queue,
//! the needed SYN queue, and the patience of clients that left.

use std::collections::BTreeMap;

use backlog_ebpf::totals::Totals;

use super::line::Step;
use crate::counter::{Range, Reading};
use crate::event::{Count, Event, ListenerId, Netns, What};

/// See the module documentation.
#[derive(Debug, Default)]
pub struct Window {
    /// When it starts; none: the steps that restore the state come first.
    begin_ns: Option<u64>,
    /// The listeners at the start.
    found: BTreeMap<ListenerId, Event>,
    settings: Vec<Event>,
    before: BTreeMap<ListenerId, Totals>,
    /// For listeners whose maxima are older than the window: the deepest queue and its time, and
    /// the longest wait.
    peaks: BTreeMap<ListenerId, (u32, u64, u64)>,
    /// The kernel's counters at their first reading.
    counters: BTreeMap<Netns, Reading>,
}

impl Window {
    /// With no start time, the recording begins in the middle of a run. With one, it is the whole
    /// run and is not changed.
    #[must_use]
    pub fn new(begin_ns: Option<u64>) -> Self {
        Self { begin_ns, ..Self::default() }
    }

    /// When it starts; none: not known yet.
    #[must_use]
    pub fn begin_ns(&self) -> Option<u64> {
        self.begin_ns
    }

    /// Translates a step of the recording to steps of this run.
    pub fn step(&mut self, step: Step) -> Vec<Step> {
        match (step, self.begin_ns) {
            (Step::Event(event), None) => {
                self.restore(event);
                Vec::new()
            }
            (Step::Begin { time_ns, past: _ }, None) => self.begin(time_ns),
            // There is nothing to show yet, or the state is already known.
            (_, None) | (Step::Begin { .. }, Some(_)) => Vec::new(),
            (Step::Event(event), Some(begin_ns)) => self.event(event, begin_ns),
            (step, Some(_)) => vec![step],
        }
    }

    /// Restores the state before the window.
    fn restore(&mut self, event: Event) {
        match event.what {
            What::Listener(ref listener) => {
                self.found.insert(listener.id, event);
            }
            What::Closed(closed) => {
                self.found.remove(&closed.listener);
            }
            What::Count { listener, count } => {
                self.before.insert(listener, count.totals);
            }
            What::DepthSample { listener, depth, limit } => {
                if let Some(Event { what: What::Listener(found), .. }) =
                    self.found.get_mut(&listener)
                {
                    (found.depth, found.limit) = (depth, limit);
                }
            }
            What::Namespace { .. } => self.settings.push(event),
            _ => {}
        }
    }

    fn begin(&mut self, time_ns: u64) -> Vec<Step> {
        self.begin_ns = Some(time_ns);
        let listeners = std::mem::take(&mut self.found).into_values();
        let events = listeners.chain(std::mem::take(&mut self.settings));
        let at_begin = |mut event: Event| {
            event.time_ns = time_ns;
            if let What::Listener(listener) = &mut event.what {
                listener.opened_now = false;
            }
            Step::Event(event)
        };
        events.map(at_begin).collect()
    }

    fn event(&mut self, mut event: Event, begin_ns: u64) -> Vec<Step> {
        let time_ns = event.time_ns;
        match &mut event.what {
            What::Count { listener, count } => {
                if let Some(before) = self.before.get(listener).copied() {
                    let peaks = self.peaks.entry(*listener).or_default();
                    rebase(count, &before, peaks, (begin_ns, time_ns));
                }
            }
            What::Counters { netns, moved } => {
                let is_first = !self.counters.contains_key(netns);
                let before = self.counters.entry(*netns).or_insert(**moved);
                **moved = std::array::from_fn(|at| Some(since(moved[at]?, before[at]?)));
                if is_first {
                    // It is reconciled from here on.
                    let what = What::Baseline { netns: *netns };
                    return vec![Step::Event(Event { time_ns, what }), Step::Event(event)];
                }
            }
            // The tool's counts at the first reading of a listener's counter are unknown.
            What::SkDrops { .. } => return Vec::new(),
            What::Closed(closed) => {
                let id = closed.listener;
                self.peaks.remove(&id);
            }
            _ => {}
        }
        vec![Step::Event(event)]
    }
}

/// The change of a number between two readings. Each reading took some time.
fn since(now: Range, before: Range) -> Range {
    Range { low: now.low.saturating_sub(before.high), high: now.high.saturating_sub(before.low) }
}

/// Reduces a count to what was counted since the start of the window.
fn rebase(
    count: &mut Count,
    before: &Totals,
    (deepest, at_ns, longest_ns): &mut (u32, u64, u64),
    (begin_ns, now_ns): (u64, u64),
) {
    let (recent_peak, recent_longest_ns) = (count.recent_peak, count.recent_longest_ns);
    let totals = &mut count.totals;
    for (now, was) in [
        (&mut totals.enqueued, before.enqueued),
        (&mut totals.accepted, before.accepted),
        (&mut totals.accepts_without_wait, before.accepts_without_wait),
        (&mut totals.pending_overflow, before.pending_overflow),
        (&mut totals.enqueue_missed, before.enqueue_missed),
        (&mut totals.not_in_mib, before.not_in_mib),
        (&mut totals.records_suppressed, before.records_suppressed),
        (&mut totals.suppressed_clients, before.suppressed_clients),
        (&mut totals.suppressed_retries, before.suppressed_retries),
        (&mut totals.retry_table_evictions, before.retry_table_evictions),
        (&mut totals.sk_drops, before.sk_drops),
        (&mut totals.left_waiting, before.left_waiting),
    ] {
        *now = now.saturating_sub(was);
    }
    let each = |now: &mut [u64], was: &[u64]| {
        now.iter_mut().zip(was).for_each(|(now, was)| *now = now.saturating_sub(*was));
    };
    each(&mut totals.drops, &before.drops);
    each(&mut totals.beside, &before.beside);
    each(&mut totals.lost, &before.lost);
    if totals.longest_without_wait_ns < begin_ns {
        totals.longest_without_wait_ns = 0;
    }
    // If the maximum of the run has risen since the start of the window, it was reached since then.
    if totals.peak <= before.peak {
        if recent_peak > *deepest {
            (*deepest, *at_ns) = (recent_peak, now_ns);
        }
        (totals.peak, totals.peak_ns, totals.peak_filled_ns) = (*deepest, *at_ns, 0);
    }
    *longest_ns = recent_longest_ns.max(*longest_ns);
    if totals.longest_ns <= before.longest_ns {
        totals.longest_ns = *longest_ns;
    }
    count.last_accept = count.last_accept.filter(|last| last.time_ns >= begin_ns);
}

#[cfg(test)]
mod tests {
    use super::Window;
    use crate::aggregate::registry::SockDiagListener;
    use crate::counter::{Counter, Range};
    use crate::event::{Count, Event, ListenerId, Netns, What};
    use crate::model::Model;
    use crate::model::snapshot::ModelSnapshot;
    use crate::recording::line::Step;
    use backlog_ebpf::totals::Totals;

    const ID: ListenerId = ListenerId(1);

    fn count(time_ns: u64, totals: &Totals, recent_peak: u32, recent_longest_ns: u64) -> Step {
        let count = Count { totals: *totals, recent_peak, recent_longest_ns, ..Count::default() };
        let what = What::Count { listener: ID, count: Box::new(count) };
        Step::Event(Event { time_ns, what })
    }

    fn totals(enqueued: u64, peak: u32, longest_ns: u64) -> Totals {
        Totals { enqueued, accepted: enqueued, peak, peak_ns: 10, longest_ns, ..Totals::default() }
    }

    fn begun() -> (Window, Model) {
        let (mut window, mut model) = (Window::new(None), Model::new(100));
        let listed = SockDiagListener::made_up("0.0.0.0:80".parse().unwrap());
        let at = |time_ns, what| Step::Event(Event { time_ns, what });
        let steps = [
            at(1, What::Listener(listed.listener(ID))),
            count(100, &totals(1000, 17, 9000), 0, 0),
            at(100, What::DepthSample { listener: ID, depth: 3, limit: 16 }),
            Step::Begin { time_ns: 100, past: Box::new(ModelSnapshot::default()) },
        ];
        for step in steps {
            apply(&mut window, &mut model, step);
        }
        assert_eq!(window.begin_ns(), Some(100));
        (window, model)
    }

    fn apply(window: &mut Window, model: &mut Model, step: Step) {
        for step in window.step(step) {
            if let Step::Event(event) = step {
                model.apply(&event);
            }
        }
    }

    #[test]
    fn counts_are_those_since_its_beginning() {
        let (mut window, mut model) = begun();
        let page = model.get(ID).unwrap();
        assert_eq!((page.first_seen_ns, page.depth(), page.totals.enqueued), (100, 3, 0));
        apply(&mut window, &mut model, count(200, &totals(1010, 17, 9000), 5, 700));
        apply(&mut window, &mut model, count(300, &totals(1025, 17, 9000), 4, 900));
        let page = model.get(ID).unwrap();
        assert_eq!((page.totals.enqueued, page.totals.accepted), (25, 25));
        assert_eq!((page.peak(), page.totals.longest_ns), ((5, 200), 900));
        // A new maximum was reached in the window.
        let record = Totals { peak_ns: 333, ..totals(1030, 20, 10_000) };
        apply(&mut window, &mut model, count(400, &record, 20, 10_000));
        let page = model.get(ID).unwrap();
        assert_eq!((page.peak(), page.totals.longest_ns), ((20, 333), 10_000));
    }

    #[test]
    fn the_kernels_counters_begin_when_they_are_read_first() {
        let (mut window, _) = begun();
        let netns = Netns::new(1, 1);
        let read = |low, high| {
            let mut moved: crate::counter::Reading = [None; Counter::COUNT];
            moved[0] = Some(Range { low, high });
            let what = What::Counters { netns, moved: Box::new(moved) };
            Step::Event(Event { time_ns: 200, what })
        };
        let first = window.step(read(10, 12));
        assert!(matches!(
            first.as_slice(),
            [
                Step::Event(Event { what: What::Baseline { .. }, .. }),
                Step::Event(Event { what: What::Counters { moved, .. }, .. }),
            ] if moved[0] == Some(Range { low: 0, high: 2 })
        ));
        match window.step(read(15, 15)).as_slice() {
            [Step::Event(Event { what: What::Counters { moved, .. }, .. })] => {
                assert_eq!(moved[0], Some(Range { low: 3, high: 5 }));
            }
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn the_beginning_of_a_run_is_the_run() {
        let mut window = Window::new(Some(5));
        let steps = window.step(count(200, &totals(7, 2, 3), 2, 3));
        assert!(
            matches!(steps.as_slice(), [Step::Event(Event { what: What::Count { count, .. }, .. })]
            if count.totals.enqueued == 7)
        );
    }
}
