//! What was seen against what the kernel counted. Pure: the counters' changes
//! come from outside.
//!
//! A difference does not mean a loss by itself: the kernel's counters know no
//! filter.

use backlog_ebpf::cause::Cause;

use super::Book;

/// One counter of a network namespace over the run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Verdict {
    /// The inode number of the namespace.
    pub(crate) netns: u32,
    /// As `/proc/net/netstat` names it.
    pub(crate) counter: &'static str,
    /// How much it has grown.
    pub(crate) kernel: u64,
    /// How much of that was seen.
    pub(crate) seen: u64,
}

/// The causes that move `ListenOverflows`.
const OVERFLOWS: [Cause; 4] = [
    Cause::AcceptQueueFullSyn,
    Cause::AcceptQueueFullAck,
    Cause::AcceptQueueFullCookie,
    Cause::AcceptQueueFullReset,
];

/// Compares for one namespace; a counter that the kernel does not show is left out.
pub(crate) fn verdicts(
    book: &Book,
    netns: u32,
    change: impl Fn(&str) -> Option<u64>,
) -> Vec<Verdict> {
    let drops = book.drops_of(netns);
    let seen = |causes: &[Cause]| causes.iter().map(|cause| drops[*cause as usize]).sum();
    // Every cause moves ListenDrops.
    [("ListenOverflows", &OVERFLOWS[..]), ("ListenDrops", &Cause::ALL[..])]
        .into_iter()
        .filter_map(|(counter, causes)| {
            Some(Verdict { netns, counter, kernel: change(counter)?, seen: seen(causes) })
        })
        .collect()
}
