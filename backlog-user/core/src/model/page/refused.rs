//! The refusals of a listener: packets, clients, and whether the limit was the cause.

use backlog_ebpf::cause::{Beside, Cause};
use backlog_ebpf::record::Kind;

use super::Page;
use crate::event::Listener;
use crate::model::episode::GAP_NS;
use crate::model::saturating::saturating;

/// A client with a longer pause before a retry has been trying for 15 s, which few do.
const LONGEST_PAUSE_NS: u64 = 16_000_000_000;

impl Page {
    /// Packets that a larger limit would have admitted.
    #[must_use]
    pub fn refused_by_limit(&self) -> u64 {
        let by_limit = Cause::ALL.iter().filter(|cause| cause.is_by_limit());
        saturating(by_limit.map(|cause| self.totals.drops[*cause as usize]))
    }

    /// The limit that refused the last packet, if it has been raised since.
    #[must_use]
    pub fn outdated_limit(&self) -> Option<u32> {
        self.stalls.last_limit().filter(|limit| *limit < self.listener.limit)
    }

    /// Packets that a larger limit than the present one would have admitted.
    #[must_use]
    pub fn refused_by_present_limit(&self) -> u64 {
        if self.outdated_limit().is_some() { 0 } else { self.refused_by_limit() }
    }

    /// SYNs answered with a cookie because the SYN queue was full. The kernel counts a full SYN
    /// queue before it checks the accept queue, which may still refuse the SYN (`tcp_conn_request`,
    /// 5.10 to 7.3).
    #[must_use]
    pub fn cookies_at_full_syn_queue(&self) -> u64 {
        let beside = |one: Beside| self.totals.beside[one as usize];
        beside(Beside::SynQueueFullCookie).min(beside(Beside::SynCookieSent))
    }

    /// Clients that were refused; retries are not counted again. A lower bound unless
    /// [`has_every_client`](Self::has_every_client).
    #[must_use]
    pub fn clients(&self) -> u64 {
        // The programs know the clients of drops without a record, up to some number per second;
        // clients whose records were lost are detected when they return.
        let without_record = self.totals.suppressed_clients.max(self.returned_clients);
        self.recorded_clients.saturating_add(without_record)
    }

    /// Whether it was refusing clients when it was found.
    #[must_use]
    pub fn was_refusing(&self) -> bool {
        self.stalls.first_refused_ns().is_some_and(|first_ns| self.refused_at_once(first_ns))
    }

    /// Whether a client that it now refuses for the first time may have been refused before it was
    /// found.
    pub(in crate::model) fn may_be_a_retry(&self, time_ns: u64) -> bool {
        let first_ns = self.stalls.first_refused_ns().unwrap_or(time_ns);
        time_ns.saturating_sub(self.first_seen_ns) < LONGEST_PAUSE_NS
            && self.refused_at_once(first_ns)
    }

    /// Whether it had refused packets before it was found, and its first refusal since then
    /// continues that.
    fn refused_at_once(&self, first_ns: u64) -> bool {
        let Listener { opened_now, sk_drops, .. } = self.listener;
        let after_ns = first_ns.saturating_sub(self.first_seen_ns);
        !opened_now && sk_drops.is_some_and(|drops| drops > 0) && after_ns < GAP_NS
    }

    /// Whether the client of each drop is known.
    #[must_use]
    pub fn has_every_client(&self) -> bool {
        let totals = &self.totals;
        let known = totals.suppressed_clients.saturating_add(totals.suppressed_retries);
        totals.records_suppressed <= known && totals.lost[Kind::Drop as usize] == 0
    }
}
