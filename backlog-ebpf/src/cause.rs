//! Why a packet was refused at a listener, and what is counted beside the
//! drops. The numbers are indexes into [`Totals`](crate::totals::Totals) and
//! cross the ring as plain `u32`.

/// One way in which a listener loses a packet of a client.
///
/// docs/CAUSES.md says how each is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u32)]
pub enum Cause {
    /// A SYN, while the accept queue was full (`ListenOverflows` in `tcp_conn_request`).
    AcceptQueueFullSyn = 0,
    /// The last ACK of a handshake, while the accept queue was full
    /// (`ListenOverflows` in `tcp_check_req`). The server sends its SYN-ACK again.
    AcceptQueueFullAck = 1,
    /// The last ACK of a SYN-cookie handshake, while the accept queue was full:
    /// nothing on the server remembers the client (`cookie_v4_check`).
    AcceptQueueFullCookie = 2,
    /// As `AcceptQueueFullAck`, answered with a reset (`tcp_abort_on_overflow`).
    AcceptQueueFullReset = 3,
    /// A SYN, while the SYN queue was full and cookies were off (`TCPReqQFullDrop`).
    SynQueueFull = 4,
    /// A SYN, by the last-quarter rule of `tcp_max_syn_backlog`.
    LastQuarter = 5,
    /// A last ACK: no memory or no route for the child socket.
    NoChild = 6,
    /// The listener left LISTEN while the handshake finished.
    ListenerLeft = 7,
    /// A SYN: `ListenDrops` moved in `tcp_conn_request` and none of the others
    /// explains it (no memory, no route, a security module, TCP-AO).
    Other = 8,
}

impl Cause {
    /// Does the limit refuse such a packet? (The SYN queue has the same one.)
    #[must_use]
    pub const fn is_by_limit(self) -> bool {
        match self {
            Self::AcceptQueueFullSyn
            | Self::AcceptQueueFullAck
            | Self::AcceptQueueFullCookie
            | Self::AcceptQueueFullReset
            | Self::SynQueueFull => true,
            Self::LastQuarter | Self::NoChild | Self::ListenerLeft | Self::Other => false,
        }
    }

    /// How many causes there are.
    pub const COUNT: usize = 9;

    /// Every cause, in the order of its number.
    pub const ALL: [Self; Self::COUNT] = [
        Self::AcceptQueueFullSyn,
        Self::AcceptQueueFullAck,
        Self::AcceptQueueFullCookie,
        Self::AcceptQueueFullReset,
        Self::SynQueueFull,
        Self::LastQuarter,
        Self::NoChild,
        Self::ListenerLeft,
        Self::Other,
    ];

    /// The cause with this number, if there is one.
    #[must_use]
    pub fn from_wire(number: u32) -> Option<Self> {
        Self::ALL.get(number as usize).copied()
    }

    /// The name in JSON and in the summary.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::AcceptQueueFullSyn => "accept_queue_full_syn",
            Self::AcceptQueueFullAck => "accept_queue_full_ack",
            Self::AcceptQueueFullCookie => "accept_queue_full_cookie",
            Self::AcceptQueueFullReset => "accept_queue_full_reset",
            Self::SynQueueFull => "syn_queue_full",
            Self::LastQuarter => "last_quarter",
            Self::NoChild => "no_child",
            Self::ListenerLeft => "listener_left",
            Self::Other => "other",
        }
    }
}

/// What a listener did that is no drop, and yet worth knowing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u32)]
pub enum Beside {
    /// A SYN answered with a SYN cookie (`SyncookiesSent`).
    SynCookieSent = 0,
    /// An ACK that carried a valid SYN cookie (`SyncookiesRecv`).
    SynCookieValid = 1,
    /// A connection that was built from a SYN cookie and queued.
    SynCookieAccepted = 2,
    /// An ACK whose SYN cookie was wrong or too old (`SyncookiesFailed`).
    SynCookieFailed = 3,
    /// A SYN that met a full SYN queue (or `tcp_syncookies=2`) and was to get a
    /// cookie (`TCPReqQFullDoCookies`).
    SynQueueFullCookie = 4,
    /// A Fast Open SYN that met a full Fast Open queue and fell back to a handshake
    /// (`TCPFastOpenListenOverflow`).
    FastopenQueueFull = 5,
    /// A Fast Open SYN for which no child could be made; it fell back to a handshake,
    /// yet moved `ListenDrops`.
    FastopenFailed = 6,
    /// A request that was never finished and has used up its SYN-ACKs.
    Expired = 7,
    /// A request that was given up early, since the SYN queue was more than half full.
    Pruned = 8,
    /// A request that was given up because an ICMP message said that the client cannot be
    /// reached; moves `ListenDrops`.
    Unreachable = 9,
    /// A SYN that asked to join an MPTCP connection and was refused; moves `ListenDrops`.
    JoinRefused = 10,
    /// A queued connection that died because its listener closed or shut down.
    KilledAtClose = 11,
    /// A queued connection that went to another listener of the group when its own closed.
    Migrated = 12,
    /// A queued connection that came from a listener of the group that closed.
    MigratedIn = 13,
    /// A packet that was ignored and lost nothing: a duplicate SYN, a bare ACK under
    /// `TCP_DEFER_ACCEPT`, a reset by the client. It moves `sk_drops`.
    Ignored = 14,
    /// A connection that its client had reset by the time it was accepted.
    AbandonedReset = 15,
    /// A connection on whose way its client had ended (FIN) by the time it was accepted: it
    /// has gone, or it waits for an answer and has nothing more to say.
    AbandonedFin = 16,
}

impl Beside {
    /// How many there are.
    pub const COUNT: usize = 17;

    /// Every one, in the order of its number.
    pub const ALL: [Self; Self::COUNT] = [
        Self::SynCookieSent,
        Self::SynCookieValid,
        Self::SynCookieAccepted,
        Self::SynCookieFailed,
        Self::SynQueueFullCookie,
        Self::FastopenQueueFull,
        Self::FastopenFailed,
        Self::Expired,
        Self::Pruned,
        Self::Unreachable,
        Self::JoinRefused,
        Self::KilledAtClose,
        Self::Migrated,
        Self::MigratedIn,
        Self::Ignored,
        Self::AbandonedReset,
        Self::AbandonedFin,
    ];

    /// The name in JSON and in the summary.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::SynCookieSent => "syn_cookie_sent",
            Self::SynCookieValid => "syn_cookie_valid",
            Self::SynCookieAccepted => "syn_cookie_accepted",
            Self::SynCookieFailed => "syn_cookie_failed",
            Self::SynQueueFullCookie => "syn_queue_full_cookie",
            Self::FastopenQueueFull => "fastopen_queue_full",
            Self::FastopenFailed => "fastopen_failed",
            Self::Expired => "expired",
            Self::Pruned => "pruned",
            Self::Unreachable => "unreachable",
            Self::JoinRefused => "join_refused",
            Self::KilledAtClose => "killed_at_close",
            Self::Migrated => "migrated",
            Self::MigratedIn => "migrated_in",
            Self::Ignored => "ignored",
            Self::AbandonedReset => "abandoned_reset",
            Self::AbandonedFin => "abandoned_fin",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Beside, Cause};

    #[test]
    fn numbers_are_the_indexes_of_all() {
        for (index, cause) in Cause::ALL.into_iter().enumerate() {
            assert_eq!(cause as usize, index);
            assert_eq!(Cause::from_wire(cause as u32), Some(cause));
        }
        for (index, beside) in Beside::ALL.into_iter().enumerate() {
            assert_eq!(beside as usize, index);
        }
        assert_eq!(Cause::from_wire(9), None);
    }
}
