//! Detects clients that waited too long, or left the queue before they were accepted, whether or
//! not any client was refused.

use backlog_ebpf::cause::Beside;
use backlog_ebpf::totals::IMPATIENT_NS;

use super::Given;
use crate::model::page::Page;
use crate::model::unlimited::Filling;

/// See the module documentation.
pub(super) struct Late {
    /// Accepted connections that waited longer than the client timeout.
    pub(super) beyond: u64,
    /// The oldest connection that is still queued has waited longer than the client timeout.
    pub(super) still: bool,
    /// Clients that had left before they were accepted.
    pub(super) left: Option<Left>,
    /// A connection that was queued before the run began had waited at least this long when it was
    /// accepted, which is longer than the client timeout.
    pub(super) from_before_ns: Option<u64>,
    /// The growth of the queue until it was deepest.
    pub(super) growth: Option<Growth>,
}

/// Clients that had left before they were accepted.
#[derive(Clone, Copy)]
pub(super) struct Left {
    pub(super) clients: u64,
    /// The shortest time after which one of them left; none: known only to be less than
    /// [`IMPATIENT_NS`].
    pub(super) after_ns: Option<u64>,
    /// Enough left to show how long clients wait. False if clients were refused: they had already
    /// waited for their retries, for an unknown time.
    is_patience: bool,
    /// Enough left, but clients were refused.
    is_unknown: bool,
    /// They show that clients wait too long. A few do not if clients were refused: a longer queue
    /// would have spared them the wait for their retries.
    matters: bool,
}

/// The growth of a queue, from the arrival that found it empty until it was deepest.
#[derive(Clone, Copy)]
pub(super) struct Growth {
    pub(super) since_ns: u64,
    pub(super) lasted_ns: u64,
    pub(super) depth: u64,
    /// The number of connections that arrived in that time; none in earlier recordings.
    arrivals: Option<u64>,
}

impl Growth {
    /// Arrivals and accepts per second.
    pub(super) fn rates(&self) -> Option<(f64, f64)> {
        let arrivals = self.arrivals?;
        let accepted = arrivals.saturating_sub(self.depth);
        let per_second = |count: u64| count as f64 * 1e9 / self.lasted_ns as f64;
        Some((per_second(arrivals), per_second(accepted)))
    }

    /// The same, for a surge that follows.
    pub(super) fn filling(&self) -> Option<Filling> {
        let accepted = self.arrivals?.saturating_sub(self.depth);
        Some(Filling {
            since_ns: self.since_ns,
            until_ns: self.since_ns.saturating_add(self.lasted_ns),
            depth: self.depth,
            accepted,
        })
    }

    /// Whether hardly any connection was accepted in that time, for an acceptor with this usual
    /// pause between connections.
    pub(super) fn is_pause(&self, pause_ns: Option<f64>) -> bool {
        let (Some(arrivals), Some(pause_ns)) = (self.arrivals, pause_ns) else { return false };
        let accepted = arrivals.saturating_sub(self.depth) as f64;
        let usual = self.lasted_ns as f64 / pause_ns.max(1.0);
        usual >= FEW_ACCEPTS && accepted * HARDLY < usual
    }
}

/// Fewer clients that left prove nothing.
const FEW: u64 = 5;

/// Fewer accepts do not give a rate.
const FEW_ACCEPTS: f64 = 8.0;

/// Hardly any connection is accepted if it is this many times fewer than usual.
const HARDLY: f64 = 8.0;

/// From this percentage of all clients on, those that leave are not exceptions.
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
            from_before_ns: page
                .at_least_us
                .map(|least_us| least_us.saturating_mul(1000))
                .filter(|least_ns| *least_ns > timeout_ns),
            growth: growth(page),
        }
    }

    /// Whether any client waited too long.
    pub(super) fn is_late(&self) -> bool {
        self.beyond > 0
            || self.still
            || self.from_before_ns.is_some()
            || self.left.is_some_and(|left| left.matters)
    }

    /// Whether clients are known to leave sooner than the configured timeout, but not when: those
    /// that were refused first had also waited for their retries.
    pub(super) fn is_patience_unknown(&self) -> bool {
        self.left.is_some_and(|left| left.is_unknown)
    }

    /// How long clients wait: the configured timeout, or less if clients left earlier.
    pub(super) fn timeout_ns(&self, given: &Given) -> u64 {
        let left = self.left.filter(|left| left.is_patience);
        let patience_ns = left.map_or(u64::MAX, |left| left.after_ns.unwrap_or(IMPATIENT_NS));
        given.client_timeout_ns.min(patience_ns)
    }
}

/// The clients that left after a wait, or reset their connection while most had to wait.
fn left(page: &Page) -> Option<Left> {
    let beside = |one: Beside| page.totals.beside[one as usize];
    let (reset, fin) = (beside(Beside::AbandonedReset), beside(Beside::AbandonedFin));
    let accepted = page.totals.accepted;
    let from_the_start = page.refused_by_limit() == 0;
    let many =
        |clients: u64| u128::from(clients) * 100 >= u128::from(accepted) * u128::from(MANY_PERCENT);
    // Older recordings do not distinguish clients: they have the shortest wait until the accept,
    // among all clients that had left.
    let clients = match page.totals.left_waiting {
        0 => reset.saturating_add(fin),
        waiting => waiting,
    };
    let after_ns = page.totals.left_after_ns;
    if clients >= FEW && clients.saturating_mul(100) >= accepted && after_ns >= IMPATIENT_NS {
        return Some(Left {
            clients,
            after_ns: Some(after_ns),
            is_patience: many(clients) && from_the_start,
            is_unknown: many(clients) && !from_the_start,
            matters: many(clients) || from_the_start,
        });
    }
    // A health check resets its connection at once, and a connection that is accepted at once says
    // nothing about patience. A FIN may be the end of a request whose client still waits.
    let [median_us] = page.wait.quantiles([0.5])?;
    let waited = median_us.saturating_mul(1000) >= IMPATIENT_NS;
    (reset >= FEW && many(reset) && waited).then_some(Left {
        clients: reset,
        after_ns: None,
        is_patience: from_the_start,
        is_unknown: !from_the_start,
        matters: true,
    })
}

fn growth(page: &Page) -> Option<Growth> {
    let (depth, peak_ns) = page.peak();
    let since_ns = page.totals.peak_filled_ns;
    // At a depth of one, the time may be that of an earlier queue.
    if depth <= 1
        || depth != page.totals.peak
        || since_ns < page.first_seen_ns.max(1)
        || since_ns >= peak_ns
    {
        return None;
    }
    let arrivals = Some(u64::from(page.totals.peak_arrivals)).filter(|arrivals| *arrivals > 0);
    Some(Growth { since_ns, lasted_ns: peak_ns - since_ns, depth: depth.into(), arrivals })
}
