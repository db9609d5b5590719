//! The counters of `/proc/net/netstat` about listeners, by their kernel names.

/// A kernel counter.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Counter {
    /// A full accept queue refused a SYN or a last ACK.
    ListenOverflows,
    /// A SYN or a last ACK was refused, for any reason.
    ListenDrops,
    /// A full SYN queue refused a SYN.
    ReqQFullDrop,
    /// A SYN found the SYN queue full, and a cookie was to be sent instead.
    ReqQFullDoCookies,
    /// Cookies sent.
    SyncookiesSent,
    /// Valid cookies received.
    SyncookiesRecv,
    /// Invalid or expired cookies received.
    SyncookiesFailed,
    /// A full Fast Open queue.
    FastOpenListenOverflow,
    /// A bare ACK deferred by `TCP_DEFER_ACCEPT`: not a drop, but it moves `sk_drops`. It is read
    /// as an explanation and not reconciled, because the programs cannot distinguish it from other
    /// ignored packets.
    DeferAcceptDrop,
}

impl Counter {
    /// The number of counters.
    pub const COUNT: usize = 9;

    /// All counters, in the order of their numbers.
    pub const ALL: [Self; Self::COUNT] = [
        Self::ListenOverflows,
        Self::ListenDrops,
        Self::ReqQFullDrop,
        Self::ReqQFullDoCookies,
        Self::SyncookiesSent,
        Self::SyncookiesRecv,
        Self::SyncookiesFailed,
        Self::FastOpenListenOverflow,
        Self::DeferAcceptDrop,
    ];

    /// What it counts.
    #[must_use]
    pub const fn meaning(self) -> &'static str {
        match self {
            Self::ListenOverflows => "SYNs and last ACKs that a full accept queue refused",
            Self::ListenDrops => "SYNs and last ACKs that were refused, for any reason",
            Self::ReqQFullDrop => "SYNs that a full SYN queue refused, with SYN cookies off",
            Self::ReqQFullDoCookies => "SYNs that found the SYN queue full, with SYN cookies on",
            Self::SyncookiesSent => "SYNs that were answered with a cookie",
            Self::SyncookiesRecv => "ACKs with a valid cookie",
            Self::SyncookiesFailed => "ACKs with a cookie that was wrong or too old",
            Self::FastOpenListenOverflow => "Fast Open SYNs that found the Fast Open queue full",
            Self::DeferAcceptDrop => {
                "bare ACKs that TCP_DEFER_ACCEPT puts off: nothing is lost, but sk_drops of the \
                 listener moves as well"
            }
        }
    }

    /// The kernel's name for it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::ListenOverflows => "ListenOverflows",
            Self::ListenDrops => "ListenDrops",
            Self::ReqQFullDrop => "TCPReqQFullDrop",
            Self::ReqQFullDoCookies => "TCPReqQFullDoCookies",
            Self::SyncookiesSent => "SyncookiesSent",
            Self::SyncookiesRecv => "SyncookiesRecv",
            Self::SyncookiesFailed => "SyncookiesFailed",
            Self::FastOpenListenOverflow => "TCPFastOpenListenOverflow",
            Self::DeferAcceptDrop => "TCPDeferAcceptDrop",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Counter;

    #[test]
    fn numbers_are_the_indexes_of_all() {
        for (index, counter) in Counter::ALL.into_iter().enumerate() {
            assert_eq!(counter as usize, index);
        }
    }
}
