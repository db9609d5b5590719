//! Sorts the listeners and limits how many are drawn: first those that refused clients, then those
//! with the fullest queues.

use std::cmp::Reverse;

use backlog_core::model::summary::Summary;

/// The maximum number of listeners with a section and plots.
pub(super) const DRAWN: usize = 20;

/// The maximum number of rows in the table.
pub(super) const ROWS: usize = 2000;

/// Sorts by importance; of equal ones the older comes first.
pub(super) fn ordered<'model>(summaries: &[Summary<'model>]) -> Vec<Summary<'model>> {
    let mut all = summaries.to_vec();
    all.sort_by_cached_key(|summary| {
        let Summary { page, drops, peak, .. } = summary;
        // With a limit of zero, the kernel accepts one connection.
        let used = u64::from(*peak) * 1_000_000 / u64::from(page.listener.limit.max(1));
        (Reverse(*drops), Reverse(used), Reverse(page.totals.enqueued), page.listener.id)
    });
    all
}

/// Those with a section: the ones with activity, at most [`DRAWN`].
pub(super) fn drawn<'a, 'model>(ordered: &'a [Summary<'model>]) -> Vec<&'a Summary<'model>> {
    ordered.iter().filter(|summary| summary.active()).take(DRAWN).collect()
}
