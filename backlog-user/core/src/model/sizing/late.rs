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
    /// Clients that had left before they were accepted.
    pub(super) left: Option<Left>,
    /// The growth of the queue until it was deepest.
    pub(super) growth: Option<Growth>,
}

/// Clients that had left before they were accepted.
#[derive(Clone, Copy)]
pub(super) struct Left {
    pub(super) clients: u64,
    /// The shortest time after which one of them did; none: known only to be less than
    /// [`IMPATIENT_NS`].
    pub(super) after_ns: Option<u64>,
    /// Enough left to show how long clients wait. False where clients were refused: they
    /// had waited for their retries before, and how long is not known.
    is_patience: bool,
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

/// From this part of all clients on, those that leave are not exceptions, percent.
const MANY_PERCENT: u64 = 10;

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
        let left = self.left.filter(|left| left.is_patience);
        let patience_ns = left.map_or(u64::MAX, |left| left.after_ns.unwrap_or(IMPATIENT_NS));
        given.client_timeout_ns.min(patience_ns)
    }
}

/// Those that left after they had waited, or reset their connection while most had to wait.
fn left(page: &Page) -> Option<Left> {
    let beside = |one: Beside| page.totals.beside[one as usize];
    let (reset, fin) = (beside(Beside::AbandonedReset), beside(Beside::AbandonedFin));
    let accepted = page.totals.accepted;
    let from_the_start = page.refused_by_limit() == 0;
    let many = |clients: u64| clients * 100 >= accepted * MANY_PERCENT;
    // Older recordings do not distinguish clients: they have the shortest wait until the accept, of
    // all clients that had left.
    let clients = match page.totals.left_waiting {
        0 => reset + fin,
        waiting => waiting,
    };
    let after_ns = page.totals.left_after_ns;
    if clients >= FEW && clients * 100 >= accepted && after_ns >= IMPATIENT_NS {
        let is_patience = many(clients) && from_the_start;
        return Some(Left { clients, after_ns: Some(after_ns), is_patience });
    }
    // A health check resets its connection at once, and one that is accepted at once says nothing
    // of patience. A FIN may be the end of a request whose client still waits.
    let [median_us] = page.wait.quantiles([0.5])?;
    let waited = median_us * 1000 >= IMPATIENT_NS;
    (reset >= FEW && many(reset) && waited).then_some(Left {
        clients: reset,
        after_ns: None,
        is_patience: from_the_start,
    })
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
