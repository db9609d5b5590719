//! Clients that waited for too long, or left the queue before they were accepted, whether or not
//! anybody was refused.

use backlog_ebpf::cause::Beside;
use backlog_ebpf::totals::IMPATIENT_NS;

use super::Given;
use crate::model::page::Page;

/// See the module's head.
pub(super) struct Late {
    /// Accepted connections that had waited for longer than the client timeout.
    pub(super) beyond: u64,
    /// The oldest that is still queued has waited for longer than that.
    pub(super) still: bool,
    /// Clients that had waited and left before they were accepted, and the shortest time after
    /// which one did.
    pub(super) left: Option<(u64, u64)>,
    /// The growth of the queue until it was deepest.
    pub(super) growth: Option<Growth>,
}

/// A queue from the arrival that found it empty until it was deepest.
#[derive(Clone, Copy)]
pub(super) struct Growth {
    pub(super) since_ns: u64,
    pub(super) lasted_ns: u64,
    pub(super) depth: u64,
    /// By how much more came per second than were accepted.
    pub(super) rate: f64,
}

/// Fewer that left say nothing.
const FEW: u64 = 5;

impl Late {
    pub(super) fn of(page: &Page, given: &Given) -> Self {
        let timeout_ns = given.client_timeout_ns;
        let queued = page.still_queued(given.end_ns);
        let oldest_ns = queued.and_then(|queued| queued.oldest_ns).unwrap_or(0);
        Self {
            beyond: page.wait.above(timeout_ns / 1000),
            still: oldest_ns > timeout_ns,
            left: left(page),
            growth: growth(page),
        }
    }

    /// Did anybody wait for too long?
    pub(super) fn is_late(&self) -> bool {
        self.beyond > 0 || self.still || self.left.is_some()
    }

    /// The time that clients wait: as the user says, or as long as those that left did.
    pub(super) fn timeout_ns(&self, given: &Given) -> u64 {
        let patience_ns = self.left.map_or(u64::MAX, |(_, after_ns)| after_ns);
        given.client_timeout_ns.min(patience_ns)
    }
}

/// Those that left after they had waited, and the shortest time after which one did.
fn left(page: &Page) -> Option<(u64, u64)> {
    let beside = |one: Beside| page.totals.beside[one as usize];
    // Older recordings do not distinguish clients: they have the shortest wait until the accept, of
    // all clients that had left.
    let left = match page.totals.left_waiting {
        0 => beside(Beside::AbandonedReset) + beside(Beside::AbandonedFin),
        waiting => waiting,
    };
    let accepted = page.wait.count();
    let after_ns = page.totals.left_after_ns;
    (left >= FEW && left * 100 >= accepted && after_ns >= IMPATIENT_NS).then_some((left, after_ns))
}

fn growth(page: &Page) -> Option<Growth> {
    let (depth, peak_ns) = page.peak();
    let since_ns = page.totals.peak_filled_ns;
    if depth != page.totals.peak || since_ns < page.first_seen_ns.max(1) || since_ns >= peak_ns {
        return None;
    }
    let lasted_ns = peak_ns - since_ns;
    let rate = f64::from(depth) * 1e9 / lasted_ns as f64;
    Some(Growth { since_ns, lasted_ns, depth: depth.into(), rate })
}
