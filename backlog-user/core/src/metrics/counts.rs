//! The counts of a socket as one row of numbers. The difference between two rows is added to the
//! series that the socket belongs to at that time.

use backlog_ebpf::cause::{Beside, Cause};

use crate::model::page::Page;

/// The finite bounds of the histogram of waits, microseconds: 64 × 4^k. Each is a power of two, so
/// it is the edge of a bucket of the eBPF programs.
pub(super) const BOUNDS_US: [u64; 10] =
    [64, 256, 1024, 4096, 16_384, 65_536, 262_144, 1_048_576, 4_194_304, 16_777_216];

/// The same bounds in seconds, as values of the label `le`.
pub const BOUNDS: [&str; 10] = [
    "6.4e-05",
    "0.000256",
    "0.001024",
    "0.004096",
    "0.016384",
    "0.065536",
    "0.262144",
    "1.048576",
    "4.194304",
    "16.777216",
];

/// One number of the row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Counted {
    Queued,
    Accepted,
    Untimed,
    Reset,
    Fin,
    Close,
    Clients,
    Cookies,
    BusyNs,
    /// The sum of waits in half microseconds, estimated from the buckets.
    WaitSum,
    /// Waits that are in the histogram.
    Waits,
    /// Records that found the ring buffer full.
    RingFull,
    /// Refused attempts whose retries are not recognised.
    ClientForgotten,
}

const DROPS: usize = Counted::ClientForgotten as usize + 1;
const BUCKETS: usize = DROPS + Cause::COUNT;
const ALL: usize = BUCKETS + BOUNDS_US.len();

/// See the module documentation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Counts([u64; ALL]);

impl Default for Counts {
    fn default() -> Self {
        Self([0; ALL])
    }
}

impl Counts {
    /// The counts of a page, except for the busy time, which is counted by interval. The waits are
    /// taken from `before` if nothing was accepted since.
    pub(super) fn of(page: &Page, before: &Self) -> Self {
        let totals = &page.totals;
        let beside = |which: Beside| totals.beside[which as usize];
        let mut now = *before;
        for (which, count) in [
            (Counted::Queued, totals.enqueued),
            (Counted::Accepted, totals.accepted),
            (Counted::Untimed, totals.accepts_without_wait + totals.enqueue_missed),
            (Counted::Reset, beside(Beside::AbandonedReset)),
            (Counted::Fin, beside(Beside::AbandonedFin)),
            (Counted::Close, beside(Beside::KilledAtClose)),
            (Counted::Clients, page.clients()),
            (Counted::Cookies, beside(Beside::SynCookieSent)),
            (Counted::RingFull, totals.lost.iter().sum()),
            (Counted::ClientForgotten, totals.retry_table_evictions),
        ] {
            now.0[which as usize] = count;
        }
        now.0[DROPS..BUCKETS].copy_from_slice(&totals.drops);
        if page.wait.count() != before.get(Counted::Waits) {
            let (buckets, twice_the_sum) = page.wait.up_to(&BOUNDS_US);
            now.0[BUCKETS..].copy_from_slice(&buckets);
            now.0[Counted::Waits as usize] = page.wait.count();
            now.0[Counted::WaitSum as usize] = twice_the_sum;
        }
        now
    }

    pub(super) fn get(&self, which: Counted) -> u64 {
        self.0[which as usize]
    }

    /// Refused packets, by the number of the cause.
    pub(super) fn drops(&self) -> &[u64] {
        &self.0[DROPS..BUCKETS]
    }

    /// The number of waits up to each bound.
    pub(super) fn buckets(&self) -> &[u64] {
        &self.0[BUCKETS..]
    }

    pub(super) fn add_busy(&mut self, busy_ns: u64) {
        self.0[Counted::BusyNs as usize] += busy_ns;
    }

    /// The difference to an earlier row of the same socket.
    pub(super) fn since(&self, earlier: &Self) -> Self {
        Self(std::array::from_fn(|index| self.0[index].saturating_sub(earlier.0[index])))
    }

    pub(super) fn add(&mut self, other: &Self) {
        self.0.iter_mut().zip(other.0).for_each(|(sum, more)| *sum += more);
    }

    /// Whether nothing has ever been counted.
    pub(super) fn is_empty(&self) -> bool {
        self.0.iter().all(|count| *count == 0)
    }
}
