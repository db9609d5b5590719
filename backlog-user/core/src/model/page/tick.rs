//! The end of an interval.

use backlog_ebpf::cause::Cause;
use backlog_ebpf::totals::Totals;
use serde::{Deserialize, Serialize};

use super::Page;
use super::acceptor::Fresh;
use crate::model::interval::{Interval, Waits};
use crate::model::timeline::Timeline;
use crate::model::unlimited::{Suppressed, Unlimited};

/// The number of intervals by their peak in percent of the limit: nothing queued, up to 10 %, up to
/// 20 %, ... up to 100 %, above.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PeakUse(pub [u64; 12]);

impl PeakUse {
    fn record(&mut self, peak: u32, limit: u32) {
        // The kernel lets one connection in at a limit of zero.
        // Rounded up: 129 of 128 is above 100.
        let percent = (u64::from(peak) * 100).div_ceil(u64::from(limit.max(1)));
        let index = if peak == 0 { 0 } else { percent.div_ceil(10).clamp(1, 11) };
        self.0[usize::try_from(index).unwrap_or(11)] += 1;
    }
}

impl Page {
    /// Feeds an interval to the simulated queue without a limit.
    fn size(&mut self, time_ns: u64, row: &Interval, without_record: u64) {
        let Fresh { idle_moved_ns, accepted_ns, paced, .. } = self.fresh.take();
        self.paced.accepts = self.paced.accepts.saturating_add(paced.accepts);
        self.paced.pauses_ns = self.paced.pauses_ns.saturating_add(paced.pauses_ns);
        self.paced.stalls_ns = self.paced.stalls_ns.saturating_add(paced.stalls_ns);
        self.unlimited.counted(paced.accepts, paced.pauses_ns);
        // Nothing has arrived since the queue became empty, so the programs have not added that
        // time yet.
        let since_ns = if row.depth == 0 && accepted_ns != 0 {
            time_ns.saturating_sub(accepted_ns)
        } else {
            0
        };
        let before_ns = std::mem::replace(&mut self.empty_since_ns, since_ns);
        // Its slot may have belonged to another listener before.
        let empty_ns =
            idle_moved_ns.saturating_add(since_ns).saturating_sub(before_ns).min(row.elapsed_ns);
        self.idle_ns = self.idle_ns.saturating_add(empty_ns);
        self.episodes.counted(time_ns, row.elapsed_ns, without_record);
        self.unlimited.estimate_without_record(
            self.totals.drops_without_record(),
            time_ns,
            self.listener.limit,
        );
    }

    /// The simulated queue without a limit, including the drops without a record.
    #[must_use]
    pub fn unlimited_at_end(&self) -> Unlimited {
        let Totals { suppressed_clients: clients, suppressed_retries: retries, .. } = self.totals;
        let all = Suppressed { packets: self.totals.drops_without_record(), clients, retries };
        self.unlimited.at_end(all, self.listener.limit)
    }

    /// Whether anything has been counted since the last interval ended.
    fn has_moved(&self) -> bool {
        let counts =
            |totals: &Totals| (totals.enqueued, totals.accepted, totals.drops, totals.beside);
        counts(&self.totals) != counts(&self.counted)
    }

    /// Ends an interval. None for a listener that was closed before it started, unless earlier
    /// activity is counted only now: the rows add up to the summary. Its activity is drawn if there
    /// is room for one more history.
    pub fn tick(&mut self, time_ns: u64, elapsed_ns: u64, room: &mut usize) -> Option<Interval> {
        let closed_ns = self.closed.map(|(closed_ns, _)| closed_ns.saturating_add(elapsed_ns));
        if closed_ns.is_some_and(|closed_ns| closed_ns < time_ns) && !self.has_moved() {
            return None;
        }
        let before = std::mem::replace(&mut self.counted, self.totals);
        let depth = self.depth();
        let peak = self.recent_peak.max(depth);
        self.peak_use.record(peak, self.listener.limit);
        let began_ns = time_ns.saturating_sub(elapsed_ns);
        // The programs keep only the time of the deepest queue of the whole run.
        let is_deepest = peak > 0 && peak == self.totals.peak && self.totals.peak_ns > began_ns;
        let peak_ns = is_deepest.then_some(self.totals.peak_ns);
        let peak_limit = self.former_limits.at_peak(self.listener.limit, peak_ns);
        // The connections queued now are also queued at the start of the next interval.
        self.recent_peak = depth;
        let wait = Waits::of(&self.recent_wait);
        let difference = |now: u64, then: u64| now.saturating_sub(then);
        let each = |now: &[u64], then: &[u64], index: usize| difference(now[index], then[index]);
        let drops = std::array::from_fn(|index| each(&self.totals.drops, &before.drops, index));
        let runs = Cause::ALL.into_iter().zip(&mut self.runs);
        let more = runs
            .filter_map(|(cause, run)| run.end(cause, drops[cause as usize], time_ns))
            .collect();
        let row = Interval {
            listener: self.listener.id,
            elapsed_ns,
            enqueued: difference(self.totals.enqueued, before.enqueued),
            accepted: difference(self.totals.accepted, before.accepted),
            depth,
            peak,
            peak_ns,
            peak_limit,
            limit: self.listener.limit,
            drops,
            more,
            beside: std::array::from_fn(|index| each(&self.totals.beside, &before.beside, index)),
            wait,
        };
        if self.timeline.is_none() && *room > 0 && row.active() {
            *room -= 1;
            self.timeline = Some(Timeline::default());
        }
        if let Some(timeline) = &mut self.timeline {
            timeline.push(time_ns, &row, &self.recent_wait);
        }
        let without_record =
            difference(self.totals.drops_without_record(), before.drops_without_record());
        self.size(time_ns, &row, without_record);
        self.recent_wait.clear();
        Some(row)
    }
}
