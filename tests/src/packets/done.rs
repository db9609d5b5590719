//! The result of a scenario, from the code that played it: the kernel's expected counts follow from
//! it.

use std::collections::BTreeMap;

use super::client::Client;
use super::truth::Share;

/// Numbers by name.
pub(super) type Counts = BTreeMap<&'static str, u64>;

/// The provoked events.
#[derive(Debug, Default)]
pub(super) struct Done {
    /// Those refused, once each.
    pub(super) refused: Vec<Client>,
    /// The refused packets.
    pub(super) packets: u64,
    /// Those of them that the kernel does not count as `ListenDrops`.
    pub(super) uncounted: u64,
    /// Connections that came into a queue by a handshake.
    pub(super) enqueued: u64,
    /// Connections accepted.
    pub(super) accepted: u64,
    /// Queued connections that were killed, each by a reset.
    pub(super) killed: u64,
    /// Side events, without those of the queue's end with the program.
    pub(super) beside: Counts,
    /// The expected changes of counters, other than those that follow from the above; a counter
    /// that is not listed must not have moved.
    pub(super) kernel: Counts,
    /// How far the listener's `sk_drops` must have moved.
    pub(super) sk_drops: u64,
    /// Each listener's share, if they are several.
    pub(super) listeners: Vec<Share>,
    /// Why it could not be done after all.
    pub(super) absent: Option<String>,
}

impl Done {
    /// SYNs that were refused, each so often.
    pub(super) fn refused(clients: Vec<Client>, times: u64) -> Self {
        let packets = clients.len() as u64 * times;
        Self { refused: clients, packets, sk_drops: packets, ..Self::default() }
    }

    /// The same with the final ACKs of requests: the kernel counts each packet
    /// in `sk_drops` twice, as a lost connection and as a discarded packet.
    pub(super) fn refused_acks(clients: Vec<Client>, times: u64) -> Self {
        let mut done = Self::refused(clients, times);
        done.sk_drops *= 2;
        done
    }

    /// Adds connections that were queued.
    pub(super) fn enqueued(mut self, count: u64) -> Self {
        self.enqueued += count;
        self
    }

    /// Adds a side event.
    pub(super) fn beside(mut self, name: &'static str, count: u64) -> Self {
        *self.beside.entry(name).or_default() += count;
        self
    }

    /// Adds a counter's movement.
    pub(super) fn kernel(mut self, name: &'static str, count: u64) -> Self {
        *self.kernel.entry(name).or_default() += count;
        self
    }

    /// Adds SYN cookies that were sent: the kernel also counts each as a full
    /// SYN queue, even where `tcp_syncookies` is 2.
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

    /// Every counter that must have moved.
    pub(super) fn counters(&self) -> Counts {
        let mut all = self.kernel.clone();
        *all.entry("ListenDrops").or_default() += self.packets - self.uncounted;
        *all.entry("PassiveOpens").or_default() += self.enqueued;
        *all.entry("EstabResets").or_default() += self.killed;
        *all.entry("OutRsts").or_default() += self.killed;
        all
    }

    /// Connections that are still queued.
    pub(super) fn queued(&self) -> u64 {
        self.enqueued - self.accepted - self.killed
    }

    /// Side events up to the program's end: it closes its listeners with the clients that are still
    /// queued.
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
