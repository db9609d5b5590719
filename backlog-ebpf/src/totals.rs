//! Per-listener totals. They live in a per-CPU array in the kernel, so that
//! they stay exact however full the ring is: userspace adds the CPUs up.

use core::mem::{offset_of, size_of};

use crate::cause::{Beside, Cause};
use crate::record::Kind;

/// The deepest queue and the longest wait that one CPU saw during one interval of the tool.
///
/// There are two of them, used in turn: while the programs write the one of the
/// running epoch, userspace reads the one of the epoch that has just ended.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Epoch {
    /// The epoch that the rest belongs to; any other makes it meaningless.
    pub epoch: u32,
    /// The deepest queue, the newcomer included.
    pub depth: u32,
    /// The longest wait of those accepted, nanoseconds.
    pub longest_ns: u64,
}

/// What one CPU counted at one listener since it was first seen.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    /// Connections added to the accept queue, beyond those that
    /// [`Distributions::depths`](crate::distribution::Distributions::depths) counts.
    pub enqueued: u64,
    /// Connections taken by accept whose enqueue was seen, beyond those that
    /// [`Distributions::waits`](crate::distribution::Distributions::waits) counts.
    pub accepted: u64,
    /// Those whose enqueue was not seen, because it was before the start or
    /// because the table of queued connections was full.
    pub accepts_without_wait: u64,
    /// Those of `enqueued` that found the table of queued connections full.
    pub pending_overflow: u64,
    /// Connections added since the start that no program saw before they were accepted. None of the
    /// above counts includes them.
    pub enqueue_missed: u64,
    /// Packets refused, by [`Cause`].
    pub drops: [u64; Cause::COUNT],
    /// Those of `drops` that no kernel counter includes.
    pub not_in_mib: u64,
    /// Those of `drops` beyond the rate limit of records, without a record of their own.
    pub records_suppressed: u64,
    /// Those of `records_suppressed` that were the first of their client.
    pub suppressed_clients: u64,
    /// Those of `records_suppressed` that were retries. What is neither was only counted.
    pub suppressed_retries: u64,
    /// Refused attempts evicted from the table of possible retries: their retries are not
    /// recognised.
    pub retry_table_evictions: u64,
    /// Side events, by [`Beside`].
    pub beside: [u64; Beside::COUNT],
    /// How far all this has moved the listener's `sk_drops`.
    pub sk_drops: u64,
    /// Records that found the ring full, by [`Kind`].
    pub lost: [u64; Kind::COUNT],
    /// When the deepest queue was seen, `CLOCK_MONOTONIC` nanoseconds.
    pub peak_ns: u64,
    /// When the longest SYN queue was seen, `CLOCK_MONOTONIC` nanoseconds.
    pub syn_queue_peak_ns: u64,
    /// The longest wait of an accepted connection, nanoseconds.
    pub longest_ns: u64,
    /// When an `untimed` one was accepted last, `CLOCK_MONOTONIC` nanoseconds.
    pub longest_without_wait_ns: u64,
    /// The deepest queue, the newcomer included.
    pub peak: u32,
    /// The longest SYN queue, the newcomer included.
    pub syn_queue_peak: u32,
    /// When the running second of drop records began.
    pub window_ns: u64,
    /// Drop records since then.
    pub window_used: u32,
    /// Drops since then whose client was looked up, and which have no record.
    pub window_clients: u32,
    /// A bit for each [`Cause`] that was reported since then.
    pub window_causes: u32,
    /// How many connections had arrived when the queue was deepest, from the one that found it
    /// empty; zero: not known, and meaningless for a depth of 1.
    pub peak_arrivals: u32,
    /// For the current epoch, and of the one before.
    pub epochs: [Epoch; 2],
    /// The listener's `sk_drops` when this CPU last saw them.
    pub seen_drops: u32,
    /// The longest SYN queue that would have had room for the SYNs that were answered with a
    /// cookie, estimated ([`Crowd`](crate::crowd::Crowd)).
    pub syn_needed: u32,
    /// Since when the queue had not been empty when it was deepest; zero: not known.
    pub peak_filled_ns: u64,
    /// The shortest time in the queue after which a client left, of those that had waited for
    /// [`IMPATIENT_NS`]; zero: none had.
    pub left_after_ns: u64,
    /// Connections whose clients had waited this long and left before they were accepted.
    pub left_waiting: u64,
}

impl Totals {
    /// Drops without a record: beyond the rate of records, or the ring was full.
    #[must_use]
    pub const fn drops_without_record(&self) -> u64 {
        self.records_suppressed.saturating_add(self.lost[Kind::Drop as usize])
    }
}

/// No client loses patience so soon: who leaves earlier has another reason. Health checks
/// close at once, and some clients send their FIN with the request.
pub const IMPATIENT_NS: u64 = 250_000_000;

/// What belongs to no listener.
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
    /// Packets that may have been refused: each the first on its CPU in a namespace older than
    /// the run whose counters were not known.
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
