//! Per-listener totals. They live in a per-CPU array in the kernel, so they stay exact even if the
//! ring is full; userspace adds up the CPUs.

use core::mem::{offset_of, size_of};

use crate::cause::{Beside, Cause};
use crate::record::Kind;

/// The deepest queue and the longest wait that one CPU saw during one interval of the tool.
///
/// There are two, used in turn: the programs write the one of the running epoch, and userspace
/// reads the one of the epoch that has just ended.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Epoch {
    /// The epoch that the other fields belong to; in any other epoch they are meaningless.
    pub epoch: u32,
    /// The deepest queue, the new connection included.
    pub depth: u32,
    /// The longest wait of an accepted connection, nanoseconds.
    pub longest_ns: u64,
}

/// What one CPU has counted at a listener since the listener was first seen.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    /// Connections added to the accept queue, in addition to those that
    /// [`Distributions::depths`](crate::distribution::Distributions::depths) counts.
    pub enqueued: u64,
    /// Accepted connections whose enqueue was seen, in addition to those that
    /// [`Distributions::waits`](crate::distribution::Distributions::waits) counts.
    pub accepted: u64,
    /// Accepted connections whose enqueue was not seen, because it was before the start or the
    /// table of queued connections was full.
    pub accepts_without_wait: u64,
    /// How many of `enqueued` found the table of queued connections full.
    pub pending_overflow: u64,
    /// Connections queued since the start that no program saw before they were accepted. The counts
    /// above do not include them.
    pub enqueue_missed: u64,
    /// Packets refused, by [`Cause`].
    pub drops: [u64; Cause::COUNT],
    /// How many of `drops` no kernel counter includes.
    pub not_in_mib: u64,
    /// How many of `drops` have no record of their own, because of the rate limit of records.
    pub records_suppressed: u64,
    /// How many of `records_suppressed` were the first drop of their client.
    pub suppressed_clients: u64,
    /// How many of `records_suppressed` were retries. For the rest, the client was not looked up.
    pub suppressed_retries: u64,
    /// Refused attempts evicted from the table of attempts: their retries are not recognised.
    pub retry_table_evictions: u64,
    /// Side events, by [`Beside`].
    pub beside: [u64; Beside::COUNT],
    /// By how much all this has moved the listener's `sk_drops`.
    pub sk_drops: u64,
    /// Records that found the ring full, by [`Kind`].
    pub lost: [u64; Kind::COUNT],
    /// When the deepest queue was seen, `CLOCK_MONOTONIC` nanoseconds.
    pub peak_ns: u64,
    /// When the longest SYN queue was seen, `CLOCK_MONOTONIC` nanoseconds.
    pub syn_queue_peak_ns: u64,
    /// The longest wait of an accepted connection, nanoseconds.
    pub longest_ns: u64,
    /// When a connection of `accepts_without_wait` was last accepted, `CLOCK_MONOTONIC`
    /// nanoseconds.
    pub longest_without_wait_ns: u64,
    /// The deepest queue, the new connection included.
    pub peak: u32,
    /// The longest SYN queue, the new request included.
    pub syn_queue_peak: u32,
    /// When the running second of the limit on drop records started.
    pub window_ns: u64,
    /// Drop records since then.
    pub window_used: u32,
    /// Drops since then without a record whose client was looked up.
    pub window_clients: u32,
    /// A bit for each [`Cause`] that was reported since then.
    pub window_causes: u32,
    /// Arrivals from the one that found the queue empty to the one that made it deepest; zero:
    /// unknown, and meaningless for a depth of 1.
    pub peak_arrivals: u32,
    /// For the running epoch, and for the one before.
    pub epochs: [Epoch; 2],
    /// The listener's `sk_drops` when this CPU last saw it.
    pub seen_drops: u32,
    /// An estimate of the longest SYN queue with room for the SYNs that were answered with a cookie
    /// ([`Crowd`](crate::crowd::Crowd)).
    pub syn_needed: u32,
    /// Since when the queue had not been empty when it was deepest; zero: unknown.
    pub peak_filled_ns: u64,
    /// The shortest time in the queue after which a client left, among those that waited at least
    /// [`IMPATIENT_NS`]; zero: none.
    pub left_after_ns: u64,
    /// Connections whose clients waited at least [`IMPATIENT_NS`] and left before they were
    /// accepted.
    pub left_waiting: u64,
}

impl Totals {
    /// Drops without a record: suppressed by the rate limit, or the ring was full.
    #[must_use]
    pub const fn drops_without_record(&self) -> u64 {
        self.records_suppressed.saturating_add(self.lost[Kind::Drop as usize])
    }
}

/// A client that leaves earlier has another reason than impatience: health checks close at once,
/// and some clients send their FIN with the request.
pub const IMPATIENT_NS: u64 = 250_000_000;

/// Counts that belong to no listener.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stray {
    /// Events at a listener for which no slot was free.
    pub no_slot: u64,
    /// Events at a listener that had closed a moment before.
    pub closed: u64,
    /// Accepts of connections whose listener is unknown.
    pub accepts: u64,
    /// Packets that an unknown listener refused.
    pub drops: u64,
    /// Packets that may have been refused: the first on a CPU in a namespace that is older than the
    /// run and whose counters were unknown.
    pub hidden: u64,
}

const _: () = {
    assert!(offset_of!(Totals, drops) == 40);
    assert!(offset_of!(Totals, not_in_mib) == 40 + 8 * Cause::COUNT);
    assert!(offset_of!(Totals, beside) == 80 + 8 * Cause::COUNT);
    assert!(offset_of!(Totals, sk_drops) == 80 + 8 * (Cause::COUNT + Beside::COUNT));
    assert!(offset_of!(Totals, lost) == 88 + 8 * (Cause::COUNT + Beside::COUNT));
    assert!(
        size_of::<Totals>()
            == 88
                + 8 * (Cause::COUNT + Beside::COUNT + Kind::COUNT)
                + 4 * 8
                + 2 * 4
                + 24
                + 32
                + 8
                + 8
                + 8
                + 8
    );
    assert!(size_of::<Stray>() == 40);
};
