//! The result of a scenario, from the code that ran it, from which the kernel's expected counts
//! follow.

use std::collections::BTreeMap;

use super::client::Client;
use super::truth::Share;

/// Counts by name.
pub(super) type Counts = BTreeMap<&'static str, u64>;

/// The provoked events.
#[derive(Debug, Default)]
pub(super) struct Done {
    /// The refused clients, each once.
    pub(super) refused: Vec<Client>,
    /// The refused packets.
    pub(super) packets: u64,
    /// The refused packets that the kernel does not count as `ListenDrops`.
    pub(super) uncounted: u64,
    /// Connections that a handshake added to a queue.
    pub(super) enqueued: u64,
    /// Connections accepted.
    pub(super) accepted: u64,
    /// Queued connections that were killed, each with a reset.
    pub(super) killed: u64,
    /// Side events, except for those at the end of the program.
    pub(super) beside: Counts,
    /// The expected changes of counters that do not follow from the above; a counter that is not
    /// listed must not have changed.
    pub(super) kernel: Counts,
    /// The expected change of the listener's `sk_drops`.
    pub(super) sk_drops: u64,
    /// The share of each listener, if there are several.
    pub(super) listeners: Vec<Share>,
    /// Why the scenario turned out to be impossible.
    pub(super) absent: Option<String>,
}

impl Done {
    /// Refused SYNs, each sent `times` times.
    pub(super) fn refused(clients: Vec<Client>, times: u64) -> Self {
        let packets = clients.len() as u64 * times;
        Self { refused: clients, packets, sk_drops: packets, ..Self::default() }
    }

    /// The same for final ACKs of requests: the kernel counts each packet twice in `sk_drops`, as a
    /// lost connection and as a discarded packet.
    pub(super) fn refused_acks(clients: Vec<Client>, times: u64) -> Self {
        let mut done = Self::refused(clients, times);
        done.sk_drops *= 2;
        done
    }

    /// Adds enqueued connections.
    pub(super) fn enqueued(mut self, count: u64) -> Self {
        self.enqueued += count;
        self
    }

    /// Adds a side event.
    pub(super) fn beside(mut self, name: &'static str, count: u64) -> Self {
        *self.beside.entry(name).or_default() += count;
        self
    }

    /// Adds the expected change of a counter.
    pub(super) fn kernel(mut self, name: &'static str, count: u64) -> Self {
        *self.kernel.entry(name).or_default() += count;
        self
    }

    /// Adds SYN cookies that were sent: the kernel also counts each as a full SYN queue, even if
    /// `tcp_syncookies` is 2.
    pub(super) fn cookies_sent(self, count: u64) -> Self {
        self.beside("syn_cookie_sent", count)
            .beside("syn_queue_full_cookie", count)
            .kernel("SyncookiesSent", count)
            .kernel("TCPReqQFullDoCookies", count)
    }

    /// Adds valid SYN cookies.
    pub(super) fn cookies_valid(self, count: u64) -> Self {
        self.beside("syn_cookie_valid", count).kernel("SyncookiesRecv", count)
    }

    /// Every counter that must have changed.
    pub(super) fn counters(&self) -> Counts {
        let mut all = self.kernel.clone();
        *all.entry("ListenDrops").or_default() += self.packets - self.uncounted;
        *all.entry("PassiveOpens").or_default() += self.enqueued;
        *all.entry("EstabResets").or_default() += self.killed;
        *all.entry("OutRsts").or_default() += self.killed;
        all
    }

    /// The number of connections that are still queued.
    pub(super) fn queued(&self) -> u64 {
        self.enqueued - self.accepted - self.killed
    }

    /// Side events until the program's end, when it closes its listeners with the clients that are
    /// still queued.
    pub(super) fn beside_to_the_end(&self) -> BTreeMap<String, u64> {
        let killed = self.enqueued - self.accepted;
        let named = self.beside.iter().map(|(name, count)| (*name, *count));
        let all = named.chain([("killed_at_close", killed)]);
        all.filter(|(_, count)| *count > 0).map(|(name, count)| (name.to_owned(), count)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counters_follow_from_what_was_done() {
        let clients = vec![Client::new(1, false), Client::new(2, false)];
        let done = Done::refused_acks(clients, 3).enqueued(5).kernel("ListenOverflows", 6);
        let counters = done.counters();
        assert_eq!((done.packets, done.sk_drops), (6, 12));
        assert_eq!(counters["ListenDrops"], 6);
        assert_eq!(counters["ListenOverflows"], 6);
        assert_eq!(counters["PassiveOpens"], 5);
    }

    #[test]
    fn who_is_not_accepted_dies_with_the_listener() {
        let done = Done { accepted: 2, ..Done::default() }.enqueued(5).beside("expired", 0);
        assert_eq!(done.beside_to_the_end(), [("killed_at_close".to_owned(), 3)].into());
        let empty = Done { accepted: 5, ..Done::default() }.enqueued(5);
        assert!(empty.beside_to_the_end().is_empty());
    }
}
