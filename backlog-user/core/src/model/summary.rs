//! The summary of a listener at the end: figures derived from its page.

use backlog_ebpf::record::Kind;

use super::page::Page;
use crate::model::saturating::saturating;
use crate::text::format::percent;

/// A page, with its sums.
#[derive(Clone, Copy, Debug)]
pub struct Summary<'model> {
    /// The page.
    pub page: &'model Page,
    /// Refused packets.
    pub drops: u64,
    /// Records that found the ring full.
    pub lost: u64,
    /// The deepest queue.
    pub peak: u32,
    /// When it was deepest; none if nothing was ever queued.
    pub peak_ns: Option<u64>,
}

impl<'model> Summary<'model> {
    /// Sums a page up.
    #[must_use]
    pub fn of(page: &'model Page) -> Self {
        let (peak, peak_ns) = page.peak();
        Self {
            page,
            drops: saturating(page.totals.drops),
            lost: saturating(page.totals.lost),
            peak,
            peak_ns: (peak > 0).then_some(peak_ns),
        }
    }

    /// `17 of 16 (106 %)`: the deepest queue and its limit. If the limit has changed, it is unknown
    /// which one applied then.
    #[must_use]
    pub fn peak_of_limit(&self) -> String {
        let (peak, limit) = (self.peak, self.page.listener.limit);
        if self.page.limit_changed {
            return format!("{peak} (the limit was changed, and is {limit} now)");
        }
        format!("{peak} of {limit} ({} %)", percent(peak, limit))
    }

    /// Whether anything happened here.
    #[must_use]
    pub fn active(&self) -> bool {
        let totals = &self.page.totals;
        let beside = saturating(totals.beside);
        let longest = self.peak.max(totals.syn_queue_peak);
        saturating([totals.enqueued, totals.accepted, self.drops, beside]) > 0 || longest > 0
    }

    /// Lost records of one kind.
    #[must_use]
    pub fn lost_of(&self, kind: Kind) -> u64 {
        self.page.totals.lost[kind as usize]
    }
}
