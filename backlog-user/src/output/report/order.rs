//! Which listeners come first, and how many are drawn: those that refused somebody, then
//! those whose queues were fullest.

use std::cmp::Reverse;

use backlog_core::model::summary::Summary;

/// Listeners with a section and plots of their own.
pub(super) const DRAWN: usize = 20;

/// Listeners with a row in the table.
pub(super) const ROWS: usize = 2000;

/// Those that matter most first; of equal ones the older.
pub(super) fn ordered<'model>(summaries: &[Summary<'model>]) -> Vec<Summary<'model>> {
    let mut all = summaries.to_vec();
    all.sort_by_cached_key(|summary| {
        let Summary { page, drops, peak, .. } = summary;
        // The kernel lets one connection in at a limit of zero.
        let used = u64::from(*peak) * 1_000_000 / u64::from(page.listener.limit.max(1));
        (Reverse(*drops), Reverse(used), Reverse(page.totals.enqueued), page.listener.id)
    });
    all
}

/// Those of them with a section: where anything happened, and no more than [`DRAWN`].
pub(super) fn drawn<'a, 'model>(ordered: &'a [Summary<'model>]) -> Vec<&'a Summary<'model>> {
    ordered.iter().filter(|summary| summary.active()).take(DRAWN).collect()
}
